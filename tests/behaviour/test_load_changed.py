"""Which versions count as changed: sql/load/changed.sql, on hand-made rows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.behaviour.rows import ELSEWHERE, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb


def changes(
    rows: Rows, *landed: Row, listing: str = "full", outrun: Row | None = None
) -> list[tuple[str, int]]:
    """The kind of change and the number of each landed version that changed."""
    rows.given("landed", *landed)
    rows.given("listed", {"listing": listing})
    rows.given("outrun", *([] if outrun is None else [outrun]))
    return sorted((row["etl_change"], row["version"]) for row in rows.made("load/changed"))


@pytest.mark.parametrize(
    "differs",
    [
        {"image_arn": "arn:another"},
        {"image_version_arn": "arn:another"},
        {"image_version_status": "DELETING"},
        {"failure_reason": "no room"},
        {"last_modified_time": 21},
        {"etl_raw": "{}"},
    ],
    ids=lambda differs: next(iter(differs)),
)
def test_one_column_that_differs_is_a_change(rows: Rows, differs: Mapping[str, object]) -> None:
    """A version is modified if any one column differs, and that column is named; an equal version is not."""
    rows.stored("image_versions", {}, {"version": 2})
    assert changes(rows, differs, {"version": 2}) == [("modified", 1)]
    assert rows.all("changed")[0]["etl_changed_columns"] == [*differs]


def test_created_version_names_no_columns(rows: Rows) -> None:
    """A created version has no changed columns, and is valid from its creation, not from its modification."""
    assert changes(rows, {}) == [("created", 1)]
    [row] = rows.all("changed")
    assert (row["etl_changed_columns"], row["etl_valid_from"], row["stored_first_seen_at"]) == ([], 10, None)


@pytest.mark.parametrize("deleted_at", [None, 25])
def test_later_incarnation_begins_with_its_creation(rows: Rows, deleted_at: int | None) -> None:
    """A later incarnation is valid from its creation, even if the stored one was read or modified later."""
    rows.stored("image_versions", {"etl_deleted_at": deleted_at, "etl_read_at": 50, "last_modified_time": 40})
    later = {"creation_time": 15, "last_modified_time": 35}
    assert changes(rows, later, listing="incremental") == [("recreated", 1)]
    [row] = rows.all("changed")
    assert row["etl_changed_columns"] == ["creation_time", "last_modified_time"]
    assert (row["etl_valid_from"], row["stored_first_seen_at"]) == (15, 30)


def test_version_that_reappears_undoes_its_deletion_from_its_instant_on(rows: Rows) -> None:
    """A deleted version that is landed again reappears at the instant of its deletion, even if it is unchanged."""
    rows.stored("image_versions", {"etl_deleted_at": 25, "etl_valid_from": 25})
    assert changes(rows, {}) == [("reappeared", 1)]
    [row] = rows.all("changed")
    assert (row["etl_changed_columns"], row["etl_valid_from"]) == ([], 25)


def test_incremental_listing_shows_a_change_at_the_same_modification_time(rows: Rows) -> None:
    """An incremental listing changes a state of the same modification time; only a full one changes a newer state."""
    rows.stored("image_versions", {})
    other = {"image_version_status": "DELETING"}
    assert changes(rows, other, listing="incremental") == [("modified", 1)]
    assert changes(rows, {**other, "last_modified_time": 19}, listing="incremental") == []
    assert changes(rows, {**other, "last_modified_time": 19}) == [("modified", 1)]


def test_older_incarnation_changes_nothing(rows: Rows) -> None:
    """A row of an older incarnation is ignored, even if it was read or modified later."""
    rows.stored("image_versions", {})
    stale = {"creation_time": 9, "last_modified_time": 25, "etl_read_at": 40}
    assert changes(rows, stale) == []


@pytest.mark.parametrize(
    ("read_at", "expected"), [(29, []), (30, [("modified", 1)]), (31, [("modified", 1)])]
)
def test_what_was_read_before_the_stored_state_is_stale(
    rows: Rows, read_at: int, expected: list[tuple[str, int]]
) -> None:
    """A row that was read before the stored state is ignored; one that was read at the same instant counts."""
    other = {"image_version_status": "DELETING", "etl_read_at": read_at}
    rows.stored("image_versions", {})
    assert changes(rows, other) == expected


def test_stored_state_of_an_unknown_reading_gives_way(rows: Rows) -> None:
    """If the reading time of the stored state is unknown, as in old warehouses, a landed row counts."""
    rows.stored("image_versions", {"etl_read_at": None})
    assert changes(rows, {"image_version_status": "DELETING"}) == [("modified", 1)]


@pytest.mark.parametrize(("accepted", "expected"), [(30, [("created", 1)]), (31, [])])
def test_what_was_read_before_an_accepted_listing_is_stale(
    rows: Rows, accepted: int, expected: list[tuple[str, int]]
) -> None:
    """A version that was read before a newer accepted listing is ignored; at the same instant, it counts."""
    assert changes(rows, {}, outrun={"accepted_t0": accepted}) == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_streams_with_one_name_are_apart(rows: Rows, where: Mapping[str, object]) -> None:
    """Stored or outrun rows of another account, region or image do not affect a stream."""
    rows.stored("image_versions", where)
    assert changes(rows, {}, outrun={**where, "accepted_t0": 90}) == [("created", 1)]


def test_state_is_valid_from_its_modification_but_not_before_the_one_that_it_follows(rows: Rows) -> None:
    """A new state is valid from its modification, but not before the start of the stored state."""
    rows.stored("image_versions", {"etl_valid_from": 25})
    changes(rows, {"image_version_status": "DELETING", "last_modified_time": 24})
    assert [row["etl_valid_from"] for row in rows.all("changed")] == [25]
    changes(rows, {"image_version_status": "DELETING", "last_modified_time": 26})
    assert [row["etl_valid_from"] for row in rows.all("changed")] == [26]
