"""The life of the image in which a stream was listed: sql/load/listed.sql, on hand-made rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

# The creation times of an image in the run's list and in the warehouse; the newest is always 20.
MADE = pytest.mark.parametrize(
    "made",
    [{"landed": 20}, {"stored": 20}, {"landed": 20, "stored": 10}, {"landed": 10, "stored": 20}],
    ids=lambda made: "-".join(f"{where}-{when}" for where, when in made.items()),
)


def listed(
    rows: Rows, made: Mapping[str, int], *streams: Row, known: Row | None = None
) -> list[dict[str, Any]]:
    """The rows of `listed` for these streams and creation times; `known` is the stored stream."""
    images = {where: {"creation_time": when} for where, when in made.items()}
    rows.given("listed_arrow", *streams)
    rows.stored("images", *([images["stored"]] if "stored" in images else []))
    rows.stored("streams", *([] if known is None else [known]))
    return rows.made("load/listed", rows.images(*([images["landed"]] if "landed" in images else [])))


def lives(rows: Rows, made: Mapping[str, int], stream: Row, known: Row | None = None) -> tuple[Any, Any]:
    """The creation time of a stream's image, and the beginning of the life that its versions belong to."""
    (row,) = listed(rows, made, stream, known=known)
    return row["image_created_at"], row["life_began_at"]


@MADE
@pytest.mark.parametrize(("oldest", "began"), [(19, None), (20, 20), (21, 20), (None, 20)])
def test_life_began_with_the_image_unless_an_older_version_is_listed(
    rows: Rows, made: Mapping[str, int], oldest: int | None, began: int | None
) -> None:
    """A life begins with its image, unless an older version is listed: then its beginning is unknown."""
    assert lives(rows, made, {"oldest_at": oldest}) == (20, began)


@MADE
def test_listing_of_what_changed_leaves_the_life_as_it_is_known(rows: Rows, made: Mapping[str, int]) -> None:
    """An incremental listing keeps the stored beginning, since it does not show the oldest version."""
    known = {"image_created_at": 20, "life_began_at": 15}
    assert lives(rows, made, {"listing": "incremental", "oldest_at": 19}, known) == (20, 15)


@MADE
@pytest.mark.parametrize("known_of", [10, 25, None])
def test_what_is_known_of_another_life_is_not_of_this_one(
    rows: Rows, made: Mapping[str, int], known_of: int | None
) -> None:
    """If the stored stream is of another life, an incremental listing sets the beginning as a full one does."""
    known = {"image_created_at": known_of, "life_began_at": 15}
    assert lives(rows, made, {"listing": "incremental", "oldest_at": 21}, known) == (20, 20)


@MADE
@pytest.mark.parametrize(("oldest", "began"), [(19, None), (21, 20)])
def test_full_listing_finds_out_about_the_life(
    rows: Rows, made: Mapping[str, int], oldest: int, began: int | None
) -> None:
    """A full listing sets the beginning, whatever was stored."""
    known = {"image_created_at": 20, "life_began_at": 15}
    assert lives(rows, made, {"oldest_at": oldest}, known) == (20, began)


@pytest.mark.parametrize("where", ELSEWHERE)
def test_what_is_known_of_a_life_elsewhere_says_nothing(rows: Rows, where: Mapping[str, object]) -> None:
    """What is stored of another account, region or image is not used."""
    known = {**where, "image_created_at": 20, "life_began_at": 15}
    assert lives(rows, {"landed": 20}, {"listing": "incremental", "oldest_at": None}, known) == (20, 20)


def test_image_of_which_nothing_is_known_has_no_life(rows: Rows) -> None:
    """If an image has no known creation time, its life has no beginning."""
    assert lives(rows, {}, {"oldest_at": 19}) == (None, None)


def test_every_stream_has_a_place_and_its_own_image(rows: Rows) -> None:
    """Every stream has its own place, its own image's creation time, and the values of its listing."""
    rows.given("listed_arrow", {"t0": 95, "starts_at": 50}, *ELSEWHERE)
    found = rows.made("load/listed", rows.images({"creation_time": 20}))
    assert sorted(row["place"] for row in found) == [1, 2, 3, 4]
    assert [(row["t0"], row["starts_at"], row["image_created_at"]) for row in found] == [
        (95, 50, 20),
        (100, None, None),
        (100, None, None),
        (100, None, None),
    ]
