"""The verb export: the file equals the table, has equal bytes for equal data, and is complete or not there."""

from __future__ import annotations

import csv
import json
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_history import Warehouse
from image_history.schema import IMAGE_VERSIONS, TABLES, Table, arrow_schema
from image_history.warehouse.statements import names, statement
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import HOSTILE, Desk, ask, built, rows_of
from tests.conftest import ROOT

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

VIEWS = [name.partition("/")[2] for name in names("views") if "REPLACE VIEW" in statement(name)]


def stored(warehouse: Path, sql: str) -> pa.Table:
    """The rows of a query as DuckDB returns them."""
    with WarehouseFile(warehouse).reading() as connection:
        table: pa.Table = connection.duck.sql(sql).to_arrow_table()
        return table


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_export_of_a_table_has_its_schema_and_rows(ask: Desk, tmp_path: Path, table: Table) -> None:
    """By default export writes Parquet with the schema's types, nullability and comments, sorted by the key."""
    answered = ask("export", table.name, "--output", "x.parquet")
    assert (answered.code, answered.err) == (0, "")
    exported = pq.read_table(tmp_path / "x.parquet")
    schema = arrow_schema(table)
    assert exported.schema.names == schema.names
    assert exported.schema.types == schema.types
    for field in schema:
        found = exported.schema.field(field.name)
        assert found.metadata[b"comment"] == field.metadata[b"comment"]
        assert found.nullable == field.nullable
    expected = stored(ask.warehouse, f"FROM {table.name} ORDER BY {', '.join(table.key)}")
    assert exported.equals(expected.cast(exported.schema), check_metadata=False)
    size = (tmp_path / "x.parquet").stat().st_size
    count = f"{exported.num_rows:,} row{'' if exported.num_rows == 1 else 's'}"
    assert answered.out == f"Wrote {count}, {size:,} bytes: x.parquet\n"


@pytest.mark.parametrize("view", VIEWS)
def test_export_of_a_view_has_its_rows(ask: Desk, tmp_path: Path, view: str) -> None:
    """A view is exported like a table; its instants are in milliseconds."""
    assert ask("export", view, "--output", "x.parquet").code == 0
    exported = pq.read_table(tmp_path / "x.parquet")
    expected = stored(ask.warehouse, f"FROM {view} ORDER BY ALL")
    assert exported.equals(expected.cast(exported.schema), check_metadata=False)
    assert not any(kind == pa.timestamp("us", tz="UTC") for kind in exported.schema.types)


def test_export_is_image_versions_by_default(ask: Desk, tmp_path: Path) -> None:
    """Without a name, export writes image_versions; pandas reads its instants to the millisecond, and its nulls."""
    ask("export", "--output", "x.parquet")
    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert list(frame.columns) == [column.name for column in IMAGE_VERSIONS.columns]
    assert str(frame["creation_time"].dtype) == "datetime64[ms, UTC]"
    expected = rows_of(
        ask.warehouse,
        "SELECT epoch_ms(creation_time), failure_reason FROM image_versions "
        "ORDER BY account_id, region, image_name, version",
    )
    reasons = [None if pd.isna(reason) else reason for reason in frame["failure_reason"]]
    instants = frame["creation_time"].astype("int64")
    assert list(zip(instants, reasons, strict=True)) == expected
    assert HOSTILE in reasons
    assert any(instant % 1000 for instant in instants)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_export_of_equal_data_has_equal_bytes(ask: Desk, tmp_path: Path, suffix: str) -> None:
    """The order of the rows in the warehouse does not change the bytes of the file."""
    shuffled = tmp_path / "shuffled.duckdb"
    shutil.copy(ask.warehouse, shuffled)
    with WarehouseFile(shuffled).writing() as connection:
        connection.duck.execute(
            "CREATE TEMP TABLE t AS FROM image_versions ORDER BY hash(version)"
        ).fetchall()
        connection.duck.execute("DELETE FROM image_versions").fetchall()
        connection.duck.execute("INSERT INTO image_versions FROM t").fetchall()
    ask("export", "--output", f"a.{suffix}")
    ask("export", "--output", f"b.{suffix}", "--warehouse", str(shuffled))
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_export_takes_the_format_from_the_suffix_or_the_option(ask: Desk, tmp_path: Path) -> None:
    """The suffixes .csv and .jsonl select the format, no suffix means Parquet, and --format overrides the suffix."""
    keys = stored(ask.warehouse, "SELECT image_name, version FROM image_versions ORDER BY ALL").to_pylist()
    for name in ("x.csv", "x.jsonl", "x"):
        ask("export", "--output", name)
    ask("export", "--output", "y.csv", "--format", "jsonl")
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["image_name"], int(row["version"])) for row in csv.DictReader(file)] == [
            (key["image_name"], key["version"]) for key in keys
        ]
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [{name: line[name] for name in ("image_name", "version")} for line in lines] == keys
    assert pq.read_metadata(tmp_path / "x").num_rows == len(keys)
    assert (tmp_path / "y.csv").read_bytes() == (tmp_path / "x.jsonl").read_bytes()


def test_export_of_a_query_keeps_its_order(ask: Desk, tmp_path: Path) -> None:
    """SQL and saved queries are exported with parameters; SQL keeps its own order."""
    ask(
        "export",
        "SELECT range AS n FROM range($n::BIGINT) ORDER BY n DESC",
        "--param",
        "n=3",
        "--output",
        "x.csv",
    )
    assert (tmp_path / "x.csv").read_text() == '"n"\n2\n1\n0\n'
    answered = ask("export", "@version-history", "--param", f"image={ask.image}", "--output", "x.parquet")
    assert answered.code == 0
    rows = pq.read_table(tmp_path / "x.parquet")
    assert set(rows["image_name"].to_pylist()) == {ask.image}


def test_export_is_private_and_replaces_whole(ask: Desk, tmp_path: Path) -> None:
    """The file has mode 0600, even if it replaces a file with another mode, and no other file is left behind."""
    (tmp_path / "x.csv").write_text("old")
    (tmp_path / "x.csv").chmod(0o644)
    ask("export", "runs", "--output", "x.csv")
    assert stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--output", "s3://bucket/"], "names a bucket; add the name", id="s3"),
        pytest.param(["--output", "gs://b/x"], "gs:// is no place to write to", id="gs"),
        pytest.param(
            ["--output", "x.csv.gz"], r"ends in \.gz, which is no format of rows: end it in", id="suffix"
        ),
        pytest.param(["--output", "none/x.csv"], "there is no folder none; make it first", id="no-folder"),
        pytest.param(["--output", "link.csv"], "it is a link; name what it points to", id="link"),
        pytest.param(
            ["--output", "/dev/null", "--format", "csv"],
            "no ordinary file; --output - writes to",
            id="device",
        ),
        pytest.param(["image_version", "--output", "x.csv"], "nearest: image_versions", id="unknown-table"),
        pytest.param(["nosuch", "--output", "x.csv"], "no table or view nosuch here", id="nothing-near"),
        pytest.param(["@nosuch", "--output", "x.csv"], "no saved query @nosuch", id="unknown-query"),
        pytest.param(["runs", "--param", "a=1", "--output", "x.csv"], "--param is for queries", id="param"),
        pytest.param(["COPY runs TO 'x'", "--output", "x.csv"], "COPY is refused", id="locked-down"),
        pytest.param(["FROM '/etc/passwd'", "--output", "x.csv"], "no table or view /etc/passwd", id="file"),
        pytest.param(["SELECT error('late')", "--output", "x.csv"], "late", id="fails-late"),
        pytest.param(["runs"], "Say where to: --output FILE", id="no-output"),
    ],
)
def test_export_refuses_in_one_sentence(
    ask: Desk, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    """A refused export exits with 2 and one sentence, keeps the old file, and leaves no new one."""
    (tmp_path / "x.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("x.csv")
    answered = ask("export", *arguments)
    assert (answered.code, answered.out) == (2, "")
    assert re.search(sentence, answered.err.splitlines()[-1]), answered.err
    assert (tmp_path / "x.csv").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"x.csv", "link.csv"}


def test_export_refuses_to_overwrite_the_warehouse(ask: Desk) -> None:
    """`export` refuses to overwrite the warehouse."""
    answered = ask("export", "--output", str(ask.warehouse), "--format", "parquet")
    assert answered.code == 2
    assert "is the warehouse itself" in answered.err


def answered(sql: str) -> list[tuple[Any, ...]]:
    """The rows that plain DuckDB returns for a query."""
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


def test_instants_in_json_lines_are_recognised(ask: Desk, tmp_path: Path) -> None:
    """DuckDB by itself, and pandas with the code of docs/asking.md, read instants as timestamps of the same value."""
    path = tmp_path / "out.jsonl"
    columns = "account_id, creation_time, etl_valid_from, etl_certain_from, etl_observed_at"
    asked = f"SELECT {columns}, creation_time::TIMESTAMP AS naive FROM image_version_events ORDER BY ALL"
    assert ask("export", asked, "--output", str(path)).code == 0
    true = Warehouse(ask.warehouse).query(asked).rows()
    kinds = {kind for _, kind, *_ in answered(f"DESCRIBE SELECT * EXCLUDE (account_id) FROM '{path}'")}
    assert kinds <= {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
    assert answered(f"SELECT epoch_ms(etl_valid_from) FROM '{path}'") == [
        (round(row["etl_valid_from"].timestamp() * 1000),) for row in true
    ]
    document = (ROOT / "docs" / "asking.md").read_text(encoding="utf-8")
    documented = re.findall(r"```python\n(frame = pandas\.read_json\(.*?)```", document, re.DOTALL)
    given: dict[str, Any] = {"pandas": pd, "path": path}
    exec(documented[0], given)  # noqa: S102 - the documentation's own lines
    frame = given["frame"]
    zoned = [name for name in frame.columns if name not in {"account_id", "naive", "etl_certain_from"}]
    assert {str(getattr(frame[name].dt, "tz", None)) for name in zoned} == {"UTC"}
    assert list(frame["account_id"]) == [row["account_id"] for row in true]
    assert list(frame["etl_valid_from"]) == [pd.Timestamp(row["etl_valid_from"]).floor("ms") for row in true]


def test_csv_is_read_as_text_as_documented(ask: Desk, tmp_path: Path) -> None:
    """With the settings of docs/asking.md, DuckDB and pandas read CSV as text; without them pandas drops zeros."""
    path = tmp_path / "out.csv"
    selected = "SELECT '012345678901' AS account_id, 7 AS version, '=1+1' AS note"
    assert ask("export", selected, "--output", str(path)).code == 0
    document = (ROOT / "docs" / "asking.md").read_text(encoding="utf-8")
    ((for_duckdb, for_pandas),) = re.findall(
        r"read CSV as text \(`([^`]+)`\s+in\s+DuckDB,\s+`([^`]+)`\s+in\s+pandas\)", document
    )
    as_text = ("012345678901", "7", "'=1+1")
    assert answered(f"FROM read_csv('{path}', {for_duckdb})") == [as_text]
    # The documentation's own words.
    frame = eval(f"pandas.read_csv(path, {for_pandas})", {"pandas": pd, "path": path})  # noqa: S307
    assert [tuple(row) for row in frame.itertuples(index=False)] == [as_text]
    assert str(pd.read_csv(path)["account_id"][0]) == "12345678901"
    told = " ".join(ask("export", "--help").out.split())
    assert "For programs take Parquet or JSON lines: in CSV, texts that a spreadsheet would run" in told


def test_storage_version_is_the_documented_one(ask: Desk) -> None:
    """The warehouse has the storage version v1.5.0, so that DuckDB 1.5 can read it."""
    with duckdb.connect(ask.warehouse, read_only=True) as connection:
        (told,) = connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
        ).fetchall()
    assert str(told[0]).startswith("v1.5.0")


def test_copy_of_the_warehouse_has_its_views_and_comments(ask: Desk, tmp_path: Path) -> None:
    """A `.duckdb` output is a complete, private copy of the warehouse; an open reader keeps the replaced file."""
    copy = tmp_path / "copy.duckdb"
    copy.write_text("old")
    with copy.open() as reader:
        answered = ask("export", "--output", "copy.duckdb")
        assert (answered.code, answered.err) == (0, "")
        assert reader.read() == "old"
    assert re.fullmatch(r"Wrote a copy of the warehouse, [\d,]+ bytes: copy.duckdb\n", answered.out)
    assert copy.read_bytes() == ask.warehouse.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with duckdb.connect(copy, read_only=True) as connection:
        counted = connection.execute("SELECT count(*) FROM current_image_versions").fetchone()
        told = connection.execute(
            "SELECT count(comment) FROM duckdb_columns() WHERE table_name = 'runs'"
        ).fetchone()
    assert counted is not None
    assert counted[0] > 0
    assert told is not None
    assert told[0] > 0
    assert ask("export", "runs", "--output", "copy.duckdb").code == 2
    refused = ask("export", "--output", str(ask.warehouse))
    assert (refused.code, "is the warehouse itself" in refused.err) == (2, True)
