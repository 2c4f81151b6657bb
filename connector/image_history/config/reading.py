"""The parsed nodes -> `Config`: msgspec holds every value against the model, and this says in words what is wrong.

Must not know YAML's syntax or the environment, nor read any file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import inspect
from yaml import MappingNode, ScalarNode, SequenceNode

from image_history.config.checks import (
    check_accounts,
    check_hints,
    check_notify,
    check_organization,
    check_paths,
    check_publish,
)
from image_history.config.document import FILLED, Node, fault, kind_of, member, origin
from image_history.config.durations import parse_duration
from image_history.config.model import DELTA_FOLDER, Config
from image_history.config.quoting import shorten
from image_history.config.refusal import nearest
from image_history.config.settings import Shape, fields_of, settings, shape_of
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from datetime import timedelta

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]{0,17})")
_NUMBER = re.compile(r"[+-]?([0-9][0-9_]{0,17}\.?[0-9]{0,17}|\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_LONGEST_PATH = 4096
# Stands for a value that YAML does not take for text, where the model wants one: msgspec refuses it.
_NO_TEXT = 0
# As YAML has it.
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_FOUND = {
    "int": "the number {}",
    "float": "the number {}",
    "bool": "{}, which YAML reads as true or false",
    "timestamp": "{}, which YAML reads as a date",
}
# How msgspec ends its sentence: the path of the value, such as $.accounts[0].profile.
_AT = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_STEP = re.compile(r"\[(?P<index>[0-9]+)\]|(?P<name>[^.\[\]]+)")


def to_config(root: MappingNode) -> Config:
    """The validated configuration. ConfigError for the first fault, in the order of the file."""
    try:
        config = msgspec.convert(_prepared(root, shape_of(inspect.type_info(Config)), ""), Config)
    except msgspec.ValidationError as error:
        raise _explained(str(error), root) from None
    check_paths(config, root)
    check_accounts(config, root)
    check_organization(config, root)
    check_publish(config, root)
    check_hints(config, root)
    check_notify(config, root)
    return config


def _prepared(node: Node, shape: Shape | None, name: str) -> object:
    """The value as msgspec takes it. Text that fits no number or switch stays text, which msgspec then refuses."""
    if isinstance(node, MappingNode):
        fields = fields_of(shape.core.cls) if shape and isinstance(shape.core, inspect.StructType) else {}
        return {
            key.value: _prepared(
                value, fields[key.value].shape if key.value in fields else None, _join(name, key.value)
            )
            for key, value in node.value
        }
    if isinstance(node, SequenceNode):
        core = None if shape is None else shape.core
        item = shape_of(core.item_type) if isinstance(core, inspect.VarTupleType) else None
        return [_prepared(value, item, f"{name}[{index}]") for index, value in enumerate(node.value)]
    if kind_of(node) == "null":
        # A group with all its members commented out.
        group = shape is not None and isinstance(shape.core, inspect.StructType) and not shape.nullable
        return {} if group and not name.endswith("]") else None
    return node.value if shape is None else _scalar(node, shape, name)


def _scalar(node: ScalarNode, shape: Shape, name: str) -> object:
    match shape.core:
        case inspect.IntType() | inspect.FloatType() | inspect.BoolType() as core:
            return _unquoted(node, core) if _bare(node) else node.value
        case inspect.TimeDeltaType():
            return _duration(node, shape, name)
        case inspect.StrType() if not _is_text(node):
            return _NO_TEXT
        case inspect.StrType():
            return _location(node, shape, name) if shape.location else _clean(node, name)
        case inspect.CustomType():
            return _path(node, shape, name)
        case _:
            return node.value


def _unquoted(node: ScalarNode, core: inspect.IntType | inspect.FloatType | inspect.BoolType) -> object:
    text: str = node.value
    if isinstance(core, inspect.BoolType):
        return _SWITCHES.get(text.lower(), text)
    if isinstance(core, inspect.IntType):
        return int(text) if _WHOLE.fullmatch(text) else text
    return float(text) if _NUMBER.fullmatch(text) else text


def _bare(node: ScalarNode) -> bool:
    """Whether it may be a number or a switch: without quotes, or from a variable."""
    return node.style is None or node.style == FILLED


def _is_text(node: ScalarNode) -> bool:
    return kind_of(node) == "str" or node.style == FILLED


def _duration(node: ScalarNode, shape: Shape, name: str) -> timedelta:
    if kind_of(node) in {"bool", "timestamp"}:
        raise _wrong(node, shape, name)
    try:
        duration = parse_duration(node.value)
    except ConfigError as error:
        raise fault(node, f"{name}: {error.message}") from None
    if duration < shape.least:
        raise _wrong(node, shape, name)
    return duration


def _clean(node: ScalarNode, name: str) -> str:
    text: str = node.value
    if _CONTROL.search(text):
        raise fault(node, f"{name} contains a control character or half a character; remove it.")
    return text


def _location(node: ScalarNode, shape: Shape, name: str) -> str:
    """An address as it is; anything else is a path, also behind the word for Delta tables in a folder."""
    text = _clean(node, name)
    # In capitals it would be a folder of that name, and hold a dataset.
    if text[: len(DELTA_FOLDER)].lower() == DELTA_FOLDER:
        folder = re.sub("^/+", "/", text[len(DELTA_FOLDER) :])
        return f"{DELTA_FOLDER}{_expanded(folder, node, name)}"
    return text if _ADDRESS.match(text) else str(_path(node, shape, name))


def _path(node: ScalarNode, shape: Shape, name: str) -> Path:
    """Relative to the folder of the file that it was written in; `~` is somebody's home."""
    if not _is_text(node):
        raise _wrong(node, shape, name)
    return _expanded(_clean(node, name), node, name)


def _expanded(text: str, node: ScalarNode, name: str) -> Path:
    if not text.strip() or len(text) > _LONGEST_PATH:
        problem = f"longer than {_LONGEST_PATH} characters" if text.strip() else "empty"
        raise fault(node, f"{name} must be a path, but it is {problem}.")
    try:
        return origin(node).folder / Path(text).expanduser()
    except RuntimeError:
        raise fault(node, f"{name}: '{shorten(text)}' is nobody's home; write the path out.") from None


def _explained(complaint: str, root: MappingNode) -> ConfigError:
    """Msgspec's complaint with the line, and with what is allowed and what was found, in words."""
    at = _AT.search(complaint)
    name = at["path"] if at else ""
    node, shape = _found_at(root, name)
    unknown = re.match("Object contains unknown field `(.*?)`(?: - at |$)", complaint, re.DOTALL)
    if unknown and isinstance(node, MappingNode) and isinstance(shape.core, inspect.StructType):
        return _unknown(node, list(fields_of(shape.core.cls)), name)
    if isinstance(node, SequenceNode) and not node.value and isinstance(shape.core, inspect.VarTupleType):
        least = shape.core.min_length
        return fault(node, f"{name} is an empty list; it must have at least {least} item.")
    if kind_of(node) == "null" and not name.endswith("]"):
        return fault(node, f"{name} has no value; it must be {shape.expected}.")
    return _wrong(node, shape, name)


def _found_at(root: MappingNode, path: str) -> tuple[Node, Shape]:
    node: Node = root
    shape = shape_of(inspect.type_info(Config))
    for step in _STEP.finditer(path):
        if isinstance(shape.core, inspect.VarTupleType):
            node, shape = node.value[int(step["index"])], shape_of(shape.core.item_type)
        else:
            assert isinstance(shape.core, inspect.StructType)  # noqa: S101 - msgspec goes by the same model
            below = member(node, step["name"])
            assert below is not None  # noqa: S101 - and by the same values
            node, shape = below, fields_of(shape.core.cls)[step["name"]].shape
    return node, shape


def _unknown(mapping: MappingNode, known: list[str], name: str) -> ConfigError:
    key = next(key for key, _ in mapping.value if key.value not in known)
    elsewhere = [setting.name for setting in settings() if setting.path[-1] == key.value]
    sought = f"; did you mean {elsewhere[0]}?" if elsewhere else nearest(key.value, known)
    where = f" in {name}" if name else ""
    return fault(key, f"there is no setting '{shorten(key.value)}'{where}{sought}")


def _wrong(node: Node, shape: Shape, name: str) -> ConfigError:
    """The error for a value of another kind, or out of bounds."""
    return fault(node, f"{name} must be {shape.expected}, but it is {_is(node)}{_advice(node, shape)}.")


def _is(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return "a mapping" if isinstance(node, MappingNode) else "a list"
    if kind_of(node) == "null" or not node.value:
        return "empty"
    return _FOUND.get(kind_of(node), "the text '{}'").format(shorten(node.value))


def _advice(node: Node, shape: Shape) -> str:
    if not isinstance(node, ScalarNode):
        return ""
    match shape.core:
        case inspect.IntType() | inspect.FloatType() if not _bare(node) and _NUMBER.fullmatch(node.value):
            return "; remove the quotes"
        case inspect.BoolType() if not _bare(node) and node.value.lower() in _SWITCHES:
            return "; remove the quotes"
        case inspect.StrType() | inspect.CustomType() if kind_of(node) != "str":
            return "; put it in quotes"
        case inspect.VarTupleType(item_type=item) if _would_fit(node, shape_of(item).core):
            return f"; write it in brackets, as a list: [{shorten(node.value)}]"
        case _:
            return ""


def _would_fit(node: ScalarNode, core: inspect.Type) -> bool:
    fits = isinstance(core, inspect.StrType) and re.search(core.pattern or "", node.value) is not None
    return fits and kind_of(node) == "str"


def _join(above: str, name: str) -> str:
    return f"{above}.{name}" if above else name
