"""The examples for Airflow and Dagster: their calls of image-history, run against the simulator.

Airflow and Dagster are heavy and not installed; mypy checks the examples' use of `connector`.
"""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from image_history.simulator import FaultRule
from tests.behaviour.commanding import Commanded
from tests.deploy.recipes import CONFIG, DEPLOY, INSTALLED

pytestmark = pytest.mark.duckdb

DAG = DEPLOY / "airflow" / "image_history_dag.py"
DEFINITIONS = DEPLOY / "dagster" / "image_history_defs.py"


@pytest.fixture
def config(commanded: Commanded) -> Path:
    """A configuration file in the site's folder."""
    path = commanded.folder / "config.yaml"
    path.write_text("page_size: 50\n", encoding="utf-8")
    return path


def deny_one(site: Commanded) -> None:
    """Make ListImageVersions of one image fail with an access error."""
    name = min(row.image_name for row in site.site.world.truth())
    site.site.simulator.faults = (FaultRule(kind="access_denied", operation="ListImageVersions", image=name),)


def task_of_the_dag() -> Callable[[str], dict[str, object]]:
    """The task's function as Airflow runs it in the other environment: only its source, without decorators."""
    tree = ast.parse(DAG.read_text(encoding="utf-8"))
    (function,) = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "sync_images"
    ]
    function.decorator_list = []
    names: dict[str, Any] = {}
    exec(compile(ast.Module([function], []), str(DAG), "exec"), names)  # noqa: S102 - the example's own source
    task: Callable[[str], dict[str, object]] = names["sync_images"]
    return task


def test_task_of_the_dag_syncs(commanded: Commanded, config: Path) -> None:
    """The task syncs and returns the counts without the rest of the file; it fails if an image is not read."""
    task = task_of_the_dag()
    first = task(str(config))
    assert (first["inserted"], first["deleted"]) == (6, 0)
    deny_one(commanded)
    with pytest.raises(RuntimeError, match="ListImageVersions"):
        task(str(config))


def test_dag_asks_the_scheduler_for_nothing_of_ours() -> None:
    """The file's top imports only Airflow and the standard library; it names the environment and configuration."""
    tree = ast.parse(DAG.read_text(encoding="utf-8"))
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "datetime", "airflow.sdk"}
    words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {f"{INSTALLED}/python", CONFIG, "17 * * * *"} <= words


@dataclass(frozen=True)
class Result:
    """Stands in for Dagster's MaterializeResult."""

    metadata: dict[str, object]


@dataclass(frozen=True)
class Failed(Exception):  # noqa: N818 - Dagster names it Failure
    """Stands in for Dagster's Failure."""

    description: str
    metadata: dict[str, object] = field(default_factory=dict)


def stand_in() -> ModuleType:
    """A stand-in for the parts of Dagster that the example uses."""
    module = ModuleType("dagster")

    def asset(**_: object) -> Callable[[Any], Any]:
        return lambda function: function

    def kept(*values: object, **named: object) -> tuple[object, ...]:
        return (*values, named)

    names = {"asset": asset, "MaterializeResult": Result, "Failure": Failed}
    for name, value in names.items():
        setattr(module, name, value)
    for name in ("define_asset_job", "Definitions", "ScheduleDefinition"):
        setattr(module, name, kept)
    return module


def test_asset_of_dagster_syncs(commanded: Commanded, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asset syncs and returns the counts; if an image is not read, it fails with the run's id."""
    monkeypatch.setitem(sys.modules, "dagster", stand_in())
    names = runpy.run_path(str(DEFINITIONS))
    assert str(names["CONFIG"]) == CONFIG
    asset = names["image_versions"]
    asset.__globals__["CONFIG"] = config
    assert (asset().metadata["inserted"], asset().metadata["deleted"]) == (6, 0)
    deny_one(commanded)
    with pytest.raises(Failed) as caught:
        asset()
    assert "ListImageVersions" in caught.value.description
    assert caught.value.metadata["run_id"]
