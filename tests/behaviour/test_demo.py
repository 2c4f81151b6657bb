"""The demo, as the README's first command runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.behaviour.spawning import spawn
from tests.looking import looking

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]


def environment(folder: Path) -> dict[str, str]:
    """An environment without AWS's variables."""
    return {"PATH": "/usr/bin", "PYTHONPATH": ":".join([str(ROOT), *sys.path[1:]]), "TMPDIR": str(folder)}


def run_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-m", "image_history", "demo"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(folder),
    )


def test_demo_shows_a_first_sync_a_change_and_exactly_that_change(tmp_path: Path) -> None:
    """The demo has at least 40 images and 3,000 versions; its second sync counts exactly the announced changes."""
    outcome = run_demo(tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    announced = re.search(r"account with (\d+) images and ([\d,]+) image versions", outcome.stdout)
    assert announced is not None
    assert int(announced[1]) >= 40
    versions = int(announced[2].replace(",", ""))
    assert versions >= 3000
    assert max(map(int, re.findall(r":(\d+)", outcome.stdout))) > 1000
    built = int(re.findall(r"(\d+) versions are built", outcome.stdout)[0])
    changed = int(re.findall(r"(\d+) versions are changed", outcome.stdout)[0])
    failed = int(re.findall(r"(\d+) version fails", outcome.stdout)[0])
    deleted = int(re.findall(r"(\d+) version is deleted", outcome.stdout)[0])
    assert re.findall(r"^inserted .*$", outcome.stdout, re.MULTILINE) == [
        f"inserted {versions:,} updated 0 deleted 0",
        f"inserted {built + failed} updated {changed} deleted {deleted}",
    ]
    assert outcome.stdout.count("SELECT") >= 3
    assert "image_version_history" in outcome.stdout
    assert "  image-history demo --open  the same, with a report to look at\n" in outcome.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_keeps_its_warehouse_when_asked(tmp_path: Path) -> None:
    """`demo --keep` keeps the warehouse, with the rows that it printed, and the report, and nothing elsewhere."""
    process = spawn(["demo", "--keep", "kept"], folder=tmp_path, environment=environment(tmp_path))
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    warehouse = tmp_path / "kept" / "image-history.duckdb"
    with looking(warehouse) as connection:
        runs = connection.execute("SELECT inserted, updated, deleted FROM runs ORDER BY etl_run_id")
        counted = [tuple(map(int, row)) for row in runs.fetchall()]
        states = connection.execute(
            "SELECT image_version_status, count(*) FROM current_image_versions GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    printed = re.findall(r"^inserted ([\d,]+) updated (\d+) deleted (\d+)$", told, re.MULTILINE)
    assert counted == [tuple(int(each.replace(",", "")) for each in row) for row in printed]
    assert len(counted) == 2
    assert dict(states) == {
        status: int(n) for status, n in re.findall(r"^(CREATE\w+) +(\d+)$", told, re.MULTILINE)
    }
    assert sum(number for _, number in states) == sum(row[0] - row[2] for row in counted)
    assert (tmp_path / "kept" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "  image-history --warehouse kept/image-history.duckdb shell\n" in told


def test_demo_opens_its_report(tmp_path: Path) -> None:
    """`demo --open` opens the report in the browser, and prints the proof of a deletion and the next steps."""
    tools = tmp_path / "tools"
    tools.mkdir()
    opener = tools / "xdg-open"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    opener.chmod(0o755)
    variables = environment(tmp_path) | {"PATH": f"{tools}:/usr/bin:/bin"}
    process = spawn(["demo", "--open"], folder=tmp_path, environment=variables)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    report = tmp_path / "image-history-demo" / "report.html"
    assert report.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "opened").read_text().strip() in {str(report), report.as_uri()}
    assert re.search(
        r"deleted between \S+ \S+ and \S+ \S+, proved: DescribeImageVersion does not find it", told
    )
    *_, next_steps = told.partition("What next?\n")
    assert [line.split()[1] for line in next_steps.splitlines()] == ["--warehouse", "check", "sync", "init"]
