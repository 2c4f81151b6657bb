"""A peer: a Singer tap piped into target-duckdb; a file keeps the state between runs.

Must not know what the tap and the target do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb

from tests.benchmarks.peers import common

_STATE = Path("state.json")
_NAMES = (
    "image_name, version::INTEGER AS version, image_arn, image_version_arn, image_version_status, failure_reason, "
    "creation_time, last_modified_time"
)


def main() -> None:
    """Run the tap and the target, then write the loaded rows to the Parquet file."""
    Path("tap.json").write_text("{}", encoding="utf-8")
    target = {"path": str(common.DATABASE), "default_target_schema": "bench", "add_record_metadata": False}
    Path("target.json").write_text(json.dumps(target), encoding="utf-8")
    state = ["--state", str(_STATE)] if _STATE.exists() and _STATE.stat().st_size else []
    tap = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.peers.singer_tap", "--config", "tap.json", *state],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    program = Path(sys.executable).with_name("target-duckdb")
    told = subprocess.run(
        [program, "--config", "target.json"], stdin=tap.stdout, stdout=subprocess.PIPE, check=False, text=True
    )
    assert tap.stdout is not None
    tap.stdout.close()
    if tap.wait() or told.returncode:
        raise SystemExit(f"the tap left with {tap.returncode}, the target with {told.returncode}")
    states = told.stdout.strip().splitlines()
    if states:
        _STATE.write_text(states[-1], encoding="utf-8")
    with duckdb.connect(common.DATABASE) as database:
        database.execute("SET timezone = 'UTC'")
        common.publish(database, f"(SELECT {_NAMES} FROM bench.image_versions)")


if __name__ == "__main__":
    main()
