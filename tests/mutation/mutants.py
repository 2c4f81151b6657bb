"""Every mutant of the statements in sql/load and sql/settle, and of the Python functions in MODULES.

Must not know how a mutant is tried.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from unittest import mock

from image_history.warehouse import warehouse
from image_history.warehouse.statements import names, statement
from tests.mutation import functions, statements

MODULES = (
    *(f"image_history.listing.{name}" for name in ("pages", "verdict", "request", "breaker")),
    "image_history.run.agenda",
    "image_history.run.settle",
    "image_history.hints.resting",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant; its name says where it is and what it changes."""

    name: str
    of: statements.Edit | functions.Change
    statement: str = ""

    @property
    def place(self) -> str:
        """The changed code: a statement as KIND/NAME, or a function as MODULE.NAME."""
        if isinstance(self.of, functions.Change):
            return f"{self.of.module}.{self.of.function}"
        return self.statement

    @property
    def made_of(self) -> str:
        """A hash of the code of the statement or module, without comments and docstrings.

        If it changes, the mutant counts as a new one.
        """
        if isinstance(self.of, functions.Change):
            text = _code_of(self.of.module)
        else:
            text = " ".join(re.sub(r"--[^\n]*", "", statement(self.statement)).split())
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def applied(self) -> AbstractContextManager[None]:
        """Replace the original code by the mutant within the block."""
        if isinstance(self.of, functions.Change):
            return self.of.applied()
        return _instead(self.statement, self.of.of(statement(self.statement)))


@cache
def _code_of(module: str) -> str:
    tree = ast.parse(inspect.getsource(import_module(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.dump(tree)


@contextmanager
def _instead(name: str, text: str) -> Iterator[None]:
    with mock.patch.object(warehouse, "statement", lambda asked: text if asked == name else statement(asked)):
        yield


def all_mutants() -> list[Mutant]:
    """Every mutant of the statements that load and settle, and of the functions in MODULES."""
    found: list[tuple[str, statements.Edit | functions.Change, str]] = [
        (f"{name}: {edit.what}", edit, name)
        for name in (*names("load"), *names("settle"))
        for edit in statements.mutants(statement(name))
    ]
    found += [
        (f"{change.module.removeprefix('image_history.')}.{change.function}: {change.what}", change, "")
        for module in MODULES
        for change in functions.mutants(module)
    ]
    counted: dict[str, int] = {}
    mutants = []
    for name, of, where in found:
        single = " ".join(name.split())
        counted[single] = counted.get(single, 0) + 1
        numbered = single if counted[single] == 1 else f"{single} ({counted[single]})"
        mutants.append(Mutant(numbered, of, where))
    return mutants


def named(name: str) -> Mutant:
    """The mutant with this name."""
    return next(mutant for mutant in all_mutants() if mutant.name == name)
