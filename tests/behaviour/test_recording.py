"""The session in docs/session.md is what its commands print, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.behaviour.test_readme import stable
from tests.recording import PAGE, blocks, record

pytestmark = pytest.mark.duckdb


def test_recorded_session_is_what_its_commands_print(tmp_path: Path) -> None:
    """The page equals a new recording, except for run ids, durations, sizes and the time of the recording."""
    page = PAGE.read_text(encoding="utf-8")
    assert stable(record(page, tmp_path)) == stable(page)


def test_recorded_session_leaves_nothing_out() -> None:
    """No line of the session is "...", and no block ends with a command that has no output."""
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        lines = block.splitlines()
        assert "..." not in lines
        assert not lines[-1].startswith("$ ")
