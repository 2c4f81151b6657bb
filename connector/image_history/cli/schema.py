"""`image-history schema`: every table, view and column with its meaning; needs no warehouse.

Must not know DuckDB; everything is read off image_history.schema, the views' headers and the configuration.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from image_history.cli import Globals, Verb, offering
from image_history.cli.showing import shortened
from image_history.errors import ConfigError
from image_history.schema import TABLES, Column, Table

_FORMATS = ("table", "json", "markdown")
_HEADER = ("column", "type", "null", "key", "meaning")
_SHORT = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}


@dataclass(frozen=True, slots=True)
class View:
    """A view, or a macro that is queried like one, as the header of its file describes it."""

    name: str
    kind: str
    what: str
    columns: str


class _SchemaVerb(Verb):
    """Replaces the global option --config, which it does not need, by a flag of that name."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params = [
            param for param in self.params if "--config" not in param.opts or param.name == "of_config"
        ]


@click.command("schema", cls=_SchemaVerb)
@click.argument("names", nargs=-1, metavar="[TABLE|VIEW]...", shell_complete=offering.relations)
@click.option("--format", "how", type=click.Choice(_FORMATS), help="Output format.  [default: table]")
@click.option(
    "--json",
    "short",
    metavar="[VERB]",
    shell_complete=offering.documents,
    is_flag=False,
    flag_value="",
    help="Short for --format json; with a VERB, print the JSON Schema of what that verb prints with --json.",
)
@click.option(
    "--config", "of_config", is_flag=True, help="Print the JSON Schema of the configuration instead."
)
@click.pass_obj
def command(
    _: Globals, /, names: tuple[str, ...], *, how: str | None, short: str | None, of_config: bool
) -> None:
    """Show every table and column with its meaning, and the views.

    A column without null always has a value; the key columns together identify a row. Instants are UTC.

    `schema --json sync` prints the JSON Schema of what `sync --json` prints, and so on for every verb with --json.
    For the table with the name of a verb, use `schema runs --json`.
    """
    if of_config:
        click.echo(config_schema())
        return
    chosen = shortened(how, short=short is not None)
    if short and not _is_relation(short):
        click.echo(document_schema(short))
        return
    tables, views = _chosen((*names, short) if short else names)
    if chosen == "json":
        click.echo(as_json(tables, views))
    elif chosen == "markdown":
        click.echo("\n".join(as_markdown(tables, views)))
    elif sys.stdout.isatty():
        _draw(tables, views)
    else:
        click.echo("\n".join(as_text(tables, views)))


def _is_relation(name: str) -> bool:
    """Whether a name is that of a table or a view, and not of a verb that prints a document."""
    from image_history.cli.documents import verbs

    return name not in verbs() and name in {
        *(table.name for table in TABLES),
        *(view.name for view in all_views()),
    }


def document_schema(verb: str) -> str:
    """The JSON Schema of what a verb prints with --json."""
    from image_history.cli.documents import json_schema

    return json.dumps(json_schema(verb), indent=2, ensure_ascii=False)


def config_schema() -> str:
    """The JSON Schema of config.yaml."""
    from image_history.config import json_schema

    return json.dumps(json_schema(), indent=2, ensure_ascii=False)


def all_views() -> tuple[View, ...]:
    """The views and macros that every warehouse has, by name."""
    from image_history.warehouse.statements import names

    return tuple(map(_view, names("views")))


def _view(file: str) -> View:
    from image_history.warehouse.saved import header
    from image_history.warehouse.statements import statement

    text = statement(file)
    entries = header(text)
    kind = "macro" if "REPLACE MACRO" in text else "view"
    return View(file.partition("/")[2], kind, entries["What"], entries.get("Columns", ""))


def _chosen(wanted: Sequence[str]) -> tuple[Sequence[Table], Sequence[View]]:
    """The tables and views to show; the ConfigError for an unknown name suggests the nearest."""
    views = all_views()
    known = [table.name for table in TABLES] + [view.name for view in views]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3)
            hint = f"the nearest: {', '.join(near)}" if near else f"there are: {', '.join(known)}"
            raise ConfigError(f"There is no table or view {name}; {hint}.")
    if not wanted:
        return TABLES, views
    return [table for table in TABLES if table.name in wanted], [
        view for view in views if view.name in wanted
    ]


def _cells(table: Table, column: Column) -> tuple[str, ...]:
    return (
        column.name,
        _SHORT.get(column.kind.sql, column.kind.sql),
        "null" if column.nullable else "",
        "key" if column.name in table.key else "",
        column.meaning,
    )


def as_json(tables: Sequence[Table], views: Sequence[View]) -> str:
    """One object: tables with their columns, and views."""
    content = {
        "tables": [
            {
                "name": table.name,
                "grain": table.grain,
                "key": list(table.key),
                "columns": [_column(table, column) for column in table.columns],
            }
            for table in tables
        ],
        "views": [
            {"name": view.name, "kind": view.kind, "what": view.what, "columns": view.columns}
            for view in views
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _column(table: Table, column: Column) -> dict[str, object]:
    return {
        "name": column.name,
        "type": column.kind.sql,
        "nullable": column.nullable,
        "key": column.name in table.key,
        "aws_member": column.member,
        "meaning": column.meaning,
    }


def as_markdown(tables: Sequence[Table], views: Sequence[View]) -> Iterator[str]:
    """Headings and tables of GitHub's Markdown."""
    for table in tables:
        yield from (f"## {table.name}", "", f"{_sentence(table.grain)}", "")
        yield from (_row(_HEADER), _row(["---"] * len(_HEADER)))
        for column in table.columns:
            yield _row(_cells(table, column))
        yield ""
    if views:
        yield from ("## Views", "", _row(("view", "what", "columns")), _row(["---"] * 3))
    for view in views:
        yield _row((view.name, view.what, view.columns))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def as_text(tables: Sequence[Table], views: Sequence[View]) -> Iterator[str]:
    """Aligned text, nothing shortened."""
    from image_history.formats.layout import aligned

    for table in tables:
        yield f"{table.name}: {table.grain}"
        lines = [_cells(table, column) for column in table.columns]
        yield from (f"  {line}" for line in aligned(_HEADER, lines))
        yield ""
    for view in views:
        yield from (f"{view.name} ({view.kind}): {view.what}", f"  {view.columns}", "")


def _draw(tables: Sequence[Table], views: Sequence[View]) -> None:
    from image_history.cli.rendering import Drawing, console, draw

    screen = console()
    for table in tables:
        screen.print(f"{table.name}: {table.grain}", style="bold", markup=False)
        rows = [_cells(table, column) for column in table.columns]
        right = [False] * len(_HEADER)
        draw(Drawing(_HEADER, rows, right, ("null", "key", "type"), all_by="schema --json"), screen)
        screen.print()
    for view in views:
        screen.print(f"{view.name} ({view.kind}): {view.what}", style="bold", markup=False)
        screen.print(f"  {view.columns}", markup=False)
        screen.print()
