"""What a run records of its scopes and streams: sql/load/insert_coverage.sql, on hand-made rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import OTHER_ACCOUNT, OTHER_REGION, Row, Rows, instant, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

SCOPE: Row = {"image_name": None, "listing": "images", "rested": 0, "hinted": 0}
READ: Row = {"outcome": "complete", "t0": 101}
RESTED: Row = {"outcome": "rested", "listing": "none", "t0": None}
SKIPPED: Row = {**RESTED, "outcome": "skipped"}
AGAIN: Row = {"repeats": True}
COUNTED: Row = {"inserted": 1, "updated": 2, "unchanged": 3, "reappeared": 4, "deleted": 5}


def covered(
    rows: Rows, *told: Row, scopes: tuple[Row, ...] = (SCOPE,), counted: Row = COUNTED, narrowed: bool = False
) -> list[dict[str, Any]]:
    """All rows of coverage after the statement; streams without a name are named by their position."""
    named = ({"image_name": f"image {place}", **row} for place, row in enumerate(told, 1))
    rows.given("stream_coverage", *named)
    rows.given("scopes_arrow", *scopes)
    rows.given("counted_arrow", counted)
    stamp: Row = {"run_id": "run-2", "narrowed": narrowed, "loaded_at": instant(200)}
    rows.connection.run("load/insert_coverage", stamp)
    return rows.all("coverage")


def of_scope(found: list[dict[str, Any]], names: str) -> list[tuple[Any, ...]]:
    """These columns of the rows of scopes."""
    return picked([row for row in found if row["image_name"] is None], names)


def of_streams(found: list[dict[str, Any]], names: str = "image_name outcome") -> list[tuple[Any, ...]]:
    """These columns of the rows of streams."""
    return picked([row for row in found if row["image_name"] is not None], names)


def test_scope_says_what_was_done_in_it(rows: Rows) -> None:
    """A scope's row has the values of its list of images and the counts of its versions."""
    read: Row = {**SCOPE, "pages": 2, "rows": 9, "rested": 6, "hinted": 7, "watermark": None}
    found = covered(rows, scopes=(read,))
    assert picked(found, "etl_run_id account_id region image_name listing outcome loaded_at") == [
        ("run-2", "111122223333", "eu-west-1", None, "images", "complete", 200)
    ]
    assert picked(found, "pages rows readings phantoms t0 rested hinted") == [(2, 9, 1, 0, 100, 6, 7)]
    assert picked(found, " ".join(COUNTED)) == [tuple(COUNTED.values())]
    assert picked(found, "streams others t1") == [(0, "complete", None)]


@pytest.mark.parametrize("where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}], ids=str)
def test_scopes_are_apart(rows: Rows, where: Row) -> None:
    """What was read or counted in one scope is not in another scope's row."""
    elsewhere: Row = {**SCOPE, **where}
    told: Row = {**READ, **AGAIN, **where}
    found = covered(rows, told, scopes=(SCOPE, elsewhere), counted={**COUNTED, **where})
    kept = [row for row in found if not where.items() <= row.items()]
    assert picked(kept, "image_name streams others t1 inserted") == [(None, 0, "complete", None, None)]
    kept = [row for row in found if where.items() <= row.items()]
    assert picked(kept, "image_name streams others t1 inserted") == [(None, 1, "complete", 101, 1)]


def test_scope_whose_list_was_not_read_says_nothing_of_its_images(rows: Rows) -> None:
    """If a scope's list of images was not read, its row has the reason, and `others` is null."""
    denied: Row = {"outcome": "denied", "t0": None, "error_code": "AccessDenied", "error_message": "No."}
    found = covered(rows, scopes=({**SCOPE, **denied},))
    names = "outcome t0 error_code error_message streams others"
    assert picked(found, names) == [("denied", None, "AccessDenied", "No.", 0, None)]


def test_what_was_read_and_says_nothing_new_has_no_row(rows: Rows) -> None:
    """Streams that were read and have nothing new get no row; the scope's row has the newest T0 of these streams."""
    found = covered(
        rows,
        {**READ, **AGAIN},
        {**READ, **AGAIN, "t0": 103},
        {**READ, "t0": 104},
        {**READ, "outcome": "partial", "t0": 105},
    )
    assert of_scope(found, "streams others t1") == [(4, "complete", 103)]
    assert of_streams(found, "image_name outcome t0 loaded_at") == [
        ("image 3", "complete", 104, 200),
        ("image 4", "partial", 105, 200),
    ]


def test_what_rests_and_says_nothing_new_has_no_row_where_more_rest(rows: Rows) -> None:
    """If most streams rest, those at rest with nothing new get no row, and every stream that was read gets one."""
    found = covered(
        rows,
        {**RESTED, **AGAIN},
        {**RESTED, **AGAIN},
        RESTED,
        {**READ, **AGAIN},
        {**READ, **AGAIN, "t0": 102},
        READ,
    )
    assert of_scope(found, "streams others t1") == [(3, "rested", 102)]
    assert of_streams(found) == [
        ("image 3", "rested"),
        ("image 4", "complete"),
        ("image 5", "complete"),
        ("image 6", "complete"),
    ]


def test_what_rests_has_a_row_where_as_many_were_read(rows: Rows) -> None:
    """If as many streams were read as rest, `others` is complete, and those at rest get a row."""
    found = covered(rows, {**RESTED, **AGAIN}, {**READ, **AGAIN})
    assert of_scope(found, "streams others t1") == [(1, "complete", 101)]
    assert of_streams(found) == [("image 1", "rested")]


def test_only_what_was_read_speaks_against_rest(rows: Rows) -> None:
    """Streams that were read and have a row of their own do not keep `others` from being rested."""
    found = covered(rows, {**RESTED, **AGAIN}, READ, {**READ, "outcome": "partial"})
    assert of_scope(found, "streams others t1") == [(2, "rested", None)]
    assert of_streams(found) == [("image 2", "complete"), ("image 3", "partial")]


def test_what_is_skipped_has_a_row(rows: Rows) -> None:
    """Skipped streams always get a row, as they were neither read nor at rest."""
    found = covered(rows, {**SKIPPED, **AGAIN}, {**SKIPPED, **AGAIN}, {**READ, **AGAIN})
    assert of_scope(found, "streams others t1") == [(1, "complete", 101)]
    assert of_streams(found) == [("image 1", "skipped"), ("image 2", "skipped")]


def test_narrowed_run_says_nothing_of_other_images(rows: Rows) -> None:
    """A narrowed run writes a row for every stream that it listed, and says nothing of others."""
    found = covered(
        rows, {**READ, **AGAIN}, {**READ, "outcome": "partial"}, RESTED, {**SKIPPED, **AGAIN}, narrowed=True
    )
    assert of_scope(found, "streams others t1") == [(2, None, 101)]
    assert of_streams(found) == [("image 1", "complete"), ("image 2", "partial")]


def test_stream_says_what_was_told_of_it(rows: Rows) -> None:
    """A stream's row has its own values and none of a scope's; rows of earlier runs stay."""
    rows.stored("coverage", {})
    said: Row = {
        "listing": "incremental",
        "outcome": "partial",
        "pages": 2,
        "rows": 3,
        "readings": 4,
        "phantoms": 5,
        "t0": 101,
        "watermark": 40,
        "error_code": "Slow",
        "error_message": "It was slow.",
        "details": "denied",
        "detailed": 6,
        "details_error": "not allowed",
        "deleted": 7,
    }
    before, *found = of_streams(covered(rows, said), " ".join(["etl_run_id", *said]))
    assert before[:3] == ("run-1", "full", "complete")
    assert found == [("run-2", *said.values())]
    new = [row for row in rows.all("coverage") if row["etl_run_id"] == "run-2"]
    assert of_streams(new, "rested hinted streams others t1 inserted updated") == [(None,) * 7]
