"""`image-history publish`: brings the configured datasets in step by hand, and says what became of each.

Must not know how a dataset is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from image_history.cli import Globals, Verb, printable
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from image_history.model import Publication

_PARTIAL = 4


@click.command("publish", cls=Verb)
@click.option(
    "--replace", is_flag=True, help="Let datasets take the place of those that another warehouse published."
)
@click.pass_obj
def command(shared: Globals, /, *, replace: bool) -> int:
    """Bring the datasets of the setting publish in step with the warehouse; each sync does so as well.

    Only regions with changes are written. Readers see a dataset whole: the old one or the new one. The exit
    code is 4 if one could not be written; the others are.
    """
    from image_history.publish.stage import failed, publish_all

    config = shared.config()
    if not config.publish:
        raise ConfigError(
            "The configuration publishes nothing: add an entry under publish, or name a folder with "
            "image-history export --dataset."
        )
    publications = publish_all(config, replace=replace)
    for publication in publications:
        click.echo(told(publication))
    return _PARTIAL if failed(publications) else 0


def told(publication: Publication) -> str:
    """What became of a dataset, a report or a copy, in a line."""
    from image_history.publish.copying import is_copy
    from image_history.publish.stage import is_report

    if publication.error is not None:
        return printable(f"not published: {publication.to}: {publication.error}")
    if is_copy(publication.to):
        return printable(
            f"Published a copy of the warehouse ({publication.written_bytes:,} bytes): {publication.to}"
        )
    if is_report(publication.to):
        return printable(f"Published the report ({publication.written_bytes:,} bytes): {publication.to}")
    files = f"{publication.rows:,} rows in {_files(publication.files)}"
    news = "none of them new"
    if publication.written:
        news = f"{publication.written:,} of them new ({publication.written_bytes:,} bytes)"
    return printable(f"Published {files}, {news}: {publication.to}")


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"
