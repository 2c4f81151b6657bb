"""A peer: dlt merges dicts into DuckDB by primary key, as its tutorial does.

Must not use Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from tests.benchmarks.peers import dlt_common


@dlt.resource(name="image_versions", primary_key=dlt_common.KEY, write_disposition="merge")
def image_versions() -> Iterator[list[dict[str, Any]]]:
    """The changed versions; one list for each image."""
    for name, rows in dlt_common.fetched():
        yield [{"ImageName": name, **row} for row in rows]


if __name__ == "__main__":
    dlt_common.run(image_versions)
