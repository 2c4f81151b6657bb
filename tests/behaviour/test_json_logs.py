"""`--log-format json`: each line on stderr is an object with its time and event, its run and its stream."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from image_history.cli.logs import JsonFormatter, configure
from image_history.hiding import keep_hidden
from image_history.simulator import FaultRule
from tests.behaviour.commanding import Commanded, commanded, commanding, log_lines
from tests.behaviour.test_refusals import held

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

JSON = ("-v", "--log-format", "json")


def test_json_log_carries_instant_run_and_stream(commanded: Commanded) -> None:
    """Every line has a UTC time in milliseconds and, once known, the run ID; a failed call's line has its stream."""
    row = commanded.site.world.truth()[0]
    commanded.site.simulator.faults = (
        FaultRule(kind="throttling", operation="ListImageVersions", image=row.image_name, times=1),
    )
    lines = log_lines(commanded(*JSON, "sync", "--json").err)
    assert {line["level"] for line in lines} <= {"INFO", "WARNING"}
    ended = lines[-1]
    assert ended["event"] == "sync_ended"
    assert (ended["outcome"], ended["exit_code"], ended["inserted"]) == ("complete", 0, 6)
    known = [line.get("run_id") for line in lines]
    first = known.index(ended["run_id"])
    assert set(known[:first]) <= {None}
    assert set(known[first:]) == {ended["run_id"]}
    (failed,) = [line for line in lines if line["event"] == "call_failed"]
    scope = f"{row.account_id}/{row.region}"
    told = (failed["operation"], failed["scope"], failed["stream"])
    assert told == ("ListImageVersions", scope, f"{scope}/{row.image_name}")
    times = [datetime.fromisoformat(line["time"]) for line in lines]
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert all(line["time"][19] == "." and line["time"][23:] == "+00:00" for line in lines)
    assert times == sorted(times)


def test_json_log_ends_with_the_error_of_a_failed_run(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of a failed run is its error: class, reason, exit code and run ID."""
    monkeypatch.setenv("IMAGE_HISTORY_LOCK_WAIT", "0s")
    commanded("sync")
    with held(commanded.site.config.warehouse):
        answered = commanded(*JSON, "sync", "--full")
    last = log_lines(answered.err)[-1]
    assert (last["event"], last["level"], last["exit_code"]) == ("failed", "ERROR", answered.code)
    assert last["error"] == "WarehouseLockedError"
    assert "is held by" in last["reason"]
    assert last["run_id"]


def test_json_log_tells_of_what_is_stale(commanded: Commanded) -> None:
    """`status --max-age` reports a stale warehouse as JSON, too."""
    answered = commanded(*JSON, "status", "--max-age", "26h")
    (line,) = log_lines(answered.err)
    assert (line["event"], line["exit_code"], answered.code) == ("failed", 8, 8)


def test_json_log_keeps_an_exception_in_a_field() -> None:
    """Class, message and traceback of an exception are in one field, with secrets masked."""
    keep_hidden("AKIAIOSFODNN7EXAMPLE")
    with pytest.raises(OSError, match="No such file") as caught:
        Path("AKIAIOSFODNN7EXAMPLE refused").read_bytes()
    error = caught.value
    record = logging.getLogger("image_history").makeRecord(
        "image_history", logging.ERROR, "", 0, "broken", (), (type(error), error, error.__traceback__)
    )
    (line,) = log_lines(JsonFormatter().format(record))
    told = line["exception"]
    assert (line["event"], told["type"]) == ("broken", "FileNotFoundError")
    assert "(hidden) refused" in told["message"]
    assert "read_bytes" in told["traceback"]
    assert "AKIA" not in told["traceback"].partition("FileNotFoundError")[2]


def test_text_stays_the_default(commanded: Commanded) -> None:
    """Without the option, an error is printed as a sentence."""
    configure("text", 0)
    assert commanded("sync", "--image", "nothing*").err.startswith("image-history: No image matches")
