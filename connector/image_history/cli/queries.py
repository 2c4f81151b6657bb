"""`image-history queries`: the saved queries, their parameters, and an example of each; needs no warehouse.

Must not know how a query is run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from image_history.cli import PROGRAM, Globals, Verb, offering
from image_history.cli.showing import deliver, format_option, say

if TYPE_CHECKING:
    from image_history.warehouse.saved import Parameter, SavedQuery

_EMPTY = "''"


@click.command("queries", cls=Verb)
@click.argument("name", metavar="[@NAME]", required=False, shell_complete=offering.saved)
@format_option
@click.pass_obj
def command(shared: Globals, /, *, name: str | None, how: str) -> None:
    """Show the saved queries with their parameters and an example each; with @NAME the SQL of that one.

    Your own come from the folder that the setting queries names.
    """
    from image_history.warehouse.saved import saved, saved_queries

    own = shared.config().queries
    if name is not None:
        wanted = saved(name.removeprefix("@"), own)
        if how == "table":
            click.echo(wanted.sql.rstrip())
        else:
            _deliver((wanted,), how)
    elif how == "table":
        for line in (line for query in saved_queries(own) for line in as_text(query)):
            say(line)
    else:
        _deliver(saved_queries(own), how)


def as_text(query: SavedQuery) -> Iterator[str]:
    """The lines that describe one query to people."""
    yield f"@{query.name}: {query.what}"
    for parameter in query.parameters:
        default = "" if parameter.default is None else f"  [default: {parameter.default or _EMPTY}]"
        yield f"    {parameter.name}: {parameter.meaning}{default}"
    yield f"    $ {example(query)}"


def example(query: SavedQuery) -> str:
    """A command that runs the query: capitals stand for a value without default, empty defaults are left out."""
    shown = [one for one in query.parameters if one.default != ""]
    given = [word for one in shown for word in ("--param", f"{one.name}={_value(one)}")]
    return shlex.join([PROGRAM, "query", f"@{query.name}", *given])


def _value(parameter: Parameter) -> str:
    return parameter.name.upper() if parameter.default is None else parameter.default


def _deliver(queries: tuple[SavedQuery, ...], how: str) -> None:
    import pyarrow as pa

    rows = [
        {
            "name": query.name,
            "what": query.what,
            "parameters": ", ".join(one.name for one in query.parameters),
            "columns": ", ".join(query.columns),
            "example": example(query),
            "sql": query.sql.rstrip(),
        }
        for query in queries
    ]
    deliver(pa.Table.from_pylist(rows), how)
