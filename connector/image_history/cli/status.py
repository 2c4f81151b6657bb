"""`image-history status`: how fresh each scope is, what was not read, and what waits to be loaded.

Must not know how freshness is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from image_history.cli import Globals, Verb, complain, moments
from image_history.cli.moments import shown, shown_age, shown_minute
from image_history.cli.parts import nothing_of, part_option
from image_history.cli.showing import (
    Sheet,
    deliver,
    deliver_object,
    format_option,
    opened,
    say,
    show,
)
from image_history.counting import counted
from image_history.errors import ConfigError, LandingError, WarehouseError
from image_history.run.parts import WHOLE, Part

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.checking.freshness import ScopeState, StreamState
    from image_history.config import Config
    from image_history.landing.runs import LandedRun
    from image_history.model import Scope
    from image_history.warehouse.reports import Reports

_STALE = 8
_SHOWN_INCOMPLETE = 10
# A monitoring system gives up a check after some seconds, Nagios after 10.
_LONGEST_WAIT_OF_A_PROBE = timedelta(seconds=5)
# A running sync renames and removes files while they are read, so a failed read is repeated.
_LOOKS = 3
_HEADER = ("scope", "read up to (UTC)", "age", "images", "versions", "unread")


@dataclass(frozen=True, slots=True)
class Waiting:
    """The runs in the landing that the warehouse lacks; `problem` says why they cannot be listed."""

    runs: tuple[LandedRun, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that is shown. `now` is the local clock, aware; with `max_age` None, no scope is stale.

    `unplaced` are configured scopes for which it is not known whether they belong to the requested part.
    """

    scopes: tuple[ScopeState, ...]
    waiting: Waiting
    now: datetime
    max_age: timedelta | None
    unplaced: tuple[str, ...] = ()
    details: PendingDetails | None = None

    @property
    def stale(self) -> tuple[ScopeState, ...]:
        """The scopes that are older than `max_age`."""
        if self.max_age is None:
            return ()
        return tuple(scope for scope in self.scopes if scope.is_stale(self.now, self.max_age))


@dataclass(frozen=True, slots=True)
class PendingDetails:
    """How many calls for details are pending in each scope, and how many a sync may make; None: all."""

    calls: Mapping[Scope, int]
    budget: int | None


def _max_age(_: click.Context, __: click.Parameter, text: str | None) -> timedelta | None:
    from image_history.config import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(error.message) from error


@click.command("status", cls=Verb)
@click.option(
    "--max-age", callback=_max_age, metavar="DURATION", help="Exit with 8 if a scope is older, as in 26h."
)
@part_option
@format_option
@click.pass_obj
def command(shared: Globals, /, *, max_age: timedelta | None, part: Part, how: str) -> int:
    """Show how fresh the warehouse is, scope by scope.

    Every image of a scope, and its list of images, was last read whole at some time, by AWS's clock. The scope
    is read up to the earliest of these times. Unread counts those that the last run could not read whole.

    Images that the configuration excludes don't count. A scope that it no longer names is shown, and never
    makes the exit code 8; a configured scope that never was synced does. With --part, scopes of other parts are
    left out. With --max-age, status waits at most 5 seconds for a warehouse that another program has open; then
    the exit code is 5.
    """
    config = shared.config()
    longest = config.lock_wait if max_age is None else min(config.lock_wait, _LONGEST_WAIT_OF_A_PROBE)
    try:
        with opened(shared, wait=longest) as reports:
            status = _status(reports, config, max_age, part)
    except WarehouseError:
        if max_age is None or config.warehouse.exists():
            raise
        return complain(f"stale: nothing was ever synced, there is no warehouse {config.warehouse}.", _STALE)
    if how == "table" and part != WHOLE and not (status.scopes or status.unplaced):
        say(nothing_of(part))
    else:
        _print(status, how)
    if status.stale:
        return complain(f"stale: {'; '.join(_why_stale(scope, status) for scope in status.stale)}.", _STALE)
    return 0


def _status(reports: Reports, config: Config, max_age: timedelta | None, part: Part) -> Status:
    from image_history.checking.freshness import configured, freshness, in_part

    accounts = reports.connection.table("load/known_accounts").to_pylist()
    led_to = {(row["access"], row["region"]): row["account_id"] for row in accounts}
    scopes = freshness(_streams(reports), configured(config, led_to), led_to)
    placed = {scope: in_part(scope, part) for scope in scopes}
    mine = tuple(scope for scope, here in placed.items() if here)
    unplaced = tuple(scope.name for scope, here in placed.items() if here is None)
    return Status(
        mine, _waiting(reports, config), moments.now(), max_age, unplaced, _details(reports, config, scopes)
    )


def _streams(reports: Reports) -> Iterable[StreamState]:
    from image_history.checking.freshness import stream_state

    return map(stream_state, reports.table("stream_freshness").to_pylist())


def _details(reports: Reports, config: Config, scopes: Iterable[ScopeState]) -> PendingDetails | None:
    """The pending calls for details of the images that are still read; None if the configuration reads no details."""
    from image_history.warehouse.pending import count_pending

    if not config.details:
        return None
    now_ms = round(moments.now().timestamp() * 1000)
    calls: dict[Scope, int] = {}
    present = {(each.scope, each.image_name) for scope in scopes if scope.wanted for each in scope.streams}
    for stream, pending in count_pending(reports.connection, config.details_every, now_ms).items():
        if (stream.scope, stream.image_name) in present:
            calls[stream.scope] = calls.get(stream.scope, 0) + pending.total
    return PendingDetails(calls, config.details_budget)


def _waiting(reports: Reports, config: Config) -> Waiting:
    """Read the landing folder without its lock; tries again, as a running sync may change it meanwhile."""
    from image_history.landing.runs import Landing
    from image_history.warehouse.loader import loaded_runs

    problem = ""
    for _ in range(_LOOKS):
        try:
            runs = Landing(config.landing_folder).runs()
        except (LandingError, OSError) as error:
            problem = str(error)
            continue
        loaded = loaded_runs(reports.connection, [run.plan.run_id for run in runs])
        return Waiting(tuple(run for run in runs if run.plan.run_id not in loaded))
    return Waiting(problem=f"The landing folder {config.landing_folder} cannot be read: {problem}")


def _why_stale(scope: ScopeState, status: Status) -> str:
    if scope.behind is None:
        return f"{scope.name} was never synced"
    image = scope.behind.image_name
    part = f" (image {image})" if image is not None and len(scope.streams) > 1 else ""
    until = scope.covered_until
    if until is None:
        return f"{scope.name} was never read whole{part}"
    return f"{scope.name} was read up to {shown(until)} UTC{part}, {shown_age(status.now - until)} ago"


def _print(status: Status, how: str) -> None:
    if how == "json":
        deliver_object({"scopes": _scopes_table(status), "unfinished_runs": _runs_table(status.waiting)})
    elif how != "table":
        deliver(_scopes_table(status), how)
    else:
        _print_text(status)


def _print_text(status: Status) -> None:
    lines = [_line(scope, status.now) for scope in status.scopes]
    show(Sheet(_HEADER, lines, frozenset(_HEADER[2:]), least=("images", "versions")))
    for text in (*_notes(status), *_incomplete(status.scopes), *_pending_runs(status.waiting)):
        say(text)


def _line(scope: ScopeState, now: datetime) -> tuple[str, ...]:
    until = scope.covered_until
    incomplete = sum(stream.incomplete for stream in scope.streams)
    return (
        scope.name,
        "never" if until is None else shown_minute(until),
        "-" if until is None else shown_age(now - until),
        f"{len(scope.images):,}",
        f"{sum(image.live_versions for image in scope.images):,}",
        f"{incomplete:,}" if incomplete else "-",
    )


def _notes(status: Status) -> Iterable[str]:
    newest = max(
        (scope.newest for scope in status.scopes if scope.newest is not None),
        key=lambda stream: stream.finished_at,
        default=None,
    )
    if newest is not None:
        ago = shown_age(status.now - newest.finished_at)
        yield f"last run: {newest.run_id}, loaded {shown(newest.finished_at)} UTC, {ago} ago"
    if status.unplaced:
        names = ", ".join(status.unplaced[:_SHOWN_INCOMPLETE]) + (
            ", ..." if status.unplaced[_SHOWN_INCOMPLETE:] else ""
        )
        yield (
            f"not judged: {names}; this machine does not know the account yet, and so not the part. A sync "
            "looks it up each time, and exits with 4 if it cannot"
        )
    for scope in status.scopes:
        hinted, until = scope.hinted_until, scope.covered_until
        if hinted is not None and until is not None and hinted > until:
            yield f"hinted: {scope.name}: all was read, or had no hint of a change, up to {shown(hinted)} UTC"
    if status.details is not None and (pending := sum(status.details.calls.values())):
        from image_history.forecast.budget import syncs_of

        syncs = counted(syncs_of(pending, status.details.budget), "sync")
        yield f"details: {counted(pending, 'call')} pending, which takes {syncs}"
    for scope in status.scopes:
        if not scope.wanted:
            yield f"not configured any more: {scope.name}; it is left out of --max-age"


def _incomplete(scopes: Sequence[ScopeState]) -> Iterable[str]:
    streams = [stream for scope in scopes for stream in scope.streams if stream.incomplete]
    for stream in streams[:_SHOWN_INCOMPLETE]:
        why = stream.error_message or "it was not read to its end"
        yield f"{stream.outcome}: {stream.scope}/{stream.image_name or '(list of images)'}: {why}"
    if len(streams) > _SHOWN_INCOMPLETE:
        yield f"... and {len(streams) - _SHOWN_INCOMPLETE:,} more; image-history runs RUN_ID has them all."


def _pending_runs(waiting: Waiting) -> Iterable[str]:
    for run in waiting.runs:
        began = f"waiting: run {run.plan.run_id}, begun {shown(_begun(run))} UTC"
        if run.finished:
            yield f"{began}, is read and not loaded yet; a sync that works now, or the next one, loads it"
        else:
            done = f"{_read(run):,} of {counted(len(run.plan.streams), 'image')}"
            yield f"{began}, has read {done}; a sync that works now, or the next one, goes on"
    if waiting.problem is not None:
        yield waiting.problem


def _begun(run: LandedRun) -> datetime:
    return datetime.fromtimestamp(run.plan.started_at_ms / 1000, tz=UTC)


def _read(run: LandedRun) -> int:
    return sum(not mark.readable for mark in run.checkpoints.values())


def _scopes_table(status: Status) -> pa.Table:
    import pyarrow as pa

    instant = pa.timestamp("ms", tz="UTC")
    fields = {
        "scope": pa.string(),
        "account_id": pa.string(),
        "region": pa.string(),
        "configured": pa.bool_(),
        "covered_until": instant,
        "hinted_until": instant,
        "details_pending": pa.int64(),
        "age_seconds": pa.int64(),
        "stale": pa.bool_(),
        "behind_image": pa.string(),
        "images": pa.int64(),
        "live_versions": pa.int64(),
        "incomplete": pa.int64(),
        "last_run_id": pa.string(),
        "last_run_at": instant,
    }
    return pa.Table.from_pylist([_record(scope, status) for scope in status.scopes], pa.schema(fields))


def _details_pending(scope: ScopeState, status: Status) -> int | None:
    if status.details is None or scope.scope is None:
        return None
    return status.details.calls.get(scope.scope, 0)


def _record(scope: ScopeState, status: Status) -> dict[str, object]:
    until, newest, behind = scope.covered_until, scope.newest, scope.behind
    return {
        "scope": scope.name,
        "account_id": scope.scope and scope.scope.account_id,
        "region": scope.scope and scope.scope.region,
        "configured": scope.wanted,
        "covered_until": until,
        "hinted_until": scope.hinted_until,
        "details_pending": _details_pending(scope, status),
        "age_seconds": None if until is None else int((status.now - until).total_seconds()),
        "stale": None if status.max_age is None else scope in status.stale,
        "behind_image": behind and behind.image_name,
        "images": len(scope.images),
        "live_versions": sum(image.live_versions for image in scope.images),
        "incomplete": sum(stream.incomplete for stream in scope.streams),
        "last_run_id": newest and newest.run_id,
        "last_run_at": newest and newest.finished_at,
    }


def _runs_table(waiting: Waiting) -> pa.Table:
    import pyarrow as pa

    fields = {
        "run_id": pa.string(),
        "started_at": pa.timestamp("ms", tz="UTC"),
        "finished": pa.bool_(),
        "images": pa.int64(),
        "images_read": pa.int64(),
    }
    records = [
        {
            "run_id": run.plan.run_id,
            "started_at": _begun(run),
            "finished": run.finished,
            "images": len(run.plan.streams),
            "images_read": _read(run),
        }
        for run in waiting.runs
    ]
    return pa.Table.from_pylist(records, pa.schema(fields))
