"""Lake tables equal the warehouse after each publication, for readers that are not ours, with one commit a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.io.pyarrow import parquet_file_to_data_file

from image_history.publish.lake import OUR_FILES
from image_history.warehouse.answering import reader
from image_history.warehouse.warehouse import Connection
from tests.behaviour.lakes import KINDS, Shelf, aged, alike, assert_same, by_library, learn
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb

# File names like those of a publication.
LEFT, YOUNG = (f"{OUR_FILES}00000000-0000-4000-8000-{number:012}.parquet" for number in (1, 2))

IN_A_MANIFEST = (
    "content",
    "file_format",
    "partition",
    "record_count",
    "file_size_in_bytes",
    "column_sizes",
    "value_counts",
    "null_value_counts",
    "nan_value_counts",
    "lower_bounds",
    "upper_bounds",
    "split_offsets",
    "equality_ids",
    "sort_order_id",
    "key_metadata",
)
TABLES = ("image_versions", "image_version_events", "images", "runs")


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path).fill()


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """An empty lake."""
    return Shelf(request.param, tmp_path)


def test_every_reader_finds_the_warehouse_after_each_change(shelf: Shelf, stock: Stock) -> None:
    """After a first publication, changed, new and vanished regions and new events all readers find the same rows."""
    assert all(done.error is None for done in shelf.publish(stock, *TABLES))
    assert_same(shelf, stock, *TABLES)
    learn(stock, "us-east-1")
    shelf.publish(stock, *TABLES)
    assert_same(shelf, stock, *TABLES)
    stock.run_sql("UPDATE image_versions SET region = 'eu-north-1' WHERE region = 'eu-west-1'")
    learn(stock, "us-west-2", versions=1)
    shelf.publish(stock, *TABLES)
    assert_same(shelf, stock, *TABLES)


def test_publication_without_news_writes_nothing(shelf: Shelf, stock: Stock) -> None:
    """Publishing the same run again, or a run without changes, writes no byte and makes no commit."""
    learn(stock, "us-east-1")
    shelf.publish(stock, "image_versions", "image_version_events")
    before = shelf.bytes_there()
    again = shelf.publish(stock, "image_versions", "image_version_events")
    stock.change()
    quiet = shelf.publish(stock, "image_versions", "image_version_events")
    assert [done.written for done in (*again, *quiet)] == [0, 0, 0, 0]
    assert [done.rows for done in quiet] == [120, 40]
    assert shelf.bytes_there() == before


def test_only_changed_regions_are_written_in_one_commit(shelf: Shelf, stock: Stock) -> None:
    """A change in one region of three writes one file in one commit; the other files stay."""
    first, files = shelf.one(stock), shelf.data_files()
    commits = shelf.commits()
    stock.change("us-east-1")
    second = shelf.one(stock)
    assert (first.written, first.partitions) == (3, 3)
    assert (second.written, second.partitions, second.rows) == (1, 1, 120)
    assert second.written_bytes < first.written_bytes / 2
    assert shelf.commits() == commits + 1
    assert len(shelf.data_files() - files) == 1


def test_region_stands_inside_the_files(shelf: Shelf, stock: Stock) -> None:
    """Each data file has the columns region and source, because some engines read the files alone."""
    shelf.one(stock, label="gov")
    for name in shelf.bytes_there():
        if Path(name).name in shelf.data_files():
            schema = pa.parquet.read_schema(shelf.folder / "lake" / name)
            assert {"region", "source"} <= set(schema.names)
            # A cast to 64-bit offsets would copy every text.
            assert "large_" not in str(schema)


def test_manifest_says_of_a_file_what_its_footer_does(
    tmp_path: Path, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's entry in the manifest is what pyiceberg reads from its footer: counts, bounds, sizes, partition."""
    monkeypatch.setattr("image_history.formats.parquet.ROW_GROUP_ROWS", 16)
    shelf = Shelf("iceberg", tmp_path)
    stock.run_sql(
        "CREATE VIEW mine AS SELECT region, image_name, version, creation_time, failure_reason, horovod, "
        "version / 3 AS ratio, IF(version > 1, ['a', NULL], NULL) AS names, {'x': version, 'y': 'z'} AS pair "
        "FROM image_versions UNION ALL BY NAME SELECT 'nowhere' AS region, '' AS image_name, 'NaN'::DOUBLE AS ratio"
    )
    shelf.publish(stock, "mine", *TABLES, label="gov")
    for name in ("mine", *TABLES):
        table = shelf.iceberg(name)
        told = [task.file for task in table.scan().plan_files()]
        assert told or name in {"image_version_events", "images"}
        for file in told:
            read = parquet_file_to_data_file(table.io, table.metadata, file.file_path)
            assert {each: getattr(file, each) for each in IN_A_MANIFEST} == {
                each: getattr(read, each) for each in IN_A_MANIFEST
            }


def test_events_are_appended(shelf: Shelf, stock: Stock) -> None:
    """New events are written to one new file; the existing files stay."""
    learn(stock, "us-east-1", "us-west-2")
    first = shelf.one(stock, "image_version_events")
    files = shelf.data_files()
    learn(stock, "us-east-1", versions=1)
    second = shelf.one(stock, "image_version_events")
    assert (first.written, second.written) == (2, 1)
    assert shelf.data_files() > files
    assert_same(shelf, stock, "image_version_events")


def test_events_are_counted_and_not_compared(
    shelf: Shelf, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only versions get fingerprints, which read every value; events do not."""
    asked: list[str] = []

    def reading(connection: Connection, sql: str, parameters: Mapping[str, object]) -> pa.RecordBatchReader:
        asked.append(sql)
        return reader(connection, sql, parameters)

    monkeypatch.setattr("image_history.warehouse.partitions.reader", reading)
    learn(stock, "us-east-1", "us-west-2")
    shelf.publish(stock, "image_versions", "image_version_events")
    compared = [sql for sql in asked if "hash(" in sql]
    assert len(compared) == 1
    assert "image_version_events" not in compared[0]
    assert_same(shelf, stock, "image_versions", "image_version_events")


def test_events_that_were_lost_from_the_table_are_written_again(shelf: Shelf, stock: Stock) -> None:
    """If another program deletes events from the table, their region is written again, because its count differs."""
    learn(stock, "us-east-1", "us-west-2")
    shelf.one(stock, "image_version_events")
    if shelf.kind == "iceberg":
        shelf.iceberg("image_version_events").delete("region = 'us-east-1' AND version = 1")
    else:
        shelf.delta("image_version_events").delete("region = 'us-east-1' AND version = 1")
    stock.change()
    done = shelf.one(stock, "image_version_events")
    assert done.partitions == 1
    assert_same(shelf, stock, "image_version_events")


def test_many_appended_files_become_one(shelf: Shelf, stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region of many small files is rewritten as one file at a later publication with new events."""
    monkeypatch.setattr("image_history.publish.tables._MOST_FILES", 3)
    for _ in range(5):
        learn(stock, "us-east-1", versions=1)
        shelf.one(stock, "image_version_events")
    files = (
        shelf.iceberg("image_version_events").inspect.files().num_rows
        if shelf.kind == "iceberg"
        else len(shelf.delta("image_version_events").file_uris())
    )
    assert files == 2
    assert_same(shelf, stock, "image_version_events")


def test_comments_types_and_keys_arrive(shelf: Shelf, stock: Stock) -> None:
    """The table has the meaning of each column as comment, and columns without null are required."""
    shelf.one(stock)
    if shelf.kind == "iceberg":
        field = shelf.iceberg().schema().find_field("account_id")
        assert (field.doc, field.required) == ("AWS account, 12 digits", True)
    else:
        found = next(each for each in shelf.delta().schema().fields if each.name == "account_id")
        assert (found.metadata["comment"], found.nullable) == ("AWS account, 12 digits", False)


def test_instants_arrive_as_they_are_stored(shelf: Shelf, stock: Stock) -> None:
    """Instants keep their microseconds: they are not rounded to milliseconds as in a dataset."""
    stock.run_sql("UPDATE image_versions SET creation_time = creation_time + INTERVAL 1 MICROSECOND")
    shelf.one(stock)
    read = by_library(shelf, "image_versions")["creation_time"]
    assert pc.microsecond(read).unique().to_pylist() == [1]


def test_new_column_is_added_and_a_dropped_one_may_be_null(shelf: Shelf, stock: Stock) -> None:
    """If a column is added and another one dropped, readers find the rows as they are now."""
    stock.run_sql("CREATE VIEW mine AS SELECT region, image_name, version, 1 AS first FROM image_versions")
    shelf.one(stock, "mine")
    stock.run_sql(
        "CREATE OR REPLACE VIEW mine AS SELECT region, image_name, version, ['a', NULL] AS second FROM image_versions"
    )
    stock.change()
    assert shelf.one(stock, "mine").partitions == 3
    read = by_library(shelf, "mine")
    assert set(read.column_names) == {"region", "image_name", "version", "first", "second"}
    assert read["first"].null_count == read.num_rows == 120
    assert_same(shelf, stock, "mine")


def test_upkeep_forgets_old_versions_and_sweeps_what_nobody_names(shelf: Shelf, stock: Stock) -> None:
    """Old versions and old files of interrupted publications are removed; young files and the user's files stay."""
    for _ in range(12):
        stock.change("us-east-1")
        shelf.one(stock, keep=timedelta(0) if shelf.kind == "iceberg" else timedelta(days=1))
    folder = next(path.parent for path in (shelf.folder / "lake").rglob(f"{OUR_FILES}*.parquet"))
    (folder / LEFT).write_bytes(b"left by a publication that was cut off")
    (folder / "yours.parquet").write_bytes(b"not ours")
    aged(shelf, timedelta(days=30))
    (folder / YOUNG).write_bytes(b"maybe another publisher's, who has not committed yet")
    for _ in range(10):
        stock.change("us-east-1")
        shelf.one(stock, keep=timedelta(0) if shelf.kind == "iceberg" else timedelta(days=1))
    names = shelf.data_files()
    assert LEFT not in names
    assert {"yours.parquet", YOUNG} <= names
    assert_same(shelf, stock)
    if shelf.kind == "iceberg":
        assert len(shelf.iceberg().metadata.snapshots) <= 2
    else:
        assert list((folder / "_delta_log").glob("*.checkpoint.parquet"))


def test_keep_null_leaves_upkeep_to_others(shelf: Shelf, stock: Stock) -> None:
    """With `keep: null` no old version and no file is removed."""
    for _ in range(12):
        stock.change("us-east-1")
        shelf.one(stock, keep=None)
        aged(shelf, timedelta(days=2))
    assert shelf.commits() >= 12
    assert len(shelf.data_files()) == 3 + 11


def test_earlier_run_can_be_read_by_its_version(shelf: Shelf, stock: Stock) -> None:
    """The version that a publication reported still has the rows of that time."""
    first, then = shelf.one(stock), stock.stored()
    stock.change("us-east-1")
    shelf.one(stock)
    if shelf.kind == "iceberg":
        read = shelf.iceberg().scan(snapshot_id=int(first.version or 0)).to_arrow()
    else:
        table = shelf.delta()
        table.load_as_version(int(first.version or 0))
        read = table.to_pyarrow_table()
    assert alike(read, then)


def test_long_labels_and_regions_are_partitions_whole(shelf: Shelf, tmp_path: Path) -> None:
    """Labels and regions that differ only after the bounds that formats keep of a column stay apart."""
    regions = ("xx-isolated-southeast-1", "xx-isolated-southeast-2")
    labels = [f"a-label-of-a-part-that-is-longer-than-sixteen-letters-by-far-{number}" for number in (1, 2)]
    stock = Stock(tmp_path, regions=regions).fill()
    before = stock.stored()
    for label in labels:
        assert shelf.one(stock, label=label).partitions == 2
    stock.change(regions[0])
    assert shelf.one(stock, label=labels[0]).partitions == 1
    assert shelf.one(stock, label=labels[0]).written == 0
    read = by_library(shelf, "image_versions")
    assert set(read["region"].to_pylist()) == set(regions)
    for label, then in zip(labels, (stock.stored(), before), strict=True):
        assert alike(read.filter(pc.equal(read["source"], label)), then)
    assert len(read) == 2 * len(before)


def test_command_line_prints_a_line_a_table(shelf: Shelf, stock: Stock) -> None:
    """`publish` prints for each table what was written and the table's version."""
    from image_history.cli.publish import summary_line

    first = [summary_line(done) for done in shelf.publish(stock, "image_versions", "images")]
    assert re.fullmatch(
        re.escape(f"Published the table {shelf.to}/image_versions: ")
        + r"120 rows; 3 partitions written, 3 files \([\d,]+ bytes\), version \d+, [\d.]+ s",
        first[0],
    ), first
    quiet = summary_line(shelf.publish(stock)[0])
    assert re.fullmatch(r"Published the table \S+: 120 rows, nothing new \(version \d+, [\d.]+ s\)", quiet)
