"""Runs mutants beside the original code, on the same rows and arguments.

A test in which a mutant gives the same results cannot kill the mutant, and need not run with it. Only code without
side effects can run so: queries, including those whose rows are inserted, and functions of pure modules. For other
mutants it is not known in which tests their results differ. Must not know how a mutant is tried.
"""

from __future__ import annotations

import ast
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib import import_module
from types import FunctionType
from typing import Any, TypeAlias

from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import Connection, EngineError, Parameters
from tests.behaviour.running import Run, around_statements, query_of
from tests.mutation import functions
from tests.mutation.mutants import MODULES, Mutant, all_mutants

Arguments: TypeAlias = tuple[object, ...]

_PLAYED = "_played_by_the_mutation_pass"
# A mutant whose results differed in this number of tests is assumed to differ in every test that runs its place.
_COMMON = 12


class Beside:
    """Records which mutants gave other results since the last `empty`. Safe to share between threads."""

    def __init__(self) -> None:
        self.shown: set[str] = set()
        self._before: Counter[str] = Counter()
        self._inside = threading.local()

    def empty(self) -> None:
        """Start a new record."""
        self._before.update(self.shown)
        self.shown = set()

    def _compare(self, mutant: str, real: object, look: Callable[[], object]) -> None:
        """Record the mutant if its result differs from the original's, unless it is recorded already."""
        if mutant not in self.shown and (self._before[mutant] >= _COMMON or look() != real):
            self.shown.add(mutant)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the block, run every possible mutant beside the code that runs."""
        with ExitStack() as stack:
            stack.enter_context(around_statements(self._ask))
            for name in filter(_is_pure, MODULES):
                play = partial(self._play, _twins(name))
                stack.enter_context(functions.instead(name, _playing(name), {_PLAYED: play}))
            yield

    def _ask(self, connection: Connection, name: str, parameters: Parameters | None, run: Run) -> object:
        mutants = queries().get(name, ())
        real = _rows(connection, query_of(statement(name)), parameters) if mutants else None
        for mutant, text in mutants:
            self._compare(mutant, real, partial(_rows, connection, text, parameters))
        return run()

    def _play(
        self, reals: Mapping[str, FunctionType], place: str, arguments: Arguments, named: Mapping[str, object]
    ) -> object:
        real = reals[place]
        if getattr(self._inside, "here", False):
            return real(*arguments, **named)
        if any(isinstance(each, Iterator) for each in (*arguments, *named.values())):
            # An iterator can be read only once.
            self.shown.update(mutant for mutant, _ in mutated().get(place, ()))
            return real(*arguments, **named)
        self._inside.here = True
        try:
            told = _told(real, arguments, named)
            for mutant, function in mutated().get(place, ()):
                self._compare(mutant, told, partial(_told, function, arguments, named))
        finally:
            self._inside.here = False
        return real(*arguments, **named)


@cache
def queries() -> Mapping[str, Sequence[tuple[str, str]]]:
    """The mutants of each statement that can run as queries."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for mutant in all_mutants():
        if not isinstance(mutant.of, functions.Change):
            query = query_of(mutant.of.of(statement(mutant.statement)))
            if query is not None:
                found[mutant.statement].append((mutant.name, query))
    return found


@cache
def mutated() -> Mapping[str, Sequence[tuple[str, FunctionType]]]:
    """The mutants of each pure function, by MODULE.NAME."""
    found: dict[str, list[tuple[str, FunctionType]]] = defaultdict(list)
    for mutant in all_mutants():
        change = mutant.of
        if isinstance(change, functions.Change) and change.function in _playing(change.module):
            found[mutant.place].append((mutant.name, change.twin()))
    return found


@cache
def _playing(module_name: str) -> Mapping[str, Any]:
    """New code for each function of a pure module, which runs all mutants of the function first."""
    return functions.replaced(module_name, _player) if _is_pure(module_name) else {}


def _is_pure(module_name: str) -> bool:
    return module_name.startswith("image_history.listing.")


def _twins(module_name: str) -> Mapping[str, FunctionType]:
    """Copies of the functions, by MODULE.NAME; they keep their code when the module's functions get other code."""
    module = import_module(module_name)
    originals = {name: functions.found(module, name) for name in _playing(module_name)}
    return {
        f"{module_name}.{name}": functions.twin(original, original.__code__)
        for name, original in originals.items()
    }


def _player(name: str, function: ast.FunctionDef) -> list[ast.stmt] | None:
    given = function.args
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(function))
    if yields or given.vararg or given.kwarg:
        return None
    arguments = ", ".join(each.arg for each in (*given.posonlyargs, *given.args))
    named = ", ".join(f"{each.arg!r}: {each.arg}" for each in given.kwonlyargs)
    return ast.parse(f"return {_PLAYED}({name!r}, ({arguments}{',' * bool(arguments)}), {{{named}}})").body


def can_show(mutant: Mutant) -> bool:
    """Whether the mutant can run beside the original code."""
    if isinstance(mutant.of, functions.Change):
        return mutant.place in mutated()
    return mutant.statement in queries()


def _rows(connection: Connection, query: str | None, parameters: Parameters | None) -> object:
    if query is None or any(f"${name}" not in query for name in parameters or ()):
        # DuckDB refuses surplus parameters, and ends the transaction.
        return None
    try:
        rows = connection.duck.execute(query, parameters or {}).fetchall()
    except EngineError as error:
        return type(error)
    return sorted(map(repr, rows))


def _told(function: Callable[..., object], arguments: Arguments, named: Mapping[str, object]) -> object:
    try:
        result = function(*arguments, **named)
    except Exception as error:  # noqa: BLE001  every error is a result to compare
        return type(error), str(error)
    # An iterator can be read only once, so its result counts as different each time.
    return object() if isinstance(result, Iterator) else repr(result)
