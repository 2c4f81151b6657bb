"""The verb `schema`: every table, view and column with its meaning, without a warehouse and without DuckDB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from image_history.cli import run
from image_history.config import json_schema
from image_history.schema import TABLES
from image_history.warehouse.statements import names

ROOT = Path(__file__).parents[2]
VIEWS = [name.partition("/")[2] for name in names("views")]


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the verb `schema` prints."""
    assert run(["schema", *arguments]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("how", ["table", "json", "markdown"])
def test_schema_is_complete_in_every_format(capfd: pytest.CaptureFixture[str], how: str) -> None:
    """Each format has every table with its grain, every column with its meaning, and every view."""
    text = printed(capfd, "--format", how)
    for table in TABLES:
        assert table.name in text
        assert table.grain[1:] in text
        for column in table.columns:
            assert column.name in text
            assert column.meaning.replace('"', '\\"' if how == "json" else '"') in text
    assert all(view in text for view in VIEWS)


def test_schema_as_json_says_type_null_and_key(capfd: pytest.CaptureFixture[str]) -> None:
    """The JSON holds what image_history.schema holds."""
    content = json.loads(printed(capfd, "--format", "json"))
    for table, found in zip(TABLES, content["tables"], strict=True):
        assert (found["name"], found["key"]) == (table.name, list(table.key))
        for column, shown in zip(table.columns, found["columns"], strict=True):
            assert shown == {
                "name": column.name,
                "type": column.kind.sql,
                "nullable": column.nullable,
                "key": column.name in table.key,
                "aws_member": column.member,
                "meaning": column.meaning,
            }
    assert [view["name"] for view in content["views"]] == VIEWS


def test_schema_of_one_table_is_that_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """With names as arguments, only those tables and views are shown."""
    text = printed(capfd, "runs", "failed_versions")
    assert text.startswith("runs: ")
    assert "failed_versions (view): " in text
    assert "image_versions:" not in text


def test_schema_names_the_nearest_table(capfd: pytest.CaptureFixture[str]) -> None:
    """An unknown name exits with 2, and the message has the nearest table."""
    assert run(["schema", "image_version"]) == 2
    assert "the nearest: image_versions" in capfd.readouterr().err


@pytest.mark.parametrize("before", [[], ["--config", "none.yaml"]], ids=["flag", "beside-the-global-one"])
def test_schema_of_the_configuration_is_its_json_schema(
    capfd: pytest.CaptureFixture[str], before: list[str]
) -> None:
    """--config after the verb is a flag; the global option before it changes nothing."""
    assert run([*before, "schema", "--config"]) == 0
    assert json.loads(capfd.readouterr().out) == json_schema()


def test_schema_loads_nothing_heavy(tmp_path: Path) -> None:
    """`schema` imports neither DuckDB nor boto3, Arrow or rich, and makes no file."""
    heavy = {"boto3", "botocore", "duckdb", "numpy", "pandas", "pyarrow", "rich"}
    script = (
        "import sys; from image_history.cli import run; "
        f"codes = [run(['schema', *a]) for a in ([], ['--format', 'json'], ['--config'])]; "
        f"print('LOADED', codes, sorted({heavy!r} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "LOADED [0, 0, 0] []"
    assert list(tmp_path.iterdir()) == []
