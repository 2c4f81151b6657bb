"""How the process ends: at once, with all of its output written, even if nothing reads the output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from image_history import __version__, cli

HANGING = """
import threading
from click import echo
from image_history import cli

def hang(*_, **__):
    threading.Thread(target=threading.Event().wait).start()
    echo("said")
    return 4

cli.root.main = hang
cli.main([])
"""


def sh(command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which $IH is image-history."""
    script = f"IH='{sys.executable} -m image_history'; {command}"
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)


def test_nobody_waits_for_a_thread_that_hangs() -> None:
    """The process ends with its output and its exit code, although a thread would run forever."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (4, "said\n", "")


# Python imports a module of this name at its start.
TELLING = """
import os, sys, traceback

def tell(*error):
    with open(os.environ["TOLD"], "a") as file:
        traceback.print_exception(*error, file=file)

sys.excepthook = tell
sys.unraisablehook = lambda each: tell(each.exc_type, each.exc_value, each.exc_traceback)
"""


@pytest.mark.parametrize(
    ("command", "code", "heard"),
    [
        pytest.param("$IH --version >&-", 0, "", id="stdout-closed"),
        pytest.param("$IH --version 2>&-", 0, f"image-history {__version__}\n", id="stderr-closed"),
        pytest.param("$IH nope >&- 2>&-", 2, "", id="both-closed"),
        pytest.param("$IH --version <&- >&- 2>&-", 0, "", id="all-closed"),
    ],
)
def test_what_nobody_hears_changes_no_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int, heard: str
) -> None:
    """A closed stdout or stderr changes neither the exit code nor the other stream, and no exception is left over."""
    (tmp_path / "sitecustomize.py").write_text(TELLING, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    ended = sh(command)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, heard, "")
    assert not (tmp_path / "told").exists(), (tmp_path / "told").read_text(encoding="utf-8")


def test_exception_that_nobody_hears_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above finds a traceback even if stderr is closed."""
    (tmp_path / "sitecustomize.py").write_text(TELLING, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    assert sh(f"{sys.executable} -c 'import none.such' 2>&-").returncode == 1
    assert "No module named 'none'" in (tmp_path / "told").read_text(encoding="utf-8")


FULL = "image-history: Standard output cannot be written: No space left on device.\n"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        pytest.param("$IH --version >/dev/full", 2, FULL, id="short"),
        pytest.param("$IH schema --json >/dev/full", 2, FULL, id="longer-than-the-buffer"),
        pytest.param("$IH manual >/dev/full 2>/dev/full", 2, "", id="both-full"),
        pytest.param("$IH nope 2>/dev/full", 2, "", id="stderr-full"),
        pytest.param("$IH -q schema --json 2>/dev/full >/dev/null", 0, "", id="only-stderr-full"),
        pytest.param("{ $IH schema --json; echo $? >&2; } | :", 0, "141\n", id="closed-pipe"),
    ],
)
def test_output_that_cannot_be_written_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, unbuffered: str, command: str, code: int, said: str
) -> None:
    """On a full disk stdout ends the command with 2 and one sentence; stderr, and a closed pipe, print nothing."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    ended = sh(command)
    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        pytest.param(["-vv"], True, id="-vv"),
        pytest.param(["-v", "-v"], True, id="-v -v"),
        pytest.param(["--verbose", "--verbose"], True, id="--verbose twice"),
        pytest.param(["-v"], False, id="-v"),
        pytest.param(["--config=wv-v.yaml"], False, id="a name with v"),
    ],
)
@pytest.mark.parametrize("before", [True, False], ids=["before the verb", "after it"])
def test_traceback_is_shown_from_the_second_verbose_on(
    options: list[str], wanted: bool, before: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two -v in any spelling, before or after the verb, show the traceback of an error."""
    verb = ["status", f"--warehouse={tmp_path / 'none.duckdb'}"]
    if options[0].startswith("--config"):
        (tmp_path / "wv-v.yaml").touch()
        options = [f"--config={tmp_path / 'wv-v.yaml'}"]
    assert cli.run([*options, *verb] if before else [*verb, *options]) == 2
    assert ("Traceback" in capsys.readouterr().err) is wanted


def test_verbose_before_and_after_the_verb_adds_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One -v before the verb and one after it count as -vv."""
    cli.run(["-v", "status", f"--warehouse={tmp_path / 'none.duckdb'}", "-v"])
    assert "Traceback" in capsys.readouterr().err
