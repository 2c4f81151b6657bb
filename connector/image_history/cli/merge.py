"""`image-history merge`: brings what other machines have read into this warehouse, and says what it loaded.

Must not know how a run is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from image_history.cli import Globals, Verb, printable

if TYPE_CHECKING:
    from image_history.model import RunReport
    from image_history.run.merging import Merged

_HELD_BACK = 9


@click.command("merge", cls=Verb)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER...")
@click.option(
    "--allow-mass-delete", is_flag=True, help="Let deletions through even if a scope loses very many."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run.")
@click.pass_obj
def command(shared: Globals, /, *, folders: tuple[Path, ...], allow_mass_delete: bool, as_json: bool) -> int:
    """Load the runs that `sync --hand-over FOLDER` put into these folders, each exactly once.

    Every run is one transaction, and its folder is removed after it. Killed or refused half-way, the rest
    waits for the next merge. A run that rests on one which this warehouse lacks is refused.
    """
    from image_history.cli.reports import report_json
    from image_history.run.merging import merge

    merged = merge(shared.config(), folders, allow_mass_delete=allow_mass_delete)
    if as_json:
        for report in merged.runs:
            click.echo(json.dumps(json.loads(report_json(report)), separators=(",", ":")))
        return _exit_code(merged)
    for report in merged.runs:
        click.echo(printable(_line(report)))
    click.echo(_total(merged))
    return _exit_code(merged)


def _exit_code(merged: Merged) -> int:
    """9 if deletions of a run are held back."""
    from image_history.model import Outcome

    return _HELD_BACK if any(report.outcome is Outcome.HELD_BACK for report in merged.runs) else 0


def _line(report: RunReport) -> str:
    rows = report.rows
    deleted = "not evaluated" if rows.deleted is None else f"{rows.deleted:,}"
    failures = f", {len(report.failures):,} not read whole" if report.failures else ""
    changes = f"inserted {rows.inserted:,} updated {rows.updated:,} deleted {deleted}"
    return f"{report.run_id}: {sum(scope.streams for scope in report.scopes):,} images, {changes}{failures}"


def _total(merged: Merged) -> str:
    parts = [f"Merged {len(merged.runs):,} run{'' if len(merged.runs) == 1 else 's'}"]
    if merged.again:
        parts.append(f"{merged.again:,} were here already")
    if merged.unfinished:
        parts.append(f"{merged.unfinished:,} not handed over yet: sync there with --hand-over")
    return "; ".join(parts)
