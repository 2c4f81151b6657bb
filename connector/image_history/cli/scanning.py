"""Where a statement ends: pure, for the shell and for the prompt that asks for more lines.

Must not know what a statement means.
"""

from __future__ import annotations

import re

# What hides a semicolon, complete: texts, names, comments, and texts between dollar signs.
_WHOLE = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*(?:\n|\Z)|/\*.*?\*/|\$(\w*)\$.*?\$\1\$""",
    re.DOTALL,
)
_BEGUN = re.compile(r"""['"]|/\*|\$\w*\$""")
_PLAIN = re.compile(r"""[^'"\-/$;eE]+|.""", re.DOTALL)
_NOTHING = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)


def split(text: str) -> tuple[list[str], str]:
    """What is complete, and what is begun after it: statements that a semicolon ends, and the shell's own lines."""
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
    """Whether it is one of the shell's own lines, or a saved query: that ends with its line."""
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
