"""`image-history export`: a table, a view or a query as one file.

Must not know how rows are read or written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli import Globals, Verb
from connector.cli.query import duration, parse_parameters, question
from connector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from connector.formats import Format

_FORMATS = ("parquet", "csv", "jsonl")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; None where it says nothing."""

    what: str
    output: str
    format: str | None
    param: Mapping[str, str]
    timeout: timedelta


@click.command("export", cls=Verb)
@click.argument("what", metavar="[TABLE|VIEW|@NAME|SQL|-]", default="image_versions")
@click.option("--output", required=True, metavar="FILE", help="The file to write, whole or not at all.")
@click.option(
    "--format", type=click.Choice(_FORMATS), help="[default: by the suffix of --output, else parquet]"
)
@click.option(
    "--param",
    multiple=True,
    callback=parse_parameters,
    metavar="NAME=VALUE",
    help="Value of the query's $NAME; repeatable.",
)
@click.option(
    "--timeout", default="1h", show_default=True, callback=duration, help="Longest time that DuckDB works."
)
@click.pass_obj
def command(shared: Globals, /, **given: Any) -> None:
    """Write a table, a view or a query to one Parquet, CSV or JSON lines file.

    Without a name it is image_versions. Tables and views are sorted, so that equal data gives an equal file.
    The file is private to its owner, and takes the place of an older one only when it is complete.
    """
    options = Options(**given)
    click.echo(export(shared, options, _target(options.output)))


def _target(output: str) -> Path:
    """ConfigError for an address: only files of this machine are written."""
    address = _ADDRESS.match(output)
    if address:
        raise ConfigError(
            f"export writes a file on this machine, not to {address[1]}://: name a path, and copy the file "
            "from there."
        )
    return Path(output)


def _format(path: Path, name: str | None) -> Format:
    from connector.formats import Format, format_of

    if name is not None:
        return Format(name)
    found = Format.PARQUET if not path.suffix else format_of(path)
    if found is None or found.value not in _FORMATS:
        raise ConfigError(
            f"A file {path.suffix} is none of Parquet, CSV and JSON lines: end the name in .parquet, .csv or "
            ".jsonl, or say --format."
        )
    return found


def export(shared: Globals, options: Options, path: Path) -> str:
    """Ask, and write the answer; returns the report, one line."""
    from connector.cli.bounds import bounded_memory, leave
    from connector.cli.delivery import require_other_file, write_file
    from connector.formats import Recast
    from connector.load.asking import Limits, asking
    from connector.load.relations import is_name, outside, whole
    from connector.load.warehouse import WarehouseFile

    how, named = _format(path, options.format), is_name(options.what)
    if named and options.param:
        raise ConfigError(f"--param is for queries; {options.what} is a table or view.")
    asked = whole(options.what) if named else question(options.what, options.param)
    config = shared.config()
    require_other_file(path, config.warehouse)
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    with (
        bounded_memory(),
        asking(warehouse, asked, Limits(timeout=options.timeout, abandon=leave)) as rows,
    ):
        return write_file(Recast(rows, outside(options.what, rows.schema)) if named else rows, path, how)
