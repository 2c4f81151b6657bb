"""`image-history query`: SQL on the warehouse, read-only and locked down.

Must not know how a query is run or how rows are written.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli import Globals, Verb
from connector.errors import ConfigError, QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from connector.load.saved import Question

_FORMATS = ("table", "csv", "json", "jsonl", "markdown", "parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; None where it says nothing."""

    sql: str | None
    param: Mapping[str, str]
    format: str | None
    output: Path | None
    max_rows: int | None
    timeout: timedelta
    list: bool


def parse_parameters(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """The values of --param NAME=VALUE by name."""
    parameters: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.removeprefix("$")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE, as in --param image=my-image.")
        if name in parameters:
            raise click.BadParameter(f"{name} is given twice.")
        parameters[name] = value
    return parameters


def duration(_: click.Context, __: click.Parameter, text: str) -> timedelta:
    """The duration of --timeout."""
    from connector.config import parse_duration

    try:
        parsed = parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(error.message) from error
    if not parsed:
        raise click.BadParameter("a query needs more time than none.")
    return parsed


@click.command("query", cls=Verb)
@click.argument("sql", metavar="SQL|@NAME|-", required=False)
@click.option(
    "--param",
    multiple=True,
    callback=parse_parameters,
    metavar="NAME=VALUE",
    help="Value of the query's $NAME; repeatable.",
)
@click.option(
    "--format",
    type=click.Choice(_FORMATS),
    help="How rows look.  [default: by the suffix of --output, else table]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to FILE, whole or not at all.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    help="Stop after so many rows.  [default: 1000 for table and markdown]",
)
@click.option(
    "--timeout", default="5m", show_default=True, callback=duration, help="Longest time that DuckDB works."
)
@click.option("--list", is_flag=True, help="Name the saved queries, and what each needs.")
@click.pass_obj
def command(shared: Globals, /, **given: Any) -> int:
    """Ask the warehouse in SQL, without a chance to change it or to read anything else.

    SQL is one SELECT, or what DuckDB takes for one: FROM image_versions LIMIT 10. @NAME is a saved query,
    and - reads SQL from stdin. Instants are UTC. image-history schema tells what there is to ask.
    """
    options = Options(**given)
    if options.list:
        click.echo(_saved_queries())
        return 0
    if options.sql is None:
        raise ConfigError("Nothing is asked: write SQL, @NAME of a saved query (see --list), or - for stdin.")
    answer(shared, question(options.sql, options.param), options)
    return 0


def question(text: str, parameters: Mapping[str, str]) -> Question:
    """What `text` asks: SQL, @NAME or - for stdin. ConfigError and QueryError say what is wrong with it."""
    from connector.load.saved import Question, saved

    if text.startswith("@"):
        return saved(text[1:]).question(parameters)
    return Question(_stdin() if text == "-" else text, parameters)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise QueryError("The SQL on stdin is not UTF-8 text.") from error


def answer(shared: Globals, asked: Question, options: Options) -> None:
    """Ask, and deliver the rows while they come."""
    from connector.cli.bounds import bounded_memory, leave
    from connector.cli.delivery import Delivery, require_other_file
    from connector.load.asking import Limits, asking
    from connector.load.warehouse import WarehouseFile

    config = shared.config()
    delivery = Delivery.chosen(options.output, options.format, options.max_rows)
    require_other_file(options.output, config.warehouse)
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    with (
        bounded_memory(),
        asking(warehouse, asked, Limits(timeout=options.timeout, abandon=leave)) as rows,
    ):
        delivery.deliver(rows)


def _saved_queries() -> str:
    from connector.load.saved import saved_queries

    lines: list[str] = []
    for query in saved_queries():
        lines.append(f"@{query.name}: {query.what}")
        for parameter in query.parameters:
            default = "" if parameter.default is None else f" [default: {parameter.default}]"
            lines.append(f"    --param {parameter.name}=VALUE  {parameter.meaning}{default}")
    return "\n".join(lines)
