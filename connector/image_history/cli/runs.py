"""`image-history runs`: what the last syncs did, and what one of them could not read.

Must not know how a run is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, offering
from image_history.cli.moments import shown, shown_minute, took
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
from image_history.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.warehouse.reports import Reports

_GOING_ON = {
    "running": "a sync that works now, or the next one, reads and loads the rest",
    "interrupted": "the rest was dropped, or lost with its landing folder, and later runs read it",
}
_HEADER = ("started (UTC)", "run", "outcome", "took", "calls", "new", "changed", "deleted")
_RIGHT = frozenset(_HEADER[3:])


@click.command("runs", cls=Verb)
@click.argument("run_id", required=False, shell_complete=offering.runs)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The most runs to show.")
@format_option
@click.pass_obj
def command(shared: Globals, /, *, run_id: str | None, limit: int, how: str) -> None:
    """Show what the last syncs did, the newest first.

    With RUN_ID (whole, its beginning, or the end that the table shows): what that sync did, and every image
    that it could not read whole. The figure after `partial` is the number of these images.
    """
    with opened(shared) as reports:
        if run_id is not None:
            _one(reports, run_id, how)
            return
        table = reports.table("runs", run="", limit=limit)
    if how != "table":
        deliver(table, how)
    elif not table.num_rows:
        click.echo("There is no run yet: start one with image-history sync.")
    else:
        show(Sheet(_HEADER, [_line(row) for row in table.to_pylist()], _RIGHT, least=("calls", "took")))


def _line(run: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        shown_minute(run["started_at"]),
        run["etl_run_id"].rpartition("-")[2],
        _outcome(run),
        took(run["seconds"]),
        f"{run['calls']:,}",
        f"{run['inserted']:,}",
        f"{run['updated'] + run['reappeared']:,}",
        "-" if run["deleted"] is None else f"{run['deleted']:,}",
    )


def _outcome(run: Mapping[str, Any]) -> str:
    incomplete = run["incomplete_streams"]
    return f"{run['outcome']} {incomplete:,}" if incomplete else str(run["outcome"])


def _one(reports: Reports, run_id: str, how: str) -> None:
    run = _chosen(reports, run_id)
    row = run.to_pylist()[0]
    coverage = reports.table("incomplete_coverage", run_id=row["etl_run_id"])
    if how == "json":
        deliver_object({"run": run, "incomplete": coverage})
    elif how != "table":
        deliver(coverage, how)
    else:
        for line in _summary(row):
            say(line)
        _show_incomplete(row, coverage.to_pylist())


def _chosen(reports: Reports, run_id: str) -> pa.Table:
    """The one run that `run_id` names; ConfigError if it names none or several."""
    found = reports.table("runs", run=run_id, limit=3) if run_id else None
    if found is None or not found.num_rows:
        raise ConfigError(f"There is no run {run_id!r}; image-history runs shows those that there are.")
    exact = [row for row in found["etl_run_id"].to_pylist() if row == run_id]
    if found.num_rows > 1 and not exact:
        names = ", ".join(found["etl_run_id"].to_pylist())
        raise ConfigError(f"Several runs are called {run_id}, such as {names}: write more of one.")
    return found.slice(0, 1)


def _summary(run: Mapping[str, Any]) -> Sequence[str]:
    operations = (
        ("ListImages", run["list_images_calls"]),
        ("ListImageVersions", run["list_image_versions_calls"]),
        ("DescribeImage", run["describe_image_calls"]),
        ("DescribeImageVersion", run["describe_image_version_calls"]),
        ("ListAliases", run["list_aliases_calls"]),
    )
    calls = ", ".join(f"{number:,} {name}" for name, number in operations if number) or "none"
    deleted = "not evaluated" if run["deleted"] is None else f"{run['deleted']:,}"
    versions = f"image-history {run['connector_version']} and DuckDB {run['duckdb_version']}"
    started = f"started {shown(run['started_at'])} UTC, took {took(run['seconds'])}, on {run['host']}"
    rested = f", {run['rested']:,} at rest" if run["rested"] else ""
    read = f"{counted(run['scopes'], 'scope')}, {counted(run['streams'], 'image')}{rested}; calls: {calls}"
    troubles = f"{counted(run['retries'], 'retry', 'retries')}, {counted(run['throttles'], 'throttle')}"
    known = f"updated {run['updated']:,}, unchanged {run['unchanged']:,}, reappeared {run['reappeared']:,}"
    return (
        f"run {run['etl_run_id']}: {run['outcome']}, {run['mode']}",
        f"{started} with {versions}",
        f"{read}; {troubles}, {run['bytes_received']:,} bytes",
        f"inserted {run['inserted']:,}, {known}, deleted {deleted}",
    )


def _show_incomplete(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        click.echo()
        lines = [
            (
                "/".join((row["account_id"], row["region"], row["image_name"] or "(list of images)")),
                row["outcome"],
                row["error_message"] or row["error_code"] or "It was not read to its end.",
            )
            for row in rows
        ]
        show(Sheet(("image", "outcome", "why"), lines))
    elif run["outcome"] in _GOING_ON:
        say(f"The loaded part was read whole; {_GOING_ON[run['outcome']]}.")
    elif run["outcome"] != "complete":
        say("Every listed image was read whole; only scopes that could not be opened are missing.")
    else:
        say("All was read whole.")
