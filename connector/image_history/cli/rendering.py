"""Rows on a terminal: a table fitted to its width, or a block for each row if not even one column fits.

The only place, with progress, that draws with rich. Must not know where rows come from, nor how a table is fitted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from image_history.formats.fitting import EXPENDABLE, NULL, Column, Fitted, fit, lines_of, notes, wrapped
from image_history.formats.layout import width

_GAP = "  "
# For a terminal that cannot show the characters that tables are drawn with.
_ASCII = str.maketrans({"─": "-", "…": "~"})
# How early a column is dropped if the terminal is narrow; the others are dropped from the right.
_ARN_RANK, _LEAST_RANK = 3 * EXPENDABLE, 2 * EXPENDABLE


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: a header, rows of texts that are safe to print (None is a null), and the columns to align right.

    `least` names the columns that are dropped first if there is no room; without it, their names decide. `all_by` is
    the option that shows the dropped columns.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    right: Sequence[bool]
    least: Sequence[str] = ()
    blocks: bool = False
    all_by: str = "--format blocks"


def console() -> Console:
    """The terminal on stdout; without escape codes if NO_COLOR is set."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(file=sys.stdout, highlight=False, color_system=None if plain else "auto")


def draw(drawing: Drawing, screen: Console | None = None) -> None:
    """Draw the rows on the terminal."""
    target = screen or console()
    if not drawing.rows:
        target.print(Text(f"no rows ({', '.join(drawing.header)})", style="dim"))
        return
    fitted = Fitted((), ()) if drawing.blocks else fit(_columns(drawing), target.width)
    if fitted.columns:
        _table(fitted, target, drawing.all_by)
    else:
        _blocks(drawing, target)


def _columns(drawing: Drawing) -> list[Column]:
    return [
        Column(name, cells, right, _rank(drawing, number))
        for number, (name, right, cells) in enumerate(
            zip(drawing.header, drawing.right, zip(*drawing.rows, strict=True), strict=True)
        )
    ]


def _rank(drawing: Drawing, number: int) -> int:
    name = drawing.header[number]
    if name in drawing.least:
        return _LEAST_RANK + list(drawing.least).index(name)
    if name.endswith("_arn"):
        return _ARN_RANK
    return (_LEAST_RANK if name.startswith("etl_") else 0) - number


def _table(fitted: Fitted, screen: Console, all_by: str) -> None:
    for line, heads in lines_of(fitted):
        _print(line, screen, "bold" if heads else "")
    for note in notes(fitted, all_by):
        say(note, screen, "dim")


def say(sentence: str, screen: Console, style: str = "") -> None:
    """Print a sentence, wrapped between words; if it is indented, its further lines are indented by two more."""
    text = sentence.lstrip(" ")
    indent = len(sentence) - len(text)
    if width(sentence) <= screen.width or indent >= screen.width // 2:
        _print(sentence, screen, style)
        return
    deeper = indent + 2 if indent else 0
    for number, line in enumerate(wrapped(text, screen.width - deeper)):
        _print(" " * (deeper if number else indent) + line, screen, style)


def _print(line: str, screen: Console, style: str) -> None:
    _put(Text(line, style=style), screen)


def _put(text: Text, screen: Console) -> None:
    """Print the text; a character that the terminal's encoding lacks becomes a question mark."""
    if screen.options.ascii_only:
        encoded = text.plain.translate(_ASCII).encode(screen.encoding, "replace")
        text.plain = encoded.decode(screen.encoding)
    screen.print(text, no_wrap=True, overflow="ignore", crop=False)


def _blocks(drawing: Drawing, screen: Console) -> None:
    """Each row as a block of `column  value` lines, long values wrapped beside their column."""
    names = max(map(width, drawing.header))
    room = max(screen.width - names - len(_GAP), 1)
    for number, row in enumerate(drawing.rows, 1):
        _print(f"{chr(10) if number > 1 else ''}row {number}", screen, "bold")
        for name, cell in zip(drawing.header, row, strict=True):
            first, *more = wrapped(NULL if cell is None else cell, room)
            text = Text.assemble((name + " " * (names - width(name)) + _GAP, "dim"), first)
            _put(text, screen)
            for line in more:
                _print(" " * (names + len(_GAP)) + line, screen, "")
