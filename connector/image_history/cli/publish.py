"""`image-history publish`: updates the configured datasets and tables, and prints the result of each.

Must not know how a dataset is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from image_history.cli import Globals, Verb, printable
from image_history.cli.showing import document_option, print_document, say
from image_history.counting import counted
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from image_history.model import Publication

_PARTIAL = 4


@click.command("publish", cls=Verb)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace datasets and tables that another warehouse published.",
)
@document_option
@click.pass_obj
def command(shared: Globals, /, *, replace: bool, as_json: bool) -> int:
    """Update the datasets and lake tables of the setting publish from the warehouse; each sync does so too.

    Only regions with changes are written. Readers see a dataset or a table whole: the old one or the new one.
    The exit code is 4 if one could not be written; the others are still written.
    """
    from image_history.publish.stage import failed, publish_all

    config = shared.config()
    if not config.publish:
        raise ConfigError(
            "The configuration publishes nothing: add an entry under publish, or name a folder with "
            "image-history export --dataset."
        )
    publications = publish_all(config, replace=replace)
    if as_json:
        print_document(document(publications))
    for publication in () if as_json else publications:
        say(summary_line(publication))
    return _PARTIAL if failed(publications) else 0


def document(publications: Sequence[Publication]) -> dict[str, object]:
    """The result of each, as one JSON document."""
    return {"publications": [asdict(each) for each in publications]}


def summary_line(publication: Publication) -> str:
    """The result for a dataset, a table, a report or a copy, as one line that names its target first."""
    from image_history.addresses import is_copy, is_report

    where = (
        publication.to if publication.table is None else f"{publication.to.rstrip('/')}/{publication.table}"
    )
    if publication.error is not None:
        is_named = where in publication.error
        return printable(
            f"not published: {publication.error if is_named else f'{where}: {publication.error}'}"
        )
    if publication.table is not None:
        return printable(f"Published the table {where}: {_table(publication)}")
    if is_copy(publication.to):
        return printable(f"Published a copy of the warehouse to {where}: {publication.written_bytes:,} bytes")
    if is_report(publication.to):
        return printable(f"Published the report {where}: {publication.written_bytes:,} bytes")
    files = f"{counted(publication.rows, 'row')} in {counted(publication.files, 'file')}"
    news = "nothing new"
    if publication.written:
        news = f"{publication.written:,} new ({publication.written_bytes:,} bytes)"
    return printable(f"Published the dataset {where}: {files}, {news}")


def _table(publication: Publication) -> str:
    rows, seconds = counted(publication.rows, "row"), f"{publication.duration_seconds:.2f} s"
    if not publication.partitions and not publication.written:
        return f"{rows}, nothing new (version {publication.version}, {seconds})"
    partitions = counted(publication.partitions, "partition")
    files = f"{counted(publication.written, 'file')} ({publication.written_bytes:,} bytes)"
    return f"{rows}; {partitions} written, {files}, version {publication.version}, {seconds}"
