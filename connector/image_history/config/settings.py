"""The list of settings, read off the model: names, environment variables, and what each allows in words.

Must not know any value that a user gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from msgspec import Struct, inspect, structs

from image_history.config.durations import format_duration
from image_history.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "IMAGE_HISTORY_"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value must look like. `words` replaces the general wording, `least` bounds a duration.

    A `location` is a path, unless it is an address such as s3://bucket/name.
    """

    core: inspect.Type
    nullable: bool = False
    meaning: str = ""
    words: str | None = None
    least: timedelta = timedelta(0)
    location: bool = False
    instead: str | None = None

    @property
    def expected(self) -> str:
        """What is allowed, as the end of the sentence "it must be ..."."""
        match self.core:
            case inspect.IntType(ge=least, le=most):
                general = f"a whole number from {least} to {most}"
            case inspect.FloatType(gt=above, le=most):
                general = f"a number above {above} and up to {most}"
            case inspect.TimeDeltaType():
                longer = " longer than 0s" if self.least else ""
                general = f"a duration{longer}, such as 30s, 15m, 26h or 7d"
            case inspect.BoolType():
                general = "true or false"
            case inspect.VarTupleType(item_type=item):
                word = "" if self.instead is None else f" or the word {self.instead}"
                general = f"a list (each item: {shape_of(item).expected}){word}"
            case inspect.StructType(cls=cls):
                general = f"a mapping of {', '.join(cls.__struct_fields__)}"
            case _:
                general = "a path"
        return self.words or general


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `name` has dots, `variable` is the environment variable that overrides it, if one can."""

    path: tuple[str, ...]
    shape: Shape
    default: object

    @property
    def name(self) -> str:
        """Such as `rate.list_per_second`, or `accounts[].regions` for what each item of a list has."""
        return ".".join(self.path)

    @property
    def variable(self) -> str | None:
        """Such as `IMAGE_HISTORY_RATE__LIST_PER_SECOND`; None in a list, which is overridden as a whole."""
        if any(part.endswith("[]") for part in self.path):
            return None
        return PREFIX + "__".join(self.path).upper()

    @property
    def default_text(self) -> str:
        """The default as one writes it in the file; `null` where leaving it out has its own meaning."""
        return _written(self.default)


def shape_of(declared: inspect.Type) -> Shape:
    """The declared type with its notes gathered from all the layers around it."""
    match declared:
        case inspect.Metadata(type=inner):
            return _annotated(shape_of(inner), declared)
        case inspect.UnionType(types=types):
            return _one_of(types)
        case _:
            return Shape(core=declared)


def _one_of(types: Iterable[inspect.Type]) -> Shape:
    """What may be null, or one word in place of what it is otherwise."""
    nullable, instead = False, None
    shape: Shape | None = None
    for member in types:
        match member:
            case inspect.NoneType():
                nullable = True
            case inspect.LiteralType(values=(word,)):
                instead = str(word)
            case _:
                shape = shape_of(member)
    assert shape is not None  # noqa: S101 - no setting is a word or null and nothing else
    return replace(shape, nullable=nullable, instead=instead)


def _annotated(shape: Shape, notes: inspect.Metadata) -> Shape:
    extra: Mapping[str, object] = notes.extra or {}
    words, least = extra.get("expected", shape.words), extra.get("least", shape.least)
    return replace(
        shape,
        meaning=str((notes.extra_json_schema or {}).get("description", shape.meaning)),
        words=None if words is None else str(words),
        least=least if isinstance(least, timedelta) else shape.least,
        location=shape.location or bool(extra.get("location")),
    )


@cache
def fields_of(model: type[Struct]) -> Mapping[str, Setting]:
    """The settings of one mapping by their names, in the order of the model."""
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - what type_info gives for a Struct
    return {
        field.encode_name: Setting((field.encode_name,), shape_of(field.type), field.default)
        for field in described.fields
    }


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, groups before their members, in the order of the model. Feeds docs and their tests."""
    return tuple(_walk(Config, ()))


def _walk(model: type[Struct], above: tuple[str, ...]) -> Iterator[Setting]:
    for name, setting in fields_of(model).items():
        yield replace(setting, path=(*above, name))
        match setting.shape.core:
            case inspect.StructType(cls=cls):
                yield from _walk(cls, (*above, name))
            case inspect.VarTupleType(item_type=inspect.StructType(cls=cls)):
                yield from _walk(cls, (*above, f"{name}[]"))


def _written(value: object) -> str:
    match value:
        case None:
            text = "null"
        case timedelta():
            text = format_duration(value)
        case bool():
            text = str(value).lower()
        case float():
            text = f"{value:g}"
        case tuple():
            text = f"[{', '.join(map(_written, value))}]"
        case Struct():
            pairs = (f"{name}: {_written(member)}" for name, member in structs.asdict(value).items())
            text = f"{{{', '.join(pairs)}}}"
        case _:
            text = f'"{value}"' if isinstance(value, str) else str(value)
    return text
