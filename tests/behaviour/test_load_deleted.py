"""Which versions a proof deletes, from when, and when each was last seen: sql/load/deleted.sql, on hand-made rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

# A proof about version 1 in its stored life: a listing from 100 lacked it, and AWS did not find it at 110.
PROOF: Row = {"first_version": 1, "last_version": 1, "created_until": 10}
# The row of a scope; it says that all streams without a row of their own were read.
LIST: Row = {"image_name": None, "listing": "images", "others": "complete"}


def deleted(rows: Rows, *proofs: Row, outrun: Iterable[Row] = ()) -> list[dict[str, Any]]:
    """The versions that these proofs delete; without proofs, one proof of version 1 is used."""
    rows.given("proofs", *({**PROOF, **proof} for proof in proofs or ({},)))
    rows.given("outrun", *outrun)
    return rows.made("load/deleted")


def numbers(rows: Rows, *proofs: Row, outrun: Iterable[Row] = ()) -> list[int]:
    """The numbers of the versions that these proofs delete."""
    return [row["version"] for row in deleted(rows, *proofs, outrun=outrun)]


def last_seen(rows: Rows, *coverage: Row) -> int:
    """When version 1 was last seen, by one proof and these rows of coverage."""
    rows.stored("image_versions", {})
    rows.stored("coverage", *coverage)
    (row,) = deleted(rows)
    seen: int = row["etl_last_seen_at"]
    return seen


def test_deleted_version_keeps_what_was_known_of_it(rows: Rows) -> None:
    """A deleted version keeps its values; `gone_since` is from AWS's answer, `etl_read_at` from the listing."""
    known = {"failure_reason": "no room", "etl_raw": "{}", "base_image": "python", "aliases": ["prod"]}
    rows.stored("image_versions", known)
    (row,) = deleted(rows)
    assert {name: value for name, value in row.items() if value is not None} == {
        "account_id": "111122223333",
        "region": "eu-west-1",
        "image_name": "base",
        "version": 1,
        "image_arn": "arn:image",
        "image_version_arn": "arn:version",
        "image_version_status": "CREATED",
        "creation_time": 10,
        "last_modified_time": 20,
        "etl_valid_from": 20,
        "etl_first_seen_at": 30,
        "etl_changed_at": 30,
        "etl_run_id": "run-1",
        **known,
        "evidence": "describe_not_found",
        "gone_since": 110,
        "etl_read_at": 100,
        "etl_last_seen_at": 30,
    }


def test_range_of_numbers_ends_with_its_last(rows: Rows) -> None:
    """A proof of a range covers its first and its last number, and none outside."""
    rows.stored("image_versions", *({"version": version} for version in (1, 2, 3, 4)))
    assert numbers(rows, {"first_version": 2, "last_version": 3}) == [2, 3]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_streams_with_one_name_are_apart(rows: Rows, where: Mapping[str, object]) -> None:
    """A proof deletes no version of another account, region or image."""
    rows.stored("image_versions", {}, where)
    assert [{name: row[name] for name in where} for row in deleted(rows, where)] == [where]


@pytest.mark.parametrize(("created", "expected"), [(9, [1]), (10, [1]), (11, [])])
def test_proof_ends_no_later_life(rows: Rows, created: int, expected: list[int]) -> None:
    """A proof ends the lives that were created up to the time that it names, and no later life."""
    rows.stored("image_versions", {"creation_time": created})
    assert numbers(rows) == expected


def test_proof_of_what_never_was_ends_nothing(rows: Rows) -> None:
    """A proof about numbers that never existed deletes no version that another run has stored since."""
    rows.stored("image_versions", {})
    assert numbers(rows, {"created_until": None}) == []


def test_what_is_deleted_is_not_deleted_again(rows: Rows) -> None:
    """A version that is already deleted is not deleted again by another proof."""
    rows.stored("image_versions", {"etl_deleted_at": 40}, {"version": 2})
    assert numbers(rows, {"last_version": 2}) == [2]


@pytest.mark.parametrize(("read_at", "expected"), [(99, [1]), (100, [1]), (101, []), (None, [1])])
def test_state_that_was_read_after_the_listing_that_lacks_it_stays(
    rows: Rows, read_at: int | None, expected: list[int]
) -> None:
    """A state read after the proof's listing stays; a state read at the same or an unknown instant is deleted."""
    rows.stored("image_versions", {"etl_read_at": read_at})
    assert numbers(rows) == expected


@pytest.mark.parametrize(("until", "expected"), [(99, [1]), (100, [1]), (101, []), (None, [1])])
def test_listing_that_was_accepted_since_knows_better(
    rows: Rows, until: int | None, expected: list[int]
) -> None:
    """A proof is void if a later listing was accepted; the same or an unknown instant is not later."""
    rows.stored("image_versions", {})
    assert numbers(rows, outrun=[{"accepted_until": until}]) == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_listing_that_was_accepted_elsewhere_says_nothing(rows: Rows, where: Mapping[str, object]) -> None:
    """An accepted listing of another account, region or image does not make the proof void."""
    rows.stored("image_versions", {})
    assert numbers(rows, outrun=[{**where, "accepted_until": 200}]) == [1]


def test_version_is_gone_since_the_first_proof(rows: Rows) -> None:
    """If several proofs cover a version, the earliest counts; of equally early ones, the first evidence by name."""
    rows.stored("image_versions", {}, {"version": 2})
    found = deleted(
        rows,
        {"t0": 95, "proved_at": 112, "evidence": "absent_from_listings"},
        {"t0": 98, "proved_at": 111, "evidence": "describe_not_found"},
        {"first_version": 2, "last_version": 2, "evidence": "image_not_found"},
        {"first_version": 2, "last_version": 2, "evidence": "describe_not_found"},
    )
    assert [(row["version"], row["gone_since"], row["evidence"], row["etl_read_at"]) for row in found] == [
        (1, 111, "describe_not_found", 98),
        (2, 110, "describe_not_found", 100),
    ]


@pytest.mark.parametrize(("valid_from", "since"), [(109, 110), (111, 111)])
def test_version_is_not_gone_before_its_last_state(rows: Rows, valid_from: int, since: int) -> None:
    """A deletion is not dated before the start of the last state, which may be later if AWS's clocks differ."""
    rows.stored("image_versions", {"etl_valid_from": valid_from})
    assert [row["gone_since"] for row in deleted(rows)] == [since]


@pytest.mark.parametrize(
    ("known", "seen"),
    [
        ({"etl_read_at": 60, "last_modified_time": 50}, 60),
        ({"etl_read_at": 50, "last_modified_time": 60}, 60),
        ({"etl_read_at": 50, "last_modified_time": 20}, 55),
        ({"etl_read_at": None, "last_modified_time": 20}, 55),
        ({"etl_read_at": 50, "last_modified_time": 112}, 110),
    ],
    ids=["read", "changed", "listed", "listed-only", "changed-later"],
)
def test_version_was_seen_last_by_the_latest_that_is_known_of_it(
    rows: Rows, known: Mapping[str, object], seen: int
) -> None:
    """The last-seen time is the latest reading, change or full listing, but not after the deletion."""
    rows.stored("image_versions", {**known, "etl_valid_from": 10})
    rows.stored("coverage", {"t0": 55})
    assert [row["etl_last_seen_at"] for row in deleted(rows)] == [seen]


@pytest.mark.parametrize(("listed", "seen"), [(99, 99), (100, 100), (101, 30)])
def test_listing_that_began_after_the_proof_has_not_seen_it(rows: Rows, listed: int, seen: int) -> None:
    """A listing that began after the proof has not seen the version; a listing of the same instant has."""
    assert last_seen(rows, {"t0": listed}) == seen


@pytest.mark.parametrize(
    "said",
    [{"listing": "incremental"}, {"outcome": "partial"}, *ELSEWHERE],
    ids=lambda said: next(iter(said)),
)
def test_only_a_whole_listing_of_the_stream_has_seen_it(rows: Rows, said: Mapping[str, object]) -> None:
    """Only a full and complete listing of the same stream has seen the version."""
    assert last_seen(rows, {"t0": 40, "loaded_at": 60}, {"t0": 70, **said}) == 40


def test_versions_of_one_stream_were_seen_by_one_listing(rows: Rows) -> None:
    """All versions of a stream are last seen by one listing, which began no later than the first of their proofs."""
    rows.stored("image_versions", {}, {"version": 2})
    rows.stored("coverage", {"t0": 85, "loaded_at": 88}, {"t0": 95, "loaded_at": 98})
    second = {"first_version": 2, "last_version": 2, "t0": 90}
    assert [row["etl_last_seen_at"] for row in deleted(rows, {}, second)] == [85, 85]


@pytest.mark.parametrize(
    ("others", "t0", "seen"),
    [("complete", 80, 80), ("complete", 100, 100), ("complete", 101, 40), ("rested", 80, 40), (None, 80, 40)],
)
def test_list_of_images_repeats_what_was_said_of_its_streams(
    rows: Rows, others: str | None, t0: int, seen: int
) -> None:
    """A list of images repeats a stream's listing if `others` is complete and it began no later than the proof."""
    assert last_seen(rows, {"t0": 40, "loaded_at": 60}, {**LIST, "others": others, "t0": t0}) == seen


def test_list_of_images_may_be_older_than_the_listing_that_it_repeats(rows: Rows) -> None:
    """If a list of images is older than the listing that it repeats, the time of the listing counts."""
    assert last_seen(rows, {"t0": 70, "loaded_at": 90}, {**LIST, "t0": 50}) == 70


@pytest.mark.parametrize("where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}])
def test_list_of_images_repeats_nothing_of_another_scope(rows: Rows, where: Mapping[str, object]) -> None:
    """A list of images does not repeat listings of another account or region."""
    rows.stored("image_versions", {}, where)
    told = {"t0": 40, "loaded_at": 60}
    rows.stored("coverage", told, {**told, **where}, {**LIST, "t0": 80, **where})
    found = deleted(rows, {}, where)
    assert {row["etl_last_seen_at"] for row in found if where.items() <= row.items()} == {80}
    assert {row["etl_last_seen_at"] for row in found if not where.items() <= row.items()} == {40}


@pytest.mark.parametrize("loaded", [59, 60])
def test_list_of_images_repeats_nothing_that_is_told_with_it_or_later(rows: Rows, loaded: int) -> None:
    """A list of images does not repeat a stream's row that was loaded with it or later."""
    assert last_seen(rows, {"t0": 40, "loaded_at": 60}, {**LIST, "t0": 50, "loaded_at": loaded}) == 40


@pytest.mark.parametrize(("loaded", "seen"), [(69, 65), (70, 40), (71, 40)])
def test_list_of_images_repeats_the_last_that_was_told(rows: Rows, loaded: int, seen: int) -> None:
    """A list of images does not repeat a complete listing if a failed one was loaded in between."""
    told = {"t0": 40, "loaded_at": 60}
    failed = {"t0": 65, "loaded_at": 70, "outcome": "failed"}
    assert last_seen(rows, told, failed, {**LIST, "t0": 65, "loaded_at": loaded}) == seen
