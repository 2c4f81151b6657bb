"""Hundreds of scopes at AWS's pace, `python -m tests.soak.scopes`: compares a sync with the ideal time.

A scope's ideal time is its number of calls divided by the rate. One scope is throttled, one is denied and one cannot
be reached: they must not affect the other scopes. With `--throttled SECONDS`, one scope is throttled for that time,
and the rows of the others must be in the warehouse before the sync ends. It exits with 1 if a row is wrong. Must not
know how a sync works.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from tests.behaviour.cloud import key_of

ROOT = Path(__file__).parents[2]
REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1")
RATE = 2
_PART = re.compile(r"(\S+) INFO part_loaded .*scopes=(\d+)")
_PEAK = (
    "import resource, sys; sys.stderr.write(f'peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}')"
)


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of accounts, of regions of each account, of images of each scope, and of versions of each image."""

    accounts: int
    regions: int
    images: int
    versions: int

    @property
    def account_ids(self) -> list[str]:
        """The ids of the accounts."""
        return [f"{200_000_000_000 + number:012d}" for number in range(self.accounts)]

    @property
    def ideal_seconds(self) -> float:
        """The seconds of a scope's calls at AWS's pace: one for its list of images, and one for each image."""
        return (1 + self.images) / RATE


@contextmanager
def served(size: Size) -> Iterator[str]:
    """Run the simulator in a process of its own; yield its address."""
    options = [
        "--images",
        str(size.images),
        "--versions",
        str(size.versions),
        "--largest",
        str(size.versions),
    ]
    for account_id in size.account_ids:
        options += ["--account", account_id]
    for region in REGIONS[: size.regions]:
        options += ["--region", region]
    command = [sys.executable, "-m", "image_history", "simulate", "--port", "0", "--print-env", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().partition("=")[2]
        finally:
            process.terminate()


def asked(address: str, path: str, body: object | None = None, method: str = "GET") -> Any:
    """Send a request to the simulator's admin interface; return its response."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/_admin/{path}", data=content, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def configure(folder: Path, size: Size, *, concurrency: int, attempts: int = 8) -> None:
    """Write a profile for each account, and a configuration with all accounts."""
    profiles = "".join(
        f"[profile p{account_id}]\naws_access_key_id={key_of(account_id)}\naws_secret_access_key=x\n"
        for account_id in size.account_ids
    )
    (folder / "aws").write_text(profiles, encoding="utf-8")
    regions = ", ".join(REGIONS[: size.regions])
    accounts = "".join(f"  - {{profile: p{each}, regions: [{regions}]}}\n" for each in size.account_ids)
    pace = f"concurrency: {concurrency}\nrate: {{list_per_second: {RATE}}}\n"
    settings = f"{pace}retry: {{attempts: {attempts}, max_wait: 2s}}\n"
    (folder / "config.yaml").write_text(f"{settings}accounts:\n{accounts}", encoding="utf-8")


def spoiled(size: Size) -> dict[tuple[str, str], str]:
    """The three scopes with faults, and the fault of each."""
    first, second, third = size.account_ids[1:4]
    region = REGIONS[0]
    return {(first, region): "throttling", (second, region): "access_denied", (third, region): "close"}


def rule(kind: str, account_id: str, region: str) -> dict[str, object]:
    """The fault rule of a scope: some calls are throttled, or every call fails."""
    share = {"every": 4, "times": 5} if kind == "throttling" else {}
    return {"kind": kind, "account_id": account_id, "region": region, **share}


@dataclass(frozen=True, slots=True)
class Synced:
    """The result of a sync in a process of its own: its exit code, seconds, peak memory, report and log."""

    code: int
    seconds: float
    peak_mb: float
    report: Mapping[str, Any]
    said: str


def synced(folder: Path, address: str, verbosity: str = "-q") -> Synced:
    """Run a sync of all scopes."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AWS_CONFIG_FILE": str(folder / "aws"),
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "image_history", verbosity, "sync", "--json"]
    script = f"import subprocess, sys\ndone = subprocess.run({command!r})\n{_PEAK}\nsys.exit(done.returncode)"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    said, _, peak = done.stderr.rpartition("peak ")
    if not done.stdout:
        sys.stdout.write(said)
    report = json.loads(done.stdout) if done.stdout else {}
    return Synced(done.returncode, seconds, int(peak) / 1024, report, said)


def reading_seconds(
    log: Sequence[Mapping[str, Any]], bad: Mapping[tuple[str, str], str]
) -> tuple[float, float]:
    """The seconds until the last request of a scope without a fault, and the longest time of such a scope."""
    sound = [each for each in log if (each["account_id"], each["region"]) not in bad and each["account_id"]]
    spans: dict[tuple[str, str], list[int]] = {}
    for each in sound:
        if each["operation"] != "GetCallerIdentity":
            spans.setdefault((each["account_id"], each["region"]), []).append(each["at_ms"])
    start = min(each["at_ms"] for each in log)
    longest = max(max(times) - min(times) for times in spans.values())
    return (max(each["at_ms"] for each in sound) - start) / 1000, longest / 1000


def stored(folder: Path) -> tuple[int, set[tuple[str, str]]]:
    """The number of rows in the warehouse, and the scopes that are not complete in `coverage`."""
    with duckdb.connect(folder / "image-history.duckdb", read_only=True) as connection:
        rows = connection.execute("SELECT count(*) FROM image_versions").fetchall()
        unread = connection.execute(
            "SELECT account_id, region FROM coverage WHERE image_name IS NULL AND outcome <> 'complete'"
        ).fetchall()
    return rows[0][0], {(account_id, region) for account_id, region in unread}


def visible(folder: Path, log: str, others: int) -> tuple[float, float]:
    """The seconds from the run's start until `others` scopes were in the warehouse, and until the run ended."""
    with duckdb.connect(folder / "image-history.duckdb", read_only=True) as connection:
        ((began, ended),) = connection.execute("SELECT started_at, finished_at FROM runs").fetchall()
    seen = 0
    for line in log.splitlines():
        if part := _PART.search(line):
            seen += int(part[2])
            if seen >= others:
                committed = datetime.fromisoformat(part[1])
                return (committed - began).total_seconds(), (ended - began).total_seconds()
    return float("inf"), (ended - began).total_seconds()


def throttled(size: Size, seconds: int, *, concurrency: int) -> int:
    """Sync while one scope is throttled; check that the rows of all other scopes are visible before the sync ends."""
    scope = next(iter(spoiled(size)))
    with tempfile.TemporaryDirectory() as name, served(size) as address:
        folder = Path(name)
        configure(folder, size, concurrency=concurrency, attempts=60)
        fault = {
            "kind": "throttling",
            "account_id": scope[0],
            "region": scope[1],
            "operation": "ListImageVersions",
        }
        asked(address, "faults", [fault], method="PUT")
        timer = threading.Timer(seconds, asked, (address, "faults", [], "PUT"))
        timer.start()
        done = synced(folder, address, "-v")
        timer.join()
        log = asked(address, "log")["requests"]
        reading, _ = reading_seconds(log, {scope: "throttling"})
        scopes = size.accounts * size.regions
        loaded, ended = visible(folder, done.said, scopes - 1)
        rows, _ = stored(folder)
    right = done.code == 0 and rows == scopes * size.images * size.versions
    sys.stdout.write(
        f"{scopes} scopes x {size.images} images, one throttled for {seconds} s: the others were read in "
        f"{reading:.1f} s and visible after {loaded:.1f} s = {loaded / size.ideal_seconds:.2f} x ideal "
        f"({size.ideal_seconds:.1f} s); whole sync {ended:.1f} s, exit {done.code}, peak {done.peak_mb:.0f} MB\n"
    )
    return 0 if right and loaded < ended else 1


def main() -> int:
    """Sync once, check the rows, and compare with the ideal time."""
    parser = argparse.ArgumentParser(description="Sync hundreds of scopes at AWS's pace.")
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--sound", action="store_true", help="no scope fails")
    parser.add_argument("--throttled", type=int, metavar="SECONDS", help="one scope is throttled for so long")
    given = parser.parse_args()
    # As pip does when it installs a package; otherwise each start may compile all modules.
    compileall.compile_dir(ROOT / "connector", quiet=1)
    size = Size(given.accounts, len(REGIONS), given.images, versions=5)
    if given.throttled is not None:
        return throttled(size, given.throttled, concurrency=given.concurrency)
    bad = {} if given.sound else spoiled(size)
    with tempfile.TemporaryDirectory() as name, served(size) as address:
        folder = Path(name)
        configure(folder, size, concurrency=given.concurrency)
        asked(address, "faults", [rule(kind, *scope) for scope, kind in bad.items()], method="PUT")
        done = synced(folder, address)
        log = asked(address, "log")["requests"]
        reading, longest = reading_seconds(log, bad)
        rows, unread = stored(folder)
    scopes, lost = (
        size.accounts * size.regions,
        {scope for scope, kind in bad.items() if kind != "throttling"},
    )
    wanted = (scopes - len(lost)) * size.images * size.versions
    named = json.dumps(done.report.get("unreadable_scopes", []))
    unnamed = [scope for scope in lost if scope[0] not in named]
    calls = Counter(each["operation"] for each in log)
    sys.stdout.write(
        f"{scopes} scopes x {size.images} images: {sum(calls.values()):,} calls; sound scopes read in "
        f"{reading:.1f} s = {reading / size.ideal_seconds:.2f} x ideal ({size.ideal_seconds:.1f} s; the longest of "
        f"one scope {longest:.1f} s); whole sync {done.seconds:.1f} s, exit {done.code}, peak {done.peak_mb:.0f} MB; "
        f"{rows:,} rows of {wanted:,}; not read {len(lost)}, of them unnamed in the report {len(unnamed)}, "
        f"in coverage {len(lost - unread)}\n"
    )
    right = rows == wanted and not unnamed and unread == lost and done.code == (4 if lost else 0)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
