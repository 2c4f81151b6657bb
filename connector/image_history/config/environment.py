"""The environment's two ways into the configuration: `${VAR}` in the file, and IMAGE_HISTORY_* overrides.

Must not know what a setting allows; works on the parsed nodes, so that no variable can add YAML structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import inspect
from yaml import MappingNode, ScalarNode, SequenceNode

from image_history.config.document import (
    FILLED,
    Node,
    Origin,
    empty,
    fault,
    guess_kind,
    kind_of,
    made,
    member,
    origin,
    parse,
)
from image_history.config.quoting import shorten
from image_history.config.refusal import nearest, refuse_secret_name
from image_history.config.settings import PREFIX, Setting, settings

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
# The second seeds the test suite, which runs the command with its own environment.
_NO_SETTINGS = {CONFIG_VARIABLE, f"{PREFIX}TEST_SEED"}

_REFERENCE = re.compile(r"\$\$|\$\{(?P<inside>[^{}]*)\}|\$\{")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-.*)?", re.DOTALL)


def expand(node: Node, environ: Mapping[str, str]) -> None:
    """Replace `${VAR}` and `${VAR:-default}` in every value below `node`, and `$$` by `$`; keys stay.

    As in a shell, the default counts for an empty variable too. ConfigError names a variable that isn't set.
    """
    if isinstance(node, MappingNode):
        for _, value in node.value:
            expand(value, environ)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            expand(item, environ)
    elif "$" in node.value:
        node.value = _REFERENCE.sub(lambda found: _replacement(found, node, environ), node.value)
        nothing = not node.value and node.style is None
        node.tag, node.style = f"tag:yaml.org,2002:{'null' if nothing else 'str'}", FILLED


def _replacement(found: re.Match[str], node: ScalarNode, environ: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    inside = _INSIDE.fullmatch(found["inside"] or "")
    if inside is None:
        raise fault(
            node,
            f"'{shorten(found[0])}' is no variable: write ${{NAME}} or ${{NAME:-default}}, $$ for a plain $.",
        )
    name, fallback = inside["name"], inside["fallback"]
    if fallback is not None:
        return environ.get(name) or fallback.removeprefix(":-")
    if name not in environ:
        raise fault(
            node, f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}."
        )
    return environ[name]


def overlay(root: MappingNode, environ: Mapping[str, str]) -> None:
    """Put every IMAGE_HISTORY_* variable over `root`, groups before their members.

    ConfigError for an empty variable and for one that names no setting.
    """
    overrides = sorted(_overrides(environ), key=lambda override: (len(override[0].path), override[0].path))
    for setting, value in overrides:
        put(root, setting.path, value)


def _overrides(environ: Mapping[str, str]) -> Iterator[tuple[Setting, Node]]:
    known = {setting.variable: setting for setting in settings() if setting.variable is not None}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _NO_SETTINGS:
            continue
        where = Origin(shorten(name), Path())
        if name not in known:
            refuse_secret_name(name, empty(where))
            # Of a list there is one variable for all of it.
            above = [variable for variable in known if name.startswith(f"{variable}__")]
            likely = above or [*known, CONFIG_VARIABLE]
            raise fault(empty(where), f"there is no such setting{nearest(name, likely, cutoff=0.0)}")
        yield known[name], _override(known[name], environ[name], where)


def _override(setting: Setting, text: str, where: Origin) -> Node:
    """A list or a mapping is written as YAML; all else is taken as it stands, '#' and ':' too."""
    if not text.strip():
        raise fault(empty(where), "the variable is set but empty; give it a value, or unset it.")
    if isinstance(setting.shape.core, inspect.StructType | inspect.VarTupleType):
        return parse(text, where) or made("", where, tag="null")
    if text[0] in "\"'" and isinstance(quoted := parse(text, where), ScalarNode):
        quoted.style = FILLED
        return quoted
    return made(text.strip(), where, tag=guess_kind(text.strip()))


def put(root: MappingNode, path: tuple[str, ...], value: Node) -> None:
    """Let the setting have this value, whatever it had."""
    name, *deeper = path
    if deeper:
        group = member(root, name)
        if group is not None and kind_of(group) not in {"map", "null"}:
            return  # wrong already in the file, which is what the reader will complain about
        inner = group if isinstance(group, MappingNode) else empty(origin(value))
        put(inner, tuple(deeper), value)
        value = inner
    key = made(name, origin(value))
    root.value = [pair for pair in root.value if pair[0].value != name] + [(key, value)]
