"""The lines that a sync and `publish` print when they are done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from image_history.cli.publish import summary_line
from image_history.cli.reports import print_report
from image_history.forecast.estimate import Reason
from image_history.model import HintsReport, Outcome, Publication, RunReport

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def lines(capsys: pytest.CaptureFixture[str], **changes: Any) -> list[str]:
    """The summary of a run without scopes."""
    print_report(RunReport("run", NOON, NOON, Outcome.COMPLETE, "incremental", (), 1.0, 0.1, **changes))
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("found", "line"),
    [
        pytest.param(
            HintsReport(messages=1, acknowledged=1, rested=1, hinted=1, junk=1, calls=2),
            "hints: 1 image rests, 1 hinted; 1 message; entries about no image: 1",
            id="one",
        ),
        pytest.param(
            HintsReport(messages=2, acknowledged=1, rested=3, junk=40),
            "hints: 3 images rest, 0 hinted; 2 files, 1 kept for the next sync; entries about no image: 40",
            id="more-entries-than-files",
        ),
    ],
)
def test_hints_keep_messages_and_their_entries_apart(
    found: HintsReport, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message may be a file of many entries: the line says which of the two it counts."""
    assert lines(capsys, hints=found)[-1] == line


def test_one_call_that_is_left_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    """The budget's line is right for one call."""
    assert lines(capsys, details_left=1)[-1].startswith("details: 1 call is left for")


@pytest.mark.parametrize(
    ("publication", "line"),
    [
        (Publication("set", 1, 1), "Published the dataset set: 1 row in 1 file, nothing new"),
        (Publication("set", 2, 2, 1, 9), "Published the dataset set: 2 rows in 2 files, 1 new (9 bytes)"),
        (Publication("a.html", written_bytes=9), "Published the report a.html: 9 bytes"),
        (Publication("a.duckdb", written_bytes=9), "Published a copy of the warehouse to a.duckdb: 9 bytes"),
        (
            Publication("iceberg://a/b", 1, table="c", version="7"),
            "Published the table iceberg://a/b/c: 1 row, nothing new (version 7, 0.00 s)",
        ),
        (Publication("set", error="The disk is full."), "not published: set: The disk is full."),
    ],
    ids=["dataset", "new", "report", "copy", "table", "failed"],
)
def test_publication_names_its_target_first(publication: Publication, line: str) -> None:
    """Each line begins with what was published where, since the end of a long line may be wrapped."""
    assert summary_line(publication) == line


@pytest.mark.parametrize("reason", Reason)
def test_reason_is_right_for_one_image(reason: Reason) -> None:
    """A reason follows the number of its images, which may be 1."""
    assert not reason.value.startswith("they ")
    assert not {"its", "theirs"} & set(reason.value.split())
