"""Which answers about details count, and when equal details were read again, on hand-made rows.

Statements of sql/load: details.sql and mark_detailed.sql.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import DESCRIBED, ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

ANSWERED: Row = {**DESCRIBED, "horovod": True, "etl_described_at": 150}
ALIASED: Row = {"aliases": ["latest"], "etl_aliases_at": 160}
ANSWERS = "release_notes aliases etl_described_at etl_aliases_at"
STORED: Row = {"etl_described_at": 50, "etl_aliases_at": 60, "etl_aliases_known_at": 60}
# Each of these differences alone makes a state another one.
OTHER_STATES: tuple[Row, ...] = (
    *ELSEWHERE,
    {"version": 2},
    {"creation_time": 11},
    {"last_modified_time": 21},
)


def details(rows: Rows, *files: tuple[Row, ...], stored: Row | None = None) -> list[dict[str, Any]]:
    """The details that count, of a run's answers."""
    rows.stored("image_versions", *([] if stored is None else [stored]))
    answers = rows.details(*files)
    rows.given("scopes_arrow", {"image_name": None})
    return rows.made("load/details", answers)


def test_answers_of_both_calls_are_put_together(rows: Rows) -> None:
    """The answers of both calls about a state are one row, with the time of each call."""
    found = details(rows, (ANSWERED,), (ALIASED,))
    names = " ".join({**ANSWERED, **ALIASED})
    assert picked(found, names) == [tuple({**ANSWERED, **ALIASED}.values())]
    names = "account_id region image_name version creation_time last_modified_time"
    assert picked(found, names) == [("111122223333", "eu-west-1", "base", 1, 10, 20)]


def test_newest_answer_of_a_call_counts(rows: Rows) -> None:
    """The newest answer of a call counts, also for members that it lacks; the other call's answer stays."""
    again: Row = {"base_image": "debian", "etl_described_at": 170}
    found = details(rows, ({**ANSWERED, **ALIASED},), (again,))
    assert picked(found, f"base_image {ANSWERS}") == [("debian", None, ["latest"], 170, 160)]
    again = {"aliases": [], "etl_aliases_at": 170}
    found = details(rows, ({**ANSWERED, **ALIASED},), (again,))
    assert picked(found, ANSWERS) == [("first", [], 150, 170)]


@pytest.mark.parametrize("other", OTHER_STATES[2:], ids=str)
def test_each_state_has_answers_of_its_own(rows: Rows, other: Row) -> None:
    """Answers about another image, version or state have a row of their own."""
    found = details(rows, (ANSWERED,), ({**ALIASED, **other},))
    assert sorted(picked(found, ANSWERS), key=str) == sorted(
        [("first", None, 150, None), (None, ["latest"], None, 160)], key=str
    )


@pytest.mark.parametrize("where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}], ids=str)
def test_answers_in_scopes_that_are_not_loaded_now_wait(rows: Rows, where: Row) -> None:
    """Answers of scopes that this part of the run does not load are left out."""
    found = details(rows, ({**ANSWERED, **where}, ALIASED))
    assert picked(found, ANSWERS) == [(None, ["latest"], None, 160)]


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, ("first", ["latest"], 150, 160)),
        ({"etl_described_at": 150}, ("first", ["latest"], 150, 160)),
        ({"etl_described_at": 151}, (None, ["latest"], None, 160)),
        ({"etl_aliases_at": 160}, ("first", ["latest"], 150, 160)),
        ({"etl_aliases_at": 161}, ("first", None, 150, None)),
        ({"etl_described_at": 149, "etl_aliases_at": 159}, ("first", ["latest"], 150, 160)),
    ],
    ids=str,
)
def test_answer_that_is_older_than_the_stored_one_is_none(
    rows: Rows, stored: Row, expected: tuple[object, ...]
) -> None:
    """An answer older than the stored one of the same call is ignored; an answer of the same time counts."""
    assert picked(details(rows, ({**ANSWERED, **ALIASED},), stored=stored), ANSWERS) == [expected]


@pytest.mark.parametrize("other", OTHER_STATES, ids=str)
def test_answer_to_another_state_makes_none_old(rows: Rows, other: Row) -> None:
    """A stored answer about another state does not make an answer stale."""
    found = details(rows, ({**ANSWERED, **ALIASED},), stored={**other, "etl_described_at": 200})
    assert picked(found, ANSWERS) == [("first", ["latest"], 150, 160)]


def marked(rows: Rows, *told: Row) -> list[dict[str, Any]]:
    """All stored versions, after these details are marked."""
    rows.given("details", *told)
    rows.connection.run("load/mark_detailed")
    return rows.all("image_versions")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"etl_described_at": 150}, (150, 60, 60)),
        ({"etl_aliases_at": 160}, (50, 160, 160)),
        ({"etl_described_at": 150, "etl_aliases_at": 160}, (150, 160, 160)),
        ({"etl_described_at": 150, "etl_aliases_at": 60}, (150, 60, 60)),
        ({"etl_described_at": 50, "etl_aliases_at": 160}, (50, 160, 160)),
        ({}, (50, 60, 60)),
    ],
    ids=str,
)
def test_details_that_are_told_again_were_told_then(
    rows: Rows, told: Row, expected: tuple[int, int, int]
) -> None:
    """If details are read again, only the time of each call changes."""
    rows.stored("image_versions", {**ANSWERED, **ALIASED, **STORED})
    [before] = rows.all("image_versions")
    times = dict(zip(STORED, expected, strict=True))
    assert marked(rows, told) == [{**before, **times}]


def test_aliases_of_an_earlier_state_are_known_until_the_new_one_has_its_own(rows: Rows) -> None:
    """The time of the known aliases stays until the aliases of the new state are read."""
    rows.stored("image_versions", {"etl_aliases_known_at": 60})
    found = marked(rows, {"etl_described_at": 150})
    assert picked(found, " ".join(STORED)) == [(150, None, 60)]
    found = marked(rows, {"etl_aliases_at": 160})
    assert picked(found, " ".join(STORED)) == [(150, 160, 160)]


@pytest.mark.parametrize("other", OTHER_STATES, ids=str)
def test_details_are_noted_of_their_own_state_alone(rows: Rows, other: Row) -> None:
    """Details set the times of their own state, and of no other."""
    rows.stored("image_versions", {**STORED, **other})
    before = rows.all("image_versions")
    told: Row = {**ANSWERED, **ALIASED}
    assert marked(rows, told) == before
    found = marked(rows, {**told, **other})
    assert found == [
        {**before[0], "etl_described_at": 150, "etl_aliases_at": 160, "etl_aliases_known_at": 160}
    ]


def test_details_of_a_deleted_version_are_not_noted(rows: Rows) -> None:
    """Details of a deleted version set no times."""
    gone: Row = {"etl_deleted_at": 80, "etl_delete_evidence": "absent_twice"}
    rows.stored("image_versions", {**STORED, **gone})
    before = rows.all("image_versions")
    assert marked(rows, {**ANSWERED, **ALIASED}) == before
