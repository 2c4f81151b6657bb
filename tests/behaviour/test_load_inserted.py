"""What is written of changed versions and images: the statements sql/load/insert_*, on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import Row, Rows, instant, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

STAMP: Row = {"run_id": "run-2", "observed_at": instant(130).isoformat()}
KINDS = ("created", "modified", "reappeared", "recreated")


def changed(rows: Rows, *, detailed: bool) -> None:
    """One changed version of each kind, with details or not; all but the created one were first seen at 40."""
    rows.given(
        "changed",
        *(
            {
                "version": number,
                "etl_change": kind,
                "etl_changed_columns": [] if kind == "created" else ["etl_raw"],
                "stored_first_seen_at": None if kind == "created" else 40,
            }
            for number, kind in enumerate(KINDS, 1)
        ),
    )
    if detailed:
        rows.given("landed")
        rows.given("details", *({"version": number, "base_image": "python"} for number in range(1, 5)))
        rows.connection.run("load/detailed", {"margin_ms": 1000})


@pytest.mark.parametrize("detailed", [False, True])
def test_version_is_first_seen_when_its_life_is(rows: Rows, *, detailed: bool) -> None:
    """A changed version keeps its first-seen time; a created or recreated one gets the time of this run."""
    changed(rows, detailed=detailed)
    rows.connection.run(f"load/insert_{'detailed' if detailed else 'changed'}_versions", STAMP)
    found = rows.all("image_versions")
    assert [row["etl_first_seen_at"] for row in found] == [130, 40, 40, 130]
    assert {(row["etl_changed_at"], row["etl_run_id"]) for row in found} == {(130, "run-2")}


@pytest.mark.parametrize("detailed", [False, True])
def test_event_of_a_created_version_names_no_columns(rows: Rows, *, detailed: bool) -> None:
    """The event of a created version names no columns; other events name the columns that differ."""
    changed(rows, detailed=detailed)
    rows.connection.run(f"load/insert_{'detailed_' if detailed else ''}events", STAMP)
    found = {row["etl_change"]: row["etl_changed_columns"] for row in rows.all("image_version_events")}
    assert found.pop("created") == []
    assert set(map(len, found.values())) == {1}


def test_image_is_first_seen_once(rows: Rows) -> None:
    """A stored image keeps its first-seen time, a new one gets the time of this run; both are changed in this run."""
    rows.given("changed_images", {"stored_first_seen_at": 40}, {"image_name": "new"})
    rows.connection.run("load/insert_changed_images", STAMP)
    found = [
        (row["image_name"], row["etl_first_seen_at"], row["etl_changed_at"]) for row in rows.all("images")
    ]
    assert found == [("base", 40, 130), ("new", 130, 130)]
