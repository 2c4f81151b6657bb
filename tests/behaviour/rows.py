"""Input rows, made by hand, for one statement of the load, and the rows that the statement makes from them.

An instant is a number of seconds after BEGINNING, in input rows and in returned rows. Must not know what a statement
does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from image_history.warehouse.warehouse import Connection, WarehouseFile

Row = Mapping[str, object]
BEGINNING = datetime(2026, 3, 1, tzinfo=UTC)
ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"
REGION, OTHER_REGION = "eu-west-1", "us-east-1"
# The stream of a row if the test does not name another.
HERE: Row = {"account_id": ACCOUNT, "region": REGION, "image_name": "base"}
# Each of these moves a row to another stream, which differs from HERE in one column.
ELSEWHERE: tuple[Row, ...] = (
    {"account_id": OTHER_ACCOUNT},
    {"region": OTHER_REGION},
    {"image_name": "other"},
)

# What DescribeImageVersion may return for a version.
DESCRIBED: Row = {
    "base_image": "ubuntu",
    "container_image": "registry/base@sha256:1",
    "job_type": "TRAINING",
    "ml_framework": "PyTorch 2.1",
    "programming_lang": "Python 3.11",
    "processor": "CPU",
    "horovod": False,
    "vendor_guidance": "STABLE",
    "release_notes": "first",
    "etl_details_raw": "{}",
}

_STREAM = "account_id region image_name"
_VERSION = (
    f"{_STREAM} version image_arn image_version_arn image_version_status failure_reason creation_time "
    "last_modified_time etl_raw etl_read_at"
)
_IMAGE = (
    f"{_STREAM} image_arn display_name description image_status failure_reason creation_time last_modified_time "
    "etl_raw"
)
_DETAILS = (
    "base_image container_image job_type ml_framework programming_lang processor horovod vendor_guidance "
    "release_notes etl_details_raw aliases etl_described_at etl_aliases_at"
)
_COVERED = (
    f"{_STREAM} listing outcome pages rows readings phantoms t0 watermark error_code error_message details detailed "
    "details_error rested hinted streams others t1"
)
_LISTED = f"{_COVERED} comparable highest_version starts_at held_back oldest_at missing"
# The temporary and registered tables that statements read.
COLUMNS = {
    "landed": _VERSION,
    "changed": f"{_VERSION} etl_change etl_changed_columns etl_valid_from stored_first_seen_at was_landed",
    "details": f"{_STREAM} version creation_time last_modified_time {_DETAILS}",
    "listed": f"{_LISTED} place image_created_at life_began_at",
    "scopes_arrow": _LISTED,
    "proofs": f"{_STREAM} first_version last_version evidence t0 proved_at created_until",
    "outrun": f"{_STREAM} accepted_t0 accepted_until",
    "read_since": f"etl_run_id {_STREAM} list_outcome list_t0 outcome t0 t1",
    "deleted": f"{_STREAM} version evidence gone_since etl_read_at",
    "touched": _STREAM,
    "stream_coverage": f"{_COVERED} deleted repeats",
    "covered_before": f"etl_run_id {_COVERED} deleted loaded_at",
    "detailed_arrow": f"{_STREAM} details detailed details_error",
    "counted_arrow": "account_id region inserted updated unchanged reappeared deleted",
    "drift_arrow": "operation member value occurrences",
    "accounts_arrow": "access region account_id",
    "landed_numbers": "place version etl_reading creation_time",
    "segment": f"{_VERSION} etl_reading etl_page",
    "listed_arrow": _LISTED,
    "changed_images": f"{_IMAGE} stored_first_seen_at",
    "streams_after": _STREAM,
    "drifted": "operation member value first_seen_at occurrences etl_run_id is_new",
}
_NAMES_BY_TYPE = {
    "INTEGER": "version first_version last_version highest_version first_version_seen place etl_reading etl_page",
    "BIGINT": (
        "pages rows readings phantoms detailed rested hinted streams held_back deleted inserted updated unchanged "
        "reappeared occurrences"
    ),
    "BOOLEAN": "horovod was_landed comparable missing repeats is_new",
    "VARCHAR[]": "aliases etl_changed_columns",
    "TIMESTAMPTZ": (
        "gone_since "
        "creation_time last_modified_time etl_read_at etl_valid_from stored_first_seen_at etl_described_at "
        "etl_aliases_at t0 t1 watermark starts_at oldest_at image_created_at life_began_at proved_at "
        "created_until accepted_t0 accepted_until list_t0 loaded_at first_seen_at"
    ),
}
_TYPES = {name: kind for kind, names in _NAMES_BY_TYPE.items() for name in names.split()}
# The values of a row that the test does not give.
_USUAL: dict[str, object] = {
    **HERE,
    "version": 1,
    "image_arn": "arn:image",
    "image_version_arn": "arn:version",
    "image_version_status": "CREATED",
    "image_status": "CREATED",
    "creation_time": 10,
    "last_modified_time": 20,
    "etl_valid_from": 20,
    "etl_first_seen_at": 30,
    "etl_changed_at": 30,
    "etl_read_at": 30,
    "etl_run_id": "run-1",
    "etl_change": "modified",
    "etl_changed_columns": [],
    "was_landed": True,
    "listing": "full",
    "outcome": "complete",
    "pages": 1,
    "rows": 1,
    "readings": 1,
    "phantoms": 0,
    "t0": 100,
    "comparable": False,
    "missing": False,
    "place": 1,
    "live_versions": 1,
    "evidence": "describe_not_found",
    "proved_at": 110,
    "loaded_at": 120,
    "access": "the default credentials",
    "operation": "ListImages",
    "member": "Images[].Mood",
    "occurrences": 1,
    "first_seen_at": 30,
    "repeats": False,
    "etl_reading": 1,
    "etl_page": 1,
}


class Rows:
    """A warehouse without rows, open for writing; a test runs one statement at a time in it."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self._folder = folder
        for macro in ("load/near", "load/stored_near"):
            connection.run(macro)

    def stored(self, table: str, *rows: Row) -> None:
        """Insert rows into one of the warehouse's own tables."""
        asked = "SELECT column_name, column_type FROM (DESCRIBE FROM query_table($table))"
        types = dict(self.connection.duck.execute(asked, {"table": table}).fetchall())
        self._insert(table, types, rows)

    def given(self, table: str, *rows: Row) -> None:
        """Make a temporary table with these rows."""
        types = {name: _TYPES.get(name, "VARCHAR") for name in COLUMNS[table].split()}
        columns = ", ".join(f"{name} {kind}" for name, kind in types.items())
        self.connection.duck.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({columns})")
        self._insert(table, types, rows)

    def images(self, *rows: Row) -> dict[str, object]:
        """Write a run's file of images with these rows; returns the parameter with its path."""
        types = {name: _TYPES.get(name, "VARCHAR") for name in _IMAGE.split()}
        declared = ", ".join(f"{name} {kind}" for name, kind in types.items())
        self.connection.duck.execute(f"CREATE OR REPLACE TEMP TABLE images_of_the_run ({declared})")
        self._insert("images_of_the_run", types, rows)
        path = self._folder / "images.parquet"
        self.connection.duck.execute(f"COPY images_of_the_run TO '{path}'")
        return {"images": [str(path)]}

    def segments(self, *rows: Row) -> None:
        """Write a segment with these rows, and run the statement that reads a run's segments."""
        path = self._folder / "segment.parquet"
        self.given("segment", *rows)
        self.connection.duck.execute(f"COPY segment TO '{path}'")
        self.connection.run("load/segments", {"segments": [str(path)]})

    def listed(self, *rows: Row) -> None:
        """Make the temporary table `listed` with these rows, numbered from 1, and compute their bounds."""
        self.given("listed", *({"place": place, **row} for place, row in enumerate(rows, 1)))
        for statement in ("load/bounds_of", "load/listed_bounds"):
            self.connection.run(statement)

    def details(self, *files: tuple[Row, ...]) -> dict[str, object]:
        """Write a run's files of details with these rows, in order; returns the parameter with their paths."""
        paths = [self._folder / f"details-{place}.parquet" for place in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            self.given("details", *content)
            self.connection.duck.execute(f"COPY details TO '{path}'")
        return {"details": [str(path) for path in paths]}

    def _insert(self, table: str, types: Mapping[str, str], rows: tuple[Row, ...]) -> None:
        for row in rows:
            unknown = row.keys() - types.keys()
            assert not unknown, f"{table} has no {unknown}"
            usual = {name: value for name, value in _USUAL.items() if name in types}
            values = {name: _instant(types[name], value) for name, value in {**usual, **row}.items()}
            names, marks = ", ".join(values), ", ".join(f"${name}" for name in values)
            self.connection.duck.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)

    def asked(self, statement: str, parameters: Row | None = None) -> list[dict[str, Any]]:
        """The rows that a query returns."""
        return _back(self.connection.table(statement, parameters).to_pylist())

    def made(self, statement: str, parameters: Row | None = None) -> list[dict[str, Any]]:
        """The rows of the table that a statement makes; the table has the statement's name."""
        self.connection.run(statement, parameters)
        return self.all(statement.partition("/")[2])

    def all(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        found = self.connection.duck.execute(f"SELECT * FROM {table} ORDER BY ALL")
        names = [name for name, *_ in found.description]
        return _back([dict(zip(names, row, strict=True)) for row in found.fetchall()])


def instant(seconds: float) -> datetime:
    """The instant that a row's seconds stand for."""
    return BEGINNING + timedelta(seconds=seconds)


def _instant(kind: str, value: object) -> object:
    timed = kind.startswith("TIMESTAMP") and isinstance(value, int | float)
    return instant(value) if timed else value  # type: ignore[arg-type]  # a number, by then


def _back(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: _seconds(value) for name, value in row.items()} for row in rows]


def _seconds(value: object) -> object:
    if isinstance(value, datetime):
        seconds = (value - BEGINNING).total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    return value


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A warehouse without rows."""
    with WarehouseFile(tmp_path / "history.duckdb").writing() as connection:
        yield Rows(connection, tmp_path)


def picked(found: list[dict[str, Any]], names: str) -> list[tuple[Any, ...]]:
    """Only the named columns of each row."""
    return [tuple(row[name] for name in names.split()) for row in found]
