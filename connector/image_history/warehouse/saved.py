"""The saved queries, ours under sql/queries and the user's own: what their headers say, and how to run them.

Must not know DuckDB: a header is text, and a test holds ours against the query below it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from image_history.errors import ConfigError, QueryError
from image_history.warehouse.statements import folder

_ENTRY = re.compile(r"([A-Z][a-z]+): (.*)")
_ENTRIES = ("What", "Parameters", "Columns")
# A default is a word, or an SQL string in single quotes, in which two quotes stand for one: '' is the empty text.
_PARAMETER = re.compile(
    r"\$(?P<name>\w+)(?: = (?P<default>'(?:[^']|'')*'|[^\s']\S*))? \((?P<meaning>[^)]*)\)"
)
_NUMBER = re.compile(r"\s*[+-]?[0-9][0-9_]*(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Question:
    """A query to run. `parameters` are the values of its $names; DuckDB casts text to the type that it is used as."""

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
    """One saved query, from its file. `columns` are the columns of its result, in order."""

    name: str
    what: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    sql: str

    def question(self, given: Mapping[str, object]) -> Question:
        """The query with the given values and its defaults. QueryError names a missing or wrong parameter."""
        for name, value in given.items():
            self._require_fit(name, value)
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

    def _require_fit(self, name: str, value: object) -> None:
        """QueryError unless the parameter exists and its value fits.

        A number is checked here: DuckDB would notice a wrong one only when it compares the value with a row.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        if name not in known:
            there = ", ".join(f"${each}" for each in known)
            hint = f"; it has {there}" if there else "; it takes none"
            raise QueryError(f"@{self.name} has no parameter ${name}{hint}.")
        default = known[name].default
        if isinstance(value, str) and _is_number(default) and not _is_number(value):
            raise QueryError(
                f"@{self.name}: ${name} ({known[name].meaning}) is a number such as {default}, not {value!r}."
            )


def saved(name: str, own: Path | None = None) -> SavedQuery:
    """The saved query of that name, ours or one of the folder `own`. Only its file is read.

    ConfigError names the nearest if there is none, or says what is wrong with the folder or the file.
    """
    known = _files(own)
    if name not in known:
        holding = [each for each in known if name and name.lower() in each]
        near = holding[:3] or difflib.get_close_matches(name, known, 3)
        hint = f"the nearest: {', '.join(near)}" if near else f"there are: {', '.join(known)}"
        raise ConfigError(f"There is no saved query @{name}; {hint}.")
    return _read(_only(known[name]))


def saved_queries(own: Path | None = None) -> tuple[SavedQuery, ...]:
    """All saved queries, ours and those of the folder `own`, by name. ConfigError as from `saved`."""
    return tuple(_read(_only(files)) for files in _files(own).values())


def saved_names(own: Path | None = None) -> list[str]:
    """The names of all saved queries; no file is read. ConfigError if the folder cannot be read."""
    return list(_files(own))


def own_queries(own: Path) -> list[SavedQuery | ConfigError]:
    """The user's own queries, by name; for a query that cannot be run, the error that says why.

    ConfigError if the folder cannot be read.
    """
    mine = {path.stem for path in _listed(own)}
    return [_or_why(files) for name, files in _files(own).items() if name in mine]


def _or_why(files: list[Path]) -> SavedQuery | ConfigError:
    try:
        return _read(_only(files))
    except ConfigError as error:
        return error


def _files(own: Path | None) -> dict[str, list[Path]]:
    """The files of each name; if a name is used twice, our file comes before the user's."""
    found: dict[str, list[Path]] = {}
    for path in [*_listed(folder() / "queries"), *([] if own is None else _listed(own))]:
        found.setdefault(path.stem, []).append(path)
    return dict(sorted(found.items()))


def _only(files: list[Path]) -> Path:
    """The file of a name. Checked only when it is used: a new query of ours must not stop all of the user's."""
    *ours, path = files
    if ours:
        raise ConfigError(f"{path}: @{path.stem} is a query of image-history; give yours another name.")
    if not _NAME.fullmatch(path.stem):
        raise ConfigError(
            f"{str(path)!a}: the name of a query consists of letters, digits, - and _; rename the file."
        )
    return path


def _listed(own: Path) -> list[Path]:
    try:
        return sorted(path for path in own.iterdir() if path.suffix == ".sql" and path.is_file())
    except OSError as error:
        raise ConfigError(
            f"{own}: the folder of your own queries cannot be read ({error.strerror}); see the setting queries."
        ) from error


def _read(path: Path) -> SavedQuery:
    """The saved query of a file. ConfigError if its header is incomplete."""
    sql = _text(path)
    entries = header(sql)
    for name in _ENTRIES:
        if not entries.get(name):
            raise ConfigError(
                f"{path}: its header has no line '-- {name}: ...'; a saved query begins with the comments What, "
                "Parameters and Columns, as image-history queries @newest-versions shows."
            )
    listed = entries["Parameters"].rstrip(".")
    parameters = [] if listed == "none" else list(_PARAMETER.finditer(listed))
    if listed != "none" and ", ".join(one[0] for one in parameters) != listed:
        raise ConfigError(
            f"{path}: its header's Parameters are neither 'none' nor a list such as '$image (name of the image), "
            "$least = 10 (fewest versions)'."
        )
    return SavedQuery(
        path.stem,
        entries["What"],
        tuple(Parameter(one["name"], one["meaning"], _default(one["default"])) for one in parameters),
        tuple(entries["Columns"].rstrip(".").split(", ")),
        sql,
    )


def _is_number(text: str | None) -> bool:
    return text is not None and _NUMBER.fullmatch(text) is not None


def _default(written: str | None) -> str | None:
    """The value of a default as it is written in a header."""
    if written is None or not written.startswith("'"):
        return written
    return written[1:-1].replace("''", "'")


def _text(path: Path) -> str:
    """The text of a file. ConfigError if it is not UTF-8, or has a character that is not printable."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is not UTF-8 text; save the query in UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path}: the query cannot be read ({error.strerror}).") from error
    for number, line in enumerate(text.split("\n"), start=1):
        for character in line.replace("\t", ""):
            if not character.isprintable():
                raise ConfigError(f"{path}:{number}: U+{ord(character):04X} is not allowed in a query.")
    return text


def header(sql: str) -> dict[str, str]:
    """The entries (such as `What`) of the comment at the top of a statement; the lines of an entry are joined."""
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
