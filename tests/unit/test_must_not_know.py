"""A module does not import what its docstring says that it must not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "connector" / "image_history"
MODULES = sorted(PACKAGE.rglob("*.py"))
# A word of the docstring's sentence, and the packages that belong to the word.
KNOW = {
    r"boto3|botocore": ("boto3", "botocore"),
    r"AWS": ("boto3", "botocore", "image_history.aws"),
    r"SQL": ("duckdb", "image_history.warehouse.statements"),
    r"DuckDB": ("duckdb",),
    r"the warehouse": ("duckdb", "image_history.warehouse"),
    r"the command line": ("click", "image_history.cli"),
    r"the terminal": ("rich", "prompt_toolkit"),
    r"a clock|clocks": ("time",),
    r"threads": ("threading", "concurrent.futures"),
    r"files": ("image_history.durable.disk", "image_history.landing.files"),
    r"segments": ("image_history.landing.segment_writer",),
    r"Arrow": ("pyarrow",),
    r"HTTP": ("http", "urllib3", "requests", "aiohttp"),
    r"YAML(?!.s syntax)": ("yaml",),
    r"the settings": ("image_history.config.model",),
    r"retry": ("tenacity", "image_history.extract.retry"),
    r"HTML": ("jinja2", "markupsafe"),
    r"Spark": ("pyspark",),
    r"Iceberg": ("pyiceberg",),
    r"queues or folders": ("image_history.hints.queue", "image_history.hints.folder"),
}


def sentence(tree: ast.Module) -> str:
    """What the module's docstring says that it must not know; empty if it has no such sentence."""
    told = " ".join((ast.get_docstring(tree) or "").split())
    found = re.search(r"[Mm]ust not know ([^.;]*)", told)
    return "" if found is None else found[1]


def imported(tree: ast.Module) -> Iterator[str]:
    """The imports of a module, also those in functions, without those for types only."""
    typed = {id(node) for each in ast.walk(tree) if _is_for_types(each) for node in ast.walk(each)}
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "the package has no relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(each.value) for each in node.args if isinstance(each, ast.Constant))


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def unknown(told: str) -> set[str]:
    """The packages that belong to the words of a sentence."""
    return {
        each for words, packages in KNOW.items() if re.search(rf"\b(?:{words})\b", told) for each in packages
    }


def known(tree: ast.Module) -> list[str]:
    """What the module imports although its docstring forbids it."""
    forbidden = unknown(sentence(tree))
    return [
        name
        for name in imported(tree)
        if any(name == each or name.startswith(f"{each}.") for each in forbidden)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_no_package_of_a_word_it_must_not_know(path: Path) -> None:
    """No module imports a package that belongs, by the table above, to a word of its "must not know" sentence."""
    assert known(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_every_word_is_in_a_sentence() -> None:
    """Each row of the table applies to at least one module."""
    told = [sentence(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES]
    assert [words for words in KNOW if not any(re.search(rf"\b(?:{words})\b", each) for each in told)] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import json\ndef f():\n    from time import time", ["time.time"]),
        ("import duckdb as d, json", ["duckdb"]),
        ("import time.sleeping", ["time.sleeping"]),
        ("import importlib\nimportlib.import_module('duckdb')", ["duckdb"]),
        ("from image_history.warehouse import statements", ["image_history.warehouse.statements"]),
        (
            "from image_history.warehouse.statements import names",
            ["image_history.warehouse.statements.names"],
        ),
        ("import timeit, duckdb_engine", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import duckdb", []),
    ],
)
def test_import_of_what_must_not_be_known_is_found(code: str, found: list[str]) -> None:
    """A forbidden import is found in each form, unless it is for types only."""
    assert known(ast.parse(f'"""Adds. Must not know SQL, or a clock."""\n{code}\n')) == found
