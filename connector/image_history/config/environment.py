"""The environment's two ways into the configuration: `${VAR}` in the file, and IMAGE_HISTORY_* overrides.

Must not know what a setting allows; works on the parsed tree, so that no variable can add YAML structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Environ
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import inspect

from image_history.config.document import (
    Entry,
    Mapping,
    Place,
    Scalar,
    Sequence,
    Value,
    guess_kind,
    parse,
)
from image_history.config.quoting import shorten
from image_history.config.refusal import nearest, refuse_secret_name
from image_history.config.settings import PREFIX, Setting, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
# The second seeds the test suite, which runs the command with its own environment.
_NO_SETTINGS = {CONFIG_VARIABLE, f"{PREFIX}TEST_SEED"}

_REFERENCE = re.compile(r"\$\$|\$\{(?P<inside>[^{}]*)\}|\$\{")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-.*)?", re.DOTALL)


def expand(value: Value, environ: Environ[str, str]) -> Value:
    """`value` with `${VAR}` and `${VAR:-default}` replaced in every text, and `$$` by `$`.

    As in a shell, the default counts for an empty variable too. ConfigError names a variable that isn't set.
    """
    match value:
        case Mapping(entries=entries):
            expanded = (replace(entry, value=expand(entry.value, environ)) for entry in entries)
            return replace(value, entries=tuple(expanded))
        case Sequence(items=items):
            return replace(value, items=tuple(expand(item, environ) for item in items))
        case _:
            return _expand_scalar(value, environ) if "$" in value.text else value


def _expand_scalar(scalar: Scalar, environ: Environ[str, str]) -> Scalar:
    text = _REFERENCE.sub(lambda found: _replacement(found, scalar.place, environ), scalar.text)
    empty = not text and not scalar.quoted
    return replace(scalar, text=text, kind="null" if empty else "text", untyped=True)


def _replacement(found: re.Match[str], place: Place, environ: Environ[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    inside = _INSIDE.fullmatch(found["inside"] or "")
    if inside is None:
        raise place.fault(
            f"'{shorten(found[0])}' is no variable: write ${{NAME}} or ${{NAME:-default}}, $$ for a plain $."
        )
    name, fallback = inside["name"], inside["fallback"]
    if fallback is not None:
        return environ.get(name) or fallback.removeprefix(":-")
    if name not in environ:
        raise place.fault(
            f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}."
        )
    return environ[name]


def overlay(root: Mapping, environ: Environ[str, str]) -> Mapping:
    """`root` with every IMAGE_HISTORY_* variable put over it, groups before their members.

    ConfigError for an empty variable and for one that names no setting.
    """
    overrides = sorted(_overrides(environ), key=lambda override: (len(override[0].path), override[0].path))
    result = root
    for setting, value in overrides:
        result = _put(result, setting.path, value)
    return result


def _overrides(environ: Environ[str, str]) -> Iterator[tuple[Setting, Value]]:
    known = {setting.variable: setting for setting in settings() if setting.variable is not None}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _NO_SETTINGS:
            continue
        place = Place(shorten(name), Path())
        if name not in known:
            refuse_secret_name(name, place)
            raise place.fault(
                f"there is no such setting{nearest(name, [*known, CONFIG_VARIABLE], cutoff=0.0)}"
            )
        yield known[name], _override(known[name], environ[name], place)


def _override(setting: Setting, text: str, place: Place) -> Value:
    """A list or a mapping is written as YAML; all else is taken as it stands, '#' and ':' too."""
    if not text.strip():
        raise place.fault("the variable is set but empty; give it a value, or unset it.")
    if isinstance(setting.shape.core, inspect.StructType | inspect.VarTupleType):
        value = parse(text, place)
        return Scalar("", "null", place) if value is None else value
    if text[0] in "\"'" and isinstance(quoted := parse(text, place), Scalar):
        return replace(quoted, untyped=True)
    return Scalar(text.strip(), guess_kind(text.strip()), place, untyped=True)


def _put(root: Mapping, path: tuple[str, ...], value: Value) -> Mapping:
    name, *deeper = path
    before = next((entry.value for entry in root.entries if entry.key == name), None)
    if deeper:
        if isinstance(before, Sequence) or (isinstance(before, Scalar) and before.kind != "null"):
            return root  # wrong already in the file, which is what the reader will complain about
        inner = before if isinstance(before, Mapping) else Mapping((), value.place)
        return _put(root, (name,), _put(inner, tuple(deeper), value))
    others = tuple(entry for entry in root.entries if entry.key != name)
    return replace(root, entries=(*others, Entry(name, value, value.place)))
