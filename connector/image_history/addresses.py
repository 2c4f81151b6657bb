"""What the address of a publication names: a folder or a file of this machine, a place in S3, or a lake of tables.

Must not know how anything is published there.
"""

from __future__ import annotations

import re

ICEBERG = "iceberg://"
DELTA_S3 = "delta+s3://"
DELTA_FOLDER = "delta+file:"
_REPORT = (".html", ".htm")
_COPY = ".duckdb"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
# What follows the scheme in the address of a lake, as a regular expression, and an example.
_LAKES = {
    ICEBERG: (r"[A-Za-z0-9_.-]+/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", "iceberg://glue/ml_inventory"),
    DELTA_S3: (r"[a-z0-9.-]+(/.*)?", "delta+s3://bucket/folder"),
    DELTA_FOLDER: (r".+", "delta+file:/folder"),
}


def scheme_of(address: str) -> str | None:
    """The scheme of an address as written, such as `s3`; None for the path of a folder or a file."""
    found = _SCHEME.match(address)
    return None if found is None else found[1]


def is_lake(address: str) -> bool:
    """Whether an address names lake tables, not a Parquet dataset."""
    return address.startswith(tuple(_LAKES))


def right_lake(address: str) -> str | None:
    """An example of a valid lake address if this lake address is malformed; None otherwise."""
    for word, (rest, example) in _LAKES.items():
        if address.startswith(word) and not re.fullmatch(rest, address.removeprefix(word)):
            return example
    return None


def is_report(address: str) -> bool:
    """Whether an address is that of a report."""
    return address.lower().endswith(_REPORT)


def is_copy(address: str) -> bool:
    """Whether an address is that of a copy of the warehouse."""
    return address.lower().endswith(_COPY)


def is_file(address: str) -> bool:
    """Whether a single file is published there (the report or a copy), not a dataset."""
    return is_report(address) or is_copy(address)
