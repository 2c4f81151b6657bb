"""One written value -> a number, a text, a duration or a path, or one sentence that says why not.

Must not know where the value belongs beyond its shape.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import inspect

from image_history.config.document import Mapping, Scalar, Sequence, Value
from image_history.config.durations import parse_duration
from image_history.config.quoting import shorten
from image_history.config.settings import Shape, shape_of
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]{0,17})")
_NUMBER = re.compile(r"[+-]?([0-9][0-9_]{0,17}\.?[0-9]{0,17}|\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_LONGEST_PATH = 4096
# As YAML has it.
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_FOUND = {
    "int": "the number {}",
    "float": "the number {}",
    "bool": "{}, which YAML reads as true or false",
    "timestamp": "{}, which YAML reads as a date",
    "text": "the text '{}'",
}


def read_scalar(scalar: Scalar, shape: Shape, name: str) -> object:
    """The value as the shape's type. ConfigError says what was found and what is allowed."""
    match shape.core:
        case inspect.IntType() | inspect.FloatType() as core:
            return _number(scalar, core, shape, name)
        case inspect.TimeDeltaType():
            return _duration(scalar, shape, name)
        case inspect.BoolType():
            return _switch(scalar, shape, name)
        case inspect.StrType() if shape.location:
            return _location(scalar, shape, name)
        case inspect.StrType() as core:
            return _matching_text(scalar, core, shape, name)
        case _:
            return _path(scalar, shape, name)


def wrong(value: Value, shape: Shape, name: str) -> ConfigError:
    """The error for a value of another kind, or out of bounds."""
    return value.place.fault(
        f"{name} must be {shape.expected}, but it is {_found(value)}{_advice(value, shape)}."
    )


def _found(value: Value) -> str:
    match value:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(kind="null") | Scalar(text=""):
            return "empty"
        case Scalar(kind=kind, text=text):
            return _FOUND[kind].format(shorten(text))


def _advice(value: Value, shape: Shape) -> str:
    match shape.core, value:
        case inspect.IntType() | inspect.FloatType(), Scalar(quoted=True, text=text) if _NUMBER.fullmatch(
            text
        ):
            return "; remove the quotes"
        case inspect.BoolType(), Scalar(quoted=True, text=text) if text.lower() in _SWITCHES:
            return "; remove the quotes"
        case inspect.StrType() | inspect.CustomType(), Scalar(kind="int" | "float" | "bool" | "timestamp"):
            return "; put it in quotes"
        case inspect.VarTupleType(item_type=item), Scalar(kind="text", text=text) if _would_fit(text, item):
            return f"; write it in brackets, as a list: [{shorten(text)}]"
        case _:
            return ""


def _would_fit(text: str, item: inspect.Type) -> bool:
    core = shape_of(item).core
    return isinstance(core, inspect.StrType) and re.search(core.pattern or "", text) is not None


def _number(
    scalar: Scalar, core: inspect.IntType | inspect.FloatType, shape: Shape, name: str
) -> int | float:
    pattern = _WHOLE if isinstance(core, inspect.IntType) else _NUMBER
    if not pattern.fullmatch(scalar.text) or (scalar.quoted and not scalar.untyped):
        raise wrong(scalar, shape, name)
    number = int(scalar.text) if pattern is _WHOLE else float(scalar.text)
    if not _within(number, core):
        raise wrong(replace(scalar, kind="float"), shape, name)
    return number


def _within(number: float, core: inspect.IntType | inspect.FloatType) -> bool:
    above = core.gt is None or number > core.gt
    return above and (core.ge is None or number >= core.ge) and (core.le is None or number <= core.le)


def _switch(scalar: Scalar, shape: Shape, name: str) -> bool:
    word = scalar.text.lower()
    if word not in _SWITCHES or (scalar.quoted and not scalar.untyped):
        raise wrong(scalar, shape, name)
    return _SWITCHES[word]


def _duration(scalar: Scalar, shape: Shape, name: str) -> timedelta:
    if scalar.kind in {"bool", "timestamp"}:
        raise wrong(scalar, shape, name)
    try:
        duration = parse_duration(scalar.text)
    except ConfigError as error:
        raise scalar.place.fault(f"{name}: {error.message}") from None
    if duration < shape.least:
        raise wrong(scalar, shape, name)
    return duration


def _text(scalar: Scalar, shape: Shape, name: str) -> str:
    if scalar.kind != "text" and not scalar.untyped:
        raise wrong(scalar, shape, name)
    if _CONTROL.search(scalar.text):
        raise scalar.place.fault(f"{name} contains a control character or half a character; remove it.")
    return scalar.text


def _matching_text(scalar: Scalar, core: inspect.StrType, shape: Shape, name: str) -> str:
    text = _text(scalar, shape, name)
    fits = len(text) >= (core.min_length or 0) and (core.max_length is None or len(text) <= core.max_length)
    if not fits or (core.pattern is not None and not re.search(core.pattern, text)):
        raise wrong(scalar, shape, name)
    return text


def _location(scalar: Scalar, shape: Shape, name: str) -> str:
    """An address as it is; anything else is a path."""
    text = _text(scalar, shape, name)
    return text if _ADDRESS.match(text) else str(_path(scalar, shape, name))


def _path(scalar: Scalar, shape: Shape, name: str) -> Path:
    """Relative to the folder that the value's place gives; `~` is somebody's home."""
    text = _text(scalar, shape, name)
    if not text.strip() or len(text) > _LONGEST_PATH:
        problem = f"longer than {_LONGEST_PATH} characters" if text.strip() else "empty"
        raise scalar.place.fault(f"{name} must be a path, but it is {problem}.")
    try:
        return scalar.place.folder / Path(text).expanduser()
    except RuntimeError:
        raise scalar.place.fault(f"{name}: '{shorten(text)}' is nobody's home; write the path out.") from None
