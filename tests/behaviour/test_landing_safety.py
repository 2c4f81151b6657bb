"""Files of the landing are opened safely: no link is followed, and folders of other users are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image_history.errors import ConnectorError, LandingError, SyncRunningError
from image_history.landing.mark import NAME
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


def test_mark_of_any_content_is_told(served: ServeWorld) -> None:
    """If the mark is empty, incomplete or damaged, a sync stops and leaves the mark as it is."""
    site = small(served)
    site.sync()
    mark = site.config.landing_folder / NAME
    for content in (b"", b"{}", b"\x00\xff", mark.read_bytes()[:-9]):
        mark.write_bytes(content)
        with pytest.raises(ConnectorError, match=r"image-history-landing\.json"):
            site.sync()
        assert mark.read_bytes() == content
