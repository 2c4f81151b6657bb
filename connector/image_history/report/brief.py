"""The summary above the tables: what was deleted, how certain that is, and which images have no good version.

Must not know HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from image_history.report.content import Facts, Row, Scope
from image_history.report.words import length, minute, proof

# More lines would push the tables off the screen. The tables have the rest.
MOST_LINES, MOST_VERSIONS = 3, 6


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: its subject, and what is known about it."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in a few lines; `more` counts the rows that only the table `target` has."""

    target: str
    title: str
    lines: Sequence[Line]
    more: int


def brief(facts: Facts) -> Sequence[Answer]:
    """The answers that have any lines."""
    answers = (_deleted(facts), _without_good(facts))
    return [answer for answer in answers if answer.lines]


def _deleted(facts: Facts) -> Answer:
    """The deleted versions; those that share image, interval and proof are one line."""
    groups = [(key, list(rows)) for key, rows in groupby(facts.deleted.rows, _fate)]
    shown = groups[:MOST_LINES]
    named = sum(len(rows) for _, rows in shown)
    lines = [Line(_subject(rows), fate) for (_, _, _, fate), rows in shown]
    title = f"Deleted in the {length(facts.selection.since)} before this state"
    return Answer("deleted", title, lines, facts.deleted.total - named)


def _fate(row: Row) -> tuple[str, str, str, str]:
    seen, gone = minute(row["last_seen_at"]), minute(row["gone_at"])
    when = f"gone by {gone} UTC" if seen in {"", gone} else f"gone between {seen} and {gone} UTC"
    return row["account_id"], row["region"], row["image_name"], f"{when}; confirmed: {proof(row['evidence'])}"


def _subject(rows: Sequence[Row]) -> str:
    numbers = sorted(row["version"] for row in rows)
    named = ", ".join(f"{number:,}" for number in numbers[:MOST_VERSIONS])
    more = f" and {len(numbers) - MOST_VERSIONS:,} more" if len(numbers) > MOST_VERSIONS else ""
    return f"{_place(rows[0])}, version{'' if len(numbers) == 1 else 's'} {named}{more}"


def _place(row: Row) -> str:
    return f"{row['account_id']}/{row['region']}/{row['image_name']}"


def _without_good(facts: Facts) -> Answer:
    found = facts.without_good_version
    lines = [Line(_place(row), _newest(row)) for row in found.rows[:MOST_LINES]]
    return Answer("no-good", "Without a good version", lines, found.total - len(lines))


def _newest(row: Row) -> str:
    why = f": {row['newest_reason']}" if row["newest_reason"] else ""
    return f"the newest, version {row['newest_version']:,}, is {row['newest_status']}{why}"


def unread_of(facts: Facts, scope: Scope) -> str:
    """The names of what could not be read in a scope."""
    return "; ".join(_unread(facts, scope))


def _unread(facts: Facts, scope: Scope) -> Iterator[str]:
    rows = [row for row in facts.unread.rows if f"{row['account_id']}/{row['region']}" == scope.name]
    names = [row["image_name"] for row in rows if row["image_name"] is not None]
    lists = len(rows) - len(names)
    if lists:
        yield "its list of images"
    if names:
        shown = names[:MOST_LINES]
        left = scope.unread - lists - len(shown)
        more = f" and {left:,} more" if left > 0 else ""
        yield f"image{'' if len(names) == 1 else 's'} {', '.join(shown)}{more}"
