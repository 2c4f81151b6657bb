"""The JSON Schema (draft 2020-12) of the configuration file, for editors and for checks in CI.

Must not know any value; everything is read off the model.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from msgspec import inspect

from image_history.config.durations import PATTERN
from image_history.config.settings import Setting, known

JsonSchema: TypeAlias = "dict[str, object]"

_ABOUT: JsonSchema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Configuration of image-history",
}
# A text with a variable is checked only after the variable has been replaced.
_VARIABLE = r"\$\{"


def json_schema() -> JsonSchema:
    """The schema of the whole file, in values that `json.dumps` takes."""
    return _ABOUT | _value(known()[""]) | {"type": ["object", "null"]}


def _member(setting: Setting) -> JsonSchema:
    schema = {"description": setting.meaning} | _value(setting)
    if not (setting.members or setting.default is None):
        schema["default"] = json.loads(setting.default_json)
    # An empty group is one whose members are all commented out.
    if setting.members or setting.nullable:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, "null"]
    return schema


def _value(wanted: Setting) -> JsonSchema:
    match wanted.core:
        case inspect.StructType():
            members = {name: _member(known()[".".join((*wanted.path, name))]) for name in wanted.members}
            return {"type": "object", "properties": members, "additionalProperties": False}
        case inspect.DictType():
            return {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
        case inspect.VarTupleType(min_length=least):
            array: JsonSchema = {"type": "array", "items": _value(wanted.item), "minItems": least or 0}
            # A pattern applies to texts only, as `items` does to arrays and bounds do to numbers.
            word = {"type": ["array", "string"], "pattern": f"^{wanted.instead}$|{_VARIABLE}"}
            return array if wanted.instead is None else array | word
        case _:
            return _scalar(wanted.core)


def _scalar(core: inspect.Type) -> JsonSchema:
    schema: JsonSchema = {"type": "string", "minLength": 1}
    match core:
        case inspect.IntType(ge=least, le=most):
            schema = {"type": ["integer", "string"], "pattern": _VARIABLE, "minimum": least, "maximum": most}
        case inspect.FloatType(gt=above, le=most):
            number = {"type": ["number", "string"], "pattern": _VARIABLE}
            schema = number | {"exclusiveMinimum": above, "maximum": most}
        case inspect.BoolType():
            schema = {"type": ["boolean", "string"], "pattern": _VARIABLE}
        case inspect.TimeDeltaType():
            schema = {"type": "string", "pattern": f"^{PATTERN}$|{_VARIABLE}"}
        case inspect.StrType(pattern=str(pattern)):
            schema = {"type": "string", "pattern": f"{pattern}|{_VARIABLE}"}
    return {keyword: value for keyword, value in schema.items() if value is not None}
