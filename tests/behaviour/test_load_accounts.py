"""Which account each profile or role led to, on rows made for it.

Of sql/load: delete_accounts.sql and insert_accounts.sql.
"""

from __future__ import annotations

import pytest

from tests.behaviour.rows import OTHER_ACCOUNT, OTHER_REGION, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

NAMES = "access region account_id etl_run_id"
OTHERS: list[Row] = [{"access": "profile build"}, {"region": OTHER_REGION}]


def test_account_that_is_another_now_is_taken_away(rows: Rows) -> None:
    """Where the same access led to it in the same region; no other row."""
    rows.stored("scope_accounts", *OTHERS)
    before = rows.all("scope_accounts")
    rows.stored("scope_accounts", {})
    rows.given("accounts_arrow", {"account_id": OTHER_ACCOUNT})
    rows.connection.run("load/delete_accounts")
    assert rows.all("scope_accounts") == before


def test_account_that_is_the_same_stays(rows: Rows) -> None:
    """With the run that learned of it."""
    rows.stored("scope_accounts", {}, *OTHERS)
    before = rows.all("scope_accounts")
    rows.given("accounts_arrow", {})
    rows.connection.run("load/delete_accounts")
    rows.connection.run("load/insert_accounts", {"run_id": "run-2"})
    assert rows.all("scope_accounts") == before


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_account_is_written_of_what_was_never_opened_before(rows: Rows, other: Row) -> None:
    """An access is known region by region."""
    rows.stored("scope_accounts", {})
    rows.given("accounts_arrow", {}, other)
    rows.connection.run("load/insert_accounts", {"run_id": "run-2"})
    usual: Row = {"access": "the default credentials", "region": "eu-west-1", "account_id": "111122223333"}
    expected = [(*usual.values(), "run-1"), (*{**usual, **other}.values(), "run-2")]
    assert sorted(picked(rows.all("scope_accounts"), NAMES)) == sorted(expected)
