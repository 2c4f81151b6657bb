"""The JSON Schema (draft 2020-12) of the configuration file, for editors and for checks in CI.

Must not know any value; everything is read off the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from msgspec import inspect, json

from image_history.config.model import Config
from image_history.config.settings import Setting, Shape, fields_of, shape_of

if TYPE_CHECKING:
    from msgspec import Struct

JsonSchema: TypeAlias = "dict[str, object]"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A text that a variable fills is checked after it has been filled.
_VARIABLE = r"\$\{"
_DURATION = r"^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"


def json_schema() -> JsonSchema:
    """The schema of the whole file, in values that `json.dumps` takes."""
    return {"$schema": _DIALECT, "title": "Configuration of image-history"} | _group(
        Config, ["object", "null"]
    )


def _group(model: type[Struct], types: str | list[str]) -> JsonSchema:
    return {
        "type": types,
        "properties": {name: _member(setting) for name, setting in fields_of(model).items()},
        "additionalProperties": False,
    }


def _member(setting: Setting) -> JsonSchema:
    shape = setting.shape
    if isinstance(shape.core, inspect.StructType):
        return {"description": shape.meaning} | _group(shape.core.cls, ["object", "null"])
    schema = {"description": shape.meaning} | _value(shape)
    if shape.nullable:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        default = {} if setting.default is None else {"default": _default(setting)}
        return schema | {"type": [*types, "null"]} | default
    return schema | {"default": _default(setting)}


def _default(setting: Setting) -> object:
    if isinstance(setting.shape.core, inspect.TimeDeltaType | inspect.CustomType):
        return setting.default_text
    return json.decode(json.encode(setting.default))


def _value(shape: Shape) -> JsonSchema:
    match shape.core:
        case inspect.StructType(cls=cls):
            return _group(cls, "object")
        case inspect.VarTupleType(item_type=item, min_length=least):
            array: JsonSchema = {"type": "array", "items": _value(shape_of(item)), "minItems": least or 0}
            if shape.instead is None:
                return array
            # A pattern holds for a text only, as items do for an array.
            return array | {"type": ["array", "string"], "pattern": f"^{shape.instead}$|{_VARIABLE}"}
        case inspect.IntType() | inspect.FloatType() as core:
            return _number(core)
        case inspect.BoolType():
            return {"type": ["boolean", "string"], "pattern": _VARIABLE}
        case _:
            return _text(shape.core)


def _number(core: inspect.IntType | inspect.FloatType) -> JsonSchema:
    """Bounds hold for numbers only and the pattern for texts only, as JSON Schema has it."""
    name = "integer" if isinstance(core, inspect.IntType) else "number"
    bounds: JsonSchema = {"minimum": core.ge, "exclusiveMinimum": core.gt, "maximum": core.le}
    given = {keyword: bound for keyword, bound in bounds.items() if bound is not None}
    return {"type": [name, "string"], "pattern": _VARIABLE} | given


def _text(core: inspect.Type) -> JsonSchema:
    match core:
        case inspect.DictType():
            return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
        case inspect.TimeDeltaType():
            return {"type": "string", "pattern": f"{_DURATION}|{_VARIABLE}"}
        case inspect.StrType(pattern=str(pattern)):
            return {"type": "string", "pattern": f"{pattern}|{_VARIABLE}"}
        case _:
            return {"type": "string", "minLength": 1}
