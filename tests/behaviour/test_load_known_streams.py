"""What the planner reads of streams, on hand-made rows.

Statements of sql/load: known_streams.sql and held_back.sql.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import BEGINNING, ELSEWHERE, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

GONE: Row = {"etl_deleted_at": 80, "etl_delete_evidence": "image_not_found"}


def test_planner_knows_what_is_known_of_a_stream(rows: Rows) -> None:
    """The planner gets every stored value of a stream, with instants in epoch milliseconds."""
    start = int(BEGINNING.timestamp() * 1000)
    known: Row = {"watermark": 40, "last_full_at": 90, "image_created_at": 3}
    numbers: Row = {"live_versions": 5, "highest_version": 7, "first_version_seen": 2, "held_back": 6}
    rows.stored("streams", {**known, **numbers})
    rows.stored("images", {})
    assert rows.asked("load/known_streams") == [
        {
            "account_id": "111122223333",
            "region": "eu-west-1",
            "image_name": "base",
            "watermark_ms": start + 40_000,
            "last_full_at_ms": start + 90_000,
            "image_created_ms": start + 3_000,
            **numbers,
            "image_live": True,
        }
    ]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([], False),
        ([{}], True),
        ([GONE], False),
        *(([where], False) for where in ELSEWHERE),
        *(([GONE, where], False) for where in ELSEWHERE),
    ],
    ids=str,
)
def test_image_lives_while_it_is_known_and_not_known_to_be_gone(
    rows: Rows, images: list[Row], expected: bool
) -> None:
    """An image lives if it is stored and not deleted; an image of the same name elsewhere does not count."""
    rows.stored("streams", {})
    rows.stored("images", *images)
    assert picked(rows.asked("load/known_streams"), "image_name image_live") == [("base", expected)]


def test_stream_of_which_nothing_is_held_back_holds_back_none(rows: Rows) -> None:
    """A stream without a held-back count has 0; a stream that was never read has no watermark and no numbers."""
    rows.stored("streams", {"live_versions": 0})
    found = picked(rows.asked("load/known_streams"), "held_back watermark_ms highest_version")
    assert found == [(0, None, None)]


@pytest.mark.parametrize(("held_back", "expected"), [(None, []), (0, []), (1, [1]), (6, [6])])
def test_breaker_tells_of_streams_of_which_it_holds_back_any(
    rows: Rows, held_back: int | None, expected: list[int]
) -> None:
    """Only streams with held-back deletions are returned."""
    rows.stored("streams", {"held_back": held_back})
    found: list[dict[str, Any]] = rows.asked("load/held_back")
    assert picked(found, "account_id region image_name held_back") == [
        ("111122223333", "eu-west-1", "base", held) for held in expected
    ]
