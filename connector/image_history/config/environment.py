"""The environment's two ways into the configuration: `${VAR}` in the file, and IMAGE_HISTORY_* overrides.

Must not know what a setting allows; works on the parsed tree, so that no variable can add YAML structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from msgspec import inspect

from image_history.config.secrets import refuse_secret_name
from image_history.config.settings import PREFIX, Setting, settings
from image_history.config.tree import Node, Position, filled, parse
from image_history.config.wording import nearest, shorten

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
# The second seeds the test suite, which runs the command with its own environment.
_NO_SETTINGS = {CONFIG_VARIABLE, f"{PREFIX}TEST_SEED"}

# `$$`, a name with or without a default, or what only begins like one.
_REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|(\{(?:[^{}]*\})?))")


def expand(root: Node, environ: Mapping[str, str]) -> None:
    """Replace `${VAR}` and `${VAR:-default}` in every value below `root`, and `$$` by `$`; names stay.

    As in a shell, the default also replaces an empty variable. ConfigError names a variable that isn't set.
    """
    for node in root.walk():
        if "$" in node.text:
            node.text = _REFERENCE.sub(partial(_replacement, node.place, environ), node.text)
            node.kind = "str" if node.text or node.quoted else "null"
            node.quoted, node.filled = False, True


def _replacement(place: Position, environ: Mapping[str, str], found: re.Match[str]) -> str:
    name, default, malformed = found.groups()
    if malformed is not None:
        raise place.fault(
            f"'{shorten(found[0])}' is no variable: write ${{NAME}} or ${{NAME:-default}}, $$ for a plain $."
        )
    if name is None:
        return "$"
    if default is not None:
        return environ.get(name) or str(default)
    if name not in environ:
        raise place.fault(
            f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}."
        )
    return environ[name]


def overlay(root: Node, environ: Mapping[str, str]) -> None:
    """Apply every IMAGE_HISTORY_* variable to `root`, groups before their members.

    ConfigError for an empty variable and for one that names no setting.
    """
    known = {setting.variable: setting for setting in settings() if setting.variable is not None}
    for name in sorted(environ, key=lambda name: (name.count("__"), name)):
        if not name.startswith(PREFIX) or name in _NO_SETTINGS:
            continue
        place = Position(shorten(name))
        if name not in known:
            refuse_secret_name(name, place)
            # A list has one variable, for the whole list.
            above = [variable for variable in known if name.startswith(f"{variable}__")]
            likely = above or [*known, CONFIG_VARIABLE]
            raise place.fault(f"there is no such setting{nearest(name, likely, cutoff=0.0)}")
        put(root, known[name].path, _override(known[name], environ[name], place))


def _override(setting: Setting, text: str, place: Position) -> Node:
    """Parse a list or a mapping as YAML; take anything else literally, including '#' and ':', without its quotes."""
    if not text.strip():
        raise place.fault("the variable is set but empty; give it a value, or unset it.")
    if isinstance(setting.core, inspect.StructType | inspect.VarTupleType):
        return parse(text, place)
    if text[0] in "\"'" and (quoted := parse(text, place)).kind == "str":
        return replace(quoted, quoted=False, filled=True)
    return filled(text.strip(), place)


def put(node: Node, path: Sequence[str], value: Node) -> None:
    """Set the setting to this value, in place of any other."""
    name, *rest = path
    if node.kind == "null":
        node.kind = "map"
    if node.kind != "map":
        return  # the group is already wrong in the file; `to_config` reports that
    if rest:
        put(node.members.setdefault(name, Node(value.place)), rest, value)
    else:
        node.members[name] = value
