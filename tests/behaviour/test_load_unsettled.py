"""Which listings do not fit what is stored: unsettled.sql, unfounded.sql and outrun.sql, on hand-made rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, HERE, OTHER_REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

PROOF: Row = {"first_version": 1, "last_version": 1, "created_until": 10}
# Another run has read the stream, at an instant between 150 and 160.
SINCE: Row = {"outcome": "complete", "t0": 150, "t1": 160}


def unsettled(
    rows: Rows, listed: Row | None = None, *, landed: Row | None = None, proof: Row | None = None
) -> list[dict[str, Any]]:
    """The streams whose listing lacks a live version; by default, the listing is full and complete."""
    rows.given("listed", listed or {})
    rows.given("landed", *([] if landed is None else [landed]))
    rows.given("proofs", *([] if proof is None else [{**PROOF, **proof}]))
    return rows.asked("load/unsettled")


def outrun(rows: Rows, *since: Row) -> list[dict[str, Any]]:
    """The listed streams of which other runs have accepted a newer listing."""
    rows.given("listed", {})
    rows.given("scopes_arrow", {"image_name": None}, {"image_name": None, "region": OTHER_REGION, "t0": 105})
    rows.given("read_since", *({**SINCE, **row} for row in since))
    return rows.made("load/outrun")


def test_listing_without_a_version_that_lives_is_unsettled(rows: Rows) -> None:
    """A listing that lacks live versions is unsettled, with one row for its stream."""
    rows.stored("image_versions", {}, {"version": 2})
    assert unsettled(rows) == [HERE]


@pytest.mark.parametrize(
    ("listing", "outcome", "expected"),
    [
        ("full", "complete", [HERE]),
        ("full", "gone", [HERE]),
        ("incremental", "gone", [HERE]),
        ("incremental", "complete", []),
        ("full", "partial", []),
        ("full", "held_back", []),
    ],
)
def test_only_a_listing_that_proves_absence_is_unsettled(
    rows: Rows, listing: str, outcome: str, expected: list[Row]
) -> None:
    """Only a complete full listing, or one of a gone image, can be unsettled."""
    rows.stored("image_versions", {})
    assert unsettled(rows, {"listing": listing, "outcome": outcome}) == expected


def test_listing_that_has_the_version_is_settled(rows: Rows) -> None:
    """A listing that has the version, in any state, is settled."""
    rows.stored("image_versions", {})
    assert unsettled(rows, landed={"image_version_status": "DELETING"}) == []


@pytest.mark.parametrize("where", [*ELSEWHERE, {"version": 2}], ids=lambda where: next(iter(where)))
def test_another_version_that_was_listed_settles_nothing(rows: Rows, where: Mapping[str, object]) -> None:
    """A landed version with another number or of another stream does not settle the listing."""
    rows.stored("image_versions", {})
    assert unsettled(rows, landed=where) == [HERE]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_listing_lacks_nothing_that_lives_elsewhere(rows: Rows, where: Mapping[str, object]) -> None:
    """A live version of another account, region or image does not unsettle the listing."""
    rows.stored("image_versions", where)
    assert unsettled(rows) == []


@pytest.mark.parametrize(
    ("proof", "expected"),
    [
        ({"created_until": 11}, []),
        ({"created_until": 10}, []),
        ({"created_until": 9}, [HERE]),
        ({"created_until": None}, [HERE]),
        ({"first_version": 0, "last_version": 2}, []),
        ({"first_version": 2, "last_version": 3}, [HERE]),
        *(({**where}, [HERE]) for where in ELSEWHERE),
    ],
)
def test_version_that_is_proved_absent_is_settled(rows: Rows, proof: Row, expected: list[Row]) -> None:
    """A proof of the version's number in its life or a later life settles the listing; other proofs do not."""
    rows.stored("image_versions", {})
    assert unsettled(rows, proof=proof) == expected


def test_version_that_is_deleted_is_settled(rows: Rows) -> None:
    """A version that is already deleted does not unsettle the listing."""
    rows.stored("image_versions", {"etl_deleted_at": 40})
    assert unsettled(rows) == []


@pytest.mark.parametrize(("read_at", "expected"), [(99, [HERE]), (100, [HERE]), (101, []), (None, [HERE])])
def test_listing_cannot_lack_what_was_read_after_it_began(
    rows: Rows, read_at: int | None, expected: list[Row]
) -> None:
    """A version unsettles a listing unless it was read after the listing began; an unknown time counts as before."""
    rows.stored("image_versions", {"etl_read_at": read_at})
    assert unsettled(rows) == expected


@pytest.mark.parametrize(("watermark", "expected"), [(51, []), (50, []), (49, [HERE]), (None, [HERE])])
def test_listing_that_starts_after_what_was_read_is_unfounded(
    rows: Rows, watermark: int | None, expected: list[Row]
) -> None:
    """An incremental listing is unfounded if it starts after the watermark, or if there is no watermark."""
    rows.stored("streams", {"watermark": watermark})
    rows.given("listed", {"listing": "incremental", "starts_at": 50})
    assert rows.asked("load/unfounded") == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_listing_of_a_stream_that_is_not_known_is_unfounded(rows: Rows, where: Mapping[str, object]) -> None:
    """An incremental listing of an unknown stream is unfounded, whatever was read of other streams."""
    rows.stored("streams", {**where, "watermark": 90})
    rows.given("listed", {"listing": "incremental", "starts_at": 50})
    assert rows.asked("load/unfounded") == [HERE]


def test_full_listing_is_founded_by_itself(rows: Rows) -> None:
    """A full listing is never unfounded, since it starts at the beginning."""
    rows.given("listed", {"starts_at": None}, {"image_name": "other", "starts_at": 50})
    assert rows.asked("load/unfounded") == []


def test_stream_is_outrun_by_the_newest_listing(rows: Rows) -> None:
    """If several newer listings were accepted, the newest of each bound counts."""
    other = {"etl_run_id": "run-2", "outcome": "gone"}
    assert outrun(rows, {"t0": 150, "t1": 190}, {**other, "t0": 170, "t1": 180}) == [
        {**HERE, "accepted_t0": 170, "accepted_until": 190}
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("complete", [150]), ("gone", [150]), ("partial", []), ("held_back", []), ("failed", [])],
)
def test_only_what_was_accepted_outruns(rows: Rows, outcome: str, expected: list[int]) -> None:
    """Only an accepted listing outruns the stream."""
    assert [row["accepted_t0"] for row in outrun(rows, {"outcome": outcome})] == expected


@pytest.mark.parametrize(("until", "expected"), [(99, []), (100, []), (101, [95]), (None, [])])
def test_listing_outruns_what_began_before_it(rows: Rows, until: int | None, expected: list[int]) -> None:
    """A listing outruns a run if it may have begun after the run's first list; the same instant is not after."""
    assert [row["accepted_t0"] for row in outrun(rows, {"t0": 95, "t1": until})] == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_stream_that_is_not_listed_is_not_outrun(rows: Rows, where: Mapping[str, object]) -> None:
    """A stream that this run did not list is not returned."""
    assert outrun(rows, where) == []
