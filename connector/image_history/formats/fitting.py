"""Fits a table into a terminal's width, in steps: earlier steps remove less than later ones.

ARNs are shortened, columns without a value are removed, instants lose their seconds, headings and sentences are
wrapped between words, and then the least important columns are removed. Must not know the terminal, nor how lines are
drawn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from image_history.formats.layout import width

GAP = 2
NULL = "NULL"
_ARN = re.compile(r"arn:[\w-]+:[\w-]+:[\w-]*:(?:\d{12})?:(?P<resource>\S+)")
_INSTANT = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)[T ](?P<minute>\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z?")
# No sentence gets narrower than _SENTENCE; words longer than _WORD are broken at joints, as after a / or a _.
_SENTENCE = 24
_WORD = 20
_JOINT = re.compile(r"(?<=[/:,;=_.@-])(?=[^/:,;=_.@-])")
# Columns of this rank or a lower one are removed first, and their shared value is not printed below.
EXPENDABLE = -1_000
# A value that all rows share is printed once below the table, unless it is longer than this.
_MOST_SHARED = 40
_MOST_OURS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column of texts; None is a null. `rank` orders the removal of columns: the lowest first.

    `whole` are the cells as they were before they were shortened; None if they were not shortened.
    """

    name: str
    cells: tuple[str | None, ...]
    right: bool = False
    rank: int = 0
    whole: tuple[str | None, ...] | None = None

    @property
    def wanted(self) -> int:
        """The width at which nothing is wrapped."""
        return max(width(self.name), *map(_wide, self.cells), 1)

    @property
    def needed(self) -> int:
        """The least width at which no word is broken and a sentence is readable."""
        words = max((width(word) for word in words_of(self.name)), default=1)
        return max(words, *map(_needed, self.cells), 1)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The columns to draw, and their widths. `left_out` and `empty` name the columns that were removed.

    Without columns, not even the most important one fits, and each row has to be drawn as a block.
    """

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    left_out: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    shared: dict[str, str] = field(default_factory=dict)


def fit(columns: Sequence[Column], limit: int) -> Fitted:
    """Fit the columns into lines of `limit` characters."""
    tried = tuple(columns)
    if _sum([column.wanted for column in tried]) <= limit:
        return Fitted(tried, tuple(column.wanted for column in tried))
    tried = tuple(map(_without_arns, tried))
    empty: tuple[str, ...] = ()
    if _sum([column.wanted for column in tried]) > limit:
        full = tuple(column for column in tried if any(cell not in {None, ""} for cell in column.cells))
        empty = tuple(column.name for column in tried if column not in full)
        tried = full or tried[:1]
    if _sum([column.wanted for column in tried]) > limit:
        tried = tuple(map(_to_the_minute, tried))
    kept = _kept(tried, limit)
    gone = [column for column in tried if column not in kept]
    shared = {column.name: value for column in gone if (value := _shared(column)) is not None}
    left_out = tuple(column.name for column in gone if column.name not in shared)
    return Fitted(kept, _widths(kept, limit), left_out, empty, shared)


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _wide(cell: str | None) -> int:
    return width(NULL if cell is None else cell)


def _needed(cell: str | None) -> int:
    if cell is None:
        return len(NULL)
    if " " not in cell or _INSTANT.fullmatch(cell):
        return width(cell)
    return max(max(map(width, words_of(cell)), default=0), min(width(cell), _SENTENCE))


def _without_arns(column: Column) -> Column:
    return _each(column, lambda cell: _ARN.sub(lambda arn: f"…{arn['resource']}", cell))


def _to_the_minute(column: Column) -> Column:
    """Instants without their seconds, if the column holds nothing else."""
    found = [_INSTANT.fullmatch(cell) for cell in column.cells if cell is not None]
    if not found or not all(found):
        return column
    return _each(column, lambda cell: _INSTANT.sub(r"\g<day> \g<minute>", cell))


def _each(column: Column, change: Callable[[str], str]) -> Column:
    cells = tuple(None if cell is None else change(cell) for cell in column.cells)
    return (
        column if cells == column.cells else replace(column, cells=cells, whole=column.whole or column.cells)
    )


def _kept(columns: Sequence[Column], limit: int) -> tuple[Column, ...]:
    """As many columns as fit, the most important ones before all others; in their order."""
    kept: list[int] = []
    needed = [column.needed for column in columns]
    for number in sorted(range(len(columns)), key=lambda each: (-_rank(columns[each]), each)):
        if _sum([needed[each] for each in (*kept, number)]) <= limit:
            kept.append(number)
        elif not kept:
            return ()
    return tuple(columns[number] for number in sorted(kept))


def _rank(column: Column) -> int:
    """A column with one shared value is removed first: the value is printed below the table, so nothing is lost."""
    return column.rank + (10 * EXPENDABLE if _shared(column) is not None else 0)


def _shared(column: Column) -> str | None:
    """The value that all rows share; None if there is one row, or if the value is not to be printed below.

    Values that differ only in what was shortened, as seconds, are not shared.
    """
    same = len(column.cells) > 1 and len(set(column.whole or column.cells)) == 1
    value = column.cells[0] if same and column.rank > EXPENDABLE else None
    return None if value is None or len(value) > _MOST_SHARED else value


def _widths(columns: Sequence[Column], limit: int) -> tuple[int, ...]:
    """The width that each column needs, and a share of the rest, first for columns that want least more."""
    widths = [column.needed for column in columns]
    wanted = [max(column.wanted, column.needed) for column in columns]
    rest = limit - _sum(widths) if columns else 0
    hungry = sorted(range(len(columns)), key=lambda each: wanted[each] - widths[each])
    for place, number in enumerate(hungry):
        more = min(wanted[number] - widths[number], rest // (len(hungry) - place))
        widths[number] += more
        rest -= more
    return tuple(widths)


def words_of(text: str) -> list[str]:
    """The pieces that are never broken: words, and the parts of long words, split after joints such as / or _."""
    return [piece for word in text.split() for piece in _pieces(word)]


def _pieces(word: str) -> list[str]:
    return [word] if width(word) <= _WORD else _JOINT.split(word)


def wrapped(text: str, limit: int) -> list[str]:
    """The text in lines of `limit` characters, broken between words; a word is broken only where it must be."""
    if width(text) <= limit:
        return [text]
    lines: list[str] = [""]
    for word in text.split():
        _append(lines, word, limit)
    return lines


def _append(lines: list[str], word: str, limit: int) -> None:
    """Append a word to the last line, or on a new line below it."""
    spaced = f" {word}" if lines[-1] else word
    if width(lines[-1]) + width(spaced) <= limit:
        lines[-1] += spaced
        return
    if width(word) <= limit:
        lines.append(word)
        return
    if lines[-1]:
        lines.append("")
    for piece in _JOINT.split(word):
        for part in _broken(piece, limit):
            if width(lines[-1]) + width(part) <= limit:
                lines[-1] += part
            else:
                lines.append(part)


def _broken(piece: str, limit: int) -> Iterator[str]:
    """The piece in parts that each fit."""
    line = ""
    for character in piece:
        if line and width(line) + width(character) > limit:
            yield line
            line = ""
        line += character
    yield line


def lines_of(fitted: Fitted) -> Iterator[tuple[str, bool]]:
    """The lines to draw, without trailing blanks, each with a flag: whether it belongs to the header."""
    for line in _row([column.name for column in fitted.columns], fitted):
        yield line, True
    yield (" " * GAP).join("─" * size for size in fitted.widths), True
    for row in zip(*(column.cells for column in fitted.columns), strict=True):
        for line in _row([NULL if cell is None else cell for cell in row], fitted):
            yield line, False


def _row(cells: Sequence[str], fitted: Fitted) -> Iterator[str]:
    parts = list(map(wrapped, cells, fitted.widths))
    pad = partial(_padded, fitted)
    for number in range(max(map(len, parts))):
        line = [part[number] if number < len(part) else "" for part in parts]
        yield (" " * GAP).join(map(pad, range(len(line)), line)).rstrip()


def _padded(fitted: Fitted, number: int, text: str) -> str:
    filling = " " * (fitted.widths[number] - width(text))
    return filling + text if fitted.columns[number].right else text + filling


def notes(fitted: Fitted, all_by: str = "--format blocks") -> Iterator[str]:
    """Sentences about the removed columns; `all_by` is the option that shows all columns."""
    if fitted.shared:
        shared = ", ".join(f"{name} {value}" for name, value in fitted.shared.items())
        yield f"The same in every row: {shared.removesuffix('.')}."
    if fitted.empty:
        yield f"Without a value: {_named(fitted.empty)}."
    if fitted.left_out:
        yield f"Left out for lack of room: {_named(fitted.left_out)}. {all_by} shows all."


def _named(names: Sequence[str]) -> str:
    """The names; if there are many etl_ columns, only their number is given."""
    ours = [name for name in names if name.startswith("etl_")]
    if len(ours) <= _MOST_OURS:
        return ", ".join(names)
    return ", ".join([*(name for name in names if name not in ours), f"{len(ours)} etl_ columns"])
