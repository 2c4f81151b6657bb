"""What a sync costs beside calls and rows: written bytes, memory, and imported modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from image_history.simulator import generate
from image_history.warehouse import warehouse
from image_history.warehouse.statements import statement
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

_COUNTED = Path("/proc/self/io")
_ELSEWHERE = """
INSERT INTO image_versions BY NAME
SELECT source.* REPLACE ('eu-central-1' AS region, numbers.number::INTEGER AS version)
FROM (FROM image_versions LIMIT 1) AS source
CROSS JOIN range($rows) AS numbers (number)
"""


def store_elsewhere(site: Site, rows: int) -> None:
    """Store this many versions of a scope that the sync does not read."""
    with duckdb.connect(site.config.warehouse) as connection:
        connection.execute(_ELSEWHERE, {"rows": rows})


def bytes_written(work: Callable[[], object]) -> int:
    """The bytes that this process writes to files during the work; bytes sent to sockets don't count."""
    before = _written()
    work()
    return _written() - before


def _written() -> int:
    lines = _COUNTED.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def with_little_memory(name: str) -> str:
    """The text of a statement; the statement for small memory sets a limit that no load fits in."""
    return "SET memory_limit = '6MiB'" if name == "session/small_memory" else statement(name)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has written")
def test_quiet_sync_writes_as_little_into_a_large_warehouse(served: ServeWorld) -> None:
    """A sync that finds nothing new writes under 400 kB, and hardly more if many rows are stored."""
    site = served(generate(3, images=4, versions_per_image=5, largest=120))
    site.sync()
    small = bytes_written(site.sync)
    store_elsewhere(site, 400_000)
    large = bytes_written(site.sync)
    assert large < 400_000
    assert large < small + 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has written")
def test_quiet_image_costs_few_bytes(served: ServeWorld) -> None:
    """A quiet sync writes 50 to 350 bytes for each image: its plan, checkpoints and known state, compressed."""
    written = []
    for images in (10, 210):
        site = served(generate(3, images=images, versions_per_image=2, largest=2))
        site.sync()
        written.append(bytes_written(site.sync))
    assert 200 * 50 < written[1] - written[0] < 200 * 350


def test_load_that_needs_more_memory_than_it_may_use_gets_it(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A load that needs more than the small memory is rolled back and retried with more memory."""
    monkeypatch.setattr(warehouse, "statement", with_little_memory)
    site = served(generate(3, images=4, versions_per_image=50, largest=2000))
    report = site.sync()
    assert report.rows.inserted == 2150
    assert "more_memory_needed" in [record.message for record in caplog.records]
    site.assert_true()


def test_sync_imports_nothing_that_it_does_not_need(served: ServeWorld) -> None:
    """A sync does not import numpy or pandas, nor the modules for reports, retries and lake tables.

    By default, pyarrow would import numpy and pandas, which takes more CPU time than the rest of a quiet sync.
    """
    site = served(generate(3, images=2, versions_per_image=5))
    process = site.interpret("sync", PYTHONPROFILEIMPORTTIME="1")
    _, imported = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "pyarrow.lib" in imported
    unneeded = ("numpy._core", "pandas.core", "jinja2", "tenacity", "image_history.publish.tables")
    assert [name for name in unneeded if name in imported] == []
