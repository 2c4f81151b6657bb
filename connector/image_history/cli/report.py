"""`image-history report`: one HTML file for people to look at.

Must not know what is in it, nor how it is drawn.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from image_history.cli import Globals, Verb, offering, printable
from image_history.cli.query import duration

DEFAULT = "report.html"


@click.command("report", cls=Verb)
@click.option(
    "--output",
    default=DEFAULT,
    show_default=True,
    metavar="FILE|s3://...|-",
    help="The file to write, whole or not at all; - is stdout.",
)
@click.option(
    "--since",
    default="30d",
    show_default=True,
    callback=duration,
    help="How far back a change counts as new.",
)
@click.option(
    "--scope",
    default="*",
    metavar="GLOB",
    shell_complete=offering.scopes,
    help="Only scopes ACCOUNT/REGION that match, as in '*/us-*'.",
)
@click.option(
    "--image",
    default="*",
    metavar="GLOB",
    shell_complete=offering.images,
    help="Only images with names that match.",
)
@click.pass_obj
def command(shared: Globals, /, *, output: str, since: timedelta, scope: str, image: str) -> None:
    """Write one HTML file: what exists, what changed, what was deleted, and how fresh all that is.

    The file opens from disk, loads nothing, can be printed, and works with the keyboard. It shows the state of
    the last sync, and first what could not be read.
    """
    from image_history.cli.delivery import require_other_file
    from image_history.publish.reporting import STDOUT, rendered, write_report
    from image_history.publish.stage import require_place
    from image_history.report import Selection
    from image_history.warehouse.warehouse import WarehouseFile

    config = shared.config()
    if output != STDOUT:
        require_place(output)
        require_other_file(Path(output), config.warehouse)
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    content = rendered(warehouse, Selection(since, scope, image))
    write_report(content, output)
    if output != STDOUT:
        click.echo(printable(f"Wrote {len(content):,} bytes: {output}"))
