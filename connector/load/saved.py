"""The saved queries under sql/queries: what each says about itself, and what it needs to be asked.

Must not know DuckDB: a header is text, and a test holds it against the query below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.errors import QueryError
from connector.statements import names, saved_query

_ENTRY = re.compile(r"([A-Z][a-z]+): (.*)")
_PARAMETER = re.compile(r"\$(?P<name>\w+)(?: = (?P<default>\S+))? \((?P<meaning>[^)]*)\)")


@dataclass(frozen=True, slots=True)
class Question:
    """A query as somebody asks it. `parameters` are values of $names; text takes the type that it meets."""

    sql: str
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a saved query; without a default it must be given."""

    name: str
    meaning: str
    default: str | None


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A file under sql/queries. `columns` are those of its result, in order."""

    name: str
    what: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    sql: str

    def question(self, given: Mapping[str, object]) -> Question:
        """The query with its defaults where nothing is given. QueryError names a parameter it lacks."""
        for parameter in self.parameters:
            if parameter.default is None and parameter.name not in given:
                raise QueryError(
                    f"@{self.name} needs ${parameter.name}, the {parameter.meaning}: "
                    f"add --param {parameter.name}=VALUE."
                )
        defaults: dict[str, object] = {
            one.name: one.default for one in self.parameters if one.default is not None
        }
        return Question(self.sql, defaults | dict(given))


def saved(name: str) -> SavedQuery:
    """The saved query of that name; ConfigError names the nearest if there is none."""
    sql = saved_query(name)
    entries = header(sql)
    found = _PARAMETER.finditer(entries.get("Parameters", ""))
    return SavedQuery(
        name,
        entries["What"],
        tuple(Parameter(one["name"], one["meaning"], one["default"]) for one in found),
        tuple(entries["Columns"].rstrip(".").split(", ")),
        sql,
    )


def saved_queries() -> tuple[SavedQuery, ...]:
    """All saved queries, by name."""
    return tuple(saved(name.partition("/")[2]) for name in names("queries"))


def header(sql: str) -> dict[str, str]:
    """The entries of the comment at the top of a statement, as in `What`; their lines are joined."""
    entries: dict[str, str] = {}
    key = ""
    for line in sql.splitlines():
        if not line.startswith("-- "):
            break
        text = line.removeprefix("-- ")
        entry = _ENTRY.match(text)
        if entry:
            key = entry[1]
            entries[key] = entry[2]
        elif key:
            entries[key] += f" {text}"
    return entries
