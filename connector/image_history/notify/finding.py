"""Reads what is new from the warehouse: the statements of sql/notify, and how fresh each scope is.

Must not know the receivers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa

from image_history.checking.freshness import (
    ScopeState,
    StreamState,
    configured,
    freshness,
    in_part,
    stream_state,
)
from image_history.config import Config, Notify
from image_history.counting import counted
from image_history.model import Outcome, RunReport
from image_history.notify.news import UNOPENED, WHOLE, Item, Known, Phase, Sent
from image_history.run.parts import WHOLE as EVERY_PART
from image_history.run.parts import Part
from image_history.schema import NOTIFIED, arrow_schema
from image_history.warehouse.reports import Reports
from image_history.warehouse.warehouse import Connection

_OF_SCOPES = frozenset({"unread", "held_back", "stale"})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why receivers are notified: after a run, because no run was possible (`failing` says why), or by request.

    `whole` says that the run was to read every scope, so that all scopes that could not be opened are known.
    """

    now: datetime
    report: RunReport | None = None
    failing: str | None = None
    whole: bool = False
    part: Part = EVERY_PART

    def undecided(self, subject: str) -> bool:
        """Whether it is unknown if a trouble goes on that the warehouse does not store."""
        if subject == WHOLE:
            return self.report is None and self.failing is None
        return subject.startswith(UNOPENED) and (self.report is None or not self.whole)


def known(reports: Reports, config: Config, entry: Notify, occasion: Occasion) -> Known | None:
    """Read the changes and troubles from the warehouse; None if nothing was ever loaded."""
    run_id = None if occasion.report is None else occasion.report.run_id
    (times,) = reports.rows("notify/newest", run_id=run_id)
    if times["newest"] is None:
        return None
    # Only if the receiver wants such news: the freshness of the scopes takes a scan of all of coverage.
    scopes = _of_scopes(reports, config, entry, occasion) if _OF_SCOPES & set(entry.on) else ()
    stuck = _stuck(reports, entry, occasion) if "stuck" in entry.on else ()
    troubles = (*scopes, *stuck)
    return Known(
        newest=times["newest"],
        before=times["before"],
        changes=partial(_changes, reports),
        troubles={(item.news, item.subject): item for item in (*troubles, *_unopened(occasion))},
        undecided=occasion.undecided,
    )


def sent(reports: Reports, receiver: str) -> Sent:
    """Read what was already sent to a receiver."""
    rows = reports.rows("notify/sent", receiver=receiver)
    return {(row["news"], row["subject"]): row["told_up_to"] for row in rows}


def remember(connection: Connection, receiver: str, now_sent: Sent) -> None:
    """Store what was sent to a receiver, in place of what was stored before."""
    rows = [
        {"receiver": receiver, "news": news, "subject": subject, "told_up_to": at}
        for (news, subject), at in sorted(now_sent.items())
    ]
    connection.offer("sent", pa.Table.from_pylist(rows, arrow_schema(NOTIFIED)))
    with connection.transaction():
        connection.run("notify/forget", {"receiver": receiver})
        connection.run("notify/remember")


def _version(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("account_id", "region", "image_name", "version")}


def _name(row: Row) -> str:
    return f"{row['account_id']}/{row['region']}/{row['image_name']}:{row['version']}"


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _deleted(rows: Sequence[Row]) -> list[Item]:
    # Imported here: the report package imports Jinja2, and most syncs have no deletions.
    from image_history.report.words import proof

    return [
        Item(
            "deleted",
            Phase.HAPPENED,
            _name(row),
            f"deleted: {_name(row)}, {_interval(row)}; {proof(row['evidence'])}",
            row["learned_at"],
            **_version(row),
        )
        for row in rows
    ]


def _interval(row: Row) -> str:
    seen, gone = row["last_seen_at"], _shown(row["gone_at"])
    return f"by {gone} UTC" if seen is None else f"between {_shown(seen)} and {gone} UTC"


def _failed(rows: Sequence[Row]) -> list[Item]:
    return [
        Item(
            "failed",
            Phase.HAPPENED,
            _name(row),
            f"failed: {_name(row)}, {row['image_version_status']}: {row['failure_reason'] or 'no reason given'}",
            row["learned_at"],
            **_version(row),
        )
        for row in rows
    ]


def _drift(rows: Sequence[Row]) -> list[Item]:
    return [
        Item("drift", Phase.HAPPENED, what, f"new at AWS: {what}; it is kept", row["first_seen_at"])
        for row in rows
        if (what := _sent(row))
    ]


def _sent(row: Row) -> str:
    value = "" if row["value"] is None else f"value {row['value']} of "
    return f"{row['operation']} sends {value}{row['member']}"


# The statement that finds the changes of a kind, and the function that makes news of its rows.
_CHANGES = {
    "deleted": ("notify/deleted", _deleted),
    "failed": ("notify/failed", _failed),
    "drift": ("notify/drift", _drift),
}


def _changes(reports: Reports, kind: str, since: datetime) -> Sequence[Item]:
    statement, items_of = _CHANGES[kind]
    return items_of(reports.rows(statement, since=since.isoformat()))


def _stuck(reports: Reports, entry: Notify, occasion: Occasion) -> Iterator[Item]:
    for row in reports.rows("notify/stuck", before=(occasion.now - entry.stuck_after).isoformat()):
        text = f"stuck: {_name(row)} is {row['image_version_status']} since {_shown(row['since'])} UTC"
        yield Item("stuck", Phase.BEGAN, _name(row), text, occasion.now, **_version(row))


def _of_scopes(reports: Reports, config: Config, entry: Notify, occasion: Occasion) -> Iterator[Item]:
    rows = reports.rows("load/known_accounts")
    led_to = {(row["access"], row["region"]): row["account_id"] for row in rows}
    streams = map(stream_state, reports.rows("reports/stream_freshness"))
    for scope in freshness(streams, configured(config, led_to), led_to):
        if scope.wanted and in_part(scope, occasion.part) is not False:
            yield from _unread(scope, occasion.now)
            yield from _held_back(scope, occasion.now)
            yield from _stale(scope, entry.stale_after, occasion.now)


def _unread(scope: ScopeState, now: datetime) -> Iterator[Item]:
    for stream in scope.streams:
        if stream.incomplete and stream.outcome != Outcome.HELD_BACK:
            name = f"{stream.scope}/{stream.image_name or '(list of images)'}"
            why = stream.error_message or "it was not read to its end"
            text = f"unread: {name}, {stream.outcome}: {why}"
            yield Item("unread", Phase.BEGAN, name, text, now, *_place(stream))


def _place(stream: StreamState) -> tuple[str, str, str | None]:
    return stream.scope.account_id, stream.scope.region, stream.image_name


def _held_back(scope: ScopeState, now: datetime) -> Iterator[Item]:
    held = [stream for stream in scope.streams if stream.outcome == Outcome.HELD_BACK]
    if held:
        images = counted(len(held), "image")
        text = (
            f"held back: deletions in {images} of {scope.name}, as it would lose very many versions at once; if "
            "they are really gone, run sync --allow-mass-delete"
        )
        yield Item("held_back", Phase.BEGAN, scope.name, text, now, *_place(held[0])[:2])


def _stale(scope: ScopeState, longest: timedelta, now: datetime) -> Iterator[Item]:
    if scope.is_stale(now, longest):
        until = scope.covered_until
        since = "never read whole" if until is None else f"read up to {_shown(until)} UTC only"
        place = () if scope.scope is None else (scope.scope.account_id, scope.scope.region)
        yield Item("stale", Phase.BEGAN, scope.name, f"stale: {scope.name}, {since}", now, *place)


def _unopened(occasion: Occasion) -> Iterator[Item]:
    if occasion.failing is not None:
        text = f"unread: no sync can be made: {occasion.failing}"
        yield Item("unread", Phase.BEGAN, WHOLE, text, occasion.now)
    for failure in () if occasion.report is None else occasion.report.unreadable_scopes:
        text = f"unread: {failure.where}, {failure.outcome}: {failure.message}"
        yield Item("unread", Phase.BEGAN, f"{UNOPENED}{failure.where}", text, occasion.now)
