"""Finds where a statement ends, for the shell and for its prompt. Pure.

Must not know what a statement means.
"""

from __future__ import annotations

import re

# Complete tokens in which a semicolon ends nothing: texts, names, comments, and texts between dollar signs.
_WHOLE = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\$(\w*)\$.*?\$\1\$""",
    re.DOTALL,
)
_BEGUN = re.compile(r"""['"]|/\*|\$\w*\$""")
_PLAIN = re.compile(r"""[^'"\-/$;eE]+|.""", re.DOTALL)
_NOTHING = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)


def split(text: str) -> tuple[list[str], str]:
    """Split a text into its complete statements and commands of the shell, and the incomplete rest."""
    pieces: list[str] = []
    rest = text
    while not is_empty(rest):
        length = _length(rest)
        if length is None:
            return pieces, rest
        piece = rest[:length].strip().rstrip(";").rstrip()
        if not is_empty(piece):
            pieces.append(piece)
        rest = rest[length:]
    return pieces, ""


def is_command(text: str) -> bool:
    """Whether it is a command of the shell or a saved query, which ends with its line."""
    return text.lstrip().startswith((".", "@"))


def is_complete(text: str) -> bool:
    """Whether Enter should run what is typed, rather than begin another line."""
    return not split(text)[1]


def is_empty(text: str) -> bool:
    """Whether there is nothing but blanks and comments."""
    return _NOTHING.fullmatch(text) is not None


def _length(text: str) -> int | None:
    """How far the first piece goes; None if its end is missing."""
    if is_command(text):
        line = text.lstrip().partition("\n")[0]
        return text.index(line) + len(line)
    position = 0
    while position < len(text):
        whole = _WHOLE.match(text, position)
        if whole:
            position = whole.end()
        elif _BEGUN.match(text, position):
            return None
        elif text[position] == ";":
            return position + 1
        else:
            plain = _PLAIN.match(text, position)
            position = plain.end() if plain else position + 1
    return None
