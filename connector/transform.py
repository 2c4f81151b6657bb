"""A page becomes Arrow: rows of the one schema, milliseconds exact, UTC.

Pure; must not know I/O, a clock, or a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from connector.model import Scope, Stream
from connector.schema import LANDED_IMAGES, LANDED_VERSIONS, Column, Kind, arrow_schema
from connector.wire import Image, ImageVersion

VERSIONS_SCHEMA = arrow_schema(LANDED_VERSIONS)
IMAGES_SCHEMA = arrow_schema(LANDED_IMAGES)


@dataclass(frozen=True, slots=True)
class VersionPage:
    """The rows of one page with what AWS's items don't say: their stream, and the order of reading."""

    stream: Stream
    rows: Sequence[ImageVersion]
    reading: int
    page: int


def version_table(pages: Iterable[VersionPage]) -> pa.Table:
    """All rows of the pages, in their order, as one table of VERSIONS_SCHEMA.

    Instants keep AWS's milliseconds: float64 seconds times 1000, rounded to the nearest integer, is exact
    for every millisecond until 2100.
    """
    filled = [page for page in pages if page.rows]
    rows = [row for page in filled for row in page.rows]
    spread = {
        "account_id": _spread(filled, lambda page: page.stream.scope.account_id),
        "region": _spread(filled, lambda page: page.stream.scope.region),
        "image_name": _spread(filled, lambda page: page.stream.image_name),
        "etl_reading": _spread(filled, lambda page: page.reading),
        "etl_page": _spread(filled, lambda page: page.page),
    }
    arrays = [
        spread[column.name] if column.name in spread else _member(column, rows)
        for column in LANDED_VERSIONS.columns
    ]
    return pa.table(
        [array.cast(field.type) for array, field in zip(arrays, VERSIONS_SCHEMA, strict=True)],
        schema=VERSIONS_SCHEMA,
    )


def image_table(scope: Scope, images: Sequence[Image]) -> pa.Table:
    """The images of one scope as a table of IMAGES_SCHEMA, in their order."""
    constant = {"account_id": scope.account_id, "region": scope.region}
    arrays = [
        pa.repeat(constant[column.name], len(images)) if column.name in constant else _member(column, images)
        for column in LANDED_IMAGES.columns
    ]
    return pa.table(arrays, schema=IMAGES_SCHEMA)


def empty_images() -> pa.Table:
    """No images."""
    return IMAGES_SCHEMA.empty_table()


def _spread(pages: Sequence[VersionPage], of: Any) -> pa.Array:
    """One value a page, repeated for each of its rows; runs are expanded in Arrow, not in Python."""
    values = pa.array([of(page) for page in pages])
    lengths = np.fromiter((len(page.rows) for page in pages), dtype=np.int64, count=len(pages))
    return values.take(pa.array(np.repeat(np.arange(len(pages)), lengths)))


def _member(column: Column, rows: Sequence[Any]) -> pa.Array:
    values = list(map(attrgetter(column.member or column.name), rows))
    if column.kind is Kind.INSTANT:
        milliseconds = np.rint(np.array(values, dtype=np.float64) * 1000).astype(np.int64)
        return pa.array(milliseconds).cast(pa.timestamp("ms", tz="UTC"))
    return pa.array(values, type=pa.int32() if column.kind is Kind.INTEGER else pa.string())
