"""Written values -> `Config`: msgspec checks every value against the model, and this puts its errors into words.

Must not know YAML's syntax or the environment, nor read any file.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec import inspect

from image_history.addresses import DELTA_FOLDER, scheme_of
from image_history.config.checks import faults
from image_history.config.durations import parse_duration
from image_history.config.model import Config
from image_history.config.secrets import refuse_secrets
from image_history.config.settings import Setting, known, settings
from image_history.config.tree import Node
from image_history.config.wording import nearest, shorten
from image_history.errors import ConfigError

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9_]{0,17})")
_NUMBER = re.compile(r"[+-]?([0-9][0-9_]{0,17}\.?[0-9]{0,17}|\.[0-9]{1,17})([eE][+-]?[0-9]{1,3})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LONGEST_PATH = 4096
# Stands for a value that cannot be converted: msgspec refuses it for every type.
_UNFIT = object()
# As YAML reads them.
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_FOUND = {
    "seq": "a list",
    "map": "a mapping",
    "null": "empty",
    "int": "the number {}",
    "float": "the number {}",
    "bool": "{}, which YAML reads as true or false",
    "timestamp": "{}, which YAML reads as a date",
}


def to_config(root: Node) -> Config:
    """The validated configuration. ConfigError, with its place, for the first fault."""
    refuse_secrets(root)
    written: dict[str, Node] = {}
    try:
        config = msgspec.convert(_prepared(root, "", written), Config)
    except msgspec.ValidationError as error:
        _, _, path = str(error).rpartition(" - at `$.")
        name = path.removesuffix("`").removesuffix("[...]")  # [...] stands for any member of a mapping
        raise _refused(name, written[name]) from None
    for name, sentence in faults(config, written):
        # A setting that is left out has the place of the group or the item that lacks it.
        raise written.get(name, written[name.rpartition(".")[0]]).place.fault(sentence)
    return config


def _prepared(node: Node, name: str, written: dict[str, Node]) -> object:
    """Convert a node to the value that msgspec takes. `written` gets every node by msgspec's path to it."""
    written[name] = node
    wanted = _wanted(name)
    if node.kind == "map":
        names, members = wanted.members, {}
        for key, below in node.members.items():
            if names and key not in names:
                raise _unknown(key, below, name)
            members[key] = _prepared(below, f"{name}.{key}".removeprefix("."), written)
        return members
    if node.kind == "seq":
        return [_prepared(item, f"{name}[{index}]", written) for index, item in enumerate(node.items)]
    if node.kind == "null":
        # A group with all its members commented out.
        return {} if wanted.members and not name.endswith("]") else None
    return _scalar(node, wanted, name)


def _wanted(name: str) -> Setting:
    """What is allowed there; within a value of the wrong type, anything."""
    return known().get(re.sub(r"\[[0-9]+\]", "[]", name), Setting())


def _scalar(node: Node, wanted: Setting, name: str) -> object:
    text: str = node.text
    value: object = _UNFIT
    match wanted.core:
        case inspect.AnyType():
            value = text
        case inspect.TimeDeltaType() if node.kind not in {"bool", "timestamp"}:
            value = _duration(node, wanted, name)
        case inspect.StrType() | inspect.CustomType() if node.is_text:
            value = _text(node, wanted, name)
        case inspect.VarTupleType() if text == wanted.instead:
            value = text
        case inspect.IntType() if _WHOLE.fullmatch(text) and not node.quoted:
            value = int(text)
        case inspect.FloatType() if _NUMBER.fullmatch(text) and not node.quoted:
            value = float(text)
        case inspect.BoolType() if not node.quoted:
            value = _SWITCHES.get(text.lower(), _UNFIT)
    return value


def _duration(node: Node, wanted: Setting, name: str) -> object:
    try:
        duration = parse_duration(node.text)
    except ConfigError as error:
        raise node.place.fault(f"{name}: {error.message}") from None
    return duration if duration or "positive" not in wanted.notes else _UNFIT


def _text(node: Node, wanted: Setting, name: str) -> str | Path:
    """The text itself; a path where it is one, or where an address may stand instead and does not."""
    text = node.text
    if _CONTROL.search(text):
        raise node.place.fault(f"{name} contains a control character or half a character; remove it.")
    if isinstance(wanted.core, inspect.CustomType):
        return _path(text, node, name)
    if "location" not in wanted.notes:
        return text
    # Lower case, since in capitals it would be taken for a folder of that name, for a dataset.
    if text.lower().startswith(DELTA_FOLDER):
        return f"{DELTA_FOLDER}{_path(re.sub('^/+', '/', text[len(DELTA_FOLDER) :]), node, name)}"
    return text if scheme_of(text) else str(_path(text, node, name))


def _path(text: str, node: Node, name: str) -> Path:
    """Resolve a path against the folder of the file that it was written in; `~` is a home directory."""
    if not text.strip() or len(text) > _LONGEST_PATH:
        problem = f"longer than {_LONGEST_PATH} characters" if text.strip() else "empty"
        raise node.place.fault(f"{name} must be a path, but it is {problem}.")
    try:
        return node.place.folder / Path(text).expanduser()
    except RuntimeError:
        raise node.place.fault(f"{name}: '{shorten(text)}' is no user's home; write the path out.") from None


def _unknown(key: str, value: Node, group: str) -> ConfigError:
    elsewhere = [setting.name for setting in settings() if setting.path[-1] == key]
    sought = f"; did you mean {elsewhere[0]}?" if elsewhere else nearest(key, _wanted(group).members)
    where = f" in {group}" if group else ""
    return value.place.fault(f"there is no setting '{shorten(key)}'{where}{sought}")


def _refused(name: str, node: Node) -> ConfigError:
    """The error for a value that msgspec refuses: of the wrong type, or out of bounds."""
    wanted = _wanted(name)
    if node.kind == "seq" and not node.items and isinstance(wanted.core, inspect.VarTupleType):
        return node.place.fault(f"{name} is an empty list; it must have at least 1 item.")
    if node.kind == "null" and not name.endswith("]"):
        return node.place.fault(f"{name} has no value; it must be {wanted.expected}.")
    empty = node.is_text and not node.text
    found = "empty" if empty else _FOUND.get(node.kind, "the text '{}'").format(shorten(node.text))
    return node.place.fault(f"{name} must be {wanted.expected}, but it is {found}{_advice(node, wanted)}.")


def _advice(node: Node, wanted: Setting) -> str:
    match wanted.core, wanted.item.core:
        case (inspect.IntType() | inspect.FloatType(), _) if node.quoted and _NUMBER.fullmatch(node.text):
            return "; remove the quotes"
        case (inspect.BoolType(), _) if node.quoted and node.text.lower() in _SWITCHES:
            return "; remove the quotes"
        case (inspect.StrType() | inspect.CustomType(), _) if node.kind not in {"str", "seq", "map"}:
            return "; put it in quotes"
        case _, inspect.StrType(pattern=form) if node.kind == "str" and re.search(form or "", node.text):
            return f"; write it in brackets, as a list: [{shorten(node.text)}]"
        case _:
            return ""
