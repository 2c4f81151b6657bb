"""YAML text -> a tree of values, each with the place where it stands. The only module that knows PyYAML.

Must not know any setting. Refuses what a configuration has no use for: anchors and aliases (whose expansion
has no bound), tags, several documents, repeated keys, deep nesting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import yaml

from image_history.config.quoting import shorten
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 12

Kind: TypeAlias = Literal["text", "int", "float", "bool", "null", "timestamp"]

_RESOLVER = yaml.resolver.Resolver()
_KINDS: dict[str, Kind] = {
    "tag:yaml.org,2002:int": "int",
    "tag:yaml.org,2002:float": "float",
    "tag:yaml.org,2002:bool": "bool",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "timestamp",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: a file's line, or a variable. `folder` anchors relative paths."""

    source: str
    folder: Path
    line: int | None = None

    def __str__(self) -> str:
        """As editors understand it: `config.yaml:3`."""
        return self.source if self.line is None else f"{self.source}:{self.line}"

    def fault(self, sentence: str) -> ConfigError:
        """The error that says `sentence` about this place."""
        return ConfigError(f"{self}: {sentence}", place=str(self))


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it was written. `untyped`: from a variable, so that YAML's typing doesn't count."""

    text: str
    kind: Kind
    place: Place
    quoted: bool = False
    untyped: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Value, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`; the place is the key's."""

    key: str
    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the file; no key occurs twice."""

    entries: tuple[Entry, ...]
    place: Place


Value: TypeAlias = Scalar | Sequence | Mapping


def parse(text: str, place: Place) -> Value | None:
    """The one document in `text`, None if there is none. ConfigError, with the line, for everything else."""
    try:
        return _Builder(text, place).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise _at(place, line).fault(_explain(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _at(place, line).fault(
            "there is a control character that YAML doesn't allow; remove it."
        ) from None
    except (ValueError, OverflowError):
        # PyYAML lets chr() and int() fail on escapes and version numbers that are far too large.
        raise place.fault(
            "there is an impossible number in a \\ escape or in a %YAML line; remove it."
        ) from None


def guess_kind(text: str) -> Kind:
    """What YAML takes an unquoted `text` for."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _KINDS.get(tag, "text")


def _at(place: Place, line: int | None) -> Place:
    """`place` narrowed to a line where it is a file's; a variable has no lines."""
    return place if line is None or place.line is None else replace(place, line=line)


class _Builder:
    """Turns the parser's events into the tree, refusing on the way."""

    def __init__(self, text: str, place: Place) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, yaml.SafeLoader)
        self._place = place

    def document(self) -> Value | None:
        root: Value | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._fault(event, "a second document begins with '---'; keep one in the file.")
                root = self._value(next(self._events), depth=0)
        return root

    def _value(self, event: yaml.Event, *, depth: int) -> Value:
        self._refuse(event, depth)
        place = self._where(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(tuple(self._items(depth + 1)), place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, depth + 1)
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101 - the grammar has nothing else here
        plain = event.style is None
        return Scalar(event.value, guess_kind(event.value) if plain else "text", place, quoted=not plain)

    def _refuse(self, event: yaml.Event, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._fault(event, _NO_ALIAS)
        if getattr(event, "tag", None) is not None:
            raise self._fault(event, _NO_TAG)
        if depth > MAX_DEPTH:
            raise self._fault(event, f"this is nested deeper than {MAX_DEPTH} levels; no setting is.")

    def _items(self, depth: int) -> Iterator[Value]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._value(event, depth=depth)

    def _mapping(self, place: Place, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth=depth)
            if not isinstance(key, Scalar):
                raise key.place.fault("the name of a setting must be plain text, not a list or a mapping.")
            if key.text in entries:
                first = entries[key.text].place.line
                where = "" if first is None else f" (first in line {first})"
                raise key.place.fault(f"'{shorten(key.text)}' is given twice{where}; keep one of them.")
            entries[key.text] = Entry(key.text, self._value(next(self._events), depth=depth), key.place)
        return Mapping(tuple(entries.values()), place)

    def _where(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return self._place if mark is None else _at(self._place, mark.line + 1)

    def _fault(self, event: yaml.Event, sentence: str) -> ConfigError:
        return self._where(event).fault(sentence)


_NO_ALIAS = (
    "YAML anchors and aliases (&, *) aren't supported; a pattern that begins with * must stand in quotes."
)
_NO_TAG = "YAML tags (!...) aren't supported; a value that begins with ! must stand in quotes."
_GENERAL = "this isn't valid YAML; look at the indentation, colons, quotes and brackets here and just above."

# What PyYAML's context or problem contains -> what the reader of the message can do about it.
_EXPLANATIONS = (
    (r"character '\\t'", "there is a tab; YAML is indented with spaces."),
    (r"while scanning an (alias|anchor)|undefined alias", _NO_ALIAS),
    (r"cannot start any token", "a value that begins with @, ` or % must stand in quotes."),
    (
        r"mapping values are not allowed",
        "this ': ' doesn't fit; the line above lacks one, or a value with ': ' in it isn't in quotes.",
    ),
    (r"quoted scalar", "a quote is not closed, or there is a \\ escape in it that YAML doesn't know."),
    (r"flow (sequence|mapping)", "a bracket is not closed, or a comma is missing between its items."),
    (r"could not find expected ':'", "this is no 'name: value'; a ': ' or an indentation is missing."),
    (r"scanning a tag|tag handle", _NO_TAG),
)


def _explain(error: yaml.MarkedYAMLError) -> str:
    raw = f"{error.context or ''} {error.problem or ''}"
    found = (sentence for pattern, sentence in _EXPLANATIONS if re.search(pattern, raw))
    return next(found, _GENERAL)
