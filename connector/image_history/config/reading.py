"""The parsed tree -> `Config`: holds every value against the model and says in plain words what is wrong.

Must not know YAML or the environment, nor read any file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import inspect

from image_history.config.checks import check_accounts, check_organization, check_paths, check_publish
from image_history.config.document import Entry, Mapping, Scalar, Sequence, Value
from image_history.config.model import Config
from image_history.config.quoting import shorten
from image_history.config.refusal import nearest
from image_history.config.scalars import read_scalar, wrong
from image_history.config.settings import Shape, fields_of, settings, shape_of

if TYPE_CHECKING:
    from msgspec import Struct

    from image_history.errors import ConfigError


def to_config(root: Mapping) -> Config:
    """The validated configuration. ConfigError for the first fault, in the order of the file."""
    config = msgspec.convert(_mapping(root, Config, ""), Config)
    check_paths(config, root)
    check_accounts(config, root)
    check_organization(config, root)
    check_publish(config, root)
    return config


def _read(value: Value, shape: Shape, name: str) -> object:
    match shape.core, value:
        case inspect.StructType(cls=cls), Mapping():
            return _mapping(value, cls, f"{name}.")
        case inspect.VarTupleType(item_type=item_type, min_length=least), Sequence(items=items):
            if len(items) < (least or 0):
                raise value.place.fault(f"{name} is an empty list; it must have at least {least} item.")
            inner = shape_of(item_type)
            return [_item(item, inner, f"{name}[{index}]") for index, item in enumerate(items)]
        case _, Scalar(kind="null"):
            return _absent(value, shape, name)
        case _, Scalar(text=text) if text == shape.instead:
            return text
        case inspect.StructType() | inspect.VarTupleType(), _:
            raise wrong(value, shape, name)
        case _, Scalar():
            return read_scalar(value, shape, name)
        case _:
            raise wrong(value, shape, name)


def _item(item: Value, shape: Shape, name: str) -> object:
    if isinstance(item, Scalar) and item.kind == "null":
        raise wrong(item, shape, name)
    return _read(item, shape, name)


def _absent(value: Value, shape: Shape, name: str) -> object:
    """Nothing after the colon: fine for what may be null, and for a group with all members commented out."""
    if shape.nullable:
        return None
    if isinstance(shape.core, inspect.StructType):
        return {}
    raise value.place.fault(f"{name} has no value; it must be {shape.expected}.")


def _mapping(mapping: Mapping, model: type[Struct], prefix: str) -> dict[str, object]:
    known = fields_of(model)
    for entry in mapping.entries:
        if entry.key not in known:
            raise _unknown(entry, list(known), prefix)
    return {
        entry.key: _read(entry.value, known[entry.key].shape, f"{prefix}{entry.key}")
        for entry in mapping.entries
    }


def _unknown(entry: Entry, known: list[str], prefix: str) -> ConfigError:
    elsewhere = [setting.name for setting in settings() if setting.path[-1] == entry.key]
    sought = f"; did you mean {elsewhere[0]}?" if elsewhere else nearest(entry.key, known)
    where = f" in {prefix.removesuffix('.')}" if prefix else ""
    return entry.place.fault(f"there is no setting '{shorten(entry.key)}'{where}{sought}")
