"""Aligns columns of text on a terminal.

Must not know Arrow, nor what the texts are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

_GAP = "  "


def aligned(
    header: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[bool] = ()
) -> Iterator[str]:
    """The lines, header first, with each column as wide as its widest cell; `right` aligns columns to the right."""
    sides = list(right) or [False] * len(header)
    widths = [max(map(width, column)) for column in zip(header, *lines, strict=True)]
    for line in (header, *lines):
        yield _GAP.join(map(_padded, line, widths, sides)).rstrip()


def _padded(text: str, room: int, to_the_right: bool) -> str:  # noqa: FBT001  # an argument of map
    filling = " " * (room - width(text))
    return filling + text if to_the_right else text + filling


def width(text: str) -> int:
    """The number of terminal columns that the text takes; CJK characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
