"""How many stored rows a sync looks at: those of what it read, not those of what is stored."""

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
# A scan that ends early, for its join has nothing to look for, has read so many rows a thread.
_BLOCK = 3 * 4096
HOUR_MS = 3_600_000
Scanned = Callable[[Callable[[], object]], Mapping[str, int]]
# Names that begin as those that are read, and numbers as theirs: neither tells a block of rows from another.
_ELSEWHERE = """
INSERT INTO image_versions BY NAME
SELECT source.* REPLACE (
    source.image_name || '-' || (numbers.number // 100) AS image_name, (1 + numbers.number % 100)::INTEGER AS version
)
FROM (FROM image_versions ORDER BY image_name DESC LIMIT 1) AS source
CROSS JOIN range($rows) AS numbers (number)
"""


class Scans:
    """The rows of image_versions that each statement took out of the table, by the profile that DuckDB makes."""

    def __init__(self, file: Path) -> None:
        self.rows: dict[str, int] = {}
        self._file = file

    def profiled(self, connection: Connection, name: str, _: Mapping[str, object] | None, run: Run) -> object:
        """Count what a statement takes, unless it is a setting."""
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
    """The rows that left the scans of image_versions below an operator; DuckDB 1.5 has other names than 2."""
    table = (operator.get("extra_info") or {}).get("Table", "")
    if table.endswith("image_versions"):
        yield operator.get("intermediate_rows", operator.get("operator_cardinality", 0))
    for below in (*operator.get("children", ()), *operator.get("operator", ())):
        yield from _taken(below)


@pytest.fixture
def scanned(tmp_path: Path) -> Scanned:
    """Does something, and tells what each statement took out of image_versions."""

    def work(job: Callable[[], object]) -> Mapping[str, int]:
        scans = Scans(tmp_path / "profile.json")
        with around_statements(scans.profiled):
            job()
        return scans.rows

    return work


def changed(site: Site, *, full: bool, details: bool) -> None:
    """Make, touch and delete a version of an image that is one page and of one that is two, and sync."""
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
    """What a changed sync takes out of the table of versions does not grow with what is stored of other images."""
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
    """Where nothing changed, nothing is written but what the run proved, and nothing looked for in vain."""
    site = served(generate(3, images=3, versions_per_image=4))
    published = (Publish(str(site.folder / "dataset")),)
    site.sync(publish=published)
    quiet = scanned(lambda: site.sync(publish=published))
    writing = {name for name in quiet if "/insert_" in name or "/delete_" in name or "/mark_" in name}
    assert writing == {"load/insert_accounts", "load/insert_coverage", "load/insert_run"}
    assert "publish/newest_run" in quiet
    assert not {"load/has_details", "load/detailed", "session/tables", "session/relations"} & quiet.keys()
