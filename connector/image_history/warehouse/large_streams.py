"""Reads the stored facts that decide how many calls the listings of streams of more than one page take.

Only reads; must not know AWS, or what is made of these figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from image_history.model import PlannedStream, Scope, Stream
from image_history.warehouse.warehouse import Connection

_SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("region", pa.string()),
        ("image_name", pa.string()),
        ("since_ms", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class LargeStream:
    """The stored facts about one stream.

    `recent` counts the live versions that changed since an incremental listing's start; `unexplained` counts the
    version numbers that are neither stored nor proved absent, between the first and the highest since the image was
    created.
    """

    recent: int
    unexplained: int


def large_streams(connection: Connection, planned: Iterable[PlannedStream]) -> Mapping[Stream, LargeStream]:
    """The stored facts about these streams; streams without stored data are left out."""
    connection.offer("large_streams_arrow", pa.Table.from_pylist(list(map(_record, planned)), _SCHEMA))
    return {
        Stream(Scope(row["account_id"], row["region"]), row["image_name"]): LargeStream(
            row["recent"], row["unexplained"]
        )
        for row in connection.table("planning/large_streams").to_pylist()
    }


def _record(planned: PlannedStream) -> dict[str, object]:
    scope = planned.stream.scope
    return {
        "account_id": scope.account_id,
        "region": scope.region,
        "image_name": planned.stream.image_name,
        "since_ms": planned.request.since_ms,
    }
