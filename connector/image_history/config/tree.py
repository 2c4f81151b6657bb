"""YAML text -> a tree of `Node`s, each with its position. The only module that knows PyYAML.

Must not know any setting. Refuses what a configuration does not need: anchors and aliases (whose expansion has no
bound), tags, several documents, repeated names, deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from image_history.config.wording import shorten
from image_history.errors import ConfigError

MAX_DEPTH = 12
_RESOLVER = yaml.resolver.Resolver()


@dataclass(frozen=True, slots=True)
class Position:
    """Where something is written: a line of a file, or a variable or an option, which have no lines.

    Relative paths that are written there are resolved against `folder`.
    """

    source: str
    line: int | None = None
    folder: Path = Path()

    def fault(self, sentence: str) -> ConfigError:
        """An error with `sentence` about this place, which is written as editors understand it: `config.yaml:3`."""
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return ConfigError(f"{place}: {sentence}", place=place)

    def at(self, mark: object) -> Position:
        """The position of a PyYAML mark, whose lines count from 0; this position itself if there are no lines."""
        line = getattr(mark, "line", None)
        return self if self.line is None or line is None else replace(self, line=line + 1)


@dataclass(slots=True)
class Node:
    """One value as it is written: a text, the items of a list, or the members of a mapping.

    `kind` is its YAML type: str, int, float, bool, null, timestamp, seq or map. The type is ignored for a text that
    was `filled` in from a variable or an option. A member's place is that of its name.
    """

    place: Position
    kind: str = "map"
    text: str = ""
    items: list[Node] = field(default_factory=list)
    members: dict[str, Node] = field(default_factory=dict)
    quoted: bool = False
    filled: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the node is allowed where a text is expected."""
        return self.kind == "str" or self.filled

    def walk(self) -> Iterator[Node]:
        """The node and all below it, in the order of the text."""
        yield self
        for below in (*self.items, *self.members.values()):
            yield from below.walk()


def filled(text: str, place: Position) -> Node:
    """A node for a value that is not from a file."""
    return Node(place, _kind(text), text, filled=True)


def parse(text: str, place: Position) -> Node:
    """The one document in `text`, null if there is none. ConfigError, with the line, for everything else."""
    try:
        return _document(yaml.parse(text, yaml.SafeLoader), place)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        at = place.at(getattr(error, "problem_mark", None))
        if isinstance(error, yaml.reader.ReaderError) and place.line is not None:
            at = replace(place, line=text.count("\n", 0, error.position) + 1)
        raise at.fault(_explain(error)) from None


def _document(events: Iterator[yaml.Event], place: Position) -> Node:
    root = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                raise place.at(event.start_mark).fault(
                    "a second document begins with '---'; keep one in the file."
                )
            root = _node(next(events), events, place)
    return root or Node(place, "null")


def _node(event: yaml.Event, events: Iterator[yaml.Event], file: Position, depth: int = 1) -> Node:
    """The node that begins with `event`; takes all of its events from `events`."""
    place = file.at(event.start_mark)
    if getattr(event, "anchor", None) is not None:
        raise place.fault(_NO_ALIAS)
    if getattr(event, "tag", None) is not None:
        raise place.fault(_NO_TAG)
    if isinstance(event, yaml.ScalarEvent):
        kind = _kind(event.value) if event.implicit[0] else "str"
        return Node(place, kind, event.value, quoted=event.style is not None)
    if depth > MAX_DEPTH:
        raise place.fault(f"this is nested deeper than {MAX_DEPTH} levels; no setting is.")
    node = Node(place, "seq" if isinstance(event, yaml.SequenceStartEvent) else "map")
    while not isinstance(begin := next(events), yaml.CollectionEndEvent):
        below = _node(begin, events, file, depth + 1)
        if node.kind == "seq":
            node.items.append(below)
        else:
            _require_new(below, node)
            node.members[below.text] = _node(next(events), events, file, depth + 1)
            node.members[below.text].place = below.place
    return node


def _require_new(name: Node, mapping: Node) -> None:
    if name.kind in {"seq", "map"}:
        raise name.place.fault("the name of a setting must be plain text, not a list or a mapping.")
    if name.text in mapping.members:
        first = mapping.members[name.text].place.line
        where = "" if first is None else f" (first in line {first})"
        raise name.place.fault(f"'{shorten(name.text)}' is given twice{where}; keep one of them.")


def _kind(text: str) -> str:
    """The YAML type of an unquoted text."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag.removeprefix("tag:yaml.org,2002:")


_NO_ALIAS = (
    "YAML anchors and aliases (&, *) aren't supported; a pattern that begins with * must stand in quotes."
)
_NO_TAG = "YAML tags (!...) aren't supported; a value that begins with ! must stand in quotes."
# A pattern in PyYAML's error -> an explanation for the user; the first that is found.
_EXPLANATIONS = (
    (r"character '\\t'", "there is a tab; YAML is indented with spaces."),
    (r"while scanning an (alias|anchor)", _NO_ALIAS),
    (r"cannot start any token", "a value that begins with @, ` or % must stand in quotes."),
    (
        r"mapping values are not allowed",
        "this ': ' doesn't fit; the line above lacks one, or a value with ': ' in it isn't in quotes.",
    ),
    (r"quoted scalar", "a quote is not closed, or there is a \\ escape in it that YAML doesn't know."),
    (r"flow (sequence|mapping)", "a bracket is not closed, or a comma is missing between its items."),
    (r"could not find expected ':'", "this is no 'name: value'; a ': ' or an indentation is missing."),
    (r"scanning a tag|tag handle", _NO_TAG),
    (r"ReaderError", "there is a control character that YAML doesn't allow; remove it."),
    # PyYAML lets chr() and int() fail on escapes and version numbers that are far too large.
    (
        r"ValueError|OverflowError",
        "there is an impossible number in a \\ escape or in a %YAML line; remove it.",
    ),
    (r"", "this isn't valid YAML; look at the indentation, colons, quotes and brackets here and just above."),
)


def _explain(error: Exception) -> str:
    # `str(error)` would also quote the file.
    raw = f"{type(error).__name__} {getattr(error, 'context', '')} {getattr(error, 'problem', '')}"
    return next(sentence for pattern, sentence in _EXPLANATIONS if re.search(pattern, raw))
