"""Finds completions of the word before the cursor. Pure.

Must not know the terminal, nor where the words come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_WORD = re.compile(r"(?:(\w+)\.)?(\w*)\Z")
_KEYWORDS = """
SELECT FROM WHERE GROUP BY ORDER HAVING QUALIFY LIMIT OFFSET JOIN LEFT ANTI SEMI ON USING AS AND OR NOT IN IS NULL
LIKE ILIKE BETWEEN CASE WHEN THEN ELSE END DISTINCT UNION ALL EXCEPT INTERSECT EXCLUDE FILTER OVER PARTITION WITH
RECURSIVE VALUES DESCRIBE SUMMARIZE SHOW TABLES EXPLAIN ANALYZE PIVOT UNPIVOT INTERVAL TIMESTAMPTZ DATE DESC ASC
NULLS FIRST LAST
""".split()  # noqa: SIM905  # sixty lines of one word each read worse


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All names that can be completed. `columns` are by relation; `saved` come without their @."""

    relations: Sequence[str] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    functions: Sequence[str] = ()
    saved: Sequence[str] = ()
    commands: Sequence[str] = ()
    formats: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """A word that may stand in place of the `length` characters before the cursor."""

    text: str
    length: int
    kind: str


def completions(before: str, words: Vocabulary) -> Iterator[Completion]:
    """The completions, the likeliest first: columns of the relations that the text names, then all others."""
    line = before.lstrip()
    if re.fullmatch(r"\.\w*", line):
        return _starting(line, "command", words.commands)
    if re.fullmatch(r"@[\w-]*", line):
        return _starting(line[1:], "saved query", words.saved)
    found = re.fullmatch(r"\.(\w+)\s+(\w*)", line)
    if found:
        return _starting(found[2], found[1], words.formats if found[1] == "mode" else words.relations)
    return _in_statement(before, words)


def _in_statement(before: str, words: Vocabulary) -> Iterator[Completion]:
    found = _WORD.search(before)
    owner, prefix = (found[1], found[2]) if found else (None, "")
    if owner:
        relation = _meant(owner, before, words)
        columns = words.columns.get(relation, ()) if relation else _all_columns(words)
        yield from _starting(prefix, "column", columns)
        return
    if not prefix:
        return
    named = [one for one in words.relations if re.search(rf"\b{re.escape(one)}\b", before)]
    near = list(dict.fromkeys(column for one in named for column in words.columns.get(one, ())))
    yield from _starting(prefix, "column", near)
    yield from _starting(prefix, "relation", words.relations)
    yield from _starting(prefix, "column", [one for one in _all_columns(words) if one not in near])
    yield from _starting(prefix, "function", words.functions)
    yield from _starting(prefix, "keyword", _KEYWORDS)


def _meant(owner: str, before: str, words: Vocabulary) -> str | None:
    """The relation that a name before a dot names, or is an alias of, as in `FROM images AS i`."""
    if owner in words.columns:
        return owner
    alias = re.search(rf"\b(\w+)\s+(?:AS\s+)?{re.escape(owner)}\b", before, re.IGNORECASE)
    return alias[1] if alias and alias[1] in words.columns else None


def _all_columns(words: Vocabulary) -> list[str]:
    return sorted({column for columns in words.columns.values() for column in columns})


def _starting(prefix: str, kind: str, candidates: Iterable[str]) -> Iterator[Completion]:
    wanted = prefix.casefold()
    return (Completion(one, len(prefix), kind) for one in candidates if one.casefold().startswith(wanted))
