"""A peer: dlt gets Arrow tables of about ten thousand rows, and merges them by primary key.

Must not change how boto3 parses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from tests.benchmarks.peers import columns, dlt_common

_ROWS = 10_000


@dlt.resource(name="image_versions", primary_key=dlt_common.KEY, write_disposition="merge")
def image_versions() -> Iterator[Any]:
    """The changed versions, as Arrow tables."""
    waiting: list[tuple[str, list[dict[str, Any]]]] = []
    for piece in dlt_common.fetched():
        waiting.append(piece)
        if sum(len(rows) for _, rows in waiting) >= _ROWS:
            yield columns.of_items(waiting)
            waiting = []
    if any(rows for _, rows in waiting):
        yield columns.of_items(waiting)


if __name__ == "__main__":
    dlt_common.run(image_versions)
