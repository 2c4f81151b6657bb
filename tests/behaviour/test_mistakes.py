"""Mistakes in a user's first run: each gets an answer that says what to do, and no file is written."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from image_history.cli import run
from image_history.simulator import generate
from tests.behaviour.commanding import Commanded, CommandWorld, commanding
from tests.behaviour.test_check import UNPRIVILEGED
from tests.behaviour.test_query_terminal import assert_fits, read_some

__all__ = ["commanding"]

pytestmark = pytest.mark.duckdb

COLUMNS = 60
BEFORE = [
    pytest.param("", ["query", "@newest-versions"], "run image-history sync first", id="query"),
    pytest.param("", ["log"], "another file with --warehouse", id="log"),
    pytest.param("", ["report"], "run image-history sync first", id="report"),
    pytest.param("", ["publish"], "add an entry under publish", id="publish"),
    pytest.param("", ["notify", "--test"], "add an entry under notify", id="notify"),
    pytest.param("", ["syncc"], "Did you mean sync?", id="verb"),
    pytest.param("", ["sync", "--ful"], "Did you mean '--full'?", id="option"),
    pytest.param("", ["sync", "--config", "no.yaml"], "'image-history init' writes", id="no-config"),
    pytest.param("", ["diff"], "how long ago: 7d", id="diff"),
    pytest.param("", ["sync", "--image", "PyTorch-2.2-nlp"], "the nearest: PyTorch", id="image"),
    pytest.param("", ["sync", "--image", "zzzz"], "there are 2 others", id="no-image"),
    pytest.param("accounts:\n\t- profile: me\n", ["sync"], "config.yaml:2: there is a tab", id="tab"),
    pytest.param("lookbak: 15m\n", ["sync"], "did you mean lookback?", id="setting"),
    pytest.param('page_size: "100"\n', ["sync"], "remove the quotes", id="quotes"),
    pytest.param("accounts:\n- profile: a\nregions: [b]\n", ["sync"], "accounts[].regions", id="indent"),
    pytest.param("warehouse: ${NOWHERE}/a\n", ["sync"], "write ${NOWHERE:-default}", id="variable"),
    pytest.param("accounts: [{profile: nobody}]\n", ["sync"], "profile nobody", id="profile"),
]
AFTER = [
    pytest.param(["log", "nlp"], "the nearest: ", id="log"),
    pytest.param(["list", "nlp"], "there are: ", id="list"),
    pytest.param(["report", "--image", "nothing"], "image-history log lists the images", id="report-image"),
    pytest.param(["report", "--scope", "1/2"], "image-history log lists the images", id="report-scope"),
    pytest.param(["query", "@newest"], "the nearest: newest-versions", id="saved-query"),
    pytest.param(["query", "@deleted-lately", "--param", "days=ten"], "a number such as 30", id="number"),
    pytest.param(["query", "@deleted-lately", "--param", "day=1"], "it has $days", id="parameter"),
    pytest.param(["query", "@failed-versions", "--param", "day=1"], "it takes none", id="no-parameter"),
    pytest.param(["query", "SELECT nme FROM images"], "such as account_id", id="column"),
    pytest.param(["query", "FROM image_version"], "the nearest: image_versions", id="table"),
    pytest.param(["query", "FROM images", "--format", "excel"], "'xlsx'", id="format"),
    pytest.param(["query", "FROM images", "--output", "no/a.csv"], "make it first", id="folder"),
    pytest.param(["query", "FROM images", "--output", "a.xyz"], "end it in .csv", id="suffix"),
    pytest.param(["schema", "nothing"], "there are: image_versions", id="schema"),
    pytest.param(["schema", "image_version"], "the nearest: image_versions", id="schema-near"),
]


def told(arguments: Sequence[str], columns: int = COLUMNS) -> tuple[int, str]:
    """Run a command in this process; its exit code, and its output on a terminal of that width."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    with pytest.MonkeyPatch.context() as patch, os.fdopen(theirs, "w", buffering=1) as terminal:
        patch.setattr("sys.stderr", terminal)
        code = run([*arguments, "--quiet"] if arguments[0] == "sync" else arguments)
    said = b""
    while chunk := read_some(ours):
        said += chunk
    os.close(ours)
    return code, said.decode().replace("\r\n", "\n")


def assert_answered(arguments: Sequence[str], words: str) -> None:
    """A command exits with 2 and prints these words within the terminal's width; no file is created or changed."""
    before = contents()
    code, said = told(arguments)
    assert_fits(said, COLUMNS)
    assert (code, words in " ".join(said.split())) == (2, True), said
    assert said.rstrip()[-1] in ".?)"
    assert contents() == before


def contents() -> dict[str, int]:
    """The files of the working directory with their modification times; a landing folder does not count."""
    return {str(path): path.stat().st_mtime_ns for path in Path().iterdir() if path.is_file()}


@pytest.mark.parametrize(("config", "arguments", "words"), BEFORE)
def test_mistake_before_the_first_sync(
    commanding: CommandWorld, config: str, arguments: list[str], words: str
) -> None:
    """Before the first sync, a wrong word, file or order gets an answer that says what to do."""
    desk = commanding()
    if config:
        (desk.folder / "config.yaml").write_text(config, encoding="utf-8")
    assert_answered(arguments, words)


@pytest.mark.parametrize(("arguments", "words"), AFTER)
def test_mistake_after_the_first_sync(synced: Commanded, arguments: list[str], words: str) -> None:
    """After the first sync, an unknown name or value gets an answer that says what to write instead."""
    assert_answered(arguments, words)


@pytest.fixture
def synced(commanding: CommandWorld) -> Commanded:
    """A site after its first sync."""
    desk = commanding()
    assert desk("sync").code == 0
    return desk


def test_region_without_images_is_said_to_be_one(commanding: CommandWorld) -> None:
    """A sync that finds no image exits with 0 and says what to check."""
    desk = commanding(generate(3, images=0))
    done = desk("sync")
    assert done.code == 0
    assert "No image was found there. If there should be some, check accounts" in done.out


def test_folder_that_may_not_be_written_is_told_before_anything_is_read(synced: Commanded) -> None:
    """A sync needs to write to the warehouse's folder; without permission, it exits with 2 before any call."""
    synced.folder.chmod(0o500)
    try:
        before = synced.site.simulator.counters.calls()
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, "sync"],
            env={**os.environ, **synced.site.environment},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        synced.folder.chmod(0o700)
    assert done.returncode == 2, done.stderr
    assert "cannot be written (permission denied)" in done.stderr
    assert synced.site.simulator.counters.calls() == before
