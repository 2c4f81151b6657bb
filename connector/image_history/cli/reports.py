"""What a sync prints when it is done: one line a scope, a total, and what could not be read.

Must not know how the figures came about.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

import click

from image_history.cli import printable
from image_history.cli.moments import shown
from image_history.cli.publish import told
from image_history.cli.showing import counted
from image_history.listing.breaker import LIMIT
from image_history.model import Calls, Failure, HintsReport, RowCounts, RunReport

_HEADINGS = (
    "scope",
    "images",
    "calls",
    "retries",
    "throttles",
    "inserted",
    "updated",
    "unchanged",
    "deleted",
)
_SHOWN_FAILURES = 20


def print_report(report: RunReport) -> None:
    """Print the summary to stdout."""
    lines = [_cells(str(scope.scope), scope.streams, scope.calls, scope.rows) for scope in report.scopes]
    total = _cells("total", sum(scope.streams for scope in report.scopes), report.calls, report.rows)
    click.echo("\n".join(_aligned([_HEADINGS, *lines, total])))
    for line in _footer(report):
        click.echo(line)
    for line in (*_failures(report.failures), *_held_back(report), *_drift(report)):
        click.echo(line)
    if report.hints is not None:
        click.echo(printable(_hints(report.hints)))
    for publication in report.publications:
        click.echo(told(publication))


def _cells(name: str, streams: int, calls: Calls, rows: RowCounts) -> Sequence[str]:
    counts = (streams, calls.total, calls.retries, calls.throttles)
    changes = (rows.inserted, rows.updated, rows.unchanged)
    deleted = "not evaluated" if rows.deleted is None else f"{rows.deleted:,}"
    return (name, *(f"{count:,}" for count in (*counts, *changes)), deleted)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield "  ".join(cells).rstrip()


def _footer(report: RunReport) -> Iterable[str]:
    counts = report.rows
    deleted = "" if counts.deleted is None else f" deleted {counts.deleted}"
    reappeared = f" reappeared {counts.reappeared}" if counts.reappeared else ""
    yield f"inserted {counts.inserted} updated {counts.updated}{deleted}{reappeared}"
    notes = [
        f"{report.outcome.value} in {report.duration_seconds:.1f} s",
        f"warehouse open for {report.lock_seconds:.2f} s",
        f"run {report.run_id}",
    ]
    if report.resumed:
        notes.append("continued an unfinished run")
    if report.pending_runs:
        notes.append(f"also loaded {report.pending_runs} earlier run{'s' if report.pending_runs > 1 else ''}")
    yield "; ".join(notes)


def _failures(failures: Sequence[Failure]) -> Iterable[str]:
    for failure in failures[:_SHOWN_FAILURES]:
        yield printable(f"{failure.outcome.value}: {failure.where}: {failure.message}")
    if len(failures) > _SHOWN_FAILURES:
        yield f"... and {len(failures) - _SHOWN_FAILURES} more; table coverage has them all."


def _held_back(report: RunReport) -> Iterable[str]:
    for scope in report.scopes:
        if scope.held_back:
            yield (
                f"held back: {scope.scope} lacks {scope.held_back:,} of its versions ({LIMIT}): nothing was marked "
                "deleted. If they are gone indeed, run sync --allow-mass-delete."
            )


def _hints(hints: HintsReport) -> str:
    """How many images rest, and what became of the messages."""
    if hints.problem is not None:
        return f"hints: not relied on, so that no image rests: {hints.problem}"
    parts = [f"hints: {counted(hints.rested, 'image')} {'rests' if hints.rested == 1 else 'rest'}"]
    parts.append(f", {hints.hinted:,} hinted; {counted(hints.messages, 'message')}")
    kept = hints.messages - hints.acknowledged
    parts.append(f", {kept:,} kept for the next sync" if kept else "")
    parts.append(f", {hints.junk:,} about no image" if hints.junk else "")
    if hints.confirmed_until is not None:
        parts.append(f"; what rests was listed at {shown(hints.confirmed_until)} UTC or later")
    return "".join(parts)


def _drift(report: RunReport) -> Iterable[str]:
    for drift in report.drift:
        what = f"member {drift.member}" if drift.value is None else f"value {drift.value} of {drift.member}"
        yield printable(
            f"new at AWS: {drift.operation} sends the {what}; it is kept, see table schema_drift."
        )


def _plain(value: object) -> str:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value)


def report_json(report: RunReport) -> str:
    """The report as one JSON object; instants in ISO 8601, UTC."""
    totals = {"rows": asdict(report.rows), "calls": asdict(report.calls)}
    return json.dumps(
        {**asdict(report), "totals": totals}, default=_plain, indent=2 if sys.stdout.isatty() else None
    )
