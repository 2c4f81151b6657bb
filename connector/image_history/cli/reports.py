"""What a sync prints when it is done: one line a scope, a total, and what could not be read.

Must not know how the figures came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from image_history.cli.moments import shown
from image_history.cli.notify import summary_lines
from image_history.cli.parts import nothing_of
from image_history.cli.publish import summary_line
from image_history.cli.showing import Sheet, say, show
from image_history.counting import counted
from image_history.listing.breaker import LIMIT
from image_history.model import Calls, Failure, HintsReport, Outcome, RowCounts, RunReport
from image_history.run.parts import WHOLE, Part

# Rows that were read again unchanged are counted in --json and by `runs` only.
_HEADINGS = ("scope", "images", "calls", "retries", "throttles", "inserted", "updated", "deleted")
_LEAST = ("calls", "images", "throttles", "retries")
# Shown only if there were any.
_SELDOM = ("retries", "throttles")
_NOT_EVALUATED = "not evaluated"
_SHOWN_FAILURES = 20
_NOTHING = (
    "No image was found there. If there should be some, check accounts in the configuration: another profile, other "
    "regions, or the patterns under images."
)


def print_report(report: RunReport, part: Part = WHOLE) -> None:
    """Print the summary to stdout, fitted to a terminal. `part` is the part of the scopes that the run read."""
    if part != WHOLE and not (report.scopes or report.unreadable_scopes):
        say(nothing_of(part))
    else:
        _table(report)
    for line in _lines(report):
        say(line)


def _table(report: RunReport) -> None:
    lines = [_cells(str(scope.scope), scope.streams, scope.calls, scope.rows) for scope in report.scopes]
    total = _cells("total", sum(scope.streams for scope in report.scopes), report.calls, report.rows)
    header, rows = _without_idle(_HEADINGS, [*lines, total])
    show(Sheet(header, rows, frozenset(_HEADINGS[1:]), _LEAST, all_by="--json"))


def _lines(report: RunReport) -> Iterable[str]:
    yield from (*_footer(report), *_failures(report.failures), *_held_back(report), *_drift(report))
    if (
        report.scopes
        and report.outcome is Outcome.COMPLETE
        and not any(each.streams or each.rested for each in report.scopes)
    ):
        yield _NOTHING
    if report.details_left:
        calls = counted(report.details_left, "call is", "calls are")
        yield f"details: {calls} left for the next syncs, as details_budget says"
    if report.hints is not None:
        yield _hints(report.hints)
    yield from map(summary_line, report.publications)
    yield from summary_lines(report.notifications)


def _without_idle(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The table without columns of `_SELDOM` that are 0 in every row."""
    kept = [
        number
        for number, name in enumerate(header)
        if name not in _SELDOM or any(row[number] != "0" for row in rows)
    ]
    return [header[number] for number in kept], [[row[number] for number in kept] for row in rows]


def _cells(name: str, streams: int, calls: Calls, rows: RowCounts) -> Sequence[str]:
    counts = (streams, calls.total, calls.retries, calls.throttles, rows.inserted, rows.updated)
    deleted = _NOT_EVALUATED if rows.deleted is None else f"{rows.deleted:,}"
    return (name, *(f"{count:,}" for count in counts), deleted)


def _footer(report: RunReport) -> Iterable[str]:
    counts = report.rows
    deleted = "" if counts.deleted is None else f" deleted {counts.deleted:,}"
    reappeared = f" reappeared {counts.reappeared:,}" if counts.reappeared else ""
    yield f"inserted {counts.inserted:,} updated {counts.updated:,}{deleted}{reappeared}"
    notes = [
        f"{report.outcome.value} in {report.duration_seconds:.1f} s",
        f"warehouse open for {report.lock_seconds:.2f} s",
        f"run {report.run_id}",
    ]
    if report.resumed:
        notes.append("continued an unfinished run")
    if report.pending_runs:
        notes.append(f"also loaded {counted(report.pending_runs, 'earlier run')}")
    yield "; ".join(notes)


def _failures(failures: Sequence[Failure]) -> Iterable[str]:
    for failure in failures[:_SHOWN_FAILURES]:
        yield f"{failure.outcome.value}: {failure.where}: {failure.message}"
    if len(failures) > _SHOWN_FAILURES:
        yield f"... and {len(failures) - _SHOWN_FAILURES:,} more; table coverage has them all."


def _held_back(report: RunReport) -> Iterable[str]:
    for scope in report.scopes:
        if scope.held_back:
            yield (
                f"held back: {scope.scope} lacks {scope.held_back:,} of its versions ({LIMIT}): nothing was marked "
                "deleted. If they are really gone, run sync --allow-mass-delete."
            )


def _hints(hints: HintsReport) -> str:
    """How many images rest, how many messages were there and are kept, and what in them is about no image."""
    if hints.problem is not None:
        return f"hints: not relied on, so that no image rests: {hints.problem}"
    source = "image times" if hints.by_image_time else "hints"
    parts = [f"{source}: {counted(hints.rested, 'image rests', 'images rest')}"]
    if not hints.by_image_time:
        # Only a queue takes requests; a message of a folder is a file.
        source = "message" if hints.calls else "file"
        parts.append(f", {hints.hinted:,} hinted; {counted(hints.messages, source)}")
    kept = hints.messages - hints.acknowledged
    parts.append(f", {kept:,} kept for the next sync" if kept else "")
    # A file has many entries, so that these may be more than the files.
    parts.append(f"; entries about no image: {hints.junk:,}" if hints.junk else "")
    if hints.confirmed_until is not None:
        parts.append(f"; every resting image was listed at {shown(hints.confirmed_until)} UTC or later")
    return "".join(parts)


def _drift(report: RunReport) -> Iterable[str]:
    for drift in report.drift:
        what = f"member {drift.member}" if drift.value is None else f"value {drift.value} of {drift.member}"
        yield f"new at AWS: {drift.operation} sends the {what}; it is kept, see table schema_drift."


def document(report: RunReport) -> dict[str, Any]:
    """The report as one JSON document."""
    totals = {"rows": asdict(report.rows), "calls": asdict(report.calls)}
    return {**asdict(report), "totals": totals}
