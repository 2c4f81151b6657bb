"""Pages become Arrow tables with every row, in order, and every time to the millisecond."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from image_history.aws.bodies import ImageVersion
from image_history.landing import rows as transform
from image_history.landing.rows import VersionPage, version_table
from image_history.model import Scope, Stream

SCOPES = [Scope("111122223333", "us-east-1"), Scope("444455556666", "eu-west-1")]
# Until 2100, a float64 of seconds holds every millisecond.
LAST_MS = 4_102_444_800_000


def row(number: int, created_ms: int, modified_ms: int) -> ImageVersion:
    """One item as it is decoded, with times in epoch seconds."""
    return ImageVersion(number, "arn", f"arn/{number}", "CREATED", created_ms / 1000, modified_ms / 1000)


@pytest.mark.parametrize("rows", [1, transform._MANY_ROWS - 1, transform._MANY_ROWS, 20_000])
def test_instants_keep_their_milliseconds(rng: random.Random, rows: int) -> None:
    """Times keep their milliseconds for any number of rows, and so with both methods of conversion."""
    instants = [(rng.randint(0, LAST_MS), rng.randint(0, LAST_MS)) for _ in range(rows - 1)] + [(0, LAST_MS)]
    page = VersionPage(Stream(SCOPES[0], "base"), [row(n, *both) for n, both in enumerate(instants)], 1, 1, 0)
    table = version_table([page])
    found = [table[name].cast("int64").to_pylist() for name in ("creation_time", "last_modified_time")]
    assert list(zip(*found, strict=True)) == instants


@pytest.mark.parametrize("seconds", [0.0005, 0.0015, 0.0025, 1_666_064_247.5615, 4_102_444_799.9995])
def test_both_ways_round_halves_alike(seconds: float) -> None:
    """Both methods round a time halfway between two milliseconds to the even millisecond, as Python does."""
    few, many = transform._milliseconds([seconds]), transform._many_milliseconds([seconds])
    assert bytes(few)[:8] == bytes(many)[:8]
    assert int.from_bytes(bytes(few)[:8], "little") == round(seconds * 1000)


def test_each_row_has_what_its_page_says(rng: random.Random) -> None:
    """Each row has the scope, image, reading, page number and time of its page."""
    pages = [
        VersionPage(
            Stream(rng.choice(SCOPES), rng.choice(["a", "b"])),
            [row(n, 0, 0) for n in range(rng.randint(0, 3))],
            rng.randint(1, 2),
            rng.randint(1, 3),
            rng.randint(1, 3) * 1000,
        )
        for _ in range(200)
    ]
    table = version_table(pages)
    columns = ["account_id", "region", "image_name", "etl_reading", "etl_page", "etl_read_at", "version"]
    told = [
        (
            page.stream.scope.account_id,
            page.stream.scope.region,
            page.stream.image_name,
            page.reading,
            page.page,
            datetime.fromtimestamp(page.t0_ms / 1000, tz=UTC),
            n,
        )
        for page in pages
        for n in range(len(page.rows))
    ]
    assert list(zip(*(table[name].to_pylist() for name in columns), strict=True)) == told


def test_no_rows_are_a_table_of_the_same_schema() -> None:
    """A table without rows has the same schema as any other."""
    assert version_table([]).equals(transform.VERSIONS_SCHEMA.empty_table())
