"""The list of settings, read off the model: names, environment variables, and what each allows in words.

Must not know any value that a user gave.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from inspect import getsource
from itertools import pairwise

from msgspec import Struct, inspect, structs

from image_history.config.durations import format_duration
from image_history.config.model import Config

PREFIX = "IMAGE_HISTORY_"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value must look like: its type without what stands around it, and the notes of the model's `Meta`.

    `instead` is a word that may stand in its place. The note `expected` replaces the general wording, a duration
    that is `positive` is longer than 0s, and a `location` is a path unless it is an address.
    """

    core: inspect.Type = field(default_factory=inspect.AnyType)
    nullable: bool = False
    instead: str | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    @property
    def members(self) -> Mapping[str, Setting]:
        """The settings of a group by their names, in the order of the model; empty for all else."""
        return members_of(self.core.cls) if isinstance(self.core, inspect.StructType) else {}

    @property
    def item(self) -> Shape:
        """What each item of a list must look like; anything, for what is no list."""
        return shape_of(self.core.item_type) if isinstance(self.core, inspect.VarTupleType) else Shape()

    @property
    def expected(self) -> str:
        """What is allowed, as the end of the sentence "it must be ..."."""
        general = "a path"
        match self.core:
            case inspect.IntType(ge=least, le=most):
                general = f"a whole number from {least} {'on' if most is None else f'to {most}'}"
            case inspect.FloatType(gt=above, le=most):
                general = f"a number above {above} and up to {most}"
            case inspect.TimeDeltaType():
                longer = " longer than 0s" if "positive" in self.notes else ""
                general = f"a duration{longer}, such as 30s, 15m, 26h or 7d"
            case inspect.BoolType():
                general = "true or false"
            case inspect.VarTupleType():
                word = "" if self.instead is None else f" or the word {self.instead}"
                general = f"a list (each item: {self.item.expected}){word}"
            case inspect.StructType():
                general = f"a mapping of {', '.join(self.members)}"
        return str(self.notes.get("expected", general))


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `name` has dots, `variable` is the environment variable that overrides it, if one can."""

    path: tuple[str, ...]
    shape: Shape
    default: object
    group: type[Struct]

    @property
    def name(self) -> str:
        """Such as `rate.list_per_second`, or `accounts[].regions` for what each item of a list has."""
        return ".".join(self.path)

    @property
    def variable(self) -> str | None:
        """Such as `IMAGE_HISTORY_RATE__LIST_PER_SECOND`; None in a list, which is overridden as a whole."""
        return None if "[]" in self.name else PREFIX + "__".join(self.path).upper()

    @property
    def default_text(self) -> str:
        """The default as one writes it in the file; `null` where leaving it out has its own meaning."""
        default = plain(self.default)
        return default if isinstance(default, str) else json.dumps(default)

    @property
    def meaning(self) -> str:
        """The text that stands below the setting in the model."""
        return _meanings(self.group)[self.path[-1]]


def plain(value: object) -> object:
    """A value of the model as the file has it, in what JSON knows."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return int(value) if value.is_integer() else value
        case timedelta():
            return format_duration(value)
        case tuple():
            return [plain(item) for item in value]
        case Struct():
            return {name: plain(member) for name, member in structs.asdict(value).items()}
        case _:
            return str(value)


def shape_of(declared: inspect.Type) -> Shape:
    """The declared type without what the model puts around it: notes, `| None`, or a word in its place."""
    match declared:
        case inspect.Metadata(type=inner, extra=notes):
            return replace(shape_of(inner), notes=notes or {})
        case inspect.UnionType(types=(first, *others)):
            words = (str(each.values[0]) for each in others if isinstance(each, inspect.LiteralType))
            return replace(shape_of(first), nullable=declared.includes_none, instead=next(words, None))
        case _:
            return Shape(declared)


@cache
def members_of(group: type[Struct]) -> Mapping[str, Setting]:
    """The settings of one group by their names, in the order of the model."""
    described = inspect.type_info(group)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - what type_info gives for a Struct
    return {
        each.name: Setting((each.name,), shape_of(each.type), each.default, group)
        for each in described.fields
    }


@cache
def _meanings(group: type[Struct]) -> Mapping[str, str]:
    """The texts below the settings of a group, by the settings' names. They are in its source only."""
    made = ast.parse(getsource(group)).body[0]
    assert isinstance(made, ast.ClassDef)  # noqa: S101 - what the source of a class is
    return {
        ast.unparse(setting.target): " ".join(ast.literal_eval(text.value).split())
        for setting, text in pairwise(made.body)
        if isinstance(setting, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, groups before their members, in the order of the model. Feeds docs and their tests."""
    return tuple(_walk(ALL, ()))


def _walk(shape: Shape, above: tuple[str, ...]) -> Iterator[Setting]:
    for name, setting in shape.members.items():
        yield replace(setting, path=(*above, name))
        yield from _walk(setting.shape, (*above, name))
        yield from _walk(setting.shape.item, (*above, f"{name}[]"))


# What the whole file must look like.
ALL = Shape(inspect.type_info(Config))
