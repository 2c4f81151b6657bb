"""What a proof of absence changes in stored versions, images and absent numbers, on hand-made rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, HERE, Row, Rows, instant, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

STAMP = {"run_id": "run-2", "observed_at": instant(130).isoformat()}
# AWS did not find the image at 110, after a listing from 100.
GONE: Row = {"first_version": 1, "last_version": 9, "created_until": 10, "evidence": "image_not_found"}
# AWS did not find numbers that were never seen.
ABSENT: Row = {"first_version": 4, "last_version": 6, "created_until": None}


def images_after(rows: Rows, *proofs: Row, outrun: Iterable[Row] = ()) -> list[dict[str, Any]]:
    """The stored images after these proofs; without proofs, a proof that the image is gone is used."""
    rows.given("proofs", *({**GONE, **proof} for proof in proofs or ({},)))
    rows.given("outrun", *outrun)
    rows.connection.run("load/mark_deleted_images", STAMP)
    return rows.all("images")


def ends(rows: Rows, *proofs: Row, outrun: Iterable[Row] = ()) -> list[int | None]:
    """The deletion times of the stored images after these proofs."""
    return [row["etl_deleted_at"] for row in images_after(rows, *proofs, outrun=outrun)]


def remembered(
    rows: Rows, *proofs: Row, life_began_at: int | None = None, image_created_at: int | None = 8
) -> list[dict[str, Any]]:
    """The rows of absent_versions after these proofs, each given by its differences from ABSENT."""
    rows.given("proofs", *({**ABSENT, **proof} for proof in proofs))
    listed = {"image_created_at": image_created_at, "life_began_at": life_began_at}
    rows.given("listed", listed, *({**listed, **where} for where in ELSEWHERE))
    rows.connection.run("load/insert_absent_versions", {"run_id": "run-2"})
    return rows.all("absent_versions")


def test_deleted_version_is_marked_and_no_other(rows: Rows) -> None:
    """A deleted version is marked and keeps its other values; no other version changes."""
    rows.stored("image_versions", {}, {"version": 2}, *ELSEWHERE)
    marked = {
        "etl_deleted_at": 115,
        "etl_delete_evidence": "describe_not_found",
        "etl_valid_from": 115,
        "etl_changed_at": 130,
        "etl_run_id": "run-2",
        "etl_read_at": 100,
    }
    expected = [
        {**row, **marked} if {**HERE, "version": 1}.items() <= row.items() else row
        for row in rows.all("image_versions")
    ]
    rows.given("deleted", {"gone_since": 115, "etl_read_at": 100})
    rows.connection.run("load/mark_deleted", STAMP)
    assert rows.all("image_versions") == expected


def test_image_that_is_gone_is_marked_and_no_other(rows: Rows) -> None:
    """An image is marked with the time when AWS did not find it; its other values, and other images, stay."""
    rows.stored("images", {}, *ELSEWHERE)
    marked = {
        "etl_deleted_at": 110,
        "etl_delete_evidence": "image_not_found",
        "etl_changed_at": 130,
        "etl_run_id": "run-2",
    }
    expected = [{**row, **marked} if HERE.items() <= row.items() else row for row in rows.all("images")]
    assert images_after(rows) == expected


def test_image_of_a_version_that_is_gone_lives(rows: Rows) -> None:
    """A proof that a version is gone does not end its image."""
    rows.stored("images", {})
    assert ends(rows, {"evidence": "describe_not_found"}) == [None]


@pytest.mark.parametrize(("image_created_at", "kept"), [(None, True), (99, True), (100, True), (101, False)])
def test_proof_from_before_the_image_was_made_again_is_not_remembered(
    rows: Rows, image_created_at: int | None, *, kept: bool
) -> None:
    """A proof whose listing, at 100, began before the image was recreated stores no absent numbers."""
    assert len(remembered(rows, {}, image_created_at=image_created_at)) == kept


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"etl_deleted_at": 110}, [110]),
        ({"etl_deleted_at": None}, [None]),
        *(({**where}, [110]) for where in ELSEWHERE),
    ],
)
def test_image_with_a_version_that_lives_is_not_gone(
    rows: Rows, stored: Row, expected: list[int | None]
) -> None:
    """A live version keeps its image from being deleted; deleted versions and other streams do not count."""
    rows.stored("images", {})
    rows.stored("image_versions", stored)
    assert ends(rows) == expected


@pytest.mark.parametrize(("created", "expected"), [(9, [110]), (10, [110]), (11, [None])])
def test_image_that_was_made_again_lives(rows: Rows, created: int, expected: list[int | None]) -> None:
    """A proof ends the lives that were created up to the time that it names: a recreated image stays."""
    rows.stored("images", {"creation_time": created})
    assert ends(rows) == expected


def test_image_that_is_deleted_was_gone_before(rows: Rows) -> None:
    """A later proof does not change an image that is already deleted."""
    rows.stored("images", {"etl_deleted_at": 40, "etl_delete_evidence": "absent_from_listings"})
    before = rows.all("images")
    assert images_after(rows) == before


@pytest.mark.parametrize(("until", "expected"), [(99, [110]), (100, [110]), (101, [None]), (None, [110])])
def test_image_that_was_listed_since_lives(rows: Rows, until: int | None, expected: list[int | None]) -> None:
    """A later accepted listing keeps an image from being deleted; the same or an unknown instant is not later."""
    rows.stored("images", {})
    assert ends(rows, outrun=[{"accepted_until": until}]) == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_image_that_was_listed_elsewhere_is_another(rows: Rows, where: Mapping[str, object]) -> None:
    """An accepted listing of another account, region or image does not keep an image from being deleted."""
    rows.stored("images", {})
    assert ends(rows, outrun=[{**where, "accepted_until": 200}]) == [110]


def test_numbers_that_never_were_are_remembered(rows: Rows) -> None:
    """Numbers that never existed are stored as absent, with the creation time of their image."""
    assert remembered(rows, {}) == [
        {
            **HERE,
            "first_version": 4,
            "last_version": 6,
            "evidence": "describe_not_found",
            "proved_at": 110,
            "etl_run_id": "run-2",
            "image_created_at": 8,
        }
    ]


def test_versions_that_were_are_not_remembered_as_numbers(rows: Rows) -> None:
    """A proof about versions that existed stores no absent numbers."""
    assert remembered(rows, {"created_until": 10}) == []


@pytest.mark.parametrize("deleted_at", [None, 40], ids=["live", "deleted"])
@pytest.mark.parametrize(("version", "expected"), [(3, [4]), (4, []), (5, []), (6, []), (7, [4])])
def test_range_with_a_version_that_is_stored_is_not_remembered(
    rows: Rows, version: int, expected: list[int], deleted_at: int | None
) -> None:
    """A range with a stored version, live or deleted, is not stored as absent."""
    rows.stored("image_versions", {"version": version, "etl_deleted_at": deleted_at})
    assert [row["first_version"] for row in remembered(rows, {})] == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_range_of_numbers_is_of_one_stream(rows: Rows, where: Mapping[str, object]) -> None:
    """Stored versions of other streams do not affect a range; each stream has its own absent numbers."""
    rows.stored("image_versions", {**where, "version": 5})
    elsewhere = {**where, "first_version": 7, "last_version": 9}
    assert sorted(row["first_version"] for row in remembered(rows, {}, elsewhere)) == [4, 7]


@pytest.mark.parametrize(("life_began_at", "expected"), [(9, []), (10, []), (11, [4]), (None, [])])
def test_number_of_an_earlier_life_is_absent_from_this_one(
    rows: Rows, life_began_at: int | None, expected: list[int]
) -> None:
    """A stored version of an earlier life does not affect a range; if the life's beginning is unknown, it does."""
    rows.stored("image_versions", {"version": 5, "creation_time": 10})
    found = remembered(rows, {}, life_began_at=life_began_at)
    assert [row["first_version"] for row in found] == expected
