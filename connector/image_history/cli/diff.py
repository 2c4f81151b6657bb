"""`image-history diff`: what changed over all images between two instants.

Must not know how the difference is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, moments, remark
from image_history.cli.moments import iso, parse_moment, shown
from image_history.cli.showing import Sheet, deliver, format_option, opened, say, show
from image_history.counting import counted
from image_history.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_ALWAYS = ("created", "modified", "deleted")
_SELDOM = ("recreated", "reappeared", "transient")
_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class Span:
    """Two aware instants, the number of runs that ended between them, and when the very first run ended."""

    since: datetime
    until: datetime
    runs: int
    first_run: datetime | None

    @property
    def is_before_all(self) -> bool:
        """Whether no run had ended by then."""
        return self.first_run is not None and self.until < self.first_run


@click.command("diff", cls=Verb)
@click.option("--since", required=True, metavar="T", help="ISO 8601 (UTC by default), or how long ago: 7d.")
@click.option("--until", metavar="T", help="The same.  [default: now]")
@click.option("--details", is_flag=True, help="Each version that changed, not only how many.")
@format_option
@click.pass_obj
def command(shared: Globals, /, *, since: str, until: str | None, details: bool, how: str) -> None:
    """Show what the warehouse learned between two times.

    A change counts at the time when it was learned (etl_observed_at), not when it happened at AWS. So all that a
    sync brought after --since is shown, and a diff of a time that has passed never changes. For the history of
    one image, step by step, see log.

    Transient versions came and went, or changed and changed back, in between.
    """
    begin, end = _bounds(since, until)
    with opened(shared) as reports:
        bounds = {"since": iso(begin), "until": iso(end)}
        table = reports.table("diff" if details else "diff_by_image", **bounds)
        runs = reports.table("runs_between", **bounds).to_pylist()[0]
    if how != "table":
        deliver(table, how)
        return
    span = Span(begin, end, runs["runs"], runs["first_finished_at"])
    say(_heading(span) if table.num_rows or not span.is_before_all else _before_all(span))
    if table.num_rows and details:
        _show_versions(table)
    elif table.num_rows:
        _show_images(table.to_pylist())
    elif not span.is_before_all:
        click.echo("Nothing changed.")


def _bounds(since: str, until: str | None) -> tuple[datetime, datetime]:
    """Both instants; ConfigError if nothing lies between them."""
    now = moments.now()
    begin = parse_moment(since, now)
    end = now if until is None else parse_moment(until, now)
    if begin >= end:
        later = "--until" if until is not None else "now"
        raise ConfigError(f"--since {shown(begin)} must be before {later} ({shown(end)} UTC).")
    return begin, end


def _heading(span: Span) -> str:
    text = f"Learned after {shown(span.since)} and up to {shown(span.until)} UTC, in {counted(span.runs, 'run')}."
    if span.first_run is not None and span.since < span.first_run:
        return f"{text} Nothing was known before the first run, {shown(span.first_run)}: all that was there is new."
    return text


def _before_all(span: Span) -> str:
    bounds = f"{shown(span.since)} and {shown(span.until)} UTC"
    return f"Nothing was known between {bounds}: the first run ended later, {shown(span.first_run or span.until)}."


def _show_images(rows: Sequence[Mapping[str, Any]]) -> None:
    kinds = [*_ALWAYS, *(kind for kind in _SELDOM if any(row[kind] for row in rows))]
    lines = [
        (f"{row['account_id']}/{row['region']}", row["image_name"], *(_figure(row[kind]) for kind in kinds))
        for row in rows[:_SHOWN]
    ]
    totals = [f"{sum(row[kind] for row in rows):,}" for kind in kinds]
    _show_grouped(("image", *kinds), lines, ("total", *totals), frozenset(kinds))
    if len(rows) > _SHOWN:
        _say_cut(len(rows), "images")


def _show_versions(table: pa.Table) -> None:
    lines = [
        (
            f"{row['account_id']}/{row['region']}",
            row["image_name"],
            str(row["version"]),
            row["description"] if row["change"] != "transient" else f"transient: {row['description']}",
        )
        for row in table.slice(0, _SHOWN).to_pylist()
    ]
    _show_grouped(("image", "version", "what changed"), lines, None, frozenset({"version"}))
    if table.num_rows > _SHOWN:
        _say_cut(table.num_rows, "versions")


def _say_cut(number: int, what: str) -> None:
    remark(f"Only {_SHOWN:,} of {number:,} {what} are shown: all with --format csv.")


def _figure(number: int) -> str:
    return f"{number:,}" if number else ""


def _show_grouped(
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    total: Sequence[str] | None,
    right: frozenset[str],
) -> None:
    """Show the lines scope by scope; the scope, which comes first in each, stands above them."""
    scopes = list(dict.fromkeys(line[0] for line in lines))
    for scope in scopes:
        rows = [line[1:] for line in lines if line[0] == scope]
        if total is not None and len(scopes) == 1:
            rows.append(total)
        click.echo()
        say(scope)
        show(Sheet(header, rows, right))
    if total is not None and len(scopes) > 1:
        click.echo()
        say("all scopes")
        show(Sheet(header, [total], right))
