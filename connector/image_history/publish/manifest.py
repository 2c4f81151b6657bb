"""The manifest of a dataset: the list of its files, as a JSON document that readers may rely on.

Pure values; must not know where files lie, nor how they are written. docs/datasets.md explains each member.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

import msgspec
from msgspec import Struct

from image_history.errors import OutputError

FORMAT = "image-history-dataset"
VERSION = 1
NAME = "manifest.json"
# Hive, Spark, DuckDB and pyarrow read this value in the name of a folder as null.
_NULL = "__HIVE_DEFAULT_PARTITION__"
_SHOWN_HASH = 16
_PART = re.compile(r"part-[0-9a-f]{16}(-[0-9a-f]{8})?\.parquet")


class Column(Struct, frozen=True):
    """A column as readers see it; `type` is the name of its Arrow type, `comment` its meaning."""

    name: str
    type: str
    nullable: bool
    comment: str = ""


class Table(Struct, frozen=True):
    """A relation; `partitioned_by` are the columns whose values are in the path, not in the files."""

    name: str
    rows: int
    bytes: int
    partitioned_by: tuple[str, ...]
    sorted_by: tuple[str, ...]
    columns: tuple[Column, ...]


class DataFile(Struct, frozen=True):
    """One Parquet file; `path` is relative to the root of the dataset.

    `fingerprint` is that of its rows in the warehouse: rows with an equal one need not be written again.
    """

    table: str
    path: str
    region: str | None
    rows: int
    bytes: int
    sha256: str
    fingerprint: str


class Superseded(Struct, frozen=True):
    """A path that an earlier publication used and this one does not, since `at_ms` (UTC epoch milliseconds)."""

    path: str
    at_ms: int


class Manifest(Struct, frozen=True, kw_only=True):
    """One publication. `data_as_of` is when its newest sync, `etl_run_id`, was loaded: UTC, ISO 8601.

    `warehouse_id` names the warehouse that it was made from; None in manifests that older programs wrote.
    """

    format: str = FORMAT
    version: int = VERSION
    publication: str
    connector_version: str
    etl_run_id: str
    data_as_of: str
    tables: tuple[Table, ...]
    files: tuple[DataFile, ...]
    superseded: tuple[Superseded, ...] = ()
    warehouse_id: str | None = None

    def of(self, table: str) -> tuple[DataFile, ...]:
        """The files of one table, in the order of their regions."""
        return tuple(file for file in self.files if file.table == table)


class _Kind(Struct, frozen=True):
    format: str
    version: int


def encoded(manifest: Manifest) -> bytes:
    """The manifest as JSON, indented for people; `decoded` reads it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decoded(content: bytes, where: str) -> Manifest:
    """The manifest in a file's content. OutputError if it is damaged, foreign, or of a newer version."""
    try:
        kind = msgspec.json.decode(content, type=_Kind)
        if kind.format == FORMAT and kind.version > VERSION:
            raise OutputError(
                f"{where} was written by a newer image-history (manifest version {kind.version}): upgrade "
                "image-history, or name another place. Nothing was changed."
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _damaged(where, str(error)) from error
    wrong = next((path for path in _paths(manifest) if not _is_inside(path)), None)
    if manifest.format != FORMAT or wrong is not None:
        raise _damaged(where, "it is another program's" if wrong is None else f"it names {wrong!r}")
    return manifest


def folder_of(table: str, region: str | None, *, cut: bool) -> str:
    """The folder of a partition, as in image_versions/region=us-east-1; without `cut`, that of the whole table."""
    return f"{table}/region={_NULL if region is None else quote(region, safe='')}" if cut else table


def part_name(sha256: str, mark: str = "") -> str:
    """The name of a file with that content; a file with other content has another name."""
    return f"part-{sha256[:_SHOWN_HASH]}{mark and f'-{mark}'}.parquet"


def is_part(path: str) -> bool:
    """Whether a path has a file name that a publication makes."""
    return _PART.fullmatch(path.rsplit("/", 1)[-1]) is not None


def _paths(manifest: Manifest) -> Iterable[str]:
    yield manifest.publication
    yield from (file.path for file in manifest.files)
    yield from (gone.path for gone in manifest.superseded)


def _is_inside(path: str) -> bool:
    """Whether a path stays below its folder; it is checked because the path may be removed later."""
    return bool(path) and not path.startswith("/") and not {"", ".", ".."} & set(path.split("/"))


def _damaged(where: str, problem: str) -> OutputError:
    return OutputError(
        f"{where} is no manifest of a dataset ({problem}). Nothing was changed: name another place, or move what "
        "is there away."
    )
