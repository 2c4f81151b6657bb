"""The settings, derived from the model: their names, environment variables, and allowed values in words.

Must not know any value that a user gave.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, cached_property
from inspect import getsource
from itertools import pairwise

from msgspec import inspect, to_builtins

from image_history.config import model
from image_history.config.durations import format_duration

PREFIX = "IMAGE_HISTORY_"


@dataclass(frozen=True)
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

    @cached_property
    def members(self) -> Mapping[str, Setting]:
        """The settings of a group by their names, in the order of the model; empty for all else."""
        if not isinstance(self.core, inspect.StructType):
            return {}
        return {
            each.name: replace(
                _declared(each.type, (*self.path, each.name)),
                default=each.default,
                group=self.core.cls.__name__,
            )
            for each in self.core.fields
        }

    @cached_property
    def item(self) -> Setting:
        """What is allowed for each item of a list; for any other type, a setting that allows anything."""
        if not isinstance(self.core, inspect.VarTupleType):
            return Setting()
        return _declared(self.core.item_type, (*self.path[:-1], f"{self.path[-1]}[]"))

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

    def fits(self, text: str) -> bool:
        """Whether a text is allowed, judged by the pattern alone."""
        return isinstance(self.core, inspect.StrType) and bool(re.search(self.core.pattern or "", text))

    def below(self) -> Iterator[Setting]:
        """Every setting of a group or of a list's items, groups before their members, in the order of the model."""
        for member in self.members.values():
            yield member
            yield from member.below()
            yield from member.item.below()


def _declared(declared: inspect.Type, path: tuple[str, ...]) -> Setting:
    match declared:
        case inspect.Metadata(type=inner, extra=notes):
            return replace(_declared(inner, path), notes=notes or {})
        case inspect.UnionType(types=(first, *others)):
            words = (str(each.values[0]) for each in others if isinstance(each, inspect.LiteralType))
            nullable = declared.includes_none
            return replace(_declared(first, path), nullable=nullable, instead=next(words, None))
        case _:
            return Setting(path, declared)


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


# The setting for the whole file.
ALL = Setting(core=inspect.type_info(model.Config))


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, groups before their members, in the order of the model. Feeds docs and their tests."""
    return tuple(ALL.below())
