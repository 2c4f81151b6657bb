"""Mutants of SQL statements: removed or negated conditions, changed comparisons, and left-out fallbacks.

DuckDB's tokenizer splits a statement into words; the rest of the text stays as it is. Must not know what a
statement is for, or how a mutant is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import duckdb

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_OPENING = frozenset({"WHERE", "ON", "HAVING", "QUALIFY", "WHEN"})
# Words before an expression that is a condition only if it contains AND or OR.
_LISTING = frozenset({"SELECT", ",", "BY"})
_QUERIES = frozenset({"SELECT", "FROM", "WITH", "PARTITION"})
_CLOSING = frozenset(
    [
        "WHERE",
        "ON",
        "HAVING",
        "QUALIFY",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "GROUP",
        "ORDER",
        "LIMIT",
        "UNION",
        "EXCEPT",
        "INTERSECT",
        "JOIN",
        "LEFT",
        "RIGHT",
        "FULL",
        "INNER",
        "SEMI",
        "ANTI",
        "CROSS",
        "POSITIONAL",
        "ASOF",
        "SELECT",
        "FROM",
        "WITH",
        "SET",
        "RETURNING",
        "WINDOW",
        "AS",
    ]
)
_TURNED = {
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "=": ("<>",),
    "<>": ("=",),
}
_CHOOSING = frozenset({"COALESCE", "GREATEST", "LEAST"})


@dataclass(frozen=True, slots=True)
class Word:
    """A token of a statement, from `start` to `end`, and the number of open brackets before it."""

    text: str
    start: int
    end: int
    depth: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A mutant: `by` replaces the text from `start` to `end`."""

    what: str
    start: int
    end: int
    by: str

    def of(self, text: str) -> str:
        """The statement with the edit."""
        return f"{text[: self.start]}{self.by}{text[self.end :]}"


def words(sql: str) -> list[Word]:
    """The tokens of a statement, without comments."""
    starts = [start for start, _ in duckdb.tokenize(sql)]
    found: list[Word] = []
    depth = 0
    for start, end in pairwise([*starts, len(sql)]):
        text = _COMMENT.sub("", sql[start:end]).strip()
        if not text or sql[start:end].startswith(("--", "/*")):
            continue
        depth -= text in {")", "]"}
        found.append(Word(text, start, start + len(text), depth))
        depth += text in {"(", "["}
    return found


def mutants(sql: str) -> list[Edit]:
    """Every mutant of a statement, without duplicates."""
    said = words(sql)
    found = [*_comparisons(said), *_choices(said, sql), *_conditions(said, sql)]
    return list({(edit.start, edit.end, edit.by): edit for edit in found}.values())


def _comparisons(said: list[Word]) -> Iterator[Edit]:
    for at, word in enumerate(said):
        named = at + 1 < len(said) and said[at - 1].text.isidentifier() and _assigns(said, at)
        if not named:
            for turned in _TURNED.get(word.text, ()):
                yield Edit(f"{word.text} becomes {turned}", word.start, word.end, turned)


def _assigns(said: list[Word], at: int) -> bool:
    """Whether an equals sign assigns a value: in SET, or to a parameter of a function such as read_parquet."""
    word = said[at]
    if word.text != "=":
        return False
    for before in reversed(said[:at]):
        if before.depth < word.depth:
            return before.text == "(" and said[said.index(before) - 1].text.lower().startswith("read_")
        if before.depth == word.depth and before.text.upper() in {"WHERE", "ON", "WHEN", "FROM", "SELECT"}:
            return False
        if before.depth == word.depth and before.text.upper() == "SET":
            return True
    return False


def _choices(said: list[Word], sql: str) -> Iterator[Edit]:
    """Replace each coalesce, greatest and least by one of its values."""
    for at, word in enumerate(said[:-1]):
        if word.text.upper() in _CHOOSING and said[at + 1].text == "(":
            end = _closed(said, at + 1)
            for first, last in _parts(said, at + 2, end, {","}):
                kept = sql[said[first].start : said[last].end]
                yield Edit(f"{word.text} becomes {_short(kept)}", word.start, said[end].end, f"({kept})")


def _may_list(word: Word, following: Word) -> bool:
    return word.text.upper() in _LISTING or (word.text == "(" and following.text.upper() not in _QUERIES)


def _conditions(said: list[Word], sql: str) -> Iterator[Edit]:
    for at, word in enumerate(said[:-1]):
        first, end = at + 1, _closed(said, at) if word.text == "(" else _ended(said, at)
        opens = word.text.upper() in _OPENING or (word.text == "(" and said[at - 1].text.upper() == "FILTER")
        if opens or (_may_list(word, said[first]) and len(_parts(said, first, end, {"AND", "OR"})) > 1):
            yield from _within(said, sql, first, end, window=word.text.upper() == "QUALIFY")


def _ended(said: list[Word], at: int) -> int:
    """The end of the condition after a keyword."""
    depth = said[at].depth
    for number in range(at + 1, len(said)):
        word = said[number]
        over = word.depth < depth or word.text == ";" or (word.depth == depth and word.text == ",")
        if over or (word.depth == depth and word.text.upper() in _CLOSING and not _is_distinct(said, number)):
            return number
    return len(said)


def _is_distinct(said: list[Word], number: int) -> bool:
    """Whether a FROM belongs to IS DISTINCT FROM."""
    return said[number].text.upper() == "FROM" and said[number - 1].text.upper() == "DISTINCT"


def _closed(said: list[Word], at: int) -> int:
    return next(number for number in range(at + 1, len(said)) if said[number].depth == said[at].depth)


def _within(said: list[Word], sql: str, first: int, end: int, *, window: bool) -> Iterator[Edit]:
    """Replace each operand of AND by TRUE and each operand of OR by FALSE, and negate each operand.

    A QUALIFY keeps the text of its condition, because DuckDB refuses a QUALIFY without a window function.
    """
    parts = _parts(said, first, end, {"AND", "OR"})
    for start, last in parts:
        text = sql[said[start].start : said[last].end]
        joined = {said[number].text.upper() for number in (start - 1, last + 1) if first <= number < end}
        neutral = "FALSE" if joined == {"OR"} else "TRUE"
        if window:
            neutral = f"({text} {'AND' if neutral == 'FALSE' else 'OR'} {neutral})"
        yield Edit(f"without {_short(text)}", said[start].start, said[last].end, neutral)
        if not _is_comparison(said[start : last + 1]):
            negated = f"(NOT coalesce({text}, FALSE))"
            yield Edit(f"not {_short(text)}", said[start].start, said[last].end, negated)


def _is_comparison(part: list[Word]) -> bool:
    """Whether a condition is a single comparison, for which `_comparisons` makes mutants."""
    depth = min(word.depth for word in part)
    marks = [word.text.upper() for word in part if word.depth == depth]
    return sum(mark in _TURNED for mark in marks) == 1 and not {"AND", "OR", "NOT", "BETWEEN"} & {*marks}


def _parts(said: list[Word], first: int, end: int, marks: set[str]) -> list[tuple[int, int]]:
    """The ranges of words between the outermost marks; the AND of a BETWEEN is not a mark."""
    if first >= end:
        return []
    depth = min(word.depth for word in said[first:end])
    found, start, between = [], first, False
    for number in range(first, end):
        word = said[number]
        if word.depth != depth:
            continue
        between |= word.text.upper() == "BETWEEN"
        if word.text.upper() in marks and not between:
            found.append((start, number - 1))
            start = number + 1
        between &= word.text.upper() != "AND"
    return [*found, (start, end - 1)] if start < end else found


def _short(text: str) -> str:
    return " ".join(text.split())[:90]
