"""`image-history export`: a table, a view or a query as one file, or tables as a dataset of Parquet files.

Must not know how rows are read or written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, offering, printable
from image_history.cli.query import duration, param_option, question
from image_history.counting import counted
from image_history.errors import ConfigError
from image_history.formats.writing import FORMATS_HELP, NAMES, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from image_history.formats import Rows
    from image_history.publish.s3 import Address

_DEFAULT = "image_versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line; None for each that was not given."""

    what: tuple[str, ...]
    output: str | None
    dataset: str | None
    replace: bool
    format: str | None
    param: Mapping[str, str]
    timeout: timedelta


@click.command("export", cls=Verb)
@click.argument("what", metavar="[TABLE|VIEW|@NAME|SQL|-]...", nargs=-1, shell_complete=offering.queryable)
@click.option(
    "--output", metavar="FILE|s3://...|-", help="The file to write, whole or not at all; - is stdout."
)
@click.option(
    "--dataset",
    metavar="FOLDER|s3://...",
    help="Update a dataset of tables, partitioned by region; only regions with changes are written.",
)
@click.option("--replace", is_flag=True, help="Replace a dataset that another warehouse published.")
@click.option(
    "--format",
    type=click.Choice(list(NAMES)),
    metavar="FORMAT",
    help=f"{FORMATS_HELP}.  [default: by the suffix of --output, else parquet]",
)
@param_option
@click.option(
    "--timeout",
    default="1h",
    show_default=True,
    callback=duration,
    help="Longest time that DuckDB works on one file.",
)
@click.pass_obj
def command(shared: Globals, /, **given: Any) -> None:
    """Write a table, a view or a query to one file, or tables to a Parquet dataset.

    The default is image_versions; for a dataset it is the default tables of the setting `publish`, and several
    tables and views may be named. Tables and views are sorted, so that equal data gives equal files. Files are
    private to their owner, and replace older ones only when they are complete.

    A FILE that ends in .duckdb is a copy of the whole warehouse, with its views and comments, for programs
    that keep a file open all day.

    For programs take Parquet or JSON lines: in CSV, texts that a spreadsheet would run as a formula get an
    apostrophe in front.
    """
    options = Options(**given)
    if (options.output is None) == (options.dataset is None):
        raise ConfigError("Say where to: --output FILE for one file, or --dataset FOLDER for a dataset.")
    from image_history.addresses import is_copy

    if options.output is not None and options.format is None and is_copy(options.output):
        summary = _copy(shared, options)
    else:
        summary = export(shared, options) if options.dataset is None else _dataset(shared, options)
    if summary:
        click.echo(summary)


def _copy(shared: Globals, options: Options) -> str:
    """Copy the warehouse whole; returns the report."""
    from image_history.cli.delivery import require_other_file
    from image_history.publish.copying import write_copy
    from image_history.publish.stage import require_place
    from image_history.warehouse.warehouse import WarehouseFile

    output = options.output or ""
    if options.what or options.param:
        raise ConfigError(
            "A .duckdb file is a copy of the whole warehouse: leave out tables, queries and --param."
        )
    require_place(output)
    config = shared.config()
    require_other_file(Path(output), config.warehouse)
    size = write_copy(WarehouseFile(config.warehouse, config.lock_wait.total_seconds()), output)
    return printable(f"Wrote a copy of the warehouse, {size:,} bytes: {output}")


def _dataset(shared: Globals, options: Options) -> str:
    """Publish the dataset; returns the report."""
    from image_history.cli.publish import summary_line
    from image_history.config import Publish
    from image_history.publish.stage import publish_one
    from image_history.warehouse.relations import is_name

    if options.format not in {None, "parquet"} or options.param:
        raise ConfigError("A dataset is Parquet of tables and views: leave out --format and --param.")
    wrong = next((name for name in options.what if not is_name(name)), None)
    if wrong is not None:
        raise ConfigError(f"A dataset consists of tables and views; {wrong!r} is the name of none.")
    entry = Publish(to=options.dataset, tables=options.what or Publish().tables)
    return summary_line(publish_one(shared.config(), entry, replace=options.replace))


def _requested(options: Options) -> str:
    if len(options.what) > 1:
        raise ConfigError(
            "--output takes one table, view or query; several tables make a dataset: --dataset."
        )
    if options.replace:
        raise ConfigError("--replace is for --dataset; a file of --output is replaced anyway.")
    return options.what[0] if options.what else _DEFAULT


def export(shared: Globals, options: Options) -> str:
    """Run the query and write its rows; returns the report, one line."""
    from image_history.cli.delivery import chosen_format
    from image_history.formats import Recast
    from image_history.warehouse.asking import Limits, QueriedWarehouse, asking
    from image_history.warehouse.relations import is_name, outside, whole

    what, output = _requested(options), options.output or ""
    how, named = chosen_format(output, options.format, Format.PARQUET), is_name(what)
    if named and options.param:
        raise ConfigError(f"--param is for queries; {what} is a table or view.")
    config = shared.config()
    query = whole(what) if named else question(what, options.param, config.queries)
    write = _writer(output, how, config.warehouse)
    warehouse = QueriedWarehouse(config.warehouse, config.lock_wait.total_seconds())
    with asking(warehouse, query, Limits(timeout=options.timeout)) as rows:
        return write(Recast(rows, outside(what, rows.schema)) if named else rows)


def _writer(output: str, how: Format, warehouse: Path) -> Callable[[Rows], str]:
    """The function that writes rows to `output` and returns a report. Raises at once if `output` is wrong."""
    from image_history.cli.delivery import STDOUT, require_other_file, require_readable, write_file
    from image_history.publish.stage import require_place

    if output == STDOUT:
        require_readable(how)
        return lambda rows: _print(rows, how)
    require_place(output)
    if not output.lower().startswith("s3:/"):
        require_other_file(Path(output), warehouse)
        return lambda rows: write_file(rows, Path(output), how)
    from image_history.publish.s3 import Address

    address = Address.parse(output).require_key()
    return lambda rows: _upload(rows, address, how)


def _print(rows: Rows, how: Format) -> str:
    """Write to stdout; returns an empty report, since a report would be mixed with the rows."""
    from image_history.cli.delivery import Delivery

    Delivery(None, how, None).deliver(rows)
    return ""


def _upload(rows: Rows, address: Address, how: Format) -> str:
    from image_history.formats import write_rows
    from image_history.publish.destination import HashingSink
    from image_history.publish.s3 import uploaded

    with uploaded(address) as file:
        sink = HashingSink(file)
        count = write_rows(rows, sink, how)
    return f"Wrote {counted(count, 'row')}, {sink.bytes:,} bytes: {printable(str(address))}"
