"""Files of the landing are opened safely: no link is followed, and folders of other users are refused."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from image_history.errors import LandingError, SyncRunningError
from image_history.landing.files import seal, unsealed
from image_history.landing.mark import FORMAT, NAME, Mark
from image_history.landing.runs import Landing
from tests.behaviour.belongings import fingerprint, small
from tests.behaviour.harness import ServeWorld

Damage = Callable[[Path, Path], None]


def lock_link(landing: Path, victim: Path) -> None:
    """Replace the lock file by a symbolic link."""
    (landing / "lock").unlink()
    (landing / "lock").symlink_to(victim)


def lock_second_name(landing: Path, victim: Path) -> None:
    """Replace the lock file by a hard link of the user's file."""
    (landing / "lock").unlink()
    os.link(victim, landing / "lock")


def mark_link(landing: Path, victim: Path) -> None:
    """Replace the mark by a symbolic link."""
    (landing / NAME).unlink()
    (landing / NAME).symlink_to(victim)


@pytest.mark.parametrize("plant", [lock_link, lock_second_name, mark_link])
def test_links_in_place_of_our_files_are_refused(served: ServeWorld, plant: Damage) -> None:
    """If a link replaces a file that a sync would write to, the sync stops, and the link's target stays as it is."""
    site = small(served)
    site.sync()
    victim = site.folder / "victim"
    victim.write_text("precious", encoding="utf-8")
    plant(site.config.landing_folder, victim)
    with pytest.raises(LandingError, match=r"link|second name"):
        site.sync()
    assert victim.read_text(encoding="utf-8") == "precious"


def test_links_in_place_of_what_is_written_anew_are_replaced(served: ServeWorld) -> None:
    """A link at the name of a temporary file or of known-streams.parquet is replaced; its target stays as it is."""
    site = small(served)
    site.sync()
    victim = site.folder / "victim"
    victim.write_text("precious", encoding="utf-8")
    landing = site.config.landing_folder
    (landing / "known-streams.parquet").unlink()
    (landing / "known-streams.parquet").symlink_to(victim)
    (landing / ".known-streams.parquet.part").symlink_to(victim)
    site.sync()
    assert victim.read_text(encoding="utf-8") == "precious"
    assert not (landing / "known-streams.parquet").is_symlink()
    assert not (landing / ".known-streams.parquet.part").is_symlink()


def test_pipe_in_place_of_the_lock_does_not_hang(served: ServeWorld) -> None:
    """If a named pipe replaces the lock file, a sync stops instead of waiting for it."""
    site = small(served)
    site.sync()
    (site.config.landing_folder / "lock").unlink()
    os.mkfifo(site.config.landing_folder / "lock")
    with pytest.raises(LandingError, match="no ordinary file"):
        site.sync()


def test_folder_that_everybody_may_write_to_is_refused(served: ServeWorld) -> None:
    """A world-writable landing is refused, with or without the sticky bit: another user could put runs there."""
    site = small(served)
    site.sync()
    for mode in (0o777, 0o1777, 0o702):
        site.config.landing_folder.chmod(mode)
        with pytest.raises(LandingError, match="every user of this machine may write to it"):
            site.sync()
    site.config.landing_folder.chmod(0o770)
    site.sync()


@pytest.mark.parametrize(
    ("user", "group", "groups", "trusted"),
    [
        pytest.param(0, 0, [], True, id="our-own"),
        pytest.param(1, 0, [], True, id="group-0-of-openshift"),
        pytest.param(1, 7, [0], True, id="fs-group"),
        pytest.param(1, 7, [8], False, id="stranger"),
    ],
)
def test_folder_of_a_stranger_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    user: int,
    group: int,
    groups: list[int],
    trusted: bool,
) -> None:
    """A folder is trusted by its user or a group of the process; the parameters are added to the folder's own IDs."""
    tmp_path.chmod(0o2775)
    owner = tmp_path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + user)
    monkeypatch.setattr(os, "getegid", lambda: owner.st_gid + group)
    monkeypatch.setattr(os, "getgroups", lambda: [owner.st_gid + each for each in groups])
    landing = Landing(tmp_path)
    if trusted:
        with landing.locked(), pytest.raises(SyncRunningError), landing.locked():
            pass
        return
    before = fingerprint(tmp_path)
    with pytest.raises(LandingError, match="belongs to user"), landing.locked():
        pass
    assert fingerprint(tmp_path) == before


def test_look_at_the_lock_stops_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` has the lock for a moment, to look at it: a sync that begins just then tries again."""
    landing = Landing(tmp_path)
    with landing.locked():
        pass
    with (tmp_path / "lock").open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda _: fcntl.flock(look, fcntl.LOCK_UN))
        with landing.locked():
            pass


def newer(mark: bytes) -> bytes:
    """The mark as a later version would write it."""
    document = zlib.decompress(base64.b64decode(json.loads(mark)["document"]))
    return seal({**json.loads(document), "format": FORMAT + 1, "member": "of that version"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda _: b"", "is damaged", id="empty"),
        pytest.param(lambda mark: mark[:-9], "is damaged", id="incomplete"),
        pytest.param(lambda _: b"\x00\xff", "is damaged", id="bytes"),
        pytest.param(lambda _: b'{"name": "another program"}', "is damaged", id="of-another-program"),
        pytest.param(lambda _: seal({"name": "another file"}), "is damaged", id="another-file-of-ours"),
        pytest.param(newer, "another version of image-history", id="newer"),
    ],
)
def test_mark_of_any_content_is_told(served: ServeWorld, change: Callable[[bytes], bytes], told: str) -> None:
    """With a mark that this version cannot use, a sync exits with 2 and changes nothing; without it, a sync works."""
    site = small(served)
    site.sync()
    mark = site.config.landing_folder / NAME
    good = mark.read_bytes()
    mark.write_bytes(change(good))
    before = fingerprint(site.folder)
    for fresh in (False, True):
        with pytest.raises(LandingError, match=rf"image-history-landing\.json.* {told}") as caught:
            site.sync(fresh=fresh)
        assert caught.value.exit_code == 2
        assert "--fresh" not in caught.value.message
        assert fingerprint(site.folder) == before
    mark.unlink()
    site.sync()
    assert (
        unsealed(mark, Mark).warehouse_id
        == site.ask("SELECT warehouse_id::VARCHAR FROM warehouse_identity")[0][0]
    )
