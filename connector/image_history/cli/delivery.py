"""Writes rows to a file, which is replaced whole, to a pipe, or to a terminal, without control characters.

Must not know the query.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from image_history.cli import printable, remark
from image_history.counting import counted
from image_history.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from image_history.formats import Format, Rows

_MOST_SHOWN = 1_000
STDOUT = "-"


def chosen_format(file: str, name: str | None, otherwise: Format) -> Format:
    """The format that --format names, else that of the file's suffix. ConfigError for an unknown suffix."""
    from image_history.formats import NAMES, format_of

    return format_of(file, otherwise) if name is None else NAMES[name]


def require_readable(how: Format) -> None:
    """ConfigError if a binary format would go to a terminal."""
    if how.binary and sys.stdout.isatty():
        parameters = click.get_current_context().command.params
        has_output = any("--output" in parameter.opts for parameter in parameters)
        fix = "name a file with --output, or pipe it" if has_output else "pipe it into a file, as with > FILE"
        raise ConfigError(f"{how.value.title()} is not for a terminal: {fix}.")


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user may write to see what is not shown: all columns, more rows, or all rows."""

    all_columns: str = "--format blocks"
    more_rows: str = "--max-rows"
    all_rows: str = "--format csv"


OF_OPTIONS = Hints()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where and how rows are written. `path` None is stdout; `most` None is all rows.

    `paged` lets a table that is longer than the terminal go through a pager.
    """

    path: Path | None
    how: Format
    most: int | None
    paged: bool = False
    hints: Hints = OF_OPTIONS

    @classmethod
    def chosen(cls, path: Path | None, name: str | None, most: int | None) -> Delivery:
        """Build it from the options; --format names the format, or else the file's suffix. The path - is stdout.

        ConfigError for an unknown suffix, and for a binary format on a terminal.
        """
        from image_history.formats import Format

        file = None if path is None or str(path) == STDOUT else path
        how = chosen_format("" if file is None else file.name, name, Format.TABLE)
        if file is None:
            require_readable(how)
        return cls(file, how, _MOST_SHOWN if most is None and how.for_people else most)

    @property
    def wanted(self) -> int | None:
        """How many rows to fetch: one more than are shown, to find out whether there are more; None is all."""
        return None if self.most is None else self.most + 1

    def deliver(self, rows: Rows) -> None:
        """Write the rows; prints a report of a file on stdout, and on stderr if there are more rows."""
        from image_history.formats import Capped

        capped = Capped(rows, sys.maxsize if self.most is None else self.most)
        if self.path is None:
            self._print(capped)
        else:
            click.echo(write_file(capped, self.path, self.how))
        if capped.more:
            every = f", all with {self.hints.all_rows}" if self.how.for_people else ""
            first = counted(self.most or 0, "row is", "rows are")
            more = f"more with {self.hints.more_rows}{every}"
            remark(f"Only the first {first} shown: {more}.")

    def _print(self, rows: Rows) -> None:
        from image_history.formats import Format, write_rows

        terminal = sys.stdout.isatty()
        if terminal and self.how in {Format.TABLE, Format.BLOCKS}:
            self._draw(rows)
            return
        stdout = sys.stdout.buffer
        write_rows(rows, _Harmless(stdout) if terminal else stdout, self.how)
        stdout.flush()

    def _draw(self, rows: Rows) -> None:
        from image_history.cli.paging import show
        from image_history.cli.rendering import Drawing, console, draw
        from image_history.formats import Format
        from image_history.formats.cells import is_number
        from image_history.formats.plain import cells, is_explanation, write_explanation

        if is_explanation(rows.schema):
            write_explanation(rows, sys.stdout.buffer)
            return
        header = [printable(name) for name in rows.schema.names]
        lines = [row for batch in rows for row in cells(batch)]
        screen = console()
        with screen.capture() as drawn:
            right = [is_number(field.type) for field in rows.schema]
            blocks = self.how is Format.BLOCKS
            draw(Drawing(header, lines, right, blocks=blocks, all_by=self.hints.all_columns), screen)
        show(drawn.get(), height=screen.height if self.paged else sys.maxsize)


def write_file(rows: Rows, path: Path, how: Format) -> str:
    """Write the rows into a file that is replaced whole; returns the report. OutputError if it cannot be replaced."""
    from image_history.formats import replaced_file, write_rows

    with replaced_file(path) as sink:
        count = write_rows(rows, sink, how)
        size = sink.tell()
    return f"Wrote {counted(count, 'row')}, {size:,} bytes: {printable(str(path))}"


def require_other_file(path: Path | None, warehouse: Path) -> None:
    """OutputError if the file is the warehouse that the rows come from."""
    if path is not None and path.exists() and warehouse.exists() and path.samefile(warehouse):
        raise OutputError(f"{path} is the warehouse itself: name another file with --output.")


class _Harmless:
    """A terminal as a file: control characters except line ends become spaces."""

    def __init__(self, terminal: BinaryIO) -> None:
        self._terminal = terminal

    def write(self, text: bytes) -> int:
        lines = text.decode().replace("\r\n", "\n").split("\n")
        return self._terminal.write("\n".join(map(printable, lines)).encode())
