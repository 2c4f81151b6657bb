"""Turns pages into Arrow tables: rows of one schema, instants in UTC, exact to the millisecond.

Pure; must not know I/O, a clock, or a log.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import pyarrow as pa

from image_history.aws.bodies import Image, ImageVersion, epoch_ms
from image_history.listing.details import Lookup
from image_history.model import Scope, Stream
from image_history.schema import LANDED_DETAILS, LANDED_IMAGES, LANDED_VERSIONS, Column, Kind, arrow_schema

VERSIONS_SCHEMA = arrow_schema(LANDED_VERSIONS)
IMAGES_SCHEMA = arrow_schema(LANDED_IMAGES)
DETAILS_SCHEMA = arrow_schema(LANDED_DETAILS)
# From so many rows on, importing pyarrow.compute pays; for fewer, the import takes longer than the rows.
_MANY_ROWS = 5_000
_TYPES = {field.name: field.type for schema in (VERSIONS_SCHEMA, IMAGES_SCHEMA) for field in schema}


@dataclass(frozen=True, slots=True)
class VersionPage:
    """The rows of one page, with what AWS's items lack: the stream, and the reading's number, page and T0."""

    stream: Stream
    rows: Sequence[ImageVersion]
    reading: int
    page: int
    t0_ms: int


def version_table(pages: Iterable[VersionPage]) -> pa.Table:
    """All rows of the pages, in their order, as one table of VERSIONS_SCHEMA.

    Instants keep AWS's milliseconds: float64 seconds times 1000, rounded to the nearest integer, is exact
    for every millisecond until 2100.
    """
    filled = [page for page in pages if page.rows]
    rows = [row for page in filled for row in page.rows]
    spread: dict[str, Callable[[VersionPage], object]] = {
        "account_id": lambda page: page.stream.scope.account_id,
        "region": lambda page: page.stream.scope.region,
        "image_name": lambda page: page.stream.image_name,
        "etl_reading": lambda page: page.reading,
        "etl_page": lambda page: page.page,
        "etl_read_at": lambda page: page.t0_ms,
    }
    arrays = [
        _spread(column, filled, spread[column.name]) if column.name in spread else _member(column, rows)
        for column in LANDED_VERSIONS.columns
    ]
    return pa.table(arrays, schema=VERSIONS_SCHEMA)


def image_table(scope: Scope, images: Sequence[Image]) -> pa.Table:
    """The images of one scope as a table of IMAGES_SCHEMA, in their order."""
    constant = {"account_id": scope.account_id, "region": scope.region}
    arrays = [
        pa.repeat(constant[column.name], len(images)) if column.name in constant else _member(column, images)
        for column in LANDED_IMAGES.columns
    ]
    return pa.table(arrays, schema=IMAGES_SCHEMA)


def detail_table(lookups: Sequence[Lookup]) -> pa.Table:
    """The results of lookups as a table of DETAILS_SCHEMA, one row per lookup; columns without an answer are null."""
    ours: dict[str, Callable[[Lookup], object]] = {
        "account_id": lambda lookup: lookup.pending.stream.scope.account_id,
        "region": lambda lookup: lookup.pending.stream.scope.region,
        "image_name": lambda lookup: lookup.pending.stream.image_name,
        "version": lambda lookup: lookup.pending.version,
        "creation_time": lambda lookup: lookup.pending.creation_ms,
        "last_modified_time": lambda lookup: lookup.pending.last_modified_ms,
        "etl_described_at": lambda lookup: lookup.described_ms,
        "etl_aliases_at": lambda lookup: lookup.aliases_ms,
        "aliases": lambda lookup: lookup.aliases,
    }
    arrays = [
        pa.array([of(lookup) for lookup in lookups], type=DETAILS_SCHEMA.field(column.name).type)
        for column in LANDED_DETAILS.columns
        for of in (ours.get(column.name) or _described(column),)
    ]
    return pa.table(arrays, schema=DETAILS_SCHEMA)


def _described(column: Column) -> Callable[[Lookup], object]:
    value_of = attrgetter(column.member or column.name)
    return lambda lookup: None if lookup.described is None else value_of(lookup.described)


def empty_images() -> pa.Table:
    """A table of IMAGES_SCHEMA without rows."""
    return IMAGES_SCHEMA.empty_table()


def _spread(column: Column, pages: Sequence[VersionPage], of: Callable[[VersionPage], object]) -> pa.Array:
    """One value per page, repeated for each of its rows; the repetition is done in Arrow, not in Python."""
    kind = _TYPES[column.name]
    runs = [
        pa.repeat(pa.scalar(value, kind), sum(len(page.rows) for page in alike))
        for value, alike in groupby(pages, of)
    ]
    return pa.concat_arrays(runs) if runs else pa.nulls(0, kind)


def _member(column: Column, rows: Sequence[Any]) -> pa.Array:
    values = list(map(attrgetter(column.member or column.name), rows))
    if column.kind is not Kind.INSTANT:
        return pa.array(values, type=_TYPES[column.name])
    milliseconds = _milliseconds(values) if len(values) < _MANY_ROWS else _many_milliseconds(values)
    return pa.Array.from_buffers(_TYPES[column.name], len(values), [None, milliseconds])


def _milliseconds(values: Sequence[float]) -> pa.Buffer:
    return pa.py_buffer(array("q", map(epoch_ms, values)))


def _many_milliseconds(values: Sequence[float]) -> pa.Buffer:
    """The same as `_milliseconds` (rounded half to even, as Python does), in a fifth of the time."""
    import pyarrow.compute as pc

    rounded = pc.round(pc.multiply(pa.array(values, pa.float64()), 1000.0), round_mode="half_to_even")
    return rounded.cast(pa.int64()).buffers()[1]
