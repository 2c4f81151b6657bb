"""A run's plan and checkpoints as Arrow tables, for the statements that load and settle it.

Pure; must not know the warehouse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from image_history.landing.plan import ScopePlan
from image_history.landing.runs import LandedRun
from image_history.listing.details import StreamDetails
from image_history.listing.pages import watermark_ms
from image_history.model import (
    Absence,
    Calls,
    Checkpoint,
    Failure,
    ListingKind,
    Outcome,
    RowCounts,
    Scope,
    Stream,
)
from image_history.schema import COVERAGE, SCHEMA_DRIFT, SCOPE_ACCOUNTS, Column, Kind, Table, arrow_schema

_DONE = ("inserted", "updated", "unchanged", "reappeared", "deleted")
# Columns of coverage that are unknown before the load.
_KNOWN_LATER = {"etl_run_id", "loaded_at", *_DONE}
_NOT_COMPARED = {
    Outcome.READ: "It was read, but not compared with the warehouse",
    Outcome.MISSING: "AWS does not know it, but this was not compared with the warehouse",
}
_LISTED = Table(
    "listed",
    "one row per stream of a run: how far it was read",
    ("account_id", "region", "image_name"),
    (
        *(column for column in COVERAGE.columns if column.name not in _KNOWN_LATER),
        Column("comparable", Kind.BOOLEAN, "Whether the reading before came to its end"),
        Column("highest_version", Kind.INTEGER, "Highest number listed", nullable=True),
        Column("starts_at", Kind.INSTANT, "Where an incremental listing starts", nullable=True),
        Column("held_back", Kind.BIGINT, "Deletions held back", nullable=True),
        Column("oldest_at", Kind.INSTANT, "CreationTime of the oldest version listed", nullable=True),
        Column(
            "missing",
            Kind.BOOLEAN,
            "Whether AWS knows no such image, which is not settled yet",
            nullable=True,
        ),
    ),
)
_DETAILED = Table(
    "detailed",
    "one row per stream of which a run asked for details",
    ("account_id", "region", "image_name"),
    tuple(
        COVERAGE.column(name)
        for name in ("account_id", "region", "image_name", "details", "detailed", "details_error")
    ),
)
_COUNTED = Table(
    "counted",
    "one row per scope: what a load did to its versions",
    ("account_id", "region"),
    tuple(COVERAGE.column(name) for name in ("account_id", "region", *_DONE)),
)
_PROOFS = Table(
    "proofs",
    "one row per range of numbers that a run proved absent",
    (),
    (
        *(COVERAGE.column(name) for name in ("account_id", "region", "image_name")),
        Column("first_version", Kind.INTEGER, "First number of the range"),
        Column("last_version", Kind.INTEGER, "Last number of the range"),
        Column("evidence", Kind.TEXT, "How it was proved"),
        Column("t0", Kind.INSTANT, "T0 of the listing that lacked them"),
        Column("proved_at", Kind.INSTANT, "By when they were gone: T1 of the answer that proved it"),
        Column(
            "created_until", Kind.INSTANT, "Newest life that it ends; null for what never was", nullable=True
        ),
    ),
)

_DRIFT = Table(
    "drift",
    "one row per unknown value or member of a run",
    (),
    tuple(SCHEMA_DRIFT.column(name) for name in ("operation", "member", "value", "occurrences")),
)

_ACCOUNTS = Table(
    "accounts",
    "one row per configured profile or role and region",
    (),
    tuple(column for column in SCOPE_ACCOUNTS.columns if column.name != "etl_run_id"),
)

Record = Mapping[str, object]


def table_of(table: Table, records: Sequence[Record]) -> pa.Table:
    """Records as Arrow in the table's types; instants are given in UTC epoch milliseconds."""
    arrays = [_array(column, [record.get(column.name) for record in records]) for column in table.columns]
    return pa.table(dict(zip((column.name for column in table.columns), arrays, strict=True)))


def _array(column: Column, values: list[Any]) -> pa.Array:
    return pa.array(values, arrow_schema(Table("", "", (), (column,))).field(0).type)


def drift_table(run: LandedRun, *, counted: bool) -> pa.Table:
    """One row per unknown value or member in the run's answers, with its count; 0 if not `counted`."""
    met: Counter[tuple[str, str, str | None]] = Counter()
    for drift in run.drift:
        met[drift.operation, drift.member, drift.value] += drift.occurrences if counted else 0
    records = [
        {"operation": operation, "member": member, "value": value, "occurrences": count}
        for (operation, member, value), count in met.items()
    ]
    return table_of(_DRIFT, records)


def unfinished(checkpoint: Checkpoint) -> str:
    """Why the stream is not finished, in a sentence."""
    return checkpoint.error_message or _unsettled(checkpoint) or "It was not read to its end."


def outcome(checkpoint: Checkpoint) -> Outcome:
    """What the run proved about the stream; PARTIAL if the stream is not finished."""
    return checkpoint.outcome if checkpoint.finished else Outcome.PARTIAL


def checkpoints(run: LandedRun) -> list[Checkpoint]:
    """Every planned stream's newest checkpoint; a stream that was never begun has an empty one."""
    return [
        run.checkpoints.get(planned.stream, Checkpoint(planned.stream, planned.request))
        for planned in run.plan.streams
    ]


def calls_by_scope(run: LandedRun) -> dict[Scope, Calls]:
    """The calls of each scope of the run: discovery and segments together."""
    return {plan.scope: plan.calls + run.costs.get(plan.scope, Calls()) for plan in run.plan.scopes}


def _key(stream: Stream) -> Record:
    scope = stream.scope
    return {"account_id": scope.account_id, "region": scope.region, "image_name": stream.image_name}


def stream_of(row: Mapping[str, str]) -> Stream:
    """The stream that a row is about."""
    return Stream(Scope(row["account_id"], row["region"]), row["image_name"])


def listed_table(
    marks: Iterable[Checkpoint], details: Mapping[Stream, StreamDetails] | None = None
) -> pa.Table:
    """One row per stream: its checkpoint, and the outcome of its details."""
    found = {} if details is None else details
    return table_of(_LISTED, [{**_listed(mark), **_detailed(found.get(mark.stream))} for mark in marks])


def detailed_table(run: LandedRun) -> pa.Table:
    """One row per stream with a lookup of details, resting or not."""
    records = [{**_key(stream), **_detailed(found)} for stream, found in run.details.streams.items()]
    return table_of(_DETAILED, records)


def _detailed(found: StreamDetails | None) -> Record:
    if found is None:
        return {}
    return {"details": found.outcome.value, "detailed": found.detailed, "details_error": found.error}


def _listed(mark: Checkpoint) -> Record:
    return {
        **_key(mark.stream),
        "listing": mark.request.kind.value,
        "outcome": outcome(mark).value,
        "pages": mark.pages,
        "rows": mark.rows,
        "readings": mark.reading,
        "phantoms": mark.phantoms,
        "t0": mark.t0_ms,
        "watermark": watermark_ms(mark),
        "error_code": mark.error_code,
        "error_message": mark.error_message or _unsettled(mark),
        "comparable": mark.t0_before_ms is not None,
        "highest_version": mark.highest_version,
        "starts_at": mark.request.since_ms,
        "held_back": mark.held_back or None,
        "oldest_at": mark.oldest_ms,
        "missing": mark.outcome is Outcome.MISSING,
    }


def _unsettled(mark: Checkpoint) -> str | None:
    """Why a listing that came to its end proves nothing yet; None for any other."""
    return (
        None
        if mark.outcome not in _NOT_COMPARED
        else f"{_NOT_COMPARED[mark.outcome]}; the next sync does that."
    )


def scopes_table(run: LandedRun) -> pa.Table:
    """One row per scope whose account is known: whether its list of images was read whole.

    A scope that could not be opened when the run was continued had its list read before.
    """
    read = [_scope_listed(plan) for plan in run.plan.scopes]
    planned = {plan.scope for plan in run.plan.scopes}
    unread = [
        _scope_unread(failure.scope, failure)
        for failure in run.plan.unreadable
        if failure.scope is not None and failure.scope not in planned
    ]
    return table_of(_LISTED, [*read, *unread])


def _scope_listed(plan: ScopePlan) -> Record:
    return {
        "account_id": plan.scope.account_id,
        "region": plan.scope.region,
        "listing": ListingKind.IMAGES.value,
        "outcome": Outcome.COMPLETE.value,
        "pages": plan.pages,
        "rows": plan.images,
        "readings": 1,
        "phantoms": 0,
        "t0": plan.t0_ms,
        "rested": plan.rested,
        "hinted": plan.hinted,
        "comparable": False,
    }


def _scope_unread(scope: Scope, failure: Failure) -> Record:
    return {
        "account_id": scope.account_id,
        "region": scope.region,
        "listing": ListingKind.IMAGES.value,
        "outcome": failure.outcome.value,
        "pages": 0,
        "rows": 0,
        "readings": 1,
        "phantoms": 0,
        "comparable": False,
        "error_code": failure.error_code,
        "error_message": failure.message,
    }


def counts_table(rows: Mapping[Scope, RowCounts]) -> pa.Table:
    """One row per scope: the row counts of the load."""
    records = [
        {
            "account_id": scope.account_id,
            "region": scope.region,
            **{name: getattr(counts, name) for name in _DONE},
        }
        for scope, counts in rows.items()
    ]
    return table_of(_COUNTED, records)


def accounts_table(run: LandedRun) -> pa.Table:
    """One row per configured profile or role and region: the account that it led to."""
    records = [
        {"access": plan.identity, "region": plan.scope.region, "account_id": plan.scope.account_id}
        for plan in run.plan.scopes
        if plan.identity is not None
    ]
    return table_of(_ACCOUNTS, records)


def proofs_table(run: LandedRun) -> pa.Table:
    """One row per proved absence, from listings that the run accepted."""
    settled = {mark.stream for mark in checkpoints(run) if mark.outcome in {Outcome.COMPLETE, Outcome.GONE}}
    return table_of(_PROOFS, [_proof(absence) for absence in run.absences if absence.stream in settled])


def _proof(absence: Absence) -> Record:
    return {
        **_key(absence.stream),
        "first_version": absence.first,
        "last_version": absence.last,
        "evidence": absence.evidence.value,
        "t0": absence.t0_ms,
        "proved_at": absence.t1_ms,
        "created_until": absence.created_until_ms,
    }
