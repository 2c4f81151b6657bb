"""The generated pages of docs/, as Markdown: the command line and the data dictionary; `make format` writes them.

Everything comes from the code; must not know anything that the code does not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

import click

from image_history.cli import PROGRAM, VERBS, global_options, root
from image_history.cli.schema import all_views
from image_history.config import settings
from image_history.schema import TABLES, Column, Table
from image_history.warehouse.saved import header, saved_queries
from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import WarehouseFile
from tests.documents import table

_QUERIED = {
    "image_versions_as_of": "(now())",
    "image_versions_known_at": "(now())",
    "image_version_changes": "(now(), now())",
}


def command_line() -> str:
    """Every verb with its description, its usage and its own options, after the options that all verbs share."""
    shared = {option for parameter in global_options() for option in parameter.opts}
    return "\n".join([_options(root.params), *(_verb(name, shared) for name in sorted(VERBS))])


def _verb(name: str, shared: set[str]) -> str:
    command: click.Command = import_module(VERBS[name][0]).command
    context = click.Context(command, info_name=f"{PROGRAM} {name}")
    own = [each for each in command.get_params(context) if _is_own(name, each, shared)]
    text = "\n\n".join(map(_paragraph, (command.help or "").strip().split("\n\n")))
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"\n## {name}\n", f"{text}\n", f"    {PROGRAM} {name} {usage}\n"]
    return "\n".join([*lines, _options(own)] if own else lines)


def _paragraph(text: str) -> str:
    """A paragraph of a verb's help; one whose lines click keeps is a block of code."""
    if text.startswith("\b\n"):
        return "\n".join(f"    {line}" for line in text.splitlines()[1:])
    return " ".join(text.split())


def _is_own(verb: str, parameter: click.Parameter, shared: set[str]) -> bool:
    """Whether the option is the verb's own; `schema --config` is a different option from the shared one."""
    known = shared | {"--help"}
    return isinstance(parameter, click.Option) and (
        not known & set(parameter.opts) or (verb, parameter.name) == ("schema", "of_config")
    )


def _options(parameters: Iterable[click.Parameter]) -> str:
    rows = (_option(each) for each in parameters if isinstance(each, click.Option) and not each.hidden)
    return table(("option", "meaning"), rows)


def _option(option: click.Option) -> tuple[str, str]:
    record = option.get_help_record(click.Context(root))
    assert record is not None, option
    name, meaning = record
    return f"`{escaped(name)}`", escaped(meaning)


def variables() -> str:
    """Every environment variable that sets a setting."""
    held = ((each.variable, each.name) for each in settings() if each.variable is not None)
    return table(("variable", "setting"), ((f"`{variable}`", f"`{name}`") for variable, name in held))


def dictionary() -> str:
    """Every table, view, macro and saved query, with its columns."""
    parts = [_table(each) for each in TABLES]
    with (
        tempfile.TemporaryDirectory() as folder,
        WarehouseFile(Path(folder) / "new.duckdb").writing() as made,
    ):
        described = {
            view.name: made.duck.execute(f"DESCRIBE FROM {view.name}{_QUERIED.get(view.name, '')}").fetchall()
            for view in all_views()
            if "AS TABLE" in statement(f"views/{view.name}") or view.kind == "view"
        }
    parts += [_view(view.name, described.get(view.name, ())) for view in all_views()]
    return "\n".join([*parts, _queries()])


def _table(described: Table) -> str:
    rows = (_column(described, column) for column in described.columns)
    key = ", ".join(f"`{name}`" for name in described.key)
    text = f"## {described.name}\n\n{_capital(described.grain)}. Key: {key}.\n"
    return f"{text}\n{table(('column', 'type', 'AWS member', 'meaning'), rows)}"


def _column(described: Table, column: Column) -> tuple[str, ...]:
    kind = _short(column.kind.sql)
    null = ", or null" if column.nullable else ""
    member = f"`{column.member}`" if column.member else ""
    return f"`{column.name}`", f"{kind}{null}", member, escaped(column.meaning)


def _view(name: str, described: Sequence[tuple[object, ...]]) -> str:
    entries = header(statement(f"views/{name}"))
    parts = [f"## {name}\n", f"{_capital(entries['What'])}\n"]
    parts += [f"{key}: {entries[key]}\n" for key in ("Parameters", "Columns") if entries.get(key)]
    types = ", ".join(f"`{column}` {_short(str(kind))}" for column, kind, *_ in described)
    return "\n".join([*parts, f"Types: {types}.\n"] if types else parts)


def _short(kind: str) -> str:
    return kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")


def _queries() -> str:
    rows = (
        (
            f"`@{query.name}`",
            escaped(query.what),
            "<br>".join(
                f"`{one.name}`: {one.meaning}" + (f" ({one.default})" if one.default else "")
                for one in query.parameters
            ),
            ", ".join(f"`{column}`" for column in query.columns),
        )
        for query in saved_queries()
    )
    return f"## Saved queries\n\n{table(('query', 'answers', 'parameters (default)', 'columns'), rows)}"


def escaped(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
