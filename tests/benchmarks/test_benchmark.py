"""The benchmark at its smallest size runs, accepts right rows, and finds wrong rows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.benchmarks import milestones
from tests.benchmarks.check import wrong_rows
from tests.benchmarks.contest import CONTESTANTS
from tests.benchmarks.figures import Figures
from tests.benchmarks.measure import ROOT
from tests.benchmarks.server import list_image_versions
from tests.benchmarks.world import ACCOUNT, REGION, Shape, image_name, truth


def figures_of(report: str, contestant: str) -> dict[str, float]:
    """The figures of a contestant's only row by their column, without those that are not in the report."""
    (table,) = re.findall(r"^\|  \| wall s .*\n(?:\|.*\n)+", report, re.MULTILINE)
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    (cells,) = [row for row in rows if row[0] == contestant]
    named = dict(zip(head[1:], cells[1:], strict=True))
    return {name: float(cell.replace(",", "")) for name, cell in named.items() if cell}


def test_benchmark_measures_us_and_a_peer(tmp_path: Path) -> None:
    """The report of the smallest workload has believed figures of two contestants, their ratio and all milestones."""
    report = tmp_path / "results.md"
    chosen = ["--size", "tiny", "--only", "W4", "--contestants", "ours", "naive"]
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks",
        *chosen,
        "--kept",
        str(tmp_path),
        "--report",
        str(report),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = report.read_text(encoding="utf-8")
    ours, naive = (figures_of(told, name) for name in ("**ours**", "naive"))
    assert naive["CPU / naive"] == 1
    # The figures are rounded to two digits.
    assert ours["CPU / naive"] == pytest.approx(ours["CPU s"] / naive["CPU s"], abs=0.1)
    # A page for the list of images, and one for each image: equal figures of a quiet server.
    assert ours["calls"] == naive["calls"] > 1
    assert min(*ours.values(), *naive.values()) > 0
    for milestone in milestones.rows(Figures()):
        assert f"| {milestone[0]} |" in told
    assert told.count("| not measured |") == len(milestones.rows(Figures())) > 10


@pytest.mark.parametrize("contestant", [name for name in CONTESTANTS if "ours" not in name])
def test_every_contestant_has_its_program(contestant: str) -> None:
    """Each peer has a module of its own."""
    assert (ROOT / "tests" / "benchmarks" / "peers" / f"{contestant}.py").is_file()


def test_wrong_rows_are_found(tmp_path: Path) -> None:
    """Two missing rows and one row with another time are counted as three wrong rows."""
    path, shape = tmp_path / "rows.parquet", Shape(2, 5)
    rows = truth(shape)
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        connection.execute(
            "COPY (SELECT * EXCLUDE (creation_ms, last_modified_ms), make_timestamptz(creation_ms * 1000) "
            "AS creation_time, make_timestamptz((last_modified_ms + (version = 3)::INT) * 1000) AS "
            f"last_modified_time FROM rows WHERE NOT (version IN (2, 3) AND image_name = 'image-00001')) TO '{path}'"
        )
    assert wrong_rows(str(path), shape) == 3


def test_server_pages_and_filters_as_asked() -> None:
    """A filter by LastModifiedTime returns only the changed versions, and the last page has no token."""
    shape = Shape(1, 30, 3)
    asked: dict[str, object] = {"ImageName": image_name(0), "MaxResults": 2, "LastModifiedTimeAfter": 1.78e9}
    first = list_image_versions(shape, (ACCOUNT, REGION), asked)
    rest = list_image_versions(shape, (ACCOUNT, REGION), asked | {"NextToken": "t2"})
    assert first.count(b'"Version":') == 2
    assert b'"NextToken":"t2"' in first
    assert rest.count(b'"Version":') == 1
    assert b"NextToken" not in rest
