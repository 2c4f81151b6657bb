"""The settings, derived from the model: their names, environment variables, and allowed values in words.

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

from msgspec import inspect, to_builtins

from image_history.config import model
from image_history.config.durations import format_duration

PREFIX = "IMAGE_HISTORY_"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is allowed for one setting, a group of them, an item of a list, or the whole file.

    `core` is the bare type. The model may add that null is allowed (`nullable`), a word that is allowed `instead`,
    and `notes`. The note `expected` replaces the general wording. With `positive`, a duration must be longer than
    0s. With `location`, a text is a path unless it is an address.
    """

    path: tuple[str, ...] = ()
    core: inspect.Type = field(default_factory=inspect.AnyType)
    default: object = None
    nullable: bool = False
    instead: str | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    group: str = ""

    @property
    def name(self) -> str:
        """Such as `rate.list_per_second`, or `accounts[].regions` for a setting of each item of a list."""
        return ".".join(self.path)

    @property
    def variable(self) -> str | None:
        """Such as `IMAGE_HISTORY_RATE__LIST_PER_SECOND`; None in a list, which is overridden as a whole."""
        return None if "[]" in self.name else PREFIX + "__".join(self.path).upper()

    @property
    def default_json(self) -> str:
        """The default as written in the file, in JSON."""
        plain = to_builtins(self.default, builtin_types=(timedelta,), enc_hook=str)
        return json.dumps(plain, default=format_duration)

    @property
    def default_text(self) -> str:
        """The default as a user writes it in the file; `null` if leaving the setting out has a meaning of its own."""
        return self.default_json.strip('"').removesuffix(".0")

    @property
    def meaning(self) -> str:
        """The text below the setting in the model."""
        return _meanings()[self.group, self.path[-1]]

    @property
    def members(self) -> tuple[str, ...]:
        """The names of a group's settings, in the order of the model; empty for all else."""
        return tuple(each.name for each in getattr(self.core, "fields", ()))

    @property
    def item(self) -> Setting:
        """What is allowed for each item of a list; for any other type, a setting that allows anything."""
        return known().get(f"{self.name}[]", Setting())

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

    def below(self) -> Iterator[Setting]:
        """This and all below it, groups before their members, in the order of the model."""
        yield self
        match self.core:
            case inspect.StructType(cls=group, fields=fields):
                for each in fields:
                    member = _declared(each.type, (*self.path, each.name))
                    yield from replace(member, default=each.default, group=group.__name__).below()
            case inspect.VarTupleType(item_type=item):
                yield from _declared(item, (*self.path[:-1], f"{self.path[-1]}[]")).below()


def _declared(declared: inspect.Type, path: tuple[str, ...]) -> Setting:
    """What is allowed by a type that may be one of a union, such as `Annotated[str, ...] | None`."""
    first, *others = getattr(declared, "types", [declared])
    core, notes = (first.type, first.extra) if isinstance(first, inspect.Metadata) else (first, None)
    words = (str(each.values[0]) for each in others if isinstance(each, inspect.LiteralType))
    nullable = any(isinstance(each, inspect.NoneType) for each in others)
    return Setting(path, core, nullable=nullable, instead=next(words, None), notes=notes or {})


@cache
def _meanings() -> Mapping[tuple[str, str], str]:
    """The texts below the settings, by group and name. They are only in the model's source: Python drops them."""
    groups = [each for each in ast.parse(getsource(model)).body if isinstance(each, ast.ClassDef)]
    return {
        (group.name, ast.unparse(setting.target)): " ".join(ast.literal_eval(text.value).split())
        for group in groups
        for setting, text in pairwise(group.body)
        if isinstance(setting, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


@cache
def known() -> Mapping[str, Setting]:
    """What is allowed for every setting, for each item of a list (`accounts[]`), and for the whole file (``)."""
    return {each.name: each for each in Setting((), inspect.type_info(model.Config)).below()}


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, groups before their members, in the order of the model. Feeds docs and their tests."""
    return tuple(each for each in known().values() if each.name and not each.name.endswith("[]"))
