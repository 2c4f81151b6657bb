"""Settings that a program was given as texts, each under a name of the program's: validated as those of a file.

Must not know which program, nor what a setting allows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from yaml import SequenceNode

from image_history.config.document import Node, Origin, empty, guess_kind, made
from image_history.config.environment import put
from image_history.config.loading import read_file
from image_history.config.model import Config
from image_history.config.reading import to_config
from image_history.config.refusal import refuse_secrets

if TYPE_CHECKING:
    from yaml import MappingNode


@dataclass(frozen=True, slots=True)
class Text:
    """One text. `name` is how messages call it, as in `option regions`."""

    name: str
    text: str


Value: TypeAlias = "Text | Sequence[Value] | Mapping[str, Value]"


def given_config(given: Mapping[tuple[str, ...], Value], path: Path | None = None) -> Config:
    """The configuration with these settings, by their paths, over those of a file if one is named.

    ConfigError, one sentence with the name of the text, for whatever is wrong.
    """
    where = Origin("what was given", Path())
    root = empty(where) if path is None else read_file(path, os.environ)
    for setting, value in given.items():
        put(root, setting, _node(value, where))
    refuse_secrets(root)
    return to_config(root)


def _node(value: Value, where: Origin) -> Node:
    if isinstance(value, Text):
        return made(value.text, Origin(value.name, Path()), tag=guess_kind(value.text))
    node = empty(where)
    if isinstance(value, Mapping):
        node.value = [(made(name, where), _node(each, where)) for name, each in value.items()]
        return node
    return _sequence((_node(each, where) for each in value), node)


def _sequence(items: Iterable[Node], near: MappingNode) -> SequenceNode:
    return SequenceNode("tag:yaml.org,2002:seq", list(items), near.start_mark, near.end_mark)
