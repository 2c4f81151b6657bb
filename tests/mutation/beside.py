"""Runs mutants beside the real thing, on the same rows and arguments.

A test in which a mutant gives no other result cannot miss it, and need not be run with it. Only what has no effect
but its result can be run so: queries, what fills a temporary table or is inserted, and functions of the pure rooms.
Of all others it is not known where they show. Must not know how a mutant is tried.
"""

from __future__ import annotations

import ast
import inspect
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib import import_module
from types import FunctionType
from typing import Any
from unittest import mock

import pyarrow as pa

from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import Connection, EngineError, Parameters
from tests.mutation import functions
from tests.mutation.mutants import MODULES, Mutant, all_mutants

_PURE = "image_history.listing."
_HEAD = re.compile(
    r"\s*(?:--[^\n]*\n)*\s*"
    r"(?:CREATE OR REPLACE TEMP TABLE \w+ AS\s|INSERT INTO \w+ BY NAME\s)?\s*(?=SELECT\b|WITH\b|FROM\b)"
)
_PLAYED = "_played_by_the_mutation_pass"


# A mutant that has given another result in so many tests is taken to give one in every test that runs its place.
_COMMON = 12


class Beside:
    """Remembers which mutants gave another result since it was emptied. Safe to share between threads."""

    def __init__(self) -> None:
        self.shown: set[str] = set()
        self._before: Counter[str] = Counter()
        self._inside = threading.local()

    def empty(self) -> None:
        """Begin anew."""
        self._before.update(self.shown)
        self.shown = set()

    def _differs(self, mutant: str, look: Callable[[], bool]) -> None:
        """Look whether it gives another result, unless that is known."""
        if mutant not in self.shown and (self._before[mutant] >= _COMMON or look()):
            self.shown.add(mutant)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run every mutant that can be beside whatever is run meanwhile."""
        with ExitStack() as stack:
            for method in ("run", "count", "table"):
                stack.enter_context(mock.patch.object(Connection, method, self._instead_of(method)))
            for name in MODULES:
                if name.startswith(_PURE):
                    stack.enter_context(self._played(name))
            yield

    def _instead_of(self, method: str) -> Callable[..., object]:
        real = getattr(Connection, method)

        def ask(connection: Connection, name: str, parameters: Parameters | None = None) -> object:
            self._ask(connection, name, parameters or {})
            return real(connection, name, parameters)

        return ask

    def _ask(self, connection: Connection, name: str, parameters: Parameters) -> None:
        mutants = queries().get(name, ())
        if mutants:
            real = _rows(connection, _query(statement(name)), parameters)
            for mutant, text in mutants:
                self._differs(mutant, partial(_others, connection, text, parameters, real))

    @contextmanager
    def _played(self, module_name: str) -> Iterator[None]:
        module = import_module(module_name)
        before: dict[str, Any] = {}
        vars(module)[_PLAYED] = self._play
        try:
            for name, code in _playing(module_name).items():
                function = functions.found(module, name)
                before[name] = function.__code__
                _REAL[f"{module_name}.{name}"] = functions.twin(function, function.__code__)
                function.__code__ = code
            yield
        finally:
            for name, code in before.items():
                functions.found(module, name).__code__ = code
            del vars(module)[_PLAYED]

    def _play(self, place: str, arguments: tuple[object, ...], named: Mapping[str, object]) -> object:
        real = _REAL[place]
        if getattr(self._inside, "here", False):
            return real(*arguments, **named)
        if any(isinstance(each, Iterator) for each in (*arguments, *named.values())):
            # It can be read once.
            self.shown.update(mutant for mutant, _ in mutated().get(place, ()))
            return real(*arguments, **named)
        self._inside.here = True
        try:
            told = _told(real, arguments, named)
            for mutant, function in mutated().get(place, ()):
                self._differs(mutant, partial(_other, function, arguments, named, told))
        finally:
            self._inside.here = False
        return real(*arguments, **named)


_REAL: dict[str, FunctionType] = {}


@cache
def queries() -> Mapping[str, Sequence[tuple[str, str]]]:
    """By statement: the mutants of it that can be run as queries."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for mutant in all_mutants():
        if not isinstance(mutant.of, functions.Change) and _HEAD.match(statement(mutant.statement)):
            found[mutant.statement].append((mutant.name, _query(mutant.of.of(statement(mutant.statement)))))
    return found


@cache
def mutated() -> Mapping[str, Sequence[tuple[str, FunctionType]]]:
    """By function, as MODULE.NAME: its mutants, if it has no effect but its result."""
    found: dict[str, list[tuple[str, FunctionType]]] = defaultdict(list)
    for mutant in all_mutants():
        change = mutant.of
        if isinstance(change, functions.Change) and change.function in _playing(change.module):
            found[mutant.place].append((mutant.name, change.twin()))
    return found


@cache
def _playing(module_name: str) -> Mapping[str, Any]:
    """Code for each function of a pure module that plays all its mutants first."""
    return functions.replaced(module_name, _player) if module_name.startswith(_PURE) else {}


def _player(name: str, function: ast.FunctionDef) -> list[ast.stmt] | None:
    given = function.args
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function))
    if yields or given.vararg or given.kwarg:
        return None
    arguments = ", ".join(each.arg for each in (*given.posonlyargs, *given.args))
    named = ", ".join(f"{each.arg!r}: {each.arg}" for each in given.kwonlyargs)
    return ast.parse(f"return {_PLAYED}({name!r}, ({arguments}{',' * bool(arguments)}), {{{named}}})").body


def can_show(mutant: Mutant) -> bool:
    """Whether it can be run beside the real thing."""
    if isinstance(mutant.of, functions.Change):
        return mutant.place in mutated()
    return mutant.statement in queries()


def _query(text: str) -> str:
    return _HEAD.sub("", text, count=1)


def _others(connection: Connection, query: str, parameters: Parameters, real: object) -> bool:
    return _rows(connection, query, parameters) != real


def _rows(connection: Connection, query: str, parameters: Parameters) -> object:
    if any(f"${name}" not in query for name in parameters):
        # DuckDB refuses it, and ends the transaction.
        return None
    try:
        rows = connection.duck.execute(query, dict(parameters)).fetchall()
    except EngineError as error:
        return type(error)
    return sorted(map(repr, rows))


def _other(
    function: Callable[..., object], arguments: Sequence[object], named: Mapping[str, object], told: object
) -> bool:
    return _told(function, arguments, named) != told


def _told(
    function: Callable[..., object], arguments: Sequence[object], named: Mapping[str, object]
) -> object:
    try:
        result = function(*arguments, **named)
    except Exception as error:  # noqa: BLE001  whatever it is, it is what this one does
        return type(error), str(error)
    if inspect.isgenerator(result) or isinstance(result, Iterator):
        return object()
    return result.to_pylist() if isinstance(result, pa.Table | pa.Array | pa.ChunkedArray) else repr(result)
