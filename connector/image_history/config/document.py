"""YAML text -> PyYAML's own nodes, which know where each value stands. The only module that parses.

Must not know any setting. Refuses what a configuration has no use for: anchors and aliases (whose expansion
has no bound), tags, several documents, repeated keys, deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TypeAlias, cast

import yaml
from yaml import MappingNode, ScalarNode, SequenceNode

from image_history.config.quoting import shorten
from image_history.errors import ConfigError

MAX_DEPTH = 12

Node: TypeAlias = ScalarNode | SequenceNode | MappingNode

# The style of a scalar whose text came from a variable: YAML's typing does not count for it.
FILLED = "$"
_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"


class Origin(str):
    """Where a document came from: the name of a file, or of a variable (which has no lines).

    A text, since it stands in PyYAML's marks. `folder` anchors the document's relative paths.
    """

    __slots__ = ("folder", "has_lines")
    folder: Path
    has_lines: bool

    def __new__(cls, source: str, folder: Path, *, has_lines: bool = False) -> Self:
        """A name with what belongs to it."""
        made = super().__new__(cls, source)
        made.folder, made.has_lines = folder, has_lines
        return made


def fault(node: Node, sentence: str) -> ConfigError:
    """The error that says `sentence` about the place of `node`, as editors understand it: `config.yaml:3`."""
    return _fault(origin(node), node.start_mark.line, sentence)


def origin(node: Node) -> Origin:
    """Where the node's document came from."""
    found = node.start_mark.name
    assert isinstance(found, Origin)  # noqa: S101 - `parse` and `made` put it there
    return found


def _fault(where: Origin, line: int, sentence: str) -> ConfigError:
    place = f"{where}:{line + 1}" if where.has_lines else str(where)
    return ConfigError(f"{place}: {sentence}", place=place)


def parse(text: str, where: Origin) -> Node | None:
    """The one document in `text`, None if there is none. ConfigError, with the line, for everything else."""
    try:
        _refuse_events(text, where)
        node = cast("Node | None", yaml.compose(text, yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _fault(where, 0 if mark is None else mark.line, _explain(error)) from None
    except yaml.reader.ReaderError as error:
        sentence = "there is a control character that YAML doesn't allow; remove it."
        raise _fault(where, text.count("\n", 0, error.position), sentence) from None
    except (ValueError, OverflowError):
        # PyYAML lets chr() and int() fail on escapes and version numbers that are far too large.
        sentence = "there is an impossible number in a \\ escape or in a %YAML line; remove it."
        raise _fault(where, 0, sentence) from None
    if node is not None:
        nodes = list(walk(node))
        for each in nodes:
            each.start_mark.name = where
        for each in nodes:
            _refuse_keys(each)
    return node


def made(text: str, where: Origin, *, tag: str = "str", style: str | None = FILLED) -> ScalarNode:
    """A scalar that stands in no file."""
    mark = yaml.Mark(where, 0, 0, 0, None, 0)
    return ScalarNode(_TAG + tag, text, mark, mark, style)


def empty(where: Origin) -> MappingNode:
    """A mapping without settings."""
    mark = yaml.Mark(where, 0, 0, 0, None, 0)
    return MappingNode(f"{_TAG}map", [], mark, mark)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, keys included, in the order of the text."""
    yield node
    if isinstance(node, MappingNode):
        for pair in node.value:
            for each in pair:
                yield from walk(each)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from walk(item)


def kind_of(node: Node) -> str:
    """What YAML takes the value for: str, int, float, bool, null, timestamp, seq or map."""
    return str(node.tag).removeprefix(_TAG)


def guess_kind(text: str) -> str:
    """What YAML takes an unquoted `text` for."""
    tag: str = _RESOLVER.resolve(ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return tag.removeprefix(_TAG)


def member(node: Node | None, name: str) -> Node | None:
    """The value of the setting `name` in a mapping, None if it is not there."""
    pairs = node.value if isinstance(node, MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _refuse_events(text: str, where: Origin) -> None:
    depth = documents = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = 0 if event.start_mark is None else event.start_mark.line
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise _fault(where, line, "a second document begins with '---'; keep one in the file.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _fault(where, line, _NO_ALIAS)
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
            raise _fault(where, line, _NO_TAG)
        if depth > MAX_DEPTH:
            raise _fault(where, line, f"this is nested deeper than {MAX_DEPTH} levels; no setting is.")


def _refuse_keys(node: Node) -> None:
    seen: dict[str, ScalarNode] = {}
    for key, _ in node.value if isinstance(node, MappingNode) else ():
        if not isinstance(key, ScalarNode):
            raise fault(key, "the name of a setting must be plain text, not a list or a mapping.")
        if key.value in seen:
            first = seen[key.value]
            where = f" (first in line {first.start_mark.line + 1})" if origin(first).has_lines else ""
            raise fault(key, f"'{shorten(key.value)}' is given twice{where}; keep one of them.")
        seen[key.value] = key


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
