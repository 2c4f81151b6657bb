"""What a load says that it did, scope by scope: sql/load/counts.sql, on rows made for it."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import ACCOUNT, OTHER_ACCOUNT, OTHER_REGION, REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb


def counted(rows: Rows, *, landed: int, changed: tuple[Row, ...] = (), deleted: int = 0) -> dict[str, int]:
    """What is counted, without what there is none of, of versions by their number."""
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
    """And not as unchanged, though it was landed."""
    assert counted(rows, landed=1, changed=({"etl_change": change},)) == {count: 1}


def test_what_was_landed_and_did_not_change_is_unchanged(rows: Rows) -> None:
    """The rest."""
    assert counted(rows, landed=5, changed=({}, {})) == {"updated": 2, "unchanged": 3}


def test_version_of_which_only_details_changed_is_updated(rows: Rows) -> None:
    """Whether it was landed or not: of those that were, the others are unchanged."""
    described = {"etl_change": "modified", "was_landed": False}
    assert counted(rows, landed=2, changed=({}, described, described)) == {"updated": 3, "unchanged": 1}


def test_deleted_version_is_counted(rows: Rows) -> None:
    """It was not landed."""
    assert counted(rows, landed=1, deleted=2) == {"unchanged": 1, "deleted": 2}


def test_every_scope_is_counted_by_itself(rows: Rows) -> None:
    """Also one in which something was deleted only."""
    rows.given("landed", {}, {"region": OTHER_REGION}, {"region": OTHER_REGION, "version": 2})
    rows.given("changed", {"region": OTHER_REGION})
    rows.given("deleted", {"account_id": OTHER_ACCOUNT})
    nothing = dict.fromkeys(("inserted", "updated", "unchanged", "reappeared", "deleted"), 0)
    assert rows.asked("load/counts") == [
        {"account_id": ACCOUNT, "region": REGION, **nothing, "unchanged": 1},
        {"account_id": ACCOUNT, "region": OTHER_REGION, **nothing, "updated": 1, "unchanged": 1},
        {"account_id": OTHER_ACCOUNT, "region": REGION, **nothing, "deleted": 1},
    ]
