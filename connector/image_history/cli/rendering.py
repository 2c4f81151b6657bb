"""Rows on a terminal: a table fitted to its width, or one block a row where the columns don't fit.

The only place, with progress, that draws with rich. Must not know where rows come from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

NULL = "NULL"
_GAP = 2
# A column squeezed below this reads worse than one block a row.
_NARROWEST = 14


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: a header, rows of texts that are safe to print (None is a null), numbers' columns."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    right: Sequence[bool]


def console() -> Console:
    """The terminal on stdout; without any escape codes where NO_COLOR asks for that."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=sys.stdout, highlight=False, color_system=None if plain else "auto")


def draw(drawing: Drawing, screen: Console | None = None) -> None:
    """Draw the rows on the terminal."""
    target = screen or console()
    if not drawing.rows:
        target.print(Text(f"no rows ({', '.join(drawing.header)})", style="dim"))
    elif _fits(drawing, target.width):
        target.print(_table(drawing))
    else:
        _blocks(drawing, target)


def _fits(drawing: Drawing, width: int) -> bool:
    """Whether every column can be as wide as it wants, or is at least of a readable width."""
    columns = zip(drawing.header, *drawing.rows, strict=True)
    wanted = [max(cell_len(cell or NULL) for cell in column) for column in columns]
    return sum(min(size, _NARROWEST) for size in wanted) + _GAP * len(wanted) <= width


def _table(drawing: Drawing) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False)
    for name, right in zip(drawing.header, drawing.right, strict=True):
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in drawing.rows:
        table.add_row(*map(_cell, row))
    return table


def _blocks(drawing: Drawing, screen: Console) -> None:
    """Each row as a block of `column  value` lines, long values wrapped beside their column."""
    for number, row in enumerate(drawing.rows, 1):
        screen.print(Text(f"{chr(10) if number > 1 else ''}row {number}", style="bold"))
        block = Table.grid(padding=(0, _GAP, 0, 0))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for name, cell in zip(drawing.header, row, strict=True):
            block.add_row(Text(name, style="dim"), _cell(cell))
        screen.print(block)


def _cell(cell: str | None) -> Text:
    return Text(NULL, style="dim") if cell is None else Text(cell)
