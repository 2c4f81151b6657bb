"""`python -m tests.benchmarks`: measures, keeps the figures, and writes RESULTS.md from all kept figures.

Must not know what a workload is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import growth
from tests.benchmarks.contest import CONTESTANTS, SIZES, Contest
from tests.benchmarks.figures import Figures
from tests.benchmarks.measure import ROOT, compile_package, serving
from tests.benchmarks.report import RESULTS, report


def main() -> int:
    """Measure the chosen workloads and contestants; return 1 if image-history's rows were wrong, else 0."""
    given = _parser().parse_args()
    path = given.kept / f"{given.size}.json"
    figures = Figures.kept(path)
    compile_package()
    with serving() as server, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        contest = Contest(server, Path(folder), given.peers)
        for workload in SIZES[given.size]:
            for name in given.contestants:
                if _asked(workload.name, given.only) and name not in workload.without:
                    figures.put(workload, name, contest.run(name, workload))
                    sys.stdout.write(f"{figures.line(workload, name)}\n")
                    sys.stdout.flush()
                    figures.keep(path)
        for title, value in growth.measured(contest, given.size, lambda name: _asked(name, given.only)):
            figures.grown[title] = value
            sys.stdout.write(f"{title}: {value:.4g}\n")
            sys.stdout.flush()
            figures.keep(path)
    given.report.write_text(report(figures, given.size, given.peers), encoding="utf-8")
    return 1 if figures.ours_is_wrong() else 0


def _asked(name: str, only: list[str]) -> bool:
    return not only or any(name.startswith(each) for each in only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="quick")
    parser.add_argument(
        "--peers", default=sys.executable, help="the interpreter that has the peers' packages"
    )
    parser.add_argument(
        "--kept", type=Path, default=ROOT / ".cache" / "benchmarks", help="where figures are kept"
    )
    parser.add_argument("--report", type=Path, default=RESULTS, help="the Markdown file to write")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names: W1 W4 merge quiet ...")
    parser.add_argument("--contestants", nargs="*", default=list(CONTESTANTS), choices=CONTESTANTS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
