"""The functions of the connector are short, as CONVENTIONS require."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import LONG

ROOT = Path(__file__).parents[2]
CONNECTOR = sorted((ROOT / "connector" / "image_history").rglob("*.py"))


def by_path(paths: list[Path]) -> list[object]:
    """One parameter for each file, named by its path in the checkout."""
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def body_lengths(path: Path) -> dict[str, int]:
    """The lines of each function's body, without signature and docstring."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {f"{node.name}:{node.lineno}": body_length(node) for node in functions}


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement after the docstring to the last; 0 if there is only a docstring."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize("path", by_path(CONNECTOR))
def test_function_is_short(path: Path) -> None:
    """No function's body is over 40 lines."""
    assert {name: length for name, length in body_lengths(path).items() if length > 40} == {}


def test_functions_are_small_on_the_whole() -> None:
    """Half of all bodies are under 8 lines, and nine in ten under 25."""
    lengths = sorted(length for path in CONNECTOR for length in body_lengths(path).values())
    assert median(lengths) < 8
    assert lengths[len(lengths) * 9 // 10] < 25


def test_long_tests_are_there() -> None:
    """Each line of long.txt names a test function that exists, once and in order, so that a rename is noticed."""
    lines = [line for line in LONG.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))
    for line in lines:
        path, _, name = line.partition("::")
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), line
