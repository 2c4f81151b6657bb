"""`init` writes the complete example once, readable only by its owner."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from click.testing import CliRunner

from image_history import cli
from image_history.cli import Globals
from image_history.cli.init import command, write_new
from image_history.config import Config, example_text, load_config
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(config_path: Path | None = None) -> Result:
    """`image-history [--config PATH] init`."""
    return CliRunner().invoke(command, obj=Globals(config_path))


def failing(error_number: int) -> Callable[..., None]:
    """A function that raises the system's error of this number."""

    def fail(*arguments: object) -> NoReturn:
        raise OSError(error_number, os.strerror(error_number))

    return fail


def test_init_writes_the_example(folder: Path) -> None:
    """./config.yaml is the example, only its owner can read it, and it loads as the defaults."""
    result = run()
    assert result.exit_code == 0
    assert (folder / "config.yaml").read_text(encoding="utf-8") == example_text()
    assert stat.S_IMODE((folder / "config.yaml").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert load_config(None, {}) == Config()


def test_init_says_what_to_do_next() -> None:
    """The output names the file and the next command."""
    output = run().output
    assert output.startswith("Wrote config.yaml: ")
    assert "  2. image-history sync\n" in output


def test_init_writes_the_file_that_is_asked_for(folder: Path) -> None:
    """With --config, `init` writes that file, and the next command names it, quoted for a shell."""
    result = run(Path("my config.yaml"))
    assert (folder / "my config.yaml").is_file()
    assert "image-history --config 'my config.yaml' sync" in result.output


def test_init_writes_the_file_of_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With IMAGE_HISTORY_CONFIG, `init` writes the file that the variable names, which other verbs then read."""
    monkeypatch.setenv("IMAGE_HISTORY_CONFIG", "named.yaml")
    result = run()
    assert [path.name for path in folder.iterdir()] == ["named.yaml"]
    assert "  2. image-history sync\n" in result.output
    assert Globals().config() == Config()
    changed = example_text().replace("page_size: 100", "page_size: 7")
    (folder / "named.yaml").write_text(changed, encoding="utf-8")
    assert Globals().config().page_size == 7


@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
def test_init_never_overwrites(folder: Path, kind: str) -> None:
    """A file, folder or link that already has the name stays as it is, and the exit code is 2."""
    target = folder / "config.yaml"
    match kind:
        case "file":
            target.write_text("page_size: 5", encoding="utf-8")
        case "folder":
            target.mkdir()
        case _:
            target.symlink_to("elsewhere.yaml")
    before = target.lstat()
    error = run().exception
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    assert error.message.startswith("config.yaml is already there and was left as it is;")
    assert target.lstat() == before
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "link_error", [None, errno.EPERM, errno.EOPNOTSUPP], ids=["links", "eperm", "enotsup"]
)
def test_write_new_loses_a_race_politely(
    folder: Path, monkeypatch: pytest.MonkeyPatch, link_error: int | None
) -> None:
    """A file that appears at the last moment is not overwritten, with or without hard links."""
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    if link_error is not None:
        monkeypatch.setattr(os, "link", failing(link_error))
    write_new(Path("config.yaml"), "first")
    with pytest.raises(ConfigError, match="already there"):
        write_new(Path("config.yaml"), "second")
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == {
        "config.yaml": "first"
    }
    assert stat.S_IMODE((folder / "config.yaml").stat().st_mode) == 0o600


@pytest.mark.parametrize("full_after", [0, 1], ids=["temporary-file", "file-without-links"])
def test_write_new_leaves_nothing_behind_when_the_disk_is_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch, full_after: int
) -> None:
    """A write that fails raises one message, and leaves neither a part of the file nor a temporary file."""
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > full_after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigError, match=r"'config\.yaml' cannot be written: No space left on device"):
        write_new(Path("config.yaml"), "text")
    assert list(folder.iterdir()) == []
    assert len(synced) == full_after + 1


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        pytest.param("missing/config.yaml", "there is no folder missing; make it first", id="no-folder"),
        pytest.param("file/config.yaml", "Not a directory", id="file-as-folder"),
        pytest.param("nul\0.yaml", "cannot be written", id="impossible-name"),
    ],
)
def test_init_into_an_impossible_place_fails(folder: Path, target: str, sentence: str) -> None:
    """If the file cannot be written there, `init` fails with one message and creates no file."""
    (folder / "file").touch()
    error = run(Path(target)).exception
    assert isinstance(error, ConfigError)
    assert sentence in error.message
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_init_runs_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`init` runs without options before it, and accepts the global options after its name."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["init"]) == 0
    assert cli.run(["init", "--config", "other.yaml", "-q"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "other.yaml"}


OURS = example_text().encode()


@pytest.mark.parametrize(
    ("name", "content", "hours", "stays"),
    [
        (".config.yaml.0123abcd", OURS, 2, False),
        (".config.yaml.0123abcd", OURS[:100], 2, False),
        (".config.yaml.0123abcd", OURS, 0, True),
        (".config.yaml.0123abcd", b"accounts: []\n", 2, True),
        (".config.yaml.0123abcd", OURS + b"mine", 2, True),
        (".config.yaml.0123abcd", b"", 2, True),
        (".config.yaml.bak", OURS, 2, True),
        ("config.yaml.0123abcd", OURS, 2, True),
        (".other.yaml.0123abcd", OURS, 2, True),
    ],
    ids=["whole", "part", "young", "others", "more", "empty", "name", "visible", "of-another-file"],
)
def test_file_that_a_kill_left_is_removed(
    folder: Path, name: str, content: bytes, hours: int, stays: bool
) -> None:
    """`init` removes the old temporary file of a killed `init`, and no file of another name, age or content."""
    left = folder / name
    left.write_bytes(content)
    then = time.time() - hours * 3_601
    os.utime(left, (then, then))
    assert run().exit_code == 0
    assert left.exists() is stays


def test_second_name_that_a_kill_left_is_removed(folder: Path) -> None:
    """A kill between naming the file and removing its temporary name leaves both; the file itself stays."""
    target = folder / "config.yaml"
    target.write_text("accounts: []\n", encoding="utf-8")
    os.utime(target, (0, 0))
    left = folder / ".config.yaml.0123abcd"
    left.hardlink_to(target)
    assert run().exit_code != 0
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert target.read_text(encoding="utf-8") == "accounts: []\n"


def test_link_with_the_name_of_a_temporary_file_stays(folder: Path) -> None:
    """A symbolic link is never removed."""
    link = folder / ".config.yaml.0123abcd"
    link.symlink_to(folder / "elsewhere")
    assert run().exit_code == 0
    assert link.is_symlink()


def test_file_behind_the_name_of_a_link_is_not_removed(folder: Path) -> None:
    """If `config.yaml` is a link to a file with a name like our temporary ones, that file stays."""
    mine = folder / ".config.yaml.deadbeef"
    mine.write_text("accounts: [{profile: mine}]\n")
    os.utime(mine, (1, 1))
    (folder / "config.yaml").symlink_to(mine.name)
    with pytest.raises(ConfigError):
        write_new(folder / "config.yaml", example_text())
    assert mine.read_text() == "accounts: [{profile: mine}]\n"
