"""A table made to fit a terminal's width, in steps: each takes away less than the one after it would.

ARNs are shortened, columns without a value go, instants lose their seconds, headings and sentences are wrapped
between words, and then the least important columns go. Must not know the terminal, nor how lines are drawn.
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
# Sentences are not squeezed below this; longer words in them and in headings are broken at their joints.
_SENTENCE = 24
_WORD = 20
_JOINT = re.compile(r"(?<=[/:,;=_.@-])(?=[^/:,;=_.@-])")
# Columns of this rank or a lower one are the first to go, and nobody misses them.
EXPENDABLE = -1_000
# A value that all rows share can be told in a line; a longer one would make that line unreadable.
_MOST_SHARED = 40
_MOST_OURS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column of texts; None is a null. `rank` says how soon it goes: the lowest first."""

    name: str
    cells: tuple[str | None, ...]
    right: bool = False
    rank: int = 0

    @property
    def wanted(self) -> int:
        """The width at which nothing is wrapped."""
        return max(width(self.name), *map(_wide, self.cells), 1)

    @property
    def needed(self) -> int:
        """The least width at which no word is broken, and a sentence can be read."""
        words = max((width(word) for word in words_of(self.name)), default=1)
        return max(words, *map(_needed, self.cells), 1)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is drawn: columns and their widths. `left_out` and `empty` are the names of those that went.

    No columns: not even the most important one fits, so that each row has to be a block.
    """

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    left_out: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    shared: dict[str, str] = field(default_factory=dict)


def fit(columns: Sequence[Column], limit: int) -> Fitted:
    """The columns as they fit into `limit` characters a line."""
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
    return replace(column, cells=tuple(None if cell is None else change(cell) for cell in column.cells))


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
    """Nothing is lost with a column whose one value is told in a line below: such a one goes before all others."""
    return column.rank + (10 * EXPENDABLE if _shared(column) is not None else 0)


def _shared(column: Column) -> str | None:
    """The value that all rows have, if there are several rows, and it is worth a line below them."""
    values = set(column.cells) if column.rank > EXPENDABLE else set()
    (value,) = values if len(values) == 1 else (None,)
    if value is None or len(column.cells) == 1 or len(value) > _MOST_SHARED:
        return None
    return value


def _widths(columns: Sequence[Column], limit: int) -> tuple[int, ...]:
    """What each column needs, and of the rest as much as it wants: the modest ones first."""
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
    """What is never broken: the words, long ones taken apart at their joints, as after a / or a _."""
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
    """Put a word behind the last line, or below it."""
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
    """A piece that fits, or as much of it as fits at a time."""
    line = ""
    for character in piece:
        if line and width(line) + width(character) > limit:
            yield line
            line = ""
        line += character
    yield line


def lines_of(fitted: Fitted) -> Iterator[tuple[str, bool]]:
    """The lines to draw, without their end's blanks, each with whether it belongs to the header."""
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
    """What went, in sentences; `all_by` is the option that shows all."""
    if fitted.shared:
        told = ", ".join(f"{name} {value}" for name, value in fitted.shared.items())
        yield f"The same in every row: {told}."
    if fitted.empty:
        yield f"Without a value: {_named(fitted.empty)}."
    if fitted.left_out:
        yield f"Left out for lack of room: {_named(fitted.left_out)}. {all_by} shows all."


def _named(names: Sequence[str]) -> str:
    """The names; those that image-history adds to a table only counted, where they are many."""
    ours = [name for name in names if name.startswith("etl_")]
    if len(ours) <= _MOST_OURS:
        return ", ".join(names)
    return ", ".join([*(name for name in names if name not in ours), f"{len(ours)} etl_ columns"])
