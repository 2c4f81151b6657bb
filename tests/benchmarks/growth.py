"""How image-history's cost grows with stored rows, rows in a run and scopes; and what `--help` costs.

Must not know how figures are printed.
"""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from tests.benchmarks.contest import Contest
from tests.benchmarks.measure import ROOT, Command, Cost, spend
from tests.benchmarks.world import Shape

Named = tuple[str, float]
_VERSIONS = 10_000
_FEW_IMAGES = 10
_OURS = (sys.executable, "-m", "image_history", "-q")
_REPEATS = 3
_STORED = {"tiny": (), "quick": (100_000, 1_000_000), "full": (100_000, 1_000_000, 10_000_000)}
_READ = {"tiny": (), "quick": (250_000, 1_000_000), "full": (1_000_000, 4_000_000)}
# A list of images and 20 listings, at 2 calls a second.
IDEAL_SECONDS = 10.5
_SCOPES = {"tiny": (), "quick": (1, 50), "full": (1, 50, 500)}


def measured(contest: Contest, size: str, asked: Callable[[str], bool]) -> Iterator[Named]:
    """The chosen figures, each with its name."""
    if asked("start"):
        yield from _starts(contest)
    for rows in _STORED[size]:
        if asked("merge") or asked("quiet"):
            yield from _stored(contest, rows)
    for rows in _READ[size]:
        if asked("memory"):
            yield f"memory: peak MB of reading {rows:,} rows", _peak(contest, rows)
    for scopes in _SCOPES[size]:
        if asked("scopes"):
            yield from _many_scopes(contest, scopes)


class _Report(msgspec.Struct):
    """The used part of the report of `sync --json`."""

    lock_seconds: float


def _work(contest: Contest, name: str) -> Path:
    folder = contest.folder / name
    folder.mkdir(exist_ok=True)
    return folder


def _spend(contest: Contest, folder: Path, *command: str, rate: float = 10_000) -> Cost:
    environment = contest.server.environment() | {"IMAGE_HISTORY_RATE__LIST_PER_SECOND": str(rate)}
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        path = folder / name.lower()
        if path.exists():
            environment[name] = str(path)
            environment.pop("AWS_ACCESS_KEY_ID", None)
    cost = spend(command, folder, environment)
    if cost.problem is not None:
        raise SystemExit(f"{' '.join(command)}: {cost.problem}")
    return cost


def _starts(contest: Contest) -> Iterator[Named]:
    folder = _work(contest, "start")
    for flag in ("--help", "--version"):
        command: Command = (sys.executable, "-m", "image_history", flag)
        # The minimum: other processes of the machine can only make a start slower.
        walls = [_spend(contest, folder, *command).wall_seconds for _ in range(15)]
        yield f"start: ms of image-history {flag}", min(walls) * 1000


def _stored(contest: Contest, rows: int) -> Iterator[Named]:
    """The figures of a run without changes on `rows` stored rows, then of 1,000 changed rows in 10 images."""
    folder = _work(contest, f"stored-{rows}")
    warehouse = folder / "image-history.duckdb"
    shape = Shape(rows // _VERSIONS, _VERSIONS)
    arguments = [str(warehouse), str(shape.images), str(shape.versions)]
    subprocess.run([sys.executable, "-m", "tests.benchmarks.seed", *arguments], cwd=ROOT, check=True)
    contest.server.serve(shape)
    # The first sync records of each image that it was read; later syncs have nothing to record.
    _spend(contest, folder, *_OURS, "sync")
    contest.server.serve(shape)
    quiet = _spend(contest, folder, sys.executable, "-m", "tests.benchmarks.inside", "-q", "sync")
    yield f"quiet: bytes written on {rows:,} stored rows", float((folder / "written.txt").read_text())
    yield f"quiet: CPU s on {rows:,} stored rows", quiet.cpu_seconds
    yield f"quiet: calls beyond streams and list pages on {rows:,} stored rows", _surplus(contest, shape)
    few = [f"--image=image-{number:05d}" for number in range(_FEW_IMAGES)]
    locks = []
    for number in range(1, _REPEATS + 1):
        changed = 100 * number
        contest.server.serve(replace(shape, changed=changed, changed_images=_FEW_IMAGES))
        told = _spend(contest, folder, *_OURS, "sync", "--json", *few).told
        locks.append(msgspec.json.decode(told, type=_Report).lock_seconds)
    yield f"merge: s of the lock for 1,000 rows and more into {rows:,}", min(locks)
    warehouse.unlink()


def _surplus(contest: Contest, shape: Shape) -> float:
    return sum(contest.server.calls().values()) - (shape.images + -(-shape.images // 100))


def _peak(contest: Contest, rows: int) -> float:
    folder = _work(contest, f"memory-{rows}")
    contest.server.serve(Shape(rows // 1000, 1000))
    peak = _spend(contest, folder, *_OURS, "sync").peak_mb
    (folder / "image-history.duckdb").unlink()
    return peak


def _many_scopes(contest: Contest, scopes: int) -> Iterator[Named]:
    """The figures of a sync of 20 images with 5 versions in every scope, at 2 calls a second and scope."""
    folder = _work(contest, f"scopes-{scopes}")
    regions = [f"eu-west-{number}" for number in (1, 2, 3)] + ["us-east-1", "us-west-2"]
    accounts = [f"{number:012d}" for number in range(1, -(-scopes // len(regions)) + 1)]
    told = ", ".join(regions[: min(scopes, len(regions))])
    lines = [f"  - {{profile: p{account}, regions: [{told}]}}" for account in accounts]
    (folder / "config.yaml").write_text("\n".join(["accounts:", *lines, ""]), encoding="utf-8")
    keys = configparser.ConfigParser()
    for account in accounts:
        keys[f"p{account}"] = {"aws_access_key_id": f"AKID{account}", "aws_secret_access_key": "none"}
    with (folder / "aws_shared_credentials_file").open("w", encoding="utf-8") as file:
        keys.write(file)
    contest.server.serve(Shape(20, 5))
    cost = _spend(contest, folder, *_OURS, "sync", rate=2)
    yield f"scopes: wall s of {scopes} at 2 calls a second, ideal {IDEAL_SECONDS}", cost.wall_seconds
    yield f"scopes: CPU s of {scopes}", cost.cpu_seconds
    yield f"scopes: peak MB of {scopes}", cost.peak_mb
