"""Which images count as changed: sql/load/changed_images.sql, on hand-made rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb


def changes(rows: Rows, *listed: Row, since: Row | None = None) -> list[dict[str, Any]]:
    """The listed images that changed; `since` is a row of `read_since`: another run's reading of a stream."""
    rows.given("scopes_arrow", {"image_name": None})
    rows.given("read_since", *([] if since is None else [since]))
    return rows.made("load/changed_images", rows.images(*listed))


def names(rows: Rows, *listed: Row, since: Row | None = None) -> list[str]:
    """The names of the listed images that changed."""
    return [row["image_name"] for row in changes(rows, *listed, since=since)]


@pytest.mark.parametrize(
    "differs",
    [
        {"image_arn": "arn:another"},
        {"display_name": "Base"},
        {"description": "of everything"},
        {"image_status": "DELETING"},
        {"failure_reason": "no room"},
        {"creation_time": 11},
        {"last_modified_time": 21},
        {"etl_raw": "{}"},
    ],
    ids=lambda differs: next(iter(differs)),
)
def test_one_column_that_differs_is_a_change(rows: Rows, differs: Mapping[str, object]) -> None:
    """An image is changed if any one column differs; an equal image is not."""
    rows.stored("images", {}, {"image_name": "other"})
    assert names(rows, differs, {"image_name": "other"}) == ["base"]


def test_image_as_it_was_before_it_was_deleted_is_a_change(rows: Rows) -> None:
    """An image that is stored as deleted and is listed again is changed, and keeps its first-seen time."""
    rows.stored("images", {"etl_deleted_at": 40})
    assert [row["stored_first_seen_at"] for row in changes(rows, {})] == [30]


def test_image_that_is_not_stored_is_a_change(rows: Rows) -> None:
    """An image that is not stored is changed, with every value of the list."""
    told = {
        "display_name": "Base",
        "description": "of everything",
        "failure_reason": "no room",
        "etl_raw": "{}",
    }
    assert changes(rows, told) == [
        {
            "account_id": "111122223333",
            "region": "eu-west-1",
            "image_name": "base",
            "image_arn": "arn:image",
            "image_status": "CREATED",
            "creation_time": 10,
            "last_modified_time": 20,
            **told,
            "stored_first_seen_at": None,
        }
    ]


@pytest.mark.parametrize(("created", "first_seen"), [(9, []), (10, [30]), (11, [None])])
def test_image_that_was_made_again_is_first_seen_anew(
    rows: Rows, created: int, first_seen: list[int | None]
) -> None:
    """A recreated image is first seen again; a listed row of an earlier life is ignored, even after a deletion."""
    rows.stored("images", {"etl_deleted_at": 40})
    listed = {"creation_time": created, "display_name": "Base"}
    assert [row["stored_first_seen_at"] for row in changes(rows, listed)] == first_seen


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ({"list_t0": 99}, ["base"]),
        ({"list_t0": 100}, ["base"]),
        ({"list_t0": 101}, []),
        ({"list_t0": 101, "list_outcome": "failed"}, ["base"]),
    ],
    ids=["older", "same", "newer", "failed"],
)
def test_image_of_an_older_list_is_stale(
    rows: Rows, since: Mapping[str, object], expected: list[str]
) -> None:
    """An image is ignored if a complete list that began later is loaded; a list of the same instant is not later."""
    assert names(rows, {}, since={"list_outcome": "complete", **since}) == expected


@pytest.mark.parametrize("where", ELSEWHERE)
def test_images_with_one_name_are_apart(rows: Rows, where: Mapping[str, object]) -> None:
    """Rows of another account, region or image, stored or read since, do not affect an image."""
    rows.stored("images", where)
    assert names(rows, {}, since={**where, "list_outcome": "complete", "list_t0": 200}) == ["base"]


@pytest.mark.parametrize("where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}])
def test_images_of_other_scopes_are_left_to_their_load(rows: Rows, where: Mapping[str, object]) -> None:
    """Images of scopes that this part of the run does not load are left out."""
    found = changes(rows, {}, {**where, "display_name": "Base"})
    assert [row["display_name"] for row in found] == [None]
