"""Imports point in one direction, each foreign package has few importers, and heavy packages load only when used."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Packages whose import name is not their distribution's name, and distributions that share an import name.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "botocore": "boto3",
    "prometheus_client": "prometheus-client",
    "opentelemetry-sdk": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
}
# DuckDB and pyarrow import these themselves, when a user asks for a data frame.
IMPORTED_BY_OTHERS = {"pandas", "tzdata"}

# For each contract of pyproject.toml: a file, and an import that is forbidden in that file.
VIOLATIONS = {
    "Imports follow the way of a row": (
        "connector/image_history/model/values.py",
        "import image_history.run.pipeline",
    ),
    "The simulator knows nothing": (
        "connector/image_history/simulator/__init__.py",
        "import image_history.model",
    ),
    "The error tree stands alone": ("connector/image_history/errors.py", "import msgspec"),
    "knows boto3 and botocore": ("connector/image_history/extract/retry.py", "import botocore.exceptions"),
    "imports duckdb": ("connector/image_history/landing/runs.py", "import duckdb"),
    "publish.delta deltalake": ("connector/image_history/publish/tables.py", "import pyiceberg.table"),
    "spark.source knows pyspark": ("connector/image_history/spark/packs.py", "import pyspark.sql"),
    "imports aiohttp": ("connector/image_history/run/pipeline.py", "import aiohttp"),
    "imports opentelemetry": ("connector/image_history/run/settle.py", "import opentelemetry.trace"),
    "imports prometheus_client": ("connector/image_history/landing/runs.py", "import prometheus_client"),
    "imports prompt_toolkit": ("connector/image_history/cli/shell.py", "import prompt_toolkit"),
    "imports click and rich": ("connector/image_history/warehouse/__init__.py", "import rich.table"),
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter in a folder with connector/ and pyproject.toml."""
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    environment = {**os.environ, "PYTHONPATH": str(folder / "connector")}
    return subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def foreign_imports() -> set[str]:
    """The top-level packages that connector/ imports and that belong neither to it nor to the standard library."""
    names: set[str] = set()
    for path in (ROOT / "connector" / "image_history").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"image_history"}


def test_layers_hold() -> None:
    """Every contract on imports in pyproject.toml is kept."""
    outcome = lint_imports(ROOT)
    assert outcome.returncode == 0, outcome.stdout


def test_layers_break_where_an_import_is_forbidden(tmp_path: Path) -> None:
    """Every contract detects an import that it forbids."""
    shutil.copytree(ROOT / "connector", tmp_path / "connector")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, statement in VIOLATIONS.values():
        with (tmp_path / name).open("a", encoding="utf-8") as source:
            source.write(f"\n{statement}\n")
    summary = re.sub(r"\s+", " ", lint_imports(tmp_path).stdout.partition("Broken contracts")[0])
    broken = {contract for contract in VIOLATIONS if re.search(f"{contract}[^.]*? BROKEN", summary)}
    assert broken == set(VIOLATIONS)
    assert len(VIOLATIONS) == len(PROJECT["tool"]["importlinter"]["contracts"])


def test_face_is_imported_for_its_version_only() -> None:
    """Inside the package, `from image_history import` imports only modules and __version__, no re-exported name."""
    modules = {path.stem for path in (ROOT / "connector" / "image_history").iterdir()}
    taken = {
        alias.name
        for path in (ROOT / "connector" / "image_history").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "image_history"
        for alias in node.names
    }
    assert taken - modules <= {"__version__"}


@pytest.mark.parametrize("module", ["image_history", "image_history.cli"])
def test_heavy_packages_stay_unloaded_at_import(module: str) -> None:
    """Neither the library's public module nor the command line loads a heavy package at import."""
    heavy = {"aiohttp", "boto3", "botocore", "duckdb", "numpy", "pandas", "pyarrow", "rich"}
    command = f"import sys, {module}; print(*{heavy!r} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_dependencies_are_the_imported_packages() -> None:
    """Every package that connector/ imports is declared, and every declared package is imported."""
    extras = [line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
    named = {Requirement(line).name.lower() for line in [*PROJECT["project"]["dependencies"], *extras]}
    declared = {DISTRIBUTIONS.get(name, name) for name in named}
    imported = {DISTRIBUTIONS.get(name, name) for name in foreign_imports()}
    assert imported | IMPORTED_BY_OTHERS == declared
