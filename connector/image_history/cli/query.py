"""`image-history query`: SQL on the warehouse, read-only and locked down.

Must not know how a query is run or how rows are written.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_history.cli import Globals, Verb, offering
from image_history.errors import ConfigError, QueryError
from image_history.formats.writing import FORMATS_HELP, NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from image_history.cli.delivery import Hints
    from image_history.config import Config
    from image_history.warehouse.saved import Question

# A word that begins with -- and has white space before any = is a comment, not an option.
_COMMENT = re.compile(r"--[^\n=]*\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command line; None for each that was not given."""

    sql: str | None
    param: Mapping[str, str]
    format: str | None
    output: Path | None
    max_rows: int | None
    timeout: timedelta
    no_pager: bool


class SqlVerb(Verb):
    """A verb whose SQL may begin with a comment, which looks like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move SQL that begins with a comment to the end, after --, where it is not parsed as an option."""
        sql = [word for word in args if _COMMENT.match(word)]
        rest = [word for word in args if not _COMMENT.match(word)]
        return super().parse_args(ctx, [*rest, "--", *sql] if sql else args)


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
    from image_history.config import parse_duration

    try:
        parsed = parse_duration(text)
    except ConfigError as error:
        raise click.BadParameter(error.message) from error
    if not parsed:
        raise click.BadParameter("the timeout must be longer than 0s.")
    return parsed


param_option = click.option(
    "--param",
    multiple=True,
    callback=parse_parameters,
    metavar="NAME=VALUE",
    help="Value of the query's $NAME; repeatable.",
)


@click.command("query", cls=SqlVerb)
@click.argument("sql", metavar="SQL|@NAME|-", required=False, shell_complete=offering.saved)
@param_option
@click.option(
    "--format",
    type=click.Choice(list(NAMES)),
    metavar="FORMAT",
    help=f"{FORMATS_HELP}.  [default: by the suffix of --output, else table]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to FILE, whole or not at all; - is stdout.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    help="Stop after this many rows.  [default: 1000 for table, blocks and markdown]",
)
@click.option(
    "--timeout", default="5m", show_default=True, callback=duration, help="Longest time that DuckDB works."
)
@click.option("--no-pager", is_flag=True, help="Never page a long table; PAGER names the pager.")
@click.pass_obj
def command(shared: Globals, /, **given: Any) -> None:
    """Query the warehouse with SQL. A query cannot change it, and cannot read anything else.

    SQL is one SELECT, or a short form that DuckDB accepts: FROM image_versions LIMIT 10. @NAME is a saved
    query, and - reads SQL from stdin. Instants are UTC. image-history schema shows the tables and columns, and
    image-history queries shows the saved queries.
    """
    options = Options(**given)
    if options.sql is None:
        raise ConfigError(
            "There is no query: write SQL, @NAME of a saved query (image-history queries lists them), or - for "
            "stdin."
        )
    config = shared.config()
    answer(config, question(options.sql, options.param, config.queries), options)


def question(text: str, parameters: Mapping[str, str], own: Path | None) -> Question:
    """The query of `text`: SQL, @NAME or - for stdin. ConfigError and QueryError say what is wrong with it.

    `own` is the folder of the user's own saved queries.
    """
    from image_history.warehouse.saved import Question, saved

    if text.startswith("@"):
        return saved(text[1:], own).question(parameters)
    return Question(_stdin() if text == "-" else text, parameters)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise QueryError("The SQL on stdin is not UTF-8 text.") from error


def answer(config: Config, query: Question, options: Options, hints: Hints | None = None) -> None:
    """Run the query, and deliver the rows after all have arrived and the warehouse is closed.

    `hints` name other ways than this verb's options to see what is not shown.
    """
    from image_history.cli.delivery import OF_OPTIONS, Delivery, require_other_file
    from image_history.warehouse.asking import Limits, QueriedWarehouse, asking

    require_other_file(options.output, config.warehouse)
    warehouse = QueriedWarehouse(config.warehouse, config.lock_wait.total_seconds())
    chosen = Delivery.chosen(options.output, options.format, options.max_rows)
    delivery = replace(chosen, paged=not options.no_pager, hints=hints or OF_OPTIONS)
    limits = Limits(timeout=options.timeout, rows=delivery.wanted)
    with asking(warehouse, query, limits) as rows:
        delivery.deliver(rows)
