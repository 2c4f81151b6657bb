"""The cost of publishing a number of versions and events, as a dataset and as tables: time, memory, bytes.

It prints a line of figures for each publication, and exits with 1 if tables cost more than docs/tables.md says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.behaviour.lakes import KINDS, Shelf, learn
from tests.behaviour.publishing import Stock

TABLES = ("image_versions", "image_version_events")
REGIONS = tuple(f"us-east-{number}" for number in range(1, 11))
_MIB = 1024
# A small process runs this: a child's peak starts at its parent's size, and the test process made the warehouse.
_MEASURING = """
import json, resource, subprocess, sys, time
began = time.monotonic()
subprocess.run([sys.executable, "-m", "image_history", "publish"], stdout=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
_TURNS = 3
# Upper bounds of the cost of tables, relative to the dataset of the same rows.
_MOST_SECONDS, _MOST_MIB, _MOST_BYTES, _MOST_FOR_200_EVENTS = 1.3, 200, 1.1, 50_000


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a publication: the time and peak memory of its process, and the bytes of new files in the folder.

    `rows_written` are the bytes of new Parquet files.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: int
    written: int
    rows_written: int

    def __str__(self) -> str:
        rows = f"{self.written:,} bytes, {self.rows_written:,} of them rows"
        return f"{self.seconds:.1f} s, {self.cpu_seconds:.1f} s of CPU, {self.peak_mib:,} MiB, {rows}"


def published(folder: Path, lake: Path) -> Cost:
    """Run `image-history publish` in a process of its own, and measure its cost."""
    before = files(lake)
    done = subprocess.run([sys.executable, "-c", _MEASURING], cwd=folder, capture_output=True, check=True)
    seconds, cpu_seconds, peak_kib = json.loads(done.stdout)
    new = {file: size for file, size in files(lake).items() if file not in before}
    rows = sum(size for (_, name), size in new.items() if name.endswith(".parquet"))
    return Cost(seconds, cpu_seconds, peak_kib // _MIB, sum(new.values()), rows)


def files(folder: Path) -> dict[tuple[int, str], int]:
    """The size of each file below a folder; a file with several links counts once."""
    found = {path.stat().st_ino: path for path in folder.rglob("*") if path.is_file()}
    return {(inode, path.name): path.stat().st_size for inode, path in found.items()}


def prepared(kind: str, stock: Stock) -> Stock:
    """Copy the warehouse to a folder of its own, and configure its publication to a dataset or a lake there."""
    folder = stock.folder.with_name(kind)
    folder.mkdir()
    own = replace(stock, folder=folder)
    shutil.copy(stock.warehouse, own.warehouse)
    shelf = Shelf(kind, folder)
    entry = (
        {"to": str(folder / "lake"), "grace": "1h"}
        if kind == "dataset"
        else {"to": shelf.to} | ({"properties": shelf.catalog} if shelf.catalog else {})
    )
    (folder / "config.yaml").write_text(
        json.dumps({"publish": [entry | {"tables": TABLES}]}), encoding="utf-8"
    )
    return own


def first(stocks: Mapping[str, Stock]) -> dict[str, Cost]:
    """The cost of each kind's first publication: the lowest of several, measured in turns, with the highest peak.

    The same work takes up to a third more CPU time while other processes use the machine's caches, so the turns give
    every kind the same conditions.
    """
    found: dict[str, list[Cost]] = {kind: [] for kind in stocks}
    for _ in range(_TURNS):
        for kind, stock in stocks.items():
            shutil.rmtree(stock.folder / "lake", ignore_errors=True)
            (stock.folder / "catalog.db").unlink(missing_ok=True)
            found[kind].append(published(stock.folder, stock.folder / "lake"))
    return {
        kind: replace(
            min(costs, key=lambda cost: cost.cpu_seconds), peak_mib=max(cost.peak_mib for cost in costs)
        )
        for kind, costs in found.items()
    }


def later(stock: Stock) -> dict[str, Cost]:
    """The cost of later publications to the same place: a changed region, no changes, and 200 events."""
    lake = stock.folder / "lake"
    costs = {}
    stock.change("us-east-4")
    costs["one region"] = published(stock.folder, lake)
    stock.change()
    costs["no news"] = published(stock.folder, lake)
    run_id = stock.change()
    stock.run_sql(
        "INSERT INTO image_version_events BY NAME SELECT * REPLACE ($run_id AS etl_run_id, "
        "(SELECT max(finished_at) FROM runs) AS etl_observed_at) FROM image_version_events "
        "WHERE region = 'us-east-4' LIMIT 200",
        run_id=run_id,
    )
    costs["200 events"] = published(stock.folder, lake)
    return costs


def measured(folder: Path, rows: int) -> dict[str, dict[str, Cost]]:
    """Measure and print the cost of a dataset and of each table format, for the same warehouse."""
    folder = folder / "stock"
    folder.mkdir()
    filled = Stock(folder, rows_of_a_region=rows // len(REGIONS), accounts=100, regions=REGIONS).fill()
    learn(filled, *REGIONS)
    stocks = {kind: prepared(kind, filled) for kind in ("dataset", *KINDS)}
    found = {kind: {"first": cost} for kind, cost in first(stocks).items()}
    for kind, stock in stocks.items():
        found[kind] |= later(stock)
        for name, cost in found[kind].items():
            part = cost.cpu_seconds / found["dataset"][name].cpu_seconds
            sys.stdout.write(
                f"{kind}, {rows:,} versions and events, {name}: {cost}; {part:.2f} of a dataset's CPU\n"
            )
        sys.stdout.flush()
    return found


def wrong(kind: str, costs: dict[str, Cost], dataset: dict[str, Cost]) -> list[str]:
    """The costs that exceed their bounds."""
    first, region = costs["first"], costs["one region"]
    bounds = {
        "first publication takes too long": first.cpu_seconds > _MOST_SECONDS * dataset["first"].cpu_seconds,
        "too much memory": first.peak_mib > dataset["first"].peak_mib + _MOST_MIB,
        "one region writes too much": region.written > _MOST_BYTES * region.rows_written,
        "one region writes more than the dataset": region.written
        > _MOST_BYTES * dataset["one region"].written,
        "no news is written": costs["no news"].written > 0,
        "200 events write too much": costs["200 events"].written > _MOST_FOR_200_EVENTS,
    }
    return [f"{kind}: {name}" for name, is_so in bounds.items() if is_so]


def main() -> int:
    """Measure the dataset and each format, and print the costs that exceed their bounds."""
    parser = argparse.ArgumentParser(description="Measure publications at size.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        costs = measured(Path(temporary), given.rows)
    found = [line for kind in KINDS for line in wrong(kind, costs[kind], costs["dataset"])]
    for line in found:
        sys.stdout.write(f"  {line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
