"""What a load counts in each scope: sql/load/counts.sql, on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import ACCOUNT, OTHER_ACCOUNT, OTHER_REGION, REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb


def counted(rows: Rows, *, landed: int, changed: tuple[Row, ...] = (), deleted: int = 0) -> dict[str, int]:
    """The counts that are not 0; landed and changed versions are numbered in order."""
    rows.given("landed", *({"version": number} for number in range(landed)))
    rows.given("changed", *({"version": number, **row} for number, row in enumerate(changed)))
    rows.given("deleted", *({"version": 100 + number} for number in range(deleted)))
    (found,) = rows.asked("load/counts")
    return {name: value for name, value in found.items() if value not in {ACCOUNT, REGION, 0}}


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ("created", "inserted"),
        ("recreated", "inserted"),
        ("modified", "updated"),
        ("reappeared", "reappeared"),
    ],
)
def test_change_is_counted_as_what_it_is(rows: Rows, change: str, count: str) -> None:
    """A landed version that changed is counted by its kind of change, and not as unchanged."""
    assert counted(rows, landed=1, changed=({"etl_change": change},)) == {count: 1}


def test_what_was_landed_and_did_not_change_is_unchanged(rows: Rows) -> None:
    """Landed versions that did not change are counted as unchanged."""
    assert counted(rows, landed=5, changed=({}, {})) == {"updated": 2, "unchanged": 3}


def test_version_of_which_only_details_changed_is_updated(rows: Rows) -> None:
    """Changed versions that were not landed are counted as updated; `unchanged` counts landed versions only."""
    described = {"etl_change": "modified", "was_landed": False}
    assert counted(rows, landed=2, changed=({}, described, described)) == {"updated": 3, "unchanged": 1}


def test_deleted_version_is_counted(rows: Rows) -> None:
    """Deleted versions are counted, and do not reduce the unchanged ones."""
    assert counted(rows, landed=1, deleted=2) == {"unchanged": 1, "deleted": 2}


def test_every_scope_is_counted_by_itself(rows: Rows) -> None:
    """Each scope has its own counts, even a scope with only a deletion."""
    rows.given("landed", {}, {"region": OTHER_REGION}, {"region": OTHER_REGION, "version": 2})
    rows.given("changed", {"region": OTHER_REGION})
    rows.given("deleted", {"account_id": OTHER_ACCOUNT})
    nothing = dict.fromkeys(("inserted", "updated", "unchanged", "reappeared", "deleted"), 0)
    assert rows.asked("load/counts") == [
        {"account_id": ACCOUNT, "region": REGION, **nothing, "unchanged": 1},
        {"account_id": ACCOUNT, "region": OTHER_REGION, **nothing, "updated": 1, "unchanged": 1},
        {"account_id": OTHER_ACCOUNT, "region": REGION, **nothing, "deleted": 1},
    ]
