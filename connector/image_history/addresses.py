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
# How the address of a lake goes on, and an example.
_LAKES = {
    ICEBERG: (r"[A-Za-z0-9_.-]+/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", "iceberg://glue/ml_inventory"),
    DELTA_S3: (r"[a-z0-9.-]+(/.*)?", "delta+s3://bucket/folder"),
    DELTA_FOLDER: (r".+", "delta+file:/folder"),
}


def scheme_of(address: str) -> str | None:
    """Such as `s3`, as it is written; None for the path of a folder or a file."""
    found = _SCHEME.match(address)
    return None if found is None else found[1]


def is_lake(address: str) -> bool:
    """Whether an address is of lake tables, and not of a Parquet dataset."""
    return address.startswith(tuple(_LAKES))


def right_lake(address: str) -> str | None:
    """An example of how the address of a lake is written, where this one is written otherwise."""
    for word, (rest, example) in _LAKES.items():
        if address.startswith(word) and not re.fullmatch(rest, address.removeprefix(word)):
            return example
    return None


def is_report(address: str) -> bool:
    """Whether a name stands for the report."""
    return address.lower().endswith(_REPORT)


def is_copy(address: str) -> bool:
    """Whether a name stands for a copy of the warehouse."""
    return address.lower().endswith(_COPY)


def is_file(address: str) -> bool:
    """Whether one file is published there, the report or a copy, and no dataset."""
    return is_report(address) or is_copy(address)
