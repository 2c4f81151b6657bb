"""What a run has landed of each version: landed.sql, landed_part.sql and repeated.sql, on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import ACCOUNT, ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

WHOLE, PART = "load/landed", "load/landed_part"
STATEMENTS = pytest.mark.parametrize("statement", [WHOLE, PART], ids=["run", "part"])


def landed(rows: Rows, statement: str, *segments: Row) -> list[dict[str, object]]:
    """The landed versions of a run whose segments have these rows."""
    rows.segments(*segments)
    rows.given("scopes_arrow", {})
    rows.connection.run("load/repeated")
    rows.connection.run(statement)
    return rows.all("landed")


def states(found: list[dict[str, object]]) -> list[tuple[object, object]]:
    """The version and the state of each row."""
    return [(row["version"], row["image_version_status"]) for row in found]


@STATEMENTS
def test_version_that_was_landed_once_is_as_it_was_landed(rows: Rows, statement: str) -> None:
    """A version that was landed once has all of AWS's values and its reading time, but not its reading and page."""
    row: Row = {"failure_reason": "no room", "etl_raw": "{}", "etl_reading": 2, "etl_page": 3}
    assert landed(rows, statement, row) == [
        {
            "account_id": ACCOUNT,
            "region": REGION,
            "image_name": "base",
            "version": 1,
            "image_arn": "arn:image",
            "image_version_arn": "arn:version",
            "image_version_status": "CREATED",
            "failure_reason": "no room",
            "creation_time": 10,
            "last_modified_time": 20,
            "etl_raw": "{}",
            "etl_read_at": 30,
        }
    ]


@STATEMENTS
@pytest.mark.parametrize(
    "newer",
    [
        {"creation_time": 11, "last_modified_time": 11, "etl_reading": 1, "etl_page": 1},
        {"last_modified_time": 21, "etl_reading": 1, "etl_page": 1},
        {"etl_reading": 3, "etl_page": 1},
        {"etl_page": 3},
    ],
    ids=["life", "state", "reading", "page"],
)
def test_of_a_repeated_version_the_newest_state_counts(rows: Rows, statement: str, newer: Row) -> None:
    """For a repeated version, the row of the newest life, then state, reading and page is kept, in any row order."""
    old: Row = {"image_version_status": "CREATING", "etl_reading": 2, "etl_page": 2}
    new: Row = {**old, **newer, "image_version_status": "CREATED"}
    once: Row = {"version": 2}
    assert states(landed(rows, statement, old, once, new)) == [(1, "CREATED"), (2, "CREATED")]
    assert states(landed(rows, statement, new, once, old, old)) == [(1, "CREATED"), (2, "CREATED")]


@STATEMENTS
@pytest.mark.parametrize("other", [{"image_name": "other"}, {"version": 2}], ids=["image", "version"])
def test_version_is_repeated_by_itself_only(rows: Rows, statement: str, other: Row) -> None:
    """A version of another image or with another number is not a repetition."""
    found = landed(rows, statement, {"last_modified_time": 20}, {**other, "last_modified_time": 25})
    expected = {("base", 1, 20), (other.get("image_name", "base"), other.get("version", 1), 25)}
    assert len(found) == 2
    assert {(row["image_name"], row["version"], row["last_modified_time"]) for row in found} == expected


@pytest.mark.parametrize(
    "where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}], ids=["account", "region"]
)
def test_part_of_a_run_has_only_what_is_of_its_scopes(rows: Rows, where: dict[str, object]) -> None:
    """A part of a run has the versions of its own scopes, each once; a whole run has those of all scopes."""
    segments: list[Row] = [{**place, "version": version} for place in ({}, where) for version in (1, 2, 2)]
    here, there = (ACCOUNT, REGION), (where.get("account_id", ACCOUNT), where.get("region", REGION))
    assert versions(landed(rows, PART, *segments)) == [(*here, 1), (*here, 2)]
    both = [(*here, 1), (*here, 2), (*there, 1), (*there, 2)]
    assert versions(landed(rows, WHOLE, *segments)) == sorted(both, key=str)


def versions(found: list[dict[str, object]]) -> list[tuple[object, ...]]:
    """The scope and the version of each row."""
    return [(row["account_id"], row["region"], row["version"]) for row in found]


@STATEMENTS
def test_version_that_only_passes_for_a_repeated_one_is_there_once(rows: Rows, statement: str) -> None:
    """A version that is taken for a repeated one, because hashes are equal, is returned once."""
    rows.segments({"version": 1}, {"version": 2})
    rows.given("scopes_arrow", {})
    rows.connection.run("load/repeated")
    assert rows.all("repeated") == []
    rows.connection.duck.execute(
        "INSERT INTO repeated FROM (SELECT hash($1, $2, 'base', 1::INTEGER))", [ACCOUNT, REGION]
    )
    rows.connection.run(statement)
    assert states(rows.all("landed")) == [(1, "CREATED"), (2, "CREATED")]


@pytest.mark.parametrize("where", [*ELSEWHERE, {"version": 2}])
def test_repeated_is_what_was_landed_more_than_once(rows: Rows, where: Row) -> None:
    """A version is repeated if it was landed on another page or in another reading; other versions do not count."""
    rows.segments({}, where)
    assert rows.made("load/repeated") == []
    rows.segments({}, where, {"etl_page": 2}, {"etl_reading": 2})
    hashed = (
        "SELECT hash(account_id, region, image_name, version) FROM segment ORDER BY etl_page DESC LIMIT 1"
    )
    assert rows.made("load/repeated") == [{"key": rows.connection.duck.execute(hashed).fetchall()[0][0]}]
