"""Where an answer goes: a file that is replaced whole, a pipe, or a terminal that obeys no character of it.

Must not know what was asked.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from image_history.cli import printable
from image_history.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from image_history.formats import Format, Rows

_MOST_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """How rows leave the program. `path` None is stdout; `most` None is all rows.

    `paged` lets a table that is longer than the terminal go through a pager.
    """

    path: Path | None
    how: Format
    most: int | None
    paged: bool = False

    @classmethod
    def chosen(cls, path: Path | None, name: str | None, most: int | None) -> Delivery:
        """From the options; the file's suffix says the format unless --format does.

        ConfigError for Parquet on a terminal.
        """
        from image_history.formats import Format, format_of

        by_suffix = format_of(path) if path is not None else None
        how = Format(name) if name is not None else by_suffix or Format.TABLE
        if how is Format.PARQUET and path is None and sys.stdout.isatty():
            raise ConfigError("Parquet is not for a terminal: name a file with --output, or pipe it.")
        return cls(path, how, _MOST_SHOWN if most is None and how.for_people else most)

    @property
    def wanted(self) -> int | None:
        """How many rows have to be there to tell whether there are more than are shown; None is all."""
        return None if self.most is None else self.most + 1

    def deliver(self, rows: Rows) -> None:
        """Write the rows; says on stderr if there are more than were written, on stdout what file was."""
        from image_history.formats import Capped

        capped = Capped(rows, sys.maxsize if self.most is None else self.most)
        if self.path is None:
            self._print(capped)
        else:
            click.echo(write_file(capped, self.path, self.how))
        if capped.more:
            click.echo(
                f"Only the first {self.most:,} rows are shown: more with --max-rows, all with --format csv.",
                err=True,
            )

    def _print(self, rows: Rows) -> None:
        from image_history.formats import Format, write_rows

        terminal = sys.stdout.isatty()
        if terminal and self.how is Format.TABLE:
            _draw(rows, paged=self.paged)
            return
        stdout = sys.stdout.buffer
        write_rows(rows, _Harmless(stdout) if terminal else stdout, self.how)
        stdout.flush()


def write_file(rows: Rows, path: Path, how: Format) -> str:
    """Write the rows into a file that is replaced whole; returns the report. OutputError if it cannot be."""
    from image_history.formats import replaced_file, write_rows

    with replaced_file(path) as sink:
        count = write_rows(rows, sink, how)
        size = sink.tell()
    return f"Wrote {count:,} {'row' if count == 1 else 'rows'}, {size:,} bytes: {printable(str(path))}"


def require_other_file(path: Path | None, warehouse: Path) -> None:
    """OutputError if the rows would take the place of the warehouse that they come from."""
    if path is not None and path.exists() and warehouse.exists() and path.samefile(warehouse):
        raise OutputError(f"{path} is the warehouse itself: name another file with --output.")


def _draw(rows: Rows, *, paged: bool) -> None:
    from image_history.cli.paging import show
    from image_history.cli.rendering import Drawing, console, draw
    from image_history.formats.cells import is_number
    from image_history.formats.plain import cells, is_explanation, write_explanation

    if is_explanation(rows.schema):
        write_explanation(rows, sys.stdout.buffer)
        return
    header = [printable(name) for name in rows.schema.names]
    lines = [row for batch in rows for row in cells(batch)]
    screen = console()
    with screen.capture() as drawn:
        draw(Drawing(header, lines, [is_number(field.type) for field in rows.schema]), screen)
    show(drawn.get(), height=screen.height if paged else sys.maxsize)


class _Harmless:
    """A terminal as a file: control characters but for the ends of lines become spaces."""

    def __init__(self, terminal: BinaryIO) -> None:
        self._terminal = terminal

    def write(self, text: bytes) -> int:
        lines = text.decode().replace("\r\n", "\n").split("\n")
        return self._terminal.write("\n".join(map(printable, lines)).encode())
