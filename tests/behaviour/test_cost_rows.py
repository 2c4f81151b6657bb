"""A sync scans the stored rows of the images that it read, not all stored rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from image_history.config import Publish
from image_history.simulator import generate
from image_history.warehouse.warehouse import Connection
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.running import Run, around_statements

pytestmark = pytest.mark.duckdb

_STORED = 50_000
# A scan that ends early, because its join has no keys to find, has already read up to this many rows.
_BLOCK = 3 * 4096
HOUR_MS = 3_600_000
Scanned = Callable[[Callable[[], object]], Mapping[str, int]]
# Names and numbers like those that the sync reads, so that DuckDB can skip no block of rows by either column.
_ELSEWHERE = """
INSERT INTO image_versions BY NAME
SELECT source.* REPLACE (
    source.image_name || '-' || (numbers.number // 100) AS image_name, (1 + numbers.number % 100)::INTEGER AS version
)
FROM (FROM image_versions ORDER BY image_name DESC LIMIT 1) AS source
CROSS JOIN range($rows) AS numbers (number)
"""


class Scans:
    """The rows that each statement scanned from image_versions, by DuckDB's profile."""

    def __init__(self, file: Path) -> None:
        self.rows: dict[str, int] = {}
        self._file = file

    def profiled(self, connection: Connection, name: str, _: Mapping[str, object] | None, run: Run) -> object:
        """Run a statement and count its scanned rows, unless it is a setting or a migration."""
        self.rows.setdefault(name, 0)
        if name.startswith(("session/", "migrations/")):
            return run()
        connection.duck.execute("PRAGMA enable_profiling = 'json'").fetchall()
        connection.duck.execute(f"PRAGMA profiling_output = '{self._file}'").fetchall()
        result = run()
        connection.duck.execute("PRAGMA disable_profiling").fetchall()
        self.rows[name] += sum(_taken(json.loads(self._file.read_text(encoding="utf-8"))))
        return result


def _taken(operator: Mapping[str, Any]) -> Iterator[int]:
    """The rows of the scans of image_versions below an operator; DuckDB 1.5 has another name for them than 2."""
    table = (operator.get("extra_info") or {}).get("Table", "")
    if table.endswith("image_versions"):
        yield operator.get("intermediate_rows", operator.get("operator_cardinality", 0))
    for below in (*operator.get("children", ()), *operator.get("operator", ())):
        yield from _taken(below)


@pytest.fixture
def scanned(tmp_path: Path) -> Scanned:
    """Runs a job, and returns how many rows each statement scanned from image_versions."""

    def work(job: Callable[[], object]) -> Mapping[str, int]:
        scans = Scans(tmp_path / "profile.json")
        with around_statements(scans.profiled):
            job()
        return scans.rows

    return work


def changed(site: Site, *, full: bool, details: bool) -> None:
    """Create, update and delete a version of an image of one page and of one of several pages, and sync."""
    for image in {row.image_name for row in site.world.truth() if row.version == 2}:
        newest = site.world.create_version(image, aliases=["prod"])
        site.world.update_version(image, newest - 1)
        site.world.delete_version(
            image, min(row.version for row in site.world.truth() if row.image_name == image)
        )
    site.sync(full=full, details=details, page_size=10)


@pytest.mark.parametrize(
    ("full", "details"), [(False, False), (True, True)], ids=["bare", "full-with-details"]
)
def test_sync_looks_at_no_rows_of_elsewhere(
    served: ServeWorld, scanned: Scanned, *, full: bool, details: bool
) -> None:
    """A sync with changes scans no more stored versions if many versions of other images are stored."""
    site = served(generate(3, images=2, versions_per_image=4, largest=25))
    site.sync(details=details, page_size=10)
    site.simulator.clock.advance(HOUR_MS)
    small = scanned(lambda: changed(site, full=full, details=details))
    with duckdb.connect(site.config.warehouse) as connection:
        connection.execute(_ELSEWHERE, {"rows": _STORED})
    site.simulator.clock.advance(HOUR_MS)
    large = scanned(lambda: changed(site, full=full, details=details))
    assert {"load/changed", "load/deleted", "load/streams_after", "settle/missing"} <= large.keys()
    assert {name: rows for name, rows in large.items() if rows > small.get(name, 0) + _BLOCK} == {}


def test_quiet_sync_runs_no_statement_for_what_did_not_change(served: ServeWorld, scanned: Scanned) -> None:
    """A sync without changes writes only its run, accounts and coverage, and runs no query for details or tables."""
    site = served(generate(3, images=3, versions_per_image=4))
    published = (Publish(str(site.folder / "dataset")),)
    site.sync(publish=published)
    quiet = scanned(lambda: site.sync(publish=published))
    writing = {name for name in quiet if "/insert_" in name or "/delete_" in name or "/mark_" in name}
    assert writing == {"load/insert_accounts", "load/insert_coverage", "load/insert_run"}
    assert "publish/newest_run" in quiet
    assert not {"load/has_details", "load/detailed", "session/tables", "session/relations"} & quiet.keys()
