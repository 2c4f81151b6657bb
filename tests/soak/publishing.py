"""The datasets of `make soak`: readers during 200 publications, a million rows, and every fault of a publication.

It exits with 1 if anything is wrong. Must not know how a dataset is made.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.behaviour.beside import Beside
from tests.behaviour.publishing import Stock, by_glob
from tests.faultpoints.forking import Forge
from tests.faultpoints.matrix import Figures
from tests.faultpoints.publishing import PublishMatrix

_PROCESSES = 2
_REGIONS = tuple(f"us-east-{number}" for number in range(1, 11))


def readers(folder: Path, publications: int) -> bool:
    """Run readers of every kind, each in a loop, in parallel with a number of publications."""
    beside = Beside(Stock(folder, rows_of_a_region=2_000).fill())
    figures = beside.run(publications)
    sys.stdout.write(f"publishing: {figures}\n")
    return figures.clean


def large(folder: Path, rows: int) -> bool:
    """Publish a dataset of `rows` rows in ten regions, then a change in one region, then a run without changes."""
    stock = Stock(folder, rows_of_a_region=rows // len(_REGIONS), accounts=100, regions=_REGIONS).fill()
    first = stock.publish()
    run_id = stock.change("us-east-4")
    second = stock.publish()
    stock.change()
    quiet = stock.publish()
    read = by_glob(stock.dataset)
    changed = {row["region"] for row in read.filter(_is(run_id, read)).select(["region"]).to_pylist()}
    sys.stdout.write(
        f"publishing: {first.rows:,} rows in {first.duration_seconds:.1f} s ({first.written_bytes:,} bytes); after a "
        f"change in one region {second.written} of {second.files} partitions in {second.duration_seconds:.1f} s "
        f"({second.written_bytes:,} bytes); after a quiet run {quiet.written} in {quiet.duration_seconds:.1f} s; "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MiB\n"
    )
    return (first.rows, second.written, quiet.written, changed) == (rows, 1, 0, {"us-east-4"})


def _is(run_id: str, read: object) -> object:
    import pyarrow.compute as pc

    return pc.equal(read["failure_reason"], run_id)  # type: ignore[index]


def faults(number: int) -> Figures:
    """Run one of the equal shares of the fault matrix."""
    with tempfile.TemporaryDirectory() as folder, Forge() as forge:
        matrix = PublishMatrix(Path(folder), forge)
        matrix.prepare()
        return matrix.play(list(matrix.faults())[number::_PROCESSES])


def main() -> int:
    """Run all three checks, each with one line of figures."""
    parser = argparse.ArgumentParser(description="Publish beside readers, at size, and under every fault.")
    parser.add_argument("--publications", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("beside", "large"):
            (Path(folder) / name).mkdir()
        good = readers(Path(folder) / "beside", given.publications)
        good = large(Path(folder) / "large", given.rows) and good
    began, total = time.monotonic(), Figures()
    with ThreadPoolExecutor(_PROCESSES) as pool:
        for figures in pool.map(faults, range(_PROCESSES)):
            total.add(figures)
    for line in total.wrong:
        sys.stdout.write(f"  {line}\n")
    sys.stdout.write(f"publishing: {total}; {time.monotonic() - began:.0f} s\n")
    return 0 if good and not total.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
