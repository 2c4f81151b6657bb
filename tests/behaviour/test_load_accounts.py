"""The account that each profile or role leads to, on hand-made rows.

Statements of sql/load: delete_accounts.sql and insert_accounts.sql.
"""

from __future__ import annotations

import pytest

from tests.behaviour.rows import OTHER_ACCOUNT, OTHER_REGION, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

NAMES = "access region account_id etl_run_id"
OTHERS: list[Row] = [{"access": "profile build"}, {"region": OTHER_REGION}]


def test_account_that_is_another_now_is_taken_away(rows: Rows) -> None:
    """If an access now leads to another account in a region, its stored row is deleted, and no other row."""
    rows.stored("scope_accounts", *OTHERS)
    before = rows.all("scope_accounts")
    rows.stored("scope_accounts", {})
    rows.given("accounts_arrow", {"account_id": OTHER_ACCOUNT})
    rows.connection.run("load/delete_accounts")
    assert rows.all("scope_accounts") == before


def test_account_that_is_the_same_stays(rows: Rows) -> None:
    """If an access leads to the same account as before, its row stays, with the run that found it."""
    rows.stored("scope_accounts", {}, *OTHERS)
    before = rows.all("scope_accounts")
    rows.given("accounts_arrow", {})
    rows.connection.run("load/delete_accounts")
    rows.connection.run("load/insert_accounts", {"run_id": "run-2"})
    assert rows.all("scope_accounts") == before


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_account_is_written_of_what_was_never_opened_before(rows: Rows, other: Row) -> None:
    """A new pair of access and region is stored with this run; a known pair keeps its row."""
    rows.stored("scope_accounts", {})
    rows.given("accounts_arrow", {}, other)
    rows.connection.run("load/insert_accounts", {"run_id": "run-2"})
    usual: Row = {"access": "the default credentials", "region": "eu-west-1", "account_id": "111122223333"}
    expected = [(*usual.values(), "run-1"), (*{**usual, **other}.values(), "run-2")]
    assert sorted(picked(rows.all("scope_accounts"), NAMES)) == sorted(expected)
