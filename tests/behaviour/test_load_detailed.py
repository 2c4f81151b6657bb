"""How details change stored versions: sql/load/detailed.sql, on hand-made rows."""

from __future__ import annotations

from typing import Any

import pytest

from image_history.listing.pages import MARGIN_MS
from tests.behaviour.rows import DESCRIBED, ELSEWHERE, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

ALIASES: Row = {"aliases": ["latest"]}
STORED: Row = {
    **DESCRIBED,
    **ALIASES,
    "etl_described_at": 50,
    "etl_aliases_at": 60,
    "etl_aliases_known_at": 60,
}
# Both calls have answered again with the stored values, much later.
TOLD: Row = {**DESCRIBED, **ALIASES, "etl_described_at": 150, "etl_aliases_at": 160}
OTHERWISE: Row = {
    **dict.fromkeys(DESCRIBED, "another"),
    "horovod": True,
    "aliases": ["latest", "stable"],
}
ONE_DIFFERS: list[Row] = [{name: value} for name, value in OTHERWISE.items()]
TIMES = "etl_described_at etl_aliases_at etl_aliases_known_at aliases_before"


def detailed(
    rows: Rows, *details: Row, changed: Row | None = None, landed: Row | None = None
) -> list[dict[str, Any]]:
    """The rows to write, by these details and by that change, if there is one."""
    rows.given("changed", *([] if changed is None else [changed]))
    rows.given("landed", *([] if landed is None else [landed]))
    rows.given("details", *details)
    rows.connection.run("load/detailed", {"margin_ms": MARGIN_MS})
    return rows.all("changed")


@pytest.mark.parametrize("differs", ONE_DIFFERS, ids=lambda differs: next(iter(differs)))
def test_one_detail_that_differs_is_a_change(rows: Rows, differs: Row) -> None:
    """A version is modified if any one detail differs; a version with equal details is not."""
    rows.stored("image_versions", STORED, {**STORED, "version": 2})
    found = detailed(rows, {**TOLD, **differs}, {**TOLD, "version": 2})
    assert picked(found, "version etl_change etl_changed_columns") == [(1, "modified", [*differs])]
    assert picked(found, " ".join(OTHERWISE)) == [tuple({**DESCRIBED, **ALIASES, **differs}.values())]


def test_what_was_not_described_stays_as_it_is_stored(rows: Rows) -> None:
    """A version that was not described again keeps its details and their time, even if its aliases changed."""
    rows.stored("image_versions", STORED)
    found = detailed(rows, {"aliases": ["stable"], "etl_aliases_at": 160})
    assert picked(found, " ".join(DESCRIBED)) == [tuple(DESCRIBED.values())]
    assert picked(found, f"aliases {TIMES}") == [(["stable"], 50, 160, 160, 60)]


def test_aliases_that_were_not_asked_for_stay_as_they_are_stored(rows: Rows) -> None:
    """Aliases that were not requested keep their value and time, even if the description changed."""
    rows.stored("image_versions", STORED)
    found = detailed(rows, {**DESCRIBED, "release_notes": "second", "etl_described_at": 150})
    assert picked(found, f"aliases release_notes {TIMES}") == [(["latest"], "second", 150, 60, 60, 60)]


def test_details_that_are_gone_are_a_change(rows: Rows) -> None:
    """If an answer lacks the stored details, they become null or empty, and that is a change."""
    rows.stored("image_versions", STORED)
    found = detailed(rows, {"aliases": [], "etl_described_at": 150, "etl_aliases_at": 160})
    assert picked(found, "etl_changed_columns aliases") == [(sorted(OTHERWISE), [])]
    assert picked(found, " ".join(DESCRIBED)) == [(None,) * len(DESCRIBED)]


@pytest.mark.parametrize(
    ("differs", "times", "expected"),
    [
        ("release_notes", {}, (151, 49)),
        ("aliases", {}, (161, 59)),
        ("release_notes aliases", {}, (161, 49)),
        ("release_notes aliases", {"etl_described_at": 170}, (171, 49)),
    ],
)
def test_details_alone_are_valid_from_the_look_that_found_them(
    rows: Rows, differs: str, times: Row, expected: tuple[int, int]
) -> None:
    """A change of details is valid from the later call, and was last seen otherwise at the earlier one before.

    The Date of an answer has whole seconds, so both bounds are a second wider.
    """
    rows.stored("image_versions", STORED)
    others = {name: OTHERWISE[name] for name in differs.split()}
    found = detailed(rows, {**TOLD, **others, **times})
    since, seen = expected
    assert picked(found, "etl_valid_from etl_certain_from etl_last_seen_at") == [(since, since, seen)]


def test_aliases_may_have_been_seen_otherwise_before_the_details_were(rows: Rows) -> None:
    """If the stored aliases are known from an earlier time than the details, that time is the last-seen time."""
    rows.stored("image_versions", {**STORED, "etl_aliases_known_at": 40})
    assert picked(detailed(rows, {**TOLD, **OTHERWISE}), "etl_last_seen_at") == [(39,)]


@pytest.mark.parametrize(
    ("differs", "expected"),
    [("release_notes", None), ("aliases", 59), ("release_notes aliases", None)],
)
def test_what_was_never_described_was_not_seen_otherwise(
    rows: Rows, differs: str, expected: int | None
) -> None:
    """Details that were never described have no last-seen time; a change of aliases alone has one."""
    rows.stored("image_versions", {**STORED, "etl_described_at": None})
    others = {name: OTHERWISE[name] for name in differs.split()}
    assert picked(detailed(rows, {**TOLD, **others}), "etl_last_seen_at") == [(expected,)]


@pytest.mark.parametrize(
    ("differs", "expected"),
    [("release_notes", 49), ("aliases", None), ("release_notes aliases", None)],
)
def test_aliases_that_were_never_told_were_not_seen_otherwise(
    rows: Rows, differs: str, expected: int | None
) -> None:
    """Aliases that were never read have no last-seen time; a change of the description alone has one."""
    rows.stored("image_versions", {**STORED, "etl_aliases_at": None, "etl_aliases_known_at": None})
    others = {name: OTHERWISE[name] for name in differs.split()}
    assert picked(detailed(rows, {**TOLD, **others}), "etl_last_seen_at") == [(expected,)]


def test_details_alone_are_not_valid_before_the_state_that_they_are_of(rows: Rows) -> None:
    """A change of details is not valid before the state that it belongs to."""
    rows.stored("image_versions", {**STORED, "etl_valid_from": 200})
    found = detailed(rows, {**TOLD, **OTHERWISE})
    assert picked(found, "etl_valid_from etl_certain_from") == [(200, 200)]


def test_details_alone_leave_the_rest_as_it_is_stored(rows: Rows) -> None:
    """A change of details alone keeps all other columns; `was_landed` says whether the run listed the version."""
    state: Row = {"failure_reason": "no room", "etl_raw": "{}", "etl_first_seen_at": 31, "etl_read_at": 32}
    rows.stored("image_versions", {**STORED, **state})
    elsewhere = detailed(rows, {**TOLD, **OTHERWISE}, landed={"version": 2})
    listed = detailed(rows, {**TOLD, **OTHERWISE}, landed={})
    names = "image_arn image_version_arn image_version_status creation_time last_modified_time"
    assert picked(listed, names) == [("arn:image", "arn:version", "CREATED", 10, 20)]
    names = "failure_reason etl_raw stored_first_seen_at etl_read_at was_landed"
    assert picked(listed, names) == [("no room", "{}", 31, 32, True)]
    assert picked(elsewhere, names) == [("no room", "{}", 31, 32, False)]


def test_details_of_a_deleted_version_change_nothing(rows: Rows) -> None:
    """Details of a deleted version change nothing."""
    rows.stored("image_versions", {**STORED, "etl_deleted_at": 140, "etl_delete_evidence": "absent_twice"})
    assert detailed(rows, {**TOLD, **OTHERWISE}) == []


@pytest.mark.parametrize("other", [{"creation_time": 11}, {"last_modified_time": 21}], ids=str)
def test_details_are_believed_of_their_own_state_alone(rows: Rows, other: Row) -> None:
    """Details apply only to the state with their creation and modification times."""
    rows.stored("image_versions", STORED)
    assert detailed(rows, {**TOLD, **OTHERWISE, **other}) == []


@pytest.mark.parametrize("where", [*ELSEWHERE, {"version": 2}], ids=str)
def test_details_are_believed_of_their_own_version_alone(rows: Rows, where: Row) -> None:
    """Details apply only to their own version, and are compared with no other version's."""
    rows.stored("image_versions", STORED, {**STORED, **where, "release_notes": "elsewhere"})
    found = detailed(rows, {**TOLD, **where})
    names = "account_id region image_name version etl_changed_columns"
    usual: Row = {"account_id": "111122223333", "region": "eu-west-1", "image_name": "base", "version": 1}
    assert picked(found, names) == [(*{**usual, **where}.values(), ["release_notes"])]


def test_new_state_takes_its_details_with_it(rows: Rows) -> None:
    """A new state with details is one event, which names the changed columns of both and has no last-seen time."""
    rows.stored("image_versions", STORED)
    modified: Row = {"last_modified_time": 25, "etl_valid_from": 26, "etl_changed_columns": ["image_arn"]}
    told: Row = {**TOLD, "last_modified_time": 25, "release_notes": "second", "base_image": "debian"}
    found = detailed(rows, told, changed=modified)
    names = "etl_changed_columns release_notes base_image job_type was_landed"
    columns = ["base_image", "image_arn", "release_notes"]
    assert picked(found, names) == [(columns, "second", "debian", "TRAINING", True)]
    assert picked(found, "etl_valid_from etl_certain_from etl_last_seen_at") == [(26, 25, None)]
    assert picked(found, TIMES) == [(150, 160, 160, 60)]


@pytest.mark.parametrize("details", [[], [{**TOLD, **OTHERWISE}]], ids=["nothing", "the state before"])
def test_new_state_keeps_earlier_details_while_its_own_are_pending(rows: Rows, details: list[Row]) -> None:
    """A new state without details of its own keeps the stored ones, and the times of its calls are null."""
    rows.stored("image_versions", STORED)
    modified: Row = {"last_modified_time": 25, "etl_changed_columns": ["image_arn"]}
    found = detailed(rows, *details, changed=modified)
    assert picked(found, " ".join(OTHERWISE)) == [tuple({**DESCRIBED, **ALIASES}.values())]
    assert picked(found, f"etl_changed_columns {TIMES}") == [(["image_arn"], None, None, 60, 60)]
    assert picked(found, "etl_certain_from etl_last_seen_at") == [(25, None)]


def test_new_incarnation_has_no_details_of_the_one_before(rows: Rows) -> None:
    """A recreated version has no details of the earlier incarnation, and their loss is a change.

    Its aliases were last read before, in the earlier incarnation, that had them until then at least.
    """
    rows.stored("image_versions", STORED)
    recreated: Row = {"creation_time": 70, "last_modified_time": 70, "etl_change": "recreated"}
    found = detailed(rows, changed=recreated)
    assert picked(found, " ".join(OTHERWISE)) == [(None,) * len(OTHERWISE)]
    assert picked(found, f"etl_changed_columns {TIMES}") == [(sorted(OTHERWISE), None, None, None, 60)]


def test_new_version_has_the_details_that_were_told_of_it(rows: Rows) -> None:
    """A created version has the details that were read for it, and null if none were."""
    told = detailed(rows, TOLD, changed={"etl_change": "created"})
    assert picked(told, " ".join(OTHERWISE)) == [tuple({**DESCRIBED, **ALIASES}.values())]
    assert picked(told, f"etl_change {TIMES}") == [("created", 150, 160, 160, None)]
    pending = detailed(rows, changed={"etl_change": "created"})
    assert picked(pending, f"release_notes aliases {TIMES}") == [(None,) * 6]
