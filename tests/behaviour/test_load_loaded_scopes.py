"""What is already loaded of a run that is loaded in parts, on hand-made rows.

Statements of sql/load: loaded_scopes.sql and newest_observation.sql.
"""

from __future__ import annotations

import pytest

from tests.behaviour.rows import BEGINNING, OTHER_REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

START = int(BEGINNING.timestamp() * 1000)
RUN: Row = {"run_id": "run-1"}
# The other columns of the runs table.
RECORD: Row = {
    "started_at": 90,
    "mode": "sync",
    **dict.fromkeys(
        (
            *("streams", "inserted", "updated", "unchanged", "reappeared", "deleted"),
            *("list_images_calls", "list_image_versions_calls", "describe_image_calls"),
            *("describe_image_version_calls", "list_aliases_calls"),
            *("retries", "throttles", "bytes_received"),
        ),
        0,
    ),
    **dict.fromkeys(("connector_version", "duckdb_version", "host"), "any"),
}


def test_scopes_of_the_run_are_told_with_what_was_done_in_them(rows: Rows) -> None:
    """The scopes of the run are returned with their counts; rows of streams and of other runs are not."""
    done: Row = {"inserted": 1, "updated": 2, "unchanged": 3, "reappeared": 4, "deleted": 5}
    scope: Row = {"image_name": None, "listing": "images"}
    rows.stored("coverage", {**scope, "region": OTHER_REGION})
    rows.stored("coverage", {**scope, **done}, {"deleted": 6}, {**scope, "etl_run_id": "run-2", "deleted": 7})
    account = {"account_id": "111122223333"}
    assert rows.asked("load/loaded_scopes", RUN) == [
        {**account, "region": "eu-west-1", **done},
        {**account, "region": OTHER_REGION, **dict.fromkeys(done)},
    ]


def observed(rows: Rows, *runs: Row) -> Row:
    """The newest observation in the runs table, with instants as seconds."""
    rows.stored("runs", *({**RECORD, **run} for run in runs))
    [found] = rows.asked("load/newest_observation", RUN)
    seconds = {
        name: None if found[name] is None else (found[name] - START) / 1000
        for name in ("finished_ms", "own_ms")
    }
    return {**seconds, "running": found["running"]}


def test_nothing_was_observed_where_there_is_no_run(rows: Rows) -> None:
    """In a warehouse without runs, there is no observation."""
    assert observed(rows) == {"finished_ms": None, "own_ms": None, "running": 0}


def test_newest_observation_is_of_any_run(rows: Rows) -> None:
    """The newest observation is that of any run; the run's own one is returned beside it, if a part is loaded."""
    earlier: Row = {"etl_run_id": "run-0", "finished_at": 300, "outcome": "complete"}
    later: Row = {"etl_run_id": "run-2", "finished_at": 100, "outcome": "partial"}
    assert observed(rows, earlier, later) == {"finished_ms": 300, "own_ms": None, "running": 0}
    own: Row = {"etl_run_id": "run-1", "finished_at": 200, "outcome": "running"}
    assert observed(rows, own) == {"finished_ms": 300, "own_ms": 200, "running": 0}


def test_other_runs_that_did_not_end_are_running(rows: Rows) -> None:
    """Other runs that have not ended are counted as running; the run itself is not."""
    running: Row = {"outcome": "running", "finished_at": 100}
    runs = ({**running, "etl_run_id": f"run-{number}"} for number in range(3))
    assert observed(rows, *runs) == {"finished_ms": 100, "own_ms": 100, "running": 2}
