"""What the reporting verbs share: an open warehouse, --format, and text that fits a terminal.

Must not know what is reported.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from image_history.cli import Globals, printable
from image_history.errors import ConfigError
from image_history.formats.writing import FORMATS_HELP, NAMES

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.warehouse.reports import Reports

Function = TypeVar("Function", bound=Callable[..., Any])


def format_option(function: Function) -> Function:
    """The options --format and --json of a report, as the argument `how`: the name of a Format."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, how: str | None, short: bool, **options: Any) -> Any:
        chosen = NAMES[shortened(how, short=short) or "table"].value
        return function(*arguments, how=chosen, **options)

    choice, meaning = (
        click.Choice(list(NAMES)),
        f"{FORMATS_HELP}. All but table hold every column.  [default: table]",
    )
    return cast(
        "Function",
        click.option("--format", "how", type=choice, metavar="FORMAT", help=meaning)(short_option(wrapped)),
    )


def document_option(function: Function) -> Function:
    """The options --format and --json of a verb that prints one document, as the argument `as_json`."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, how: str | None, short: bool, **options: Any) -> Any:
        return function(*arguments, as_json=shortened(how, short=short) == "json", **options)

    choice = click.Choice(["table", "json"])
    decorate = click.option("--format", "how", type=choice, help="Output format.  [default: table]")
    return cast("Function", decorate(short_option(wrapped)))


short_option = click.option("--json", "short", is_flag=True, help="Short for --format json.")


def shortened(how: str | None, *, short: bool) -> str | None:
    """The format that --format and --json name together; UsageError if they contradict each other."""
    if short and how not in {None, "json"}:
        raise click.UsageError(f"--json is short for --format json; --format {how} says otherwise.")
    return "json" if short else how


def print_document(content: object) -> None:
    """Print a report as one JSON document; on a terminal it is indented and has no control characters."""
    text = json.dumps(content, default=_plain, indent=2 if sys.stdout.isatty() else None)
    click.echo(text)


def _plain(value: object) -> str:
    """Instants as in every other JSON of ours: in UTC, to the millisecond, marked Z."""
    if not isinstance(value, datetime):
        return str(value)
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


@contextmanager
def opened(shared: Globals, *, wait: timedelta | None = None) -> Iterator[Reports]:
    """The configured warehouse, read-only; waits for a load that is under way, for `lock_wait` or `wait`."""
    from image_history.warehouse.reports import reading
    from image_history.warehouse.warehouse import WarehouseFile

    config = shared.config()
    bound = config.lock_wait if wait is None else wait
    with reading(WarehouseFile(config.warehouse, bound.total_seconds())) as reports:
        yield reports


def deliver(table: pa.Table, how: str) -> None:
    """Print the rows in a format."""
    from image_history.cli.delivery import Delivery
    from image_history.formats import as_rows

    Delivery.chosen(None, how, sys.maxsize).deliver(as_rows(table))


def deliver_object(parts: Mapping[str, pa.Table]) -> None:
    """Print one JSON object with an array for each of the parts."""
    from image_history.formats import Format, as_rows, write_rows

    arrays = []
    for name, table in parts.items():
        array = BytesIO()
        write_rows(as_rows(table), array, Format.JSON)
        arrays.append(f'"{name}": {array.getvalue().decode().rstrip()}')
    content = "{" + ",\n".join(arrays) + "}"
    lines = content.split("\n") if sys.stdout.isatty() else []
    click.echo("\n".join(map(printable, lines)) if lines else content)


def require_none(given: Mapping[str, object], subject: str) -> None:
    """ConfigError for an option that was given without an image, although it is about `subject`."""
    unfit = [name for name, value in given.items() if value is not None]
    if unfit:
        option = unfit[0].replace("_", "-")
        raise ConfigError(f"--{option} is about {subject}: name the image, or leave it out.")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of text for people. `right` names the columns that are aligned right, as numbers are.

    `least` names the columns that are dropped first on a narrow terminal; `all_by` is the option that shows all.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()
    least: Sequence[str] = ()
    all_by: str = "--format blocks"


def show(sheet: Sheet) -> None:
    """Print the rows: a line each, fitted to the terminal if there is one."""
    from image_history.formats.layout import aligned

    sides = [name in sheet.right for name in sheet.header]
    rows = [[printable(cell) for cell in row] for row in sheet.rows]
    if not sys.stdout.isatty():
        click.echo("\n".join(aligned(sheet.header, rows, sides)))
        return
    from image_history.cli.rendering import Drawing, draw

    draw(Drawing(sheet.header, rows, sides, sheet.least, all_by=sheet.all_by))


def say(text: str) -> None:
    """Print a sentence, wrapped between words to the width of a terminal."""
    clean = printable(text)
    if not sys.stdout.isatty():
        click.echo(clean)
        return
    from image_history.cli import rendering

    rendering.say(clean, rendering.console())
