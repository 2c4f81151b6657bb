"""Which statements are refused, and what DuckDB's error messages mean: each becomes one sentence of a QueryError.

Pure: takes statements and messages as arguments. Must not know how a query is run.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import signal
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Protocol

from image_history.errors import QueryError

READING = (
    "SELECT", "FROM", "WITH", "VALUES", "TABLE", "DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "PIVOT", "UNPIVOT",
    "EXPLAIN",
)  # fmt: skip
_READING_TYPES = {"SELECT", "EXPLAIN"}
_PIVOTED = {"MULTI", "CREATE"}
_SKIPPED = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|[(;])*"
_FIRST_WORD = re.compile(rf"{_SKIPPED}(\w*)", re.DOTALL)
_EXPLAIN = re.compile(
    rf"{_SKIPPED}EXPLAIN(?:{_SKIPPED}ANALYZE\b)?(?:\s*\([\w\s,'\"]*\))?", re.DOTALL | re.IGNORECASE
)
_NEAR = 3
_CALLABLE = {"identifier", "keyword"}
_CALLED = re.compile(r'"((?:[^"]|"")*)"|(\w+)')
# Table functions that only read. DuckDB's other ones, also future ones, may log, checkpoint, profile, run SQL or
# take pointers.
_READERS = re.compile(
    "(?:duckdb|pragma|read|parquet)_\\w+|sniff_csv|glob|which_secret|query_table|unnest|generate_series|range|repeat"
    "|repeat_row|json_each|json_tree|summary|test_all_types|test_vector_types|icu_calendar_names|pg_timezone_names"
)
# DuckDB calls them volatile, since each call returns another value, but they change nothing.
_FLEETING = frozenset(
    {
        "current_connection_id",
        "current_query",
        "current_query_id",
        "current_transaction_id",
        "currval",
        "error",
        "gen_random_uuid",
        "random",
        "setseed",
        "sleep_ms",
        "stats",
        "uuid",
        "uuidv4",
        "uuidv7",
        "vector_type",
    }
)
_MOST_NAMED = 8


class Statement(Protocol):
    """A statement as DuckDB's parser describes it."""

    @property
    def type(self) -> object:
        """A member of an enumeration, named after the kind of statement."""

    @property
    def named_parameters(self) -> set[str]:
        """The parameters' names, without the dollar sign."""


def require_reading(sql: str, statements: Sequence[Statement]) -> None:
    """QueryError unless it is exactly one statement, and one that only reads."""
    if not statements:
        raise QueryError("The query is empty; ask for example: FROM image_versions LIMIT 10.")
    kinds = list(map(_kind, statements))
    if kinds[0] in _PIVOTED and kinds[1:] in ([], ["SELECT"]) and re.search(r"(?i)\bpivot\b", sql):
        raise QueryError("PIVOT must name its columns here: PIVOT ... ON column IN ('a', 'b') USING ...")
    if len(statements) > 1:
        raise QueryError(f"A query is one statement; these are {len(statements)}.")
    word = first_word(sql)
    if kinds[0] not in _READING_TYPES:
        # WITH may stand before an INSERT, so the kind is more precise than the first word.
        raise refusal(kinds[0] if word in READING else word)
    if word not in READING:
        raise refusal(word)
    if word == "EXPLAIN" and (explained := first_word(_EXPLAIN.sub("", sql, count=1))) not in READING:
        raise refusal(f"EXPLAIN {explained}")


def _kind(statement: Statement) -> str:
    try:
        return str(getattr(statement.type, "name", statement.type))
    except ValueError:
        # The Python package of DuckDB 2.0 has no name for some statements, such as UPDATE EXTENSIONS.
        return "This statement"


def refusal(word: str) -> QueryError:
    """The error for a statement that starts with `word`."""
    return QueryError(
        f"{word} is refused: a query only reads the warehouse, with one SELECT, FROM, WITH, VALUES, "
        "DESCRIBE, SHOW, SUMMARIZE or EXPLAIN."
    )


def first_word(sql: str) -> str:
    """The first word of a statement in capitals, after comments and parentheses; empty if there is none."""
    found = _FIRST_WORD.match(sql)
    return found[1].upper() if found else ""


def called(sql: str, tokens: Sequence[tuple[int, str]]) -> frozenset[str]:
    """Every name before an opening parenthesis, in lower case. `tokens` are byte offsets in UTF-8, and kinds."""
    text = sql.encode()
    ends = [*(at for at, _ in tokens[1:]), len(text)]
    pieces = [(kind, text[at:end].decode()) for (at, kind), end in zip(tokens, ends, strict=True)]
    found = set()
    for (kind, piece), (_, after) in pairwise(one for one in pieces if one[0] != "comment"):
        name = _CALLED.match(piece) if kind in _CALLABLE and after.startswith("(") else None
        if name:
            found.add((name[1] or name[2]).replace('""', '"').casefold())
    return frozenset(found)


def require_harmless(names: Collection[str], doers: Collection[str]) -> None:
    """QueryError if a function is called that may do more than compute or read.

    `doers` are all functions of this DuckDB that may: volatile functions, and functions used like a table.
    """
    for name in sorted(names):
        if name in doers and name not in _FLEETING and not _READERS.fullmatch(name):
            raise QueryError(f"The function {name} is refused: a query may only compute and read.")


def overtime(allowed: timedelta) -> QueryError:
    """The error for a query that took longer than `allowed`."""
    from image_history.config.durations import format_duration

    return QueryError(
        f"The query was stopped after {format_duration(allowed)}: ask for less, or "
        "give it more time with --timeout."
    )


def greedy() -> QueryError:
    """The error for a query for which the process has not enough memory."""
    return QueryError("The query needs more memory than a query may use; ask for less.")


def died(code: int) -> QueryError:
    """The error for a query during which DuckDB's process ended with exit code `code`; a negative one is a signal."""
    if code == -signal.SIGKILL:
        return QueryError(
            "The query's process was killed, most likely because the machine ran out of memory; ask for less."
        )
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return QueryError(
        f"DuckDB's process ended during the query ({name}): a fault in DuckDB, or more memory than a query may "
        "use. Ask for less, or write the query in another way; the warehouse was not changed."
    )


def bound(parameters: Mapping[str, object], wanted: Collection[str]) -> dict[str, object]:
    """The values by the parameter names of the query; case is ignored, as in DuckDB.

    QueryError names a parameter without a value, or a value without a parameter.
    """
    names = {name.casefold(): name for name in wanted}
    for name in parameters:
        if name.casefold() not in names:
            there = "; it has " + ", ".join(f"${one}" for one in sorted(wanted)) if wanted else ""
            raise QueryError(f"The query has no parameter ${name}{there}.")
    values = {names[name.casefold()]: value for name, value in parameters.items()}
    if len(values) < len(parameters):
        raise QueryError(f"A parameter is given twice: {', '.join(f'${name}' for name in parameters)}.")
    for name in sorted(wanted):
        if name not in values:
            raise QueryError(
                f"The query's parameter ${name} has no value: add --param {name}=VALUE, or in Python {name}=..."
            )
    return values


def explained(complaint: str, relations: Mapping[str, Sequence[str]], sql: str = "") -> QueryError:
    """DuckDB's message as a QueryError. `relations` are tables and views with their columns, `sql` the query."""
    message = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", complaint.strip())
    headline = message.splitlines()[0].rstrip(" .!")
    for pattern, sentence in _SENTENCES.items():
        if re.search(pattern, complaint):
            return QueryError(sentence.format(headline=headline))
    return QueryError(
        _unknown_relation(message, relations)
        or _unknown_column(message, relations, sql)
        or f"DuckDB refuses the query: {headline}{_suggestion(message)}{_cast(message)}{_position(message)}."
    )


_SENTENCES = {
    "file system operations are disabled|external extensions is disabled": (
        "A query reads nothing but the warehouse; files, other databases and extensions are switched off "
        "({headline})."
    ),
    f"{os.strerror(errno.ENOSPC)}": (
        "The query needs more room for temporary files than their disk has: make room there, let TMPDIR name a "
        "folder on another disk, or ask for less."
    ),
    "attached in read-only mode": "A query cannot change the warehouse ({headline}).",
    "configuration has been locked": "A query cannot change DuckDB's settings ({headline}).",
    "^Out of Memory|allocat|max_temp_directory_size": (
        "The query needs more memory than a query may use; ask for fewer rows or columns ({headline})."
    ),
}


def _unknown_relation(message: str, relations: Mapping[str, Sequence[str]]) -> str | None:
    found = re.match(r"Table with name (.+?) does not exist", message)
    found = found or re.match(r'Referenced table "(.+?)" not found', message)
    if not found:
        return None
    candidates = _quoted_names(re.search(r"Candidate tables: (.*)", message))
    near = _nearest(found[1], candidates or relations)
    return f"There is no table or view {found[1]} here{near}; image-history schema shows all of them."


def _unknown_column(message: str, relations: Mapping[str, Sequence[str]], sql: str) -> str | None:
    found = re.match(r'Referenced column "(.+?)" (?:not found|was not found)', message)
    found = found or re.search(r'does not have a column named "(.+?)"', message)
    if not found:
        return None
    name = found[1]
    # DuckDB's message names only one or two similar columns; the query's tables have all columns.
    words = {word.casefold() for word in re.findall(r"\w+", sql)}
    in_query = [column for relation, columns in relations.items() if relation in words for column in columns]
    candidates = list(dict.fromkeys(in_query)) or _quoted_names(
        re.search(r"Candidate bindings: (.*)", message)
    )
    holders = [relation for relation, columns in relations.items() if name.casefold() in columns]
    hint = f"; it is a column of {', '.join(holders)}" if holders else _nearest(name, candidates)
    return f'There is no column "{name}" in the tables of this query{hint}.'


def _quoted_names(found: re.Match[str] | None) -> list[str]:
    names = re.findall(r'"([^"]+)"', found[1]) if found else []
    return [name.rpartition(".")[2] for name in names]


def _nearest(name: str, candidates: Collection[str]) -> str:
    known = list(candidates)
    close = difflib.get_close_matches(name.casefold(), known, _NEAR, 0.5)
    if close:
        more = len(known) - len(close)
        return f"; the nearest: {', '.join(close)}" + (f" (and {more:,} more)" if more else "")
    if len(known) > _MOST_NAMED:
        return f"; there are {len(known):,}, such as {', '.join(known[:_NEAR])}"
    return f"; there are: {', '.join(known)}" if known else ""


def _suggestion(message: str) -> str:
    found = re.search(r"Did you mean (.+?)\?", message)
    return f"; the nearest: {found[1].strip(chr(34))}" if found else ""


def _cast(message: str) -> str:
    """A hint if DuckDB requests a cast: a parameter's value is text, and is not always converted."""
    wanted = "explicit type cast" in message
    return "; a parameter's value is text until it is cast, as in $n::BIGINT" if wanted else ""


def _position(message: str) -> str:
    """The position of DuckDB's arrow: line, column (unless the excerpt is cut), and the line itself."""
    found = re.search(r"^(LINE (\d+): )(.*)\n( *)\^", message, re.MULTILINE)
    if not found:
        return ""
    column = len(found[4]) - len(found[1]) + 1
    cut = found[3].startswith("...")
    return f" (line {found[2]}{'' if cut else f', column {column}'}: {found[3].strip()})"
