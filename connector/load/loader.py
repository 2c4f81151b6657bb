"""Loads one landed run: rows, events, streams, coverage and the run's record in one transaction.

Wires the statements of sql/load in their order; must not know AWS, threads, or the command line.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from connector import __version__
from connector.errors import LoadError
from connector.acceptance import watermark_ms
from connector.landing import LandedRun, ScopePlan
from connector.load.warehouse import DUCKDB_VERSION, Connection, now_ms
from connector.model import (
    Calls,
    Checkpoint,
    Failure,
    ListingKind,
    Outcome,
    RowCounts,
    RunReport,
    Scope,
    ScopeReport,
    Stream,
    StreamKnowledge,
)
from connector.schema import COVERAGE, RUNS, Column, Kind, Table, arrow_schema
from connector.statements import names
from connector.transform import VERSIONS_SCHEMA

_NOT_A_FAILURE = frozenset({Outcome.COMPLETE, Outcome.GONE})


@dataclass(frozen=True, slots=True)
class Loaded:
    """One run as it was loaded: its rows scope by scope, and when (UTC epoch milliseconds)."""

    run: LandedRun
    rows: Mapping[Scope, RowCounts]
    observed_ms: int


def loaded_runs(connection: Connection, run_ids: Iterable[str]) -> frozenset[str]:
    """Which of these runs the warehouse holds already."""
    found = connection.table("load/is_loaded", {"run_ids": list(run_ids)})
    return frozenset(found["etl_run_id"].to_pylist())


def known_streams(connection: Connection) -> dict[Stream, StreamKnowledge]:
    """What the warehouse knows of every stream."""
    return knowledge(connection.table("load/known_streams"))


def knowledge(rows: pa.Table) -> dict[Stream, StreamKnowledge]:
    """The rows of sql/load/known_streams.sql as values."""
    return {
        Stream(Scope(row["account_id"], row["region"]), row["image_name"]): StreamKnowledge(
            live_versions=row["live_versions"],
            watermark_ms=row["watermark_ms"],
            last_full_at_ms=row["last_full_at_ms"],
            highest_version=row["highest_version"],
            first_version_seen=row["first_version_seen"],
        )
        for row in rows.to_pylist()
    }


def load_run(connection: Connection, run: LandedRun) -> Loaded:
    """Load everything that the run landed, whether it was read to its end or not.

    One transaction: after an exception (LoadError) nothing of the run is stored. Streams without a finished
    checkpoint are covered as `partial` and keep their watermark.
    """
    with connection.transaction():
        observed_ms = _observed_ms(connection)
        stamp = {"run_id": run.plan.run_id, "observed_at": _iso(observed_ms)}
        _merge_versions(connection, run, stamp)
        _merge_images(connection, run, stamp)
        rows = _counts(connection)
        _merge_streams(connection, stamp)
        connection.offer("covered_arrow", _covered(run))
        connection.run("load/insert_coverage", {"run_id": run.plan.run_id})
        connection.offer("run_arrow", _run_record(run, rows, observed_ms))
        connection.run("load/insert_run")
        _check(connection)
    return Loaded(run, rows, observed_ms)


def _observed_ms(connection: Connection) -> int:
    """Now, but later than every earlier load: what was known at an instant never changes afterwards."""
    newest = connection.table("load/newest_observation")["finished_ms"][0].as_py()
    return now_ms() if newest is None else max(now_ms(), int(newest) + 1)


def _merge_versions(connection: Connection, run: LandedRun, stamp: Mapping[str, object]) -> None:
    connection.offer("listed_arrow", _listed(run))
    connection.run("load/listed")
    if run.segments:
        connection.run("load/landed", {"segments": [str(path) for path in run.segments]})
    else:
        connection.offer("landed_arrow", VERSIONS_SCHEMA.empty_table())
        connection.run("load/nothing_landed")
    for name in ("changed", "touched"):
        connection.run(f"load/{name}")
    connection.run("load/insert_events", stamp)
    connection.run("load/delete_changed_versions")
    connection.run("load/insert_changed_versions", stamp)


def _merge_images(connection: Connection, run: LandedRun, stamp: Mapping[str, object]) -> None:
    connection.run("load/changed_images", {"images": str(run.images)})
    connection.run("load/delete_changed_images")
    connection.run("load/insert_changed_images", stamp)


def _merge_streams(connection: Connection, stamp: Mapping[str, object]) -> None:
    connection.run("load/streams_after")
    connection.run("load/delete_streams")
    connection.run("load/insert_streams", {"run_id": stamp["run_id"]})


def _check(connection: Connection) -> None:
    """Run every check of sql/checks on what was touched; a row that one returns undoes the load."""
    for name in names("checks"):
        wrong = connection.table(name)
        if wrong.num_rows:
            raise LoadError(
                f"The check {name} found {wrong.num_rows} contradictions, the first: {wrong.slice(0, 1).to_pylist()[0]}. "
                "The load was rolled back and its rows stay in the landing folder. Please report this.",
                check=name,
            )


def _counts(connection: Connection) -> dict[Scope, RowCounts]:
    return {
        Scope(row["account_id"], row["region"]): RowCounts(
            row["inserted"], row["updated"], row["unchanged"], row["reappeared"]
        )
        for row in connection.table("load/counts").to_pylist()
    }


def _iso(milliseconds: int) -> str:
    return _instant(milliseconds).isoformat(timespec="milliseconds")


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _outcome(checkpoint: Checkpoint) -> Outcome:
    return checkpoint.outcome if checkpoint.finished else Outcome.PARTIAL


def _key(stream: Stream) -> dict[str, object]:
    scope = stream.scope
    return {"account_id": scope.account_id, "region": scope.region, "image_name": stream.image_name}


def _proved(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        **_key(checkpoint.stream),
        "listing": checkpoint.request.kind.value,
        "outcome": _outcome(checkpoint).value,
        "pages": checkpoint.pages,
        "rows": checkpoint.rows,
        "t0": checkpoint.t0_ms,
        "watermark": watermark_ms(checkpoint),
        "error_code": checkpoint.error_code,
        "error_message": checkpoint.error_message,
    }


def _checkpoints(run: LandedRun) -> list[Checkpoint]:
    """Every planned stream's newest checkpoint; a stream that was never begun has an empty one."""
    return [
        run.checkpoints.get(planned.stream, Checkpoint(planned.stream, planned.request))
        for planned in run.plan.streams
    ]


def _listed(run: LandedRun) -> pa.Table:
    return _table(COVERAGE, [_proved(checkpoint) for checkpoint in _checkpoints(run)])


def _covered(run: LandedRun) -> pa.Table:
    scopes = [_scope_covered(plan) for plan in run.plan.scopes]
    return _table(COVERAGE, [*scopes, *(_proved(checkpoint) for checkpoint in _checkpoints(run))])


def _scope_covered(plan: ScopePlan) -> dict[str, object]:
    return {
        "account_id": plan.scope.account_id,
        "region": plan.scope.region,
        "listing": ListingKind.IMAGES.value,
        "outcome": Outcome.COMPLETE.value,
        "pages": plan.pages,
        "rows": plan.images,
        "t0": plan.t0_ms,
    }


def _table(table: Table, records: list[dict[str, object]]) -> pa.Table:
    """Records as Arrow, instants given in milliseconds; the run id, which statements add, is left out."""
    columns = [column for column in table.columns if column.name != "etl_run_id"]
    arrays = [_array(column, [record.get(column.name) for record in records]) for column in columns]
    return pa.table(dict(zip((column.name for column in columns), arrays, strict=True)))


def _array(column: Column, values: list[object]) -> pa.Array:
    kind = arrow_schema(Table("", "", (), (column,))).field(0).type
    return pa.array(values, pa.int64()).cast(kind) if column.kind is Kind.INSTANT else pa.array(values, kind)


def run_calls(run: LandedRun) -> dict[Scope, Calls]:
    """What each scope of the run cost: discovery and segments together."""
    return {
        plan.scope: plan.calls + run.costs.get(plan.scope, Calls())
        for plan in run.plan.scopes
    }


def run_outcome(run: LandedRun) -> Outcome:
    """COMPLETE if every scope and every stream was read whole, else PARTIAL."""
    whole = not run.plan.unreadable and all(
        checkpoint.outcome in _NOT_A_FAILURE for checkpoint in _checkpoints(run)
    )
    return Outcome.COMPLETE if whole else Outcome.PARTIAL


def _run_record(run: LandedRun, rows: Mapping[Scope, RowCounts], observed_ms: int) -> pa.Table:
    counts = sum(rows.values(), start=RowCounts())
    calls = sum(run_calls(run).values(), start=Calls())
    record = {
        "started_at": run.plan.started_at_ms,
        "finished_at": observed_ms,
        "outcome": run_outcome(run).value,
        "mode": run.plan.mode.value,
        "streams": len(run.plan.streams),
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "reappeared": counts.reappeared,
        "deleted": counts.deleted,
        "list_images_calls": calls.of("ListImages"),
        "list_image_versions_calls": calls.of("ListImageVersions"),
        "describe_image_calls": calls.of("DescribeImage"),
        "retries": calls.retries,
        "throttles": calls.throttles,
        "bytes_received": calls.bytes,
        "connector_version": __version__,
        "duckdb_version": DUCKDB_VERSION,
        "host": socket.gethostname(),
    }
    return _table(RUNS, [record]).append_column("etl_run_id", pa.array([run.plan.run_id]))


def report(loaded: Loaded, *, duration_seconds: float, lock_seconds: float, resumed: bool) -> RunReport:
    """What a loaded run did, for people and for programs."""
    run = loaded.run
    calls = run_calls(run)
    failures = [_failure(checkpoint) for checkpoint in _checkpoints(run) if _outcome(checkpoint) not in _NOT_A_FAILURE]
    scopes = tuple(
        ScopeReport(
            scope=plan.scope,
            streams=sum(planned.stream.scope == plan.scope for planned in run.plan.streams),
            calls=calls[plan.scope],
            rows=loaded.rows.get(plan.scope, RowCounts()),
            failures=tuple(failure for failure in failures if failure.scope_name == str(plan.scope)),
        )
        for plan in run.plan.scopes
    )
    return RunReport(
        run_id=run.plan.run_id,
        started_at=_instant(run.plan.started_at_ms),
        finished_at=_instant(loaded.observed_ms),
        outcome=run_outcome(run),
        mode=run.plan.mode.value,
        scopes=scopes,
        duration_seconds=duration_seconds,
        lock_seconds=lock_seconds,
        resumed=resumed,
        unreadable_scopes=run.plan.unreadable,
    )


def _failure(checkpoint: Checkpoint) -> Failure:
    return Failure(
        scope_name=str(checkpoint.stream.scope),
        image_name=checkpoint.stream.image_name,
        outcome=_outcome(checkpoint),
        error_code=checkpoint.error_code or "Unfinished",
        message=checkpoint.error_message or "It was not read to its end.",
    )
