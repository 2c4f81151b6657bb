from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyarrow import parquet

from image_history.schema import IMAGE_VERSIONS, arrow_schema
from image_history.simulator import Simulator, generate
from tests.behaviour.listing import COLUMNS, Row, Tool, comparable, milliseconds, unmodified_client

if TYPE_CHECKING:
    import pyarrow as pa


@pytest.fixture
def tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Tool]:
    """A simulated AWS that the environment variables point to, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE_HISTORY_RATE__LIST_PER_SECOND", "10000")
    with Simulator(generate(3, images=1, versions_per_image=40)) as simulator:
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        image = simulator.world.image_truth()[0].image_name
        yield Tool(simulator, image, unmodified_client(simulator), capsys)


def as_rows(table: pa.Table) -> list[Row]:
    """A table's rows, comparable to those of boto3."""
    return [
        tuple(milliseconds(row[name]) if name.endswith("_time") else row[name] for name in COLUMNS)
        for row in table.to_pylist()
    ]


def test_parquet_has_the_columns_of_the_warehouse(tool: Tool, tmp_path: Path) -> None:
    """A .parquet file has boto3's rows, and the names and types of the columns of image_versions, with comments."""
    ran = tool.command("list", tool.image, "--output", "found.parquet")
    assert (ran.code, ran.errors) == (0, "")
    table = parquet.read_table(tmp_path / "found.parquet")
    assert as_rows(table) == tool.boto_rows()
    stored = arrow_schema(IMAGE_VERSIONS)
    assert [(field.name, field.type) for field in table.schema] == [
        (name, stored.field(name).type) for name in COLUMNS
    ]
    assert all(field.metadata[b"comment"] for field in table.schema)


def test_json_lines_are_the_rows(tool: Tool) -> None:
    """In JSON Lines, each row is one object with every member."""
    ran = tool.command("list", tool.image, "--format", "jsonl")
    assert [comparable(json.loads(line)) for line in ran.output.splitlines()] == tool.boto_rows()


def test_csv_has_a_header_and_every_row(tool: Tool) -> None:
    """CSV has a header with the column names, and one record for each row."""
    ran = tool.command("list", tool.image, "--format", "csv")
    header, *records = csv.reader(io.StringIO(ran.output))
    assert tuple(header) == COLUMNS
    assert [int(record[1]) for record in records] == [row[1] for row in tool.boto_rows()]


def test_table_shows_every_row(tool: Tool) -> None:
    """Without --format, every row is printed in a table with a header."""
    ran = tool.command("list", tool.image)
    assert all(name in ran.output for name in COLUMNS)
    assert ran.output.count("image-version/") == 40


def test_json_file_is_replaced_whole(tool: Tool, tmp_path: Path) -> None:
    """A .json file is replaced by the rows and their token; only the user can read it, and stdout reports it."""
    target = tmp_path / "found.json"
    target.write_text("before", encoding="utf-8")
    ran = tool.command("list", tool.image, "--output", str(target), "--max-items", "2")
    found = json.loads(target.read_text(encoding="utf-8"))
    assert [comparable(row) for row in found["ImageVersions"]] == tool.boto_rows(MaxItems=2)
    assert found["NextToken"] == ran.errors.splitlines()[-1].removeprefix("next token: ")
    assert ran.output.startswith("Wrote ")
    assert target.stat().st_mode & 0o777 == 0o600


def test_empty_listing_has_columns_and_no_rows(tool: Tool) -> None:
    """A filter that no row passes gives the columns without rows, and no error."""
    nothing = ("--creation-time-before", "2020-01-01")
    assert tool.listed(*nothing).rows == []
    ran = tool.command("list", tool.image, *nothing, "--format", "csv")
    assert tuple(next(csv.reader(io.StringIO(ran.output)))) == COLUMNS


def test_failed_listing_leaves_the_file_alone(tool: Tool, tmp_path: Path) -> None:
    """If a listing fails, the output file keeps its content."""
    target = tmp_path / "found.csv"
    target.write_text("before", encoding="utf-8")
    assert tool.command("list", "nope", "--output", str(target)).code == 2
    assert target.read_text(encoding="utf-8") == "before"
