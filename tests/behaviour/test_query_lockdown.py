"""What a query cannot do: read or write outside the warehouse, change a setting, run for ever, use all memory."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from image_history.errors import QueryError
from image_history.warehouse.asking import Limits, asking
from image_history.warehouse.refusals import require_harmless
from image_history.warehouse.saved import Question
from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import Desk, ask, built
from tests.behaviour.spawning import Spawned, spawn

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

# What an attacker would write; {folder} is an empty folder that must stay empty, {file} a file with a secret.
HOSTILE = {
    "read-text": "FROM read_text('{file}')",
    "read-blob": "FROM read_blob('{file}')",
    "read-csv": "FROM read_csv('{file}')",
    "read-json": "FROM read_json('{file}')",
    "read-parquet": "FROM read_parquet('{file}')",
    "sniff-csv": "FROM sniff_csv('{file}')",
    "file-as-table": "FROM '{file}'",
    "url-as-table": "FROM 'https://example.com/x.parquet'",
    "glob": "FROM glob('{folder}/../*')",
    "secrets": "FROM duckdb_secrets()",
    "copy-to": "COPY image_versions TO '{folder}/x.csv'",
    "copy-query": "COPY (SELECT 1) TO '{folder}/x.csv'",
    "copy-from": "COPY runs FROM '{file}'",
    "explain-copy": "EXPLAIN ANALYZE COPY image_versions TO '{folder}/x.csv'",
    "export-database": "EXPORT DATABASE '{folder}/x'",
    "import-database": "IMPORT DATABASE '{folder}'",
    "attach": "ATTACH '{folder}/x.duckdb' AS x",
    "attach-self": "ATTACH '{file}' AS x (READ_WRITE)",
    "detach": "DETACH memory",
    "use": "USE memory",
    "set": "SET enable_external_access = true",
    "set-timezone": "SET timezone = 'America/New_York'",
    "reset": "RESET memory_limit",
    "set-variable": "SET VARIABLE x = 1",
    "pragma": "PRAGMA database_list",
    "pragma-setting": "PRAGMA enable_profiling",
    "commented-pragma": "/* SELECT */ -- SELECT\n ;PRAGMA database_list",
    "call": "CALL pragma_version()",
    "install": "INSTALL httpfs",
    "load": "LOAD httpfs",
    "load-file": "LOAD '{file}'",
    "insert": "INSERT INTO runs FROM runs",
    "insert-after-with": "WITH x AS (SELECT 1) INSERT INTO runs FROM runs",
    "insert-in-with": "WITH x AS (INSERT INTO runs FROM runs RETURNING *) FROM x",
    "update": "UPDATE runs SET host = 'x'",
    "delete": "DELETE FROM runs",
    "truncate": "TRUNCATE runs",
    "merge": "MERGE INTO runs USING runs AS r ON false WHEN NOT MATCHED THEN INSERT",
    "drop": "DROP TABLE runs",
    "alter": "ALTER TABLE runs ADD COLUMN x INTEGER",
    "comment": "COMMENT ON TABLE runs IS 'x'",
    "create": "CREATE TABLE x (i INTEGER)",
    "create-temporary": "CREATE TEMP TABLE x AS SELECT 1",
    "create-macro": "CREATE TEMP MACRO x() AS 1",
    "create-secret": "CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET 'x')",
    "explain-insert": "EXPLAIN INSERT INTO runs FROM runs",
    "prepare": "PREPARE x AS SELECT 1",
    "execute": "EXECUTE x",
    "begin": "BEGIN TRANSACTION",
    "checkpoint": "CHECKPOINT",
    "vacuum": "VACUUM",
    "python-variable": "FROM victim",
    "second-statement": "SELECT 1; DROP TABLE runs",
    "statement-after-comment": "SELECT 1 --\n; DELETE FROM runs",
    "update-extensions": "UPDATE EXTENSIONS",
    "update-an-extension": "UPDATE EXTENSIONS (httpfs)",
    "replacement-in-function": "FROM query_table('victim')",
}
# Functions with side effects, and functions that run SQL from text: refused by name, however the name is written.
DOING = {
    "log-to-file": "SELECT (SELECT count(*) FROM enable_logging(storage = 'file', storage_path = '{folder}/log'))",
    "write-log": "SELECT write_log('x')",
    "write-log-of-a-row": "SELECT list_transform([host], lambda x: write_log(x)) FROM runs",
    "write-log-after-a-comment": "SELECT write_log -- (\n /* ( */ ('x')",
    "write-log-explained": "EXPLAIN ANALYZE SELECT write_log('x')",
    "quoted": 'FROM "Enable_Logging"()',
    "qualified": "FROM system.main.enable_logging()",
    "after-a-wide-character": "SELECT 'é→𝄞' AS \"é\", write_log('x')",
    "disable-logging": "FROM disable_logging()",
    "truncate-logs": "FROM truncate_duckdb_logs()",
    "profile-to-file": "FROM enable_profiling(format = 'json', save_location = '{folder}/profile.json')",
    "stop-profiling": "FROM disable_profiling()",
    "checkpoint-function": "FROM checkpoint()",
    "force-checkpoint": "FROM force_checkpoint()",
    "next-of-a-sequence": "SELECT nextval('x')",
    "query-in-text": "FROM query('SELECT wri' || 'te_log(''x'')')",
    "query-in-json": "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "pointer": "FROM arrow_scan(1::POINTER, 1::POINTER, 1::POINTER)",
}
# Harmless calls, although DuckDB marks some of the functions as volatile, or the text only resembles a call.
HARMLESS = {
    "SELECT random() < 1 AND uuid() IS NOT NULL AS x",
    "SELECT count(*) > 0 AS x FROM duckdb_tables()",
    "SELECT count(*) > 0 AS x FROM query_table('runs')",
    "SELECT count(*) = 3 AS x FROM (SELECT unnest([1, 2, 3]))",
    "SELECT checkpoint = 1 AS x FROM (SELECT 1 AS checkpoint) -- query (x) and write_log('x')",
    "SELECT 'write_log(1)' = $$write_log(1)$$ AS x",
}
# Functions that were reviewed: they read the warehouse, the connection or files (which is off), or make rows.
LOOKED_AT = """
    currval current_connection_id current_query current_query_id current_transaction_id error gen_random_uuid random
    setseed sleep_ms stats uuid uuidv4 uuidv7 vector_type duckdb_approx_database_count duckdb_available_metrics
    duckdb_columns duckdb_connection_count duckdb_constraints duckdb_coordinate_systems duckdb_databases
    duckdb_dependencies duckdb_dialects duckdb_eviction_queues duckdb_extension_repositories duckdb_extensions
    duckdb_external_file_cache duckdb_external_resource_types duckdb_external_resources duckdb_functions
    duckdb_grammar_extensions duckdb_indexes duckdb_keywords duckdb_live_query_metrics duckdb_log_contexts
    duckdb_logs duckdb_memory duckdb_optimizers duckdb_prepared_statements duckdb_schemas
    duckdb_secret_type_parameters duckdb_secret_types duckdb_secrets duckdb_sequences duckdb_settings
    duckdb_table_sample duckdb_tables duckdb_temporary_files duckdb_triggers duckdb_types duckdb_variables
    duckdb_views generate_series glob icu_calendar_names json_each json_tree parquet_bloom_probe
    parquet_file_metadata parquet_full_metadata parquet_kv_metadata parquet_metadata parquet_page_index parquet_scan
    parquet_schema pg_timezone_names pragma_collations pragma_database_size pragma_metadata_info pragma_platform
    pragma_show pragma_storage_info pragma_table_info pragma_user_agent pragma_version query_table range read_blob
    read_csv read_csv_auto read_duckdb read_json read_json_auto read_json_objects read_json_objects_auto read_ndjson
    read_ndjson_auto read_ndjson_objects read_parquet read_single_csv_file read_single_json_file
    read_single_parquet_file read_text repeat repeat_row sniff_csv summary test_all_types test_vector_types unnest
    which_secret
"""
PATIENT = Limits(timeout=timedelta(seconds=60), memory_bytes=128 << 20, spill_bytes=16 << 20)


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty folder, a file with a secret, and a home that must stay empty."""
    names = {"folder": tmp_path / "empty", "file": tmp_path / "secret.csv", "home": tmp_path / "home"}
    names["folder"].mkdir()
    names["home"].mkdir()
    names["file"].write_text("secret\nhunter2\n")
    monkeypatch.setenv("HOME", str(names["home"]))
    return {name: str(path) for name, path in names.items()}


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE)
def test_hostile_query_is_refused(ask: Desk, filled: dict[str, str], sql: str) -> None:
    """A hostile query exits with 2, prints one sentence and no row, and changes neither warehouse nor folders."""
    victim = pa.table({"secret": ["hunter2"]})
    answered = ask("query", sql.format(**filled))
    assert victim.num_rows == 1
    assert answered.code == 2, answered.out
    assert answered.out == ""
    assert len(answered.err.splitlines()) == 1
    assert "Unexpected" not in answered.err
    assert "hunter2" not in answered.err
    assert os.listdir(filled["folder"]) == os.listdir(filled["home"]) == []  # noqa: PTH208


@pytest.mark.parametrize("sql", DOING.values(), ids=DOING)
def test_function_that_does_something_is_refused(ask: Desk, filled: dict[str, str], sql: str) -> None:
    """The call exits with 2 and the error names the function; it is not bound, as some functions act when bound."""
    answered = ask("query", sql.format(**filled))
    assert answered.code == 2
    assert re.fullmatch(
        r"image-history: The function \w+ is refused: a query may only compute and read\.\n",
        answered.err,
    )
    assert os.listdir(filled["folder"]) == os.listdir(filled["home"]) == []  # noqa: PTH208


@pytest.mark.parametrize("sql", sorted(HARMLESS))
def test_function_that_leaves_nothing_behind_is_called(ask: Desk, sql: str) -> None:
    """A function that only reads, counts or varies is called; a name or a text that looks like a call is no call."""
    assert ask("query", sql, "--format", "csv").lines == ['"x"', "true"]


def test_functions_of_this_duckdb_are_known() -> None:
    """Every function of this DuckDB that may have side effects is refused, except those that were reviewed."""
    with duckdb.connect() as connection:
        found = [name for (name,) in connection.execute(statement("session/doers")).fetchall()]
    passed = set()
    for name in found:
        with suppress(QueryError):
            require_harmless([name], found)
            passed.add(name)
    assert {"write_log", "enable_logging", "query", "checkpoint"} <= set(found) - passed
    assert passed <= set(LOOKED_AT.split())


def test_settings_are_locked_and_bounded(ask: Desk) -> None:
    """A query has the unsafe settings off, the configuration locked, 1 GiB of memory and time zone UTC."""
    off = ["enable_external_access", "autoinstall_known_extensions", "autoload_known_extensions"]
    off += ["allow_community_extensions", "allow_unsigned_extensions", "python_enable_replacements"]
    sql = "SELECT " + ", ".join(f"current_setting('{name}')::BOOLEAN AS {name}" for name in off)
    assert ask("query", sql, "--format", "csv").lines[1] == ",".join(["false"] * len(off))
    bounded = "SELECT current_setting('lock_configuration'), current_setting('memory_limit'), "
    bounded += "current_setting('timezone')"
    assert ask("query", bounded).lines[1].split("  ")[0] == "true"
    assert "1.0 GiB" in ask("query", bounded).out
    assert "UTC" in ask("query", bounded).out


ENDLESS = {
    "recursion": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
    "count": "SELECT sum(sqrt(range)) FROM range(1_000_000_000_000)",
    "stream": "FROM range(1_000_000_000_000) WHERE range > 900_000_000_000",
    "join": "SELECT count(*) FROM range(10_000_000) a, range(10_000_000) b WHERE a.range * b.range = -1",
}


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
def test_endless_query_is_stopped_in_time(ask: Desk, sql: str) -> None:
    """A query without an end is stopped by --timeout: it exits with 2, says what to do and writes no file."""
    started = time.monotonic()
    answered = ask("query", sql, "--timeout", "500ms", "--output", "x.csv")
    assert time.monotonic() - started < 6
    assert answered.code == 2
    assert answered.err == (
        "image-history: The query was stopped after 500ms: ask for less, or give it more time with --timeout.\n"
    )
    assert not Path("x.csv").exists()


GREEDY = {
    "list": "SELECT list(range) FROM range(1_000_000_000)",
    "aggregate": "SELECT string_agg(repeat('x', 100_000), '') FROM range(100_000)",
}


@pytest.mark.parametrize("sql", GREEDY.values(), ids=GREEDY)
def test_greedy_query_is_refused_its_memory(
    built: tuple[Path, str, object], sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that needs more memory and temporary space than its limits fails, and leaves no temporary file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    limits = Limits(timeout=timedelta(seconds=60), memory_bytes=128 << 20, spill_bytes=16 << 20)
    with (
        pytest.raises(QueryError, match="needs more memory"),
        asking(WarehouseFile(built[0]), Question(sql), limits) as answer,
    ):
        list(answer)
    assert list(tmp_path.iterdir()) == []


def command(warehouse: Path, *arguments: str, **variables: str) -> Spawned:
    """Start the verb `query` as a separate process."""
    given = ["--warehouse", str(warehouse), "query", *arguments]
    return spawn(given, folder=Path.cwd(), environment={**os.environ, **variables})


@pytest.mark.skipif(sys.platform != "linux", reason="the process's size is known on Linux only")
def test_giant_value_does_not_take_the_machine(built: tuple[Path, str, object]) -> None:
    """A single value of gigabytes, which DuckDB does not count as memory, is stopped by the limit of the process."""
    process = command(built[0], "SELECT length(repeat(repeat('a', 100_000), 40_000))")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert "needs more memory" in errors


def test_deaf_query_is_left(built: tuple[Path, str, object], tmp_path: Path) -> None:
    """A query whose function cannot be interrupted still exits with 2 and the usual sentence at its timeout."""
    process = command(
        built[0], "SELECT levenshtein(repeat('a', 2_000_000), repeat('b', 2_000_000))", "--timeout", "300ms"
    )
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors == (
        "image-history: The query was stopped after 300ms: ask for less, or give it more time with --timeout.\n"
    )


def test_interrupted_query_leaves_at_once(built: tuple[Path, str, object], tmp_path: Path) -> None:
    """Ctrl-C ends a running query with exit code 130, without output, and its temporary files are removed."""
    process = command(built[0], "FROM range(1_000_000_000_000)", "--format", "csv", TMPDIR=str(tmp_path))
    process.until(lambda: bool(list(tmp_path.glob("*/*"))))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_answer_without_an_end_is_stopped(built: tuple[Path, str, object]) -> None:
    """The rows that are stored until delivery are limited too: a query with more rows fails."""
    with (
        pytest.raises(QueryError, match="more rows than a query may have"),
        asking(WarehouseFile(built[0]), Question("FROM range(1_000_000_000_000)"), PATIENT),
    ):
        pass


def test_reader_who_takes_his_time_holds_up_nobody(tmp_path: Path) -> None:
    """The warehouse can be written while a slow reader still reads the rows of an answer."""
    warehouse = WarehouseFile(tmp_path / "new.duckdb", 0.0)
    with warehouse.writing():
        pass
    with asking(warehouse, Question("FROM range(50_000)")) as answer:
        batches = iter(answer)
        rows = next(batches).num_rows
        with warehouse.writing():
            pass
        assert rows + sum(batch.num_rows for batch in batches) == 50_000


def test_answer_may_be_left_unread(built: tuple[Path, str, object]) -> None:
    """A reader may leave an answer before its end; the warehouse can be queried again at once."""
    warehouse, some = WarehouseFile(built[0]), replace(PATIENT, rows=20_000)
    for _ in range(3):
        with asking(warehouse, Question("FROM range(1_000_000_000_000)"), some) as answer:
            assert next(iter(answer)).num_rows > 0
    with asking(warehouse, Question("SELECT 1 AS x"), PATIENT) as answer:
        assert [batch.to_pylist() for batch in answer] == [[{"x": 1}]]
