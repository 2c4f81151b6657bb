"""A new warehouse has exactly the tables that connector/image_history/schema.py describes."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_history.schema import SCHEMA_VERSION, TABLES, TRACKED, Table, arrow_schema
from image_history.warehouse.statements import folder, names, statement
from image_history.warehouse.warehouse import WarehouseFile
from tests.generate import comments

LEDGERS = {"schema_migrations", "schema_objects", "warehouse_identity"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """The table, name, type, nullability and comment of every column of a new warehouse, in order."""
    with WarehouseFile(tmp_path_factory.mktemp("schema") / "new.duckdb").writing() as connection:
        found: list[tuple[object, ...]] = connection.duck.execute(
            "SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE schema_name = 'main' AND NOT internal "
            "AND table_name IN (SELECT table_name FROM duckdb_tables()) ORDER BY table_name, column_index"
        ).fetchall()
        return found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_is_as_the_schema_says(rows: list[tuple[object, ...]], table: Table) -> None:
    """A table's columns have the names, order, types, nullability and comments of the schema."""
    assert [row[1:] for row in rows if row[0] == table.name] == [
        (column.name, column.kind.sql, column.nullable, column.meaning) for column in table.columns
    ]


def test_warehouse_has_no_other_table(rows: list[tuple[object, ...]]) -> None:
    """A new warehouse has the schema's tables, and three tables about the file itself."""
    assert {row[0] for row in rows} == {table.name for table in TABLES} | LEDGERS


def test_table_comments_are_its_grain(tmp_path: Path) -> None:
    """The comment of a table is the schema's description of one row."""
    with WarehouseFile(tmp_path / "new.duckdb").writing() as connection:
        found = connection.duck.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall()
    assert {name: text for name, text in found if name not in LEDGERS} == {
        table.name: table.grain for table in TABLES
    }


def test_comments_are_the_generated_ones() -> None:
    """The file of comments is what `python -m tests.generate` would write."""
    assert (folder() / "comments" / "comments.sql").read_text(encoding="utf-8") == comments()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_has_a_key_of_its_own_columns(table: Table) -> None:
    """A table's columns are unique and described, and contain its key."""
    columns = [column.name for column in table.columns]
    assert len(set(columns)) == len(columns)
    assert set(table.key) <= set(columns)
    assert table.grain
    assert all(column.meaning and "\n" not in column.meaning for column in table.columns)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_arrow_schema_carries_types_nulls_and_meanings(table: Table) -> None:
    """The Arrow schema has the columns, types, nullability and meanings of the schema."""
    schema = arrow_schema(table)
    assert schema.names == [column.name for column in table.columns]
    for field, column in zip(schema, table.columns, strict=True):
        assert str(field.type).startswith(column.kind.value[1].partition("<")[0])
        assert field.nullable is column.nullable
        assert field.metadata == {b"comment": column.meaning.encode()}


def test_column_names_say_whose_they_are() -> None:
    """In the tables of versions, a column without a member of AWS is part of the key or begins with etl_."""
    key = {"account_id", "region"}
    for table in TABLES[:3]:
        ours = {column.name for column in table.columns if column.member is None} - key
        assert all(name.startswith("etl_") for name in ours)


def test_schema_version_is_the_newest_migration() -> None:
    """The schema's version is the number of the newest migration, and the numbers have no gap."""
    numbers = [int(Path(name).name.split("_")[0]) for name in names("migrations")]
    assert numbers == list(range(SCHEMA_VERSION + 1))


def test_every_tracked_column_is_compared() -> None:
    """Every tracked column is compared to detect a change, and is in changes_between, in the same order."""
    for name in TRACKED:
        assert f"source.{name} IS DISTINCT FROM target.{name}" in statement("load/changed")
    told = [name for name in statement("views/changes_between").split("'") if name in TRACKED]
    assert list(dict.fromkeys(told)) == list(TRACKED)
