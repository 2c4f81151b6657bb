"""Which stored versions a load reads: near.sql, stored_near.sql and two bounds, on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

LOWEST: Row = {"account_id": "200000000000", "region": "eu-west-1", "image_name": "d", "version": 3}
BETWEEN: Row = {"account_id": "300000000000", "region": "sa-east-1", "image_name": "f", "version": 4}
HIGHEST: Row = {"account_id": "400000000000", "region": "us-east-1", "image_name": "k", "version": 6}
BELOW: Row = {"account_id": "199999999999", "region": "eu-north-1", "image_name": "cz", "version": 2}
ABOVE: Row = {"account_id": "400000000001", "region": "us-east-2", "image_name": "ka", "version": 7}


def near(rows: Rows, variable: str) -> list[Row]:
    """The keys of the stored versions within these bounds, sorted."""
    asked = (
        "SELECT account_id, region, image_name, version "
        f"FROM stored_near(getvariable('{variable}')) ORDER BY ALL"
    )
    return [dict(zip(LOWEST, found, strict=True)) for found in rows.connection.duck.execute(asked).fetchall()]


def bounded(rows: Rows, statement: str) -> None:
    """Set the bounds that a statement computes."""
    for name in ("load/bounds_of", statement):
        rows.connection.run(name)


def changes(rows: Rows, *changed: Row) -> list[Row]:
    """The stored versions within the bounds of these changes."""
    rows.given("changed", *changed)
    bounded(rows, "load/changed_bounds")
    return near(rows, "changed_bounds")


def listings(rows: Rows, *listed: Row) -> list[object]:
    """The images with stored versions within the bounds of these listed streams."""
    rows.listed(*listed)
    return [row["image_name"] for row in near(rows, "listed_bounds")]


@pytest.mark.parametrize("name", LOWEST)
def test_version_within_all_bounds_is_near(rows: Rows, name: str) -> None:
    """A version is near if every column is within its bounds, ends included; one column outside excludes it."""
    within = [{**BETWEEN, name: end[name]} for end in (LOWEST, BETWEEN, HIGHEST)]
    rows.stored("image_versions", *within, *({**BETWEEN, name: end[name]} for end in (BELOW, ABOVE)))
    assert changes(rows, LOWEST, HIGHEST) == within


@pytest.mark.parametrize("name", LOWEST)
def test_bounds_without_numbers_are_those_of_all_versions(rows: Rows, name: str) -> None:
    """Bounds without version numbers include all versions of the images that are within the other bounds."""
    within = [{**BETWEEN, name: end[name]} for end in (LOWEST, BETWEEN, HIGHEST)]
    beyond = [{**BETWEEN, name: end[name]} for end in (BELOW, ABOVE)]
    rows.stored("image_versions", *within, *beyond)
    rows.listed(
        *({key: value for key, value in end.items() if key != "version"} for end in (LOWEST, HIGHEST))
    )
    expected = [*within, *beyond] if name == "version" else within
    assert near(rows, "listed_bounds") == sorted(expected, key=lambda row: str(row[name]))


def test_every_version_is_near_while_no_bounds_are_known(rows: Rows) -> None:
    """Before bounds are set, every version is near; with the bounds of no rows, none is."""
    rows.stored("image_versions", LOWEST, HIGHEST)
    assert near(rows, "changed_bounds") == [LOWEST, HIGHEST]
    assert changes(rows) == []
    assert listings(rows) == []


@pytest.mark.parametrize(
    ("change", "is_looked_at"),
    [("created", False), ("modified", True), ("reappeared", True), ("recreated", True)],
)
def test_changes_are_looked_for_where_a_version_is_stored(
    rows: Rows, change: str, is_looked_at: bool
) -> None:
    """A created version, which has no stored row, does not widen the bounds; other changes do."""
    rows.stored("image_versions", LOWEST, BETWEEN, HIGHEST)
    changed: Row = {**HIGHEST, "etl_change": change}
    assert changes(rows, changed) == ([HIGHEST] if is_looked_at else [])
    assert changes(rows, LOWEST, changed) == ([LOWEST, BETWEEN, HIGHEST] if is_looked_at else [LOWEST])


EXPLAINED: Row = {"first_version_seen": 1, "highest_version": 1, "unexplained": 0}


@pytest.mark.parametrize(
    ("listed", "stream", "is_looked_at"),
    [
        pytest.param({}, EXPLAINED, False, id="explained"),
        pytest.param({"listing": "full"}, EXPLAINED, True, id="in-full"),
        pytest.param({"missing": True}, EXPLAINED, True, id="missing"),
        pytest.param({"outcome": "gone"}, EXPLAINED, True, id="gone"),
        pytest.param({}, {**EXPLAINED, "unexplained": 1}, True, id="unexplained"),
        pytest.param({}, {**EXPLAINED, "unexplained": None}, True, id="never-counted"),
        pytest.param({}, {**EXPLAINED, "highest_version": None}, True, id="without-a-number"),
        pytest.param({}, None, True, id="unknown"),
    ],
)
def test_stored_versions_of_a_listed_stream_are_looked_at_for_a_reason(
    rows: Rows, listed: Row, stream: Row | None, is_looked_at: bool
) -> None:
    """The stored versions of a listed stream are read only for a reason; each of these reasons alone is enough."""
    for name in ("a", "m", "z"):
        rows.stored("image_versions", {"image_name": name})
        if stream is not None:
            rows.stored("streams", {"image_name": name, **stream})
    mark: Row = {"listing": "incremental", **listed}
    assert listings(rows, {"image_name": "m", **mark}) == (["m"] if is_looked_at else [])
    beside: Row = {"image_name": "a", "listing": "full"}
    assert listings(rows, beside, {"image_name": "m", **mark}) == (["a", "m"] if is_looked_at else ["a"])
