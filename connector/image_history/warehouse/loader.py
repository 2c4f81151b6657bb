"""Loads one landed run: rows, events, deletions, streams, coverage and the run's record in one transaction.

Runs the statements of sql/load in their order; must not know AWS, threads, or the command line.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from image_history.errors import LoadError
from image_history.hints.heard import Heard
from image_history.hints.resting import Confirmations
from image_history.landing.plan import Load
from image_history.landing.runs import LandedRun, part_of
from image_history.landing.share import EVERYTHING, Share
from image_history.model import (
    Calls,
    Checkpoint,
    Drift,
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
from image_history.schema import RUNS
from image_history.version import __version__
from image_history.warehouse.confirmed import confirmations
from image_history.warehouse.detailed import (
    land_listed,
    land_proofs,
    land_versions,
    unread_details,
    write_versions,
)
from image_history.warehouse.identity import newest_load, rests_on_this
from image_history.warehouse.records import (
    accounts_table,
    calls_by_scope,
    checkpoints,
    counts_table,
    detailed_table,
    drift_table,
    outcome,
    scopes_table,
    stream_of,
    table_of,
    unfinished,
)
from image_history.warehouse.statements import names
from image_history.warehouse.warehouse import DUCKDB_VERSION, Connection, now_ms

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

# The outcomes of listings that were read to their end, settled or not.
_PROVED = frozenset({Outcome.READ, Outcome.COMPLETE, Outcome.GONE})
_NOT_A_FAILURE = frozenset({Outcome.COMPLETE, Outcome.GONE})

# The outcome in the table runs of a run that is loaded in parts and goes on.
RUNNING = "running"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One run as it was loaded: its row counts by scope, the deletions that the breaker holds back, and the time.

    `drift` is the drift that no earlier run had; `observed_ms` is UTC epoch milliseconds. `founded` says that the
    warehouse contained the state that the run was planned on.
    """

    run: LandedRun
    rows: Mapping[Scope, RowCounts]
    held_back: Mapping[Scope, int]
    drift: tuple[Drift, ...]
    observed_ms: int
    founded: bool = True

    @property
    def loaded_ms(self) -> int:
        """When it was loaded, as in the table runs; UTC epoch milliseconds."""
        return self.observed_ms + 1


@dataclass(frozen=True, slots=True)
class _Before:
    """What the warehouse held of a run before this load: its scopes, and when its last part was loaded.

    `running` counts other runs that are loaded in parts and go on; `observed_ms` is the instant of this load.
    Instants in UTC epoch milliseconds.
    """

    observed_ms: int
    own_ms: int | None
    rows: Mapping[Scope, RowCounts]
    running: int


def loaded_runs(connection: Connection, run_ids: Iterable[str]) -> frozenset[str]:
    """Which of these runs are loaded completely."""
    found = connection.table("load/is_loaded", {"run_ids": list(run_ids)}).to_pylist()
    return frozenset(row["etl_run_id"] for row in found if row["is_whole"])


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What planning needs: every stream, and the account that each profile or role and region led to.

    `newest` is the newest load; None for an empty warehouse. `confirmed` decides which images may rest; with None
    no image may. `heard` are the scopes whose hints are heard without a gap.
    """

    streams: Mapping[Stream, StreamKnowledge] = field(default_factory=dict)
    accounts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    newest: Load | None = None
    confirmed: Confirmations | None = None
    heard: tuple[Heard, ...] = ()


def known(
    connection: Connection,
    *,
    confirmed: bool = False,
    image_times: bool = False,
    streams: pa.Table | None = None,
) -> Knowledge:
    """What planning needs of the warehouse; with `confirmed` and `image_times`, what allows images to rest too.

    `streams` are the rows of sql/load/known_streams.sql, if the caller has read them already. `heard` is left empty:
    only the landing knows it, see `still_heard`.
    """
    accounts = connection.table("load/known_accounts").to_pylist()
    return Knowledge(
        streams=known_streams(connection.table("load/known_streams") if streams is None else streams),
        accounts={(row["access"], row["region"]): row["account_id"] for row in accounts},
        newest=newest_load(connection),
        confirmed=confirmations(connection, image_times=image_times) if confirmed else None,
    )


def known_streams(rows: pa.Table) -> dict[Stream, StreamKnowledge]:
    """The rows of sql/load/known_streams.sql as values."""
    return {
        Stream(Scope(row["account_id"], row["region"]), row["image_name"]): StreamKnowledge(
            live_versions=row["live_versions"],
            watermark_ms=row["watermark_ms"],
            last_full_at_ms=row["last_full_at_ms"],
            highest_version=row["highest_version"],
            first_version_seen=row["first_version_seen"],
            image_live=row["image_live"],
            image_created_ms=row["image_created_ms"],
            held_back=row["held_back"],
        )
        for row in rows.to_pylist()
    }


def load_run(connection: Connection, run: LandedRun, share: Share = EVERYTHING) -> Loaded:
    """Load a share of the run, by default everything that is not loaded yet, whether it was read to its end or not.

    One transaction: after an exception (LoadError) nothing of it is stored. Streams that were not settled are covered
    as `partial`, keep their watermark, and have nothing deleted. The same holds for all streams of a run that was
    planned on a state which this warehouse lacks, as after it was replaced by a backup: the rows are valid, the
    proofs are void.
    """
    return connection.with_memory_enough(lambda: _loaded(connection, run, share))


def _loaded(connection: Connection, landed: LandedRun, share: Share) -> Loaded:
    run_id = landed.plan.run_id
    with connection.transaction():
        before = _before(connection, run_id)
        if before.running:
            connection.run("load/interrupt_runs", {"run_ids": [run_id, *share.going_on]})
        founded = rests_on_this(connection, landed.plan)
        whole = _as_loaded(connection, landed if founded else _voided(landed), before)
        wanted = whole.scopes if share.ends else share.scopes
        if wanted.difference(before.rows) or not (wanted or before.rows):
            whole = _new_scopes(connection, whole, wanted, before)
        if before.rows and (files := share.details_of(landed, before.own_ms)):
            _late_details(connection, whole, files, before)
        held_back = _held_back(connection, whole) if share.ends else {}
        record = _Record(connection, whole, before)
        drift = record.drift(ends=share.ends)
        rows = record.write(run_outcome(whole, held_back).value if share.ends else RUNNING)
    return Loaded(whole, rows, held_back, drift, before.observed_ms, founded)


def _before(connection: Connection, run_id: str) -> _Before:
    """What is loaded already. `observed_ms` is after every earlier load, so that known_at never changes."""
    found = connection.table("load/newest_observation", {"run_id": run_id}).to_pylist()[0]
    newest = found["finished_ms"]
    observed_ms = now_ms() if newest is None else max(now_ms(), int(newest) + 1)
    own_ms = found["own_ms"]
    rows = {} if own_ms is None else loaded_scopes(connection, run_id)
    return _Before(observed_ms, own_ms, rows, found["running"])


def loaded_scopes(connection: Connection, run_id: str) -> dict[Scope, RowCounts]:
    """The scopes of a run that are loaded already, with their row counts."""
    return {
        Scope(row["account_id"], row["region"]): RowCounts(
            row["inserted"] or 0,
            row["updated"] or 0,
            row["unchanged"] or 0,
            row["reappeared"] or 0,
            row["deleted"],
        )
        for row in connection.table("load/loaded_scopes", {"run_id": run_id}).to_pylist()
    }


def _as_loaded(connection: Connection, run: LandedRun, before: _Before) -> LandedRun:
    """The run; listings whose proofs were void in an earlier part are void here too."""
    if not before.rows:
        return run
    found = connection.table("reports/incomplete_coverage", {"run_id": run.plan.run_id}).to_pylist()
    incomplete = {stream_of(row): row for row in found if row["image_name"] is not None}
    void = {
        stream: replace(
            mark,
            outcome=Outcome.PARTIAL,
            error_code=incomplete[stream]["error_code"],
            error_message=incomplete[stream]["error_message"],
        )
        for stream, mark in run.checkpoints.items()
        if mark.outcome in _PROVED and stream in incomplete
    }
    return replace(run, checkpoints={**run.checkpoints, **void}) if void else run


def _new_scopes(
    connection: Connection, run: LandedRun, wanted: frozenset[Scope], before: _Before
) -> LandedRun:
    """Load the scopes that the warehouse lacks.

    Returns the run; listings whose proofs don't fit this warehouse are void in it.
    """
    new = wanted.difference(before.rows)
    part = _prepared(connection, run if new == run.scopes else part_of(run, new))
    load = _Load(connection, part, before.observed_ms)
    load.versions()
    load.images()
    load.deletions()
    rows = load.counts()
    load.streams()
    load.cover(rows)
    load.check()
    return replace(run, checkpoints={**run.checkpoints, **part.checkpoints})


def _late_details(connection: Connection, run: LandedRun, files: tuple[Path, ...], before: _Before) -> None:
    """Load the details of scopes that are loaded already. May be repeated, since a kill may come after it."""
    part = part_of(run, before.rows.keys())
    detailed = part.details.streams.keys()
    part = replace(
        part,
        plan=replace(part.plan, streams=tuple(each for each in part.plan.streams if each.stream in detailed)),
        segments=(),
        holds=(),
        absences=(),
        details=replace(part.details, files=files),
    )
    _offered(connection, part)
    load = _Load(connection, part, before.observed_ms)
    load.versions()
    load.no_deletions()
    load.cover_details(load.counts())
    load.check()


def _held_back(connection: Connection, run: LandedRun) -> dict[Scope, int]:
    """The number of deletions by scope that the breaker holds back in the run's streams, also since earlier runs."""
    planned = {each.stream for each in run.plan.streams}
    found: Counter[Scope] = Counter()
    for row in connection.table("load/held_back").to_pylist():
        if stream_of(row) in planned:
            found[stream_of(row).scope] += row["held_back"]
    return dict(found)


def _voided(run: LandedRun) -> LandedRun:
    logger.warning("run_void", extra={"run_id": run.plan.run_id, "base_run": run.plan.base_run})
    proved = {stream: _void(mark) for stream, mark in run.checkpoints.items() if mark.outcome in _PROVED}
    return replace(run, checkpoints={**run.checkpoints, **proved}, absences=())


def _offered(connection: Connection, run: LandedRun) -> None:
    """Make the run's scopes, listings and rows readable for the statements of the load."""
    connection.offer("scopes_arrow", scopes_table(run))
    land_listed(connection, run, checkpoints(run))
    connection.run("load/read_since", {"run_id": run.plan.run_id})
    connection.run("load/outrun")
    land_versions(connection, run)


def _prepared(connection: Connection, run: LandedRun) -> LandedRun:
    """Offer the run, and return it without the proofs that don't fit this warehouse."""
    _offered(connection, run)
    void = {mark.stream: mark for mark in (*_unsettled(connection, run), *_unfounded_here(connection, run))}
    if not void:
        return run
    fitting = replace(run, checkpoints={**run.checkpoints, **void})
    land_listed(connection, fitting, checkpoints(fitting))
    return fitting


def _unfounded_here(connection: Connection, run: LandedRun) -> Iterable[Checkpoint]:
    unfounded = {stream_of(row) for row in connection.table("load/unfounded").to_pylist()}
    for mark in run.checkpoints.values():
        if mark.stream in unfounded and mark.outcome is Outcome.COMPLETE:
            yield _void(mark)


def _unsettled(connection: Connection, run: LandedRun) -> Iterable[Checkpoint]:
    """The listings that lack versions which another run stored after this run was compared with the warehouse.

    There are none if nothing was loaded since the run was planned.
    """
    newest = newest_load(connection, besides=run.plan.run_id)
    if newest is not None and newest == Load(run.plan.base_run or "", run.plan.base_loaded_ms or 0):
        return
    if newest is None and run.plan.base_run is None:
        return
    land_proofs(connection, run)
    for row in connection.table("load/unsettled").to_pylist():
        yield replace(
            run.checkpoints[stream_of(row)],
            outcome=Outcome.PARTIAL,
            error_code="UnsettledListing",
            error_message=f"{stream_of(row)} lacks versions that another run stored after it was settled: its rows "
            "are kept, its watermark stays, nothing of it is deleted, and the next sync reads it again.",
        )


def _void(mark: Checkpoint) -> Checkpoint:
    return replace(
        mark,
        outcome=Outcome.PARTIAL,
        error_code="UnfoundedListing",
        error_message=f"{mark.stream} was listed by a plan for another state of this warehouse: its rows are "
        "kept, its watermark stays, and the next sync lists it from there.",
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """The steps of one load, inside its transaction. A statement that would change nothing is left out.

    Deletions are observed a millisecond after everything else: a version that was listed when the run began, and
    gone when it ended, gets both events in order.
    """

    connection: Connection
    run: LandedRun
    observed_ms: int

    @property
    def finished_ms(self) -> int:
        return self.observed_ms + 1

    def _stamp(self, milliseconds: int) -> dict[str, object]:
        return {"run_id": self.run.plan.run_id, "observed_at": _iso(milliseconds)}

    def versions(self) -> None:
        changed = self.connection.count("load/changed")
        if changed or self.run.details.files:
            write_versions(self.connection, self.run, self._stamp(self.observed_ms))

    def deletions(self) -> None:
        stamp = self._stamp(self.finished_ms)
        proved = land_proofs(self.connection, self.run)
        self.connection.run("load/deleted")
        if not proved:
            return
        self.connection.run("load/insert_deletions", stamp)
        self.connection.run("load/mark_deleted", stamp)
        self.connection.run("load/mark_deleted_images", stamp)
        self.connection.run("load/insert_absent_versions", {"run_id": self.run.plan.run_id})

    def images(self) -> None:
        images = {"images": [str(path) for path in self.run.images]}
        if self.connection.count("load/changed_images", images):
            self.connection.run("load/delete_changed_images")
            self.connection.run("load/insert_changed_images", self._stamp(self.observed_ms))

    def streams(self) -> None:
        self._touched()
        if self.connection.count("load/streams_after"):
            self.connection.run("load/delete_streams")
            self.connection.run("load/insert_streams", {"run_id": self.run.plan.run_id})

    def counts(self) -> dict[Scope, RowCounts]:
        evaluated = _evaluated(self.run)
        counted = {
            Scope(row["account_id"], row["region"]): RowCounts(
                row["inserted"], row["updated"], row["unchanged"], row["reappeared"], row["deleted"]
            )
            for row in self.connection.table("load/counts").to_pylist()
        }
        return {
            scope: rows if scope in evaluated or rows.deleted else replace(rows, deleted=None)
            for scope, rows in {**dict.fromkeys(evaluated, RowCounts(deleted=0)), **counted}.items()
        }

    def cover(self, rows: Mapping[Scope, RowCounts]) -> None:
        """Write the coverage: what the run proved about each scope, and the row counts of the load."""
        run_id = self.run.plan.run_id
        self.connection.offer("accounts_arrow", accounts_table(self.run))
        if self.run.plan.accept_account:
            self.connection.run("load/delete_accounts")
        self.connection.run("load/insert_accounts", {"run_id": run_id})
        self._make_stream_coverage()
        read = {plan.scope: rows.get(plan.scope, RowCounts()) for plan in self.run.plan.scopes}
        self.connection.offer("counted_arrow", counts_table(read))
        parameters = {
            "run_id": run_id,
            "narrowed": self.run.plan.narrowed,
            "loaded_at": _iso(self.finished_ms),
        }
        self.connection.run("load/insert_coverage", parameters)

    def _make_stream_coverage(self) -> None:
        self.connection.run("load/covered_before")
        self.connection.offer("detailed_arrow", detailed_table(self.run))
        self.connection.run("load/stream_coverage", {"images": [str(path) for path in self.run.images]})

    def _touched(self) -> None:
        self.connection.run("load/touched")
        self.connection.run("load/touched_bounds")

    def no_deletions(self) -> None:
        """Prepare a load without deletions: only versions in `changed` are touched."""
        land_proofs(self.connection, self.run)
        self.connection.run("load/deleted")
        self._touched()

    def cover_details(self, rows: Mapping[Scope, RowCounts]) -> None:
        """Add the results of details to the coverage and row counts of scopes that are loaded already."""
        run_id = {"run_id": self.run.plan.run_id}
        self._make_stream_coverage()
        self.connection.run("load/update_detailed_coverage", run_id)
        self.connection.run("load/insert_detailed_coverage", run_id)
        self.connection.offer("counted_arrow", counts_table(rows))
        self.connection.run("load/add_counts", run_id)

    def check(self) -> None:
        """Run every check of sql/checks on the touched rows. LoadError if one returns a row."""
        for name in names("checks"):
            wrong = self.connection.table(name)
            if wrong.num_rows:
                raise LoadError(
                    f"The check {name} found {wrong.num_rows} contradictions, the first: "
                    f"{wrong.slice(0, 1).to_pylist()[0]}. The load was rolled back and its rows stay in the "
                    "landing folder. Please report this.",
                    check=name,
                )


@dataclass(frozen=True, slots=True)
class _Record:
    """Writes the run's record in the table runs, and its schema drift."""

    connection: Connection
    run: LandedRun
    before: _Before

    def drift(self, *, ends: bool) -> tuple[Drift, ...]:
        """Write the run's schema drift. When the run ends, count the occurrences and return the new drift."""
        if not self.run.drift:
            return ()
        stamp = {"run_id": self.run.plan.run_id, "observed_at": _iso(self.before.observed_ms)}
        self.connection.offer("drift_arrow", drift_table(self.run, counted=ends))
        self.connection.run("load/drifted", stamp)
        self.connection.run("load/delete_drifted")
        self.connection.run("load/insert_drifted")
        found = self.connection.table("load/new_drift").to_pylist() if ends else []
        return tuple(Drift(**row) for row in found)

    def write(self, ending: str) -> Mapping[Scope, RowCounts]:
        """Replace the run's record of the previous part; returns the row counts of each scope so far."""
        run_id = self.run.plan.run_id
        rows = loaded_scopes(self.connection, run_id)
        if self.before.own_ms is not None:
            self.connection.run("load/delete_run", {"run_id": run_id})
        record = _run_record(self.run, rows, ending, finished_ms=self.before.observed_ms + 1)
        self.connection.offer("run_arrow", table_of(RUNS, [record]))
        self.connection.run("load/insert_run")
        return rows


def _iso(milliseconds: int) -> str:
    return _instant(milliseconds).isoformat(timespec="milliseconds")


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def _evaluated(run: LandedRun) -> frozenset[Scope]:
    """The scopes in which at least one listing could prove deletions."""
    return frozenset(
        mark.stream.scope
        for mark in checkpoints(run)
        if mark.outcome is Outcome.GONE
        or (mark.outcome is Outcome.COMPLETE and mark.request.kind is ListingKind.FULL)
    )


def run_outcome(run: LandedRun, held_back: Mapping[Scope, int]) -> Outcome:
    """HELD_BACK if deletions are held back, COMPLETE if every scope and stream was read whole, else PARTIAL."""
    if held_back:
        return Outcome.HELD_BACK
    whole = not run.plan.unreadable and all(mark.outcome in _NOT_A_FAILURE for mark in checkpoints(run))
    return Outcome.COMPLETE if whole and not unread_details(run) else Outcome.PARTIAL


def _run_record(
    run: LandedRun, rows: Mapping[Scope, RowCounts], ending: str, *, finished_ms: int
) -> dict[str, object]:
    counts = sum(rows.values(), start=RowCounts())
    calls = sum(calls_by_scope(run).values(), start=Calls())
    return {
        "etl_run_id": run.plan.run_id,
        "started_at": run.plan.started_at_ms,
        "finished_at": finished_ms,
        "outcome": ending,
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
        "describe_image_version_calls": calls.of("DescribeImageVersion"),
        "list_aliases_calls": calls.of("ListAliases"),
        "retries": calls.retries,
        "throttles": calls.throttles,
        "bytes_received": calls.bytes,
        "connector_version": __version__,
        "duckdb_version": DUCKDB_VERSION,
        "host": socket.gethostname(),
    }


def report(loaded: Loaded, *, duration_seconds: float, lock_seconds: float, resumed: bool) -> RunReport:
    """What a loaded run did, for people and for programs."""
    plan = loaded.run.plan
    return RunReport(
        run_id=plan.run_id,
        started_at=_instant(plan.started_at_ms),
        finished_at=_instant(loaded.observed_ms + 1),
        outcome=run_outcome(loaded.run, loaded.held_back),
        mode=plan.mode.value,
        scopes=_scope_reports(loaded),
        duration_seconds=duration_seconds,
        lock_seconds=lock_seconds,
        resumed=resumed,
        unreadable_scopes=plan.unreadable,
        drift=loaded.drift,
    )


def _scope_reports(loaded: Loaded) -> tuple[ScopeReport, ...]:
    unread = unread_details(loaded.run)
    calls = calls_by_scope(loaded.run)
    plans = {plan.scope: plan for plan in loaded.run.plan.scopes}
    by_scope: dict[Scope, list[Checkpoint]] = {scope: [] for scope in calls}
    for mark in checkpoints(loaded.run):
        by_scope[mark.stream.scope].append(mark)
    return tuple(
        ScopeReport(
            scope=scope,
            streams=len(marks),
            calls=calls[scope],
            rows=loaded.rows.get(scope, RowCounts()),
            failures=(
                *(_failure(mark) for mark in marks if outcome(mark) not in _NOT_A_FAILURE),
                *(each for each in unread if each.scope == scope),
            ),
            held_back=loaded.held_back.get(scope, 0),
            rested=plans[scope].rested,
            hinted=plans[scope].hinted,
        )
        for scope, marks in by_scope.items()
    )


def _failure(mark: Checkpoint) -> Failure:
    return Failure(
        where=str(mark.stream),
        scope=mark.stream.scope,
        image_name=mark.stream.image_name,
        outcome=outcome(mark),
        error_code=mark.error_code or "Unfinished",
        message=unfinished(mark),
    )
