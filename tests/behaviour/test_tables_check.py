"""`check` reports of a lake table what the next publication reports before its first write, and writes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import deltalake
import msgspec
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.transforms import BucketTransform

from image_history.checking.lakes import look_at_lakes
from image_history.checking.results import Level, Result
from image_history.cli.publish import summary_line
from image_history.config import Config
from image_history.publish.lakes import publish_lake
from tests.behaviour.lakes import KINDS, Shelf, by_library, learn, name_owner
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb

Break = Callable[[Shelf, Stock], None]
EVENTS = "image_version_events"


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path, rows_of_a_region=4).fill()


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def looked(shelf: Shelf, stock: Stock, table: str = "image_versions", **given: Any) -> list[Result]:
    """The results of `check`, which must write nothing."""
    before = tree(shelf.folder)
    found = list(look_at_lakes(Config(warehouse=stock.warehouse, publish=(shelf.entry(table, **given),))))
    assert tree(shelf.folder) == before
    return found


def told_by_both(shelf: Shelf, stock: Stock, table: str = "image_versions", **given: Any) -> str:
    """The sentence that `check` and `publish` both report; neither may change a table or a folder."""
    [found] = looked(shelf, stock, table, **given)
    before = tree(shelf.folder)
    [done] = shelf.publish(stock, table, **given)
    assert done.error is not None
    assert (found.level, found.exit_code, found.message) == (Level.FAILED, 4, done.error)
    after = tree(shelf.folder)
    assert {**after, "catalog.db": None} == {**before, "catalog.db": None}
    assert summary_line(done).count(f"{shelf.to}/{table}") == 1
    return done.error


def committed(shelf: Shelf, *actions: dict[str, Any], table: str = "image_versions") -> None:
    """Commit a version of a Delta table, as another program does."""
    there = shelf.delta(table)
    log = shelf.folder / "lake" / table / "_delta_log"
    text = "\n".join(map(json.dumps, ({"commitInfo": {"operation": "theirs"}}, *actions)))
    (log / f"{there.version() + 1:020}.json").write_text(text, encoding="utf-8")


def first_lines(shelf: Shelf, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind in the first version of a Delta table."""
    log = shelf.folder / "lake" / "image_versions" / "_delta_log" / f"{0:020}.json"
    return [line for line in map(json.loads, log.read_text(encoding="utf-8").splitlines()) if kind in line]


def asking(reader: int, writer: int, *features: str) -> Break:
    """A Delta table whose protocol requires these versions and features."""
    asked: dict[str, Any] = {"minReaderVersion": reader, "minWriterVersion": writer}
    asked |= {"writerFeatures": list(features)} if writer >= 7 else {}
    asked |= {"readerFeatures": list(features)} if reader >= 3 else {}

    def broken(shelf: Shelf, stock: Stock) -> None:
        shelf.one(stock)
        committed(shelf, {"protocol": asked})
        stock.change("us-east-1")

    return broken


def having(**properties: str) -> Break:
    """A Delta table with these properties."""

    def broken(shelf: Shelf, stock: Stock) -> None:
        shelf.one(stock)
        given = {f"delta.{name.replace('_', '.')}": value for name, value in properties.items()}
        [line] = first_lines(shelf, "metaData")
        line["metaData"]["configuration"] |= given
        committed(shelf, line)
        stock.change("us-east-1")

    return broken


def rewritten(edit: Callable[[dict[str, Any]], Any]) -> Break:
    """An Iceberg table whose metadata another program has edited."""

    def broken(shelf: Shelf, stock: Stock) -> None:
        shelf.one(stock)
        path = Path(shelf.iceberg().metadata_location.removeprefix("file://"))
        metadata = json.loads(path.read_text(encoding="utf-8"))
        edit(metadata)
        path.write_text(json.dumps(metadata), encoding="utf-8")
        stock.change("us-east-1")

    return broken


def with_column(kind: str) -> Callable[[dict[str, Any]], None]:
    """An edit that adds a column of this type to the metadata."""

    def edit(metadata: dict[str, Any]) -> None:
        metadata["schemas"][-1]["fields"].append({"id": 99, "name": "w", "required": False, "type": kind})
        metadata["last-column-id"] = 99

    return edit


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param(
            asking(1, 7, "identityColumns"), "requires the writer features identityColumns", id="identity"
        ),
        pytest.param(asking(1, 6), "requires the writer features identityColumns", id="version-6"),
        pytest.param(asking(1, 7, "rowTracking", "domainMetadata"), "domainMetadata, rowTracking", id="rows"),
        pytest.param(asking(1, 7, "invented"), "requires the writer features invented", id="invented"),
        pytest.param(
            asking(3, 7, "deletionVectors"), "requires the writer features deletionVectors", id="vectors"
        ),
        pytest.param(asking(3, 7, "invented"), "'invented' is not supported", id="unreadable"),
        pytest.param(having(constraints_few="version < 9"), "delta.constraints.few", id="constraint"),
        pytest.param(having(appendOnly="true"), "delta.appendOnly lets no row be replaced", id="append-only"),
    ],
)
def test_delta_table_that_asks_for_more_is_refused_by_its_name(
    broken: Break, reason: str, stock: Stock, tmp_path: Path
) -> None:
    """A Delta table that requires an unsupported feature is refused, and the error names the feature."""
    shelf = Shelf("delta", tmp_path)
    broken(shelf, stock)
    assert reason in told_by_both(shelf, stock)


def test_delta_table_with_other_names_in_its_files_is_refused(stock: Stock, tmp_path: Path) -> None:
    """A Delta table with column mapping is refused, because our files would have none of its columns."""
    shelf = Shelf("delta", tmp_path)
    of_other_types(shelf, stock)
    [line] = first_lines(shelf, "metaData")
    schema = json.loads(line["metaData"]["schemaString"])
    for number, field in enumerate(schema["fields"], 1):
        field["metadata"] |= {
            "delta.columnMapping.id": number,
            "delta.columnMapping.physicalName": f"c{number}",
        }
    mapped = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"}
    line["metaData"] |= {"schemaString": json.dumps(schema), "configuration": mapped}
    committed(shelf, {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}}, line)
    assert "delta.columnMapping.mode" in told_by_both(shelf, stock)


def test_events_are_appended_where_nothing_else_may_be(stock: Stock, tmp_path: Path) -> None:
    """With delta.appendOnly events are appended; replacing a region is refused, and the error names the property."""
    shelf = Shelf("delta", tmp_path)
    learn(stock, "us-east-1")
    shelf.one(stock, EVENTS)
    shelf.delta(EVENTS).alter.set_table_properties({"delta.appendOnly": "true"})
    learn(stock, "us-east-1", versions=1)
    [found] = looked(shelf, stock, EVENTS)
    assert found.level is Level.OK
    assert shelf.one(stock, EVENTS).written == 1
    stock.run_sql("DELETE FROM image_version_events WHERE etl_run_id = 'run-2'")
    learn(stock, "us-east-1", versions=1)
    assert "delta.appendOnly" in told_by_both(shelf, stock, EVENTS)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        pytest.param(
            lambda metadata: metadata.update({"format-version": 3, "next-row-id": 1}),
            "it is of format version 3",
            id="version-3",
        ),
        pytest.param(lambda metadata: metadata.update({"format-version": 4}), "'4'", id="version-4"),
        pytest.param(with_column("variant"), "Unsupported field type: 'variant'", id="type"),
    ],
)
def test_iceberg_table_that_pyiceberg_cannot_write_is_refused_by_its_name(
    edit: Callable[[dict[str, Any]], Any], reason: str, stock: Stock, tmp_path: Path
) -> None:
    """An Iceberg table of a newer format or with an unknown type is refused, and the error names it."""
    shelf = Shelf("iceberg", tmp_path)
    rewritten(edit)(shelf, stock)
    assert reason in told_by_both(shelf, stock)


def partitioned_otherwise(shelf: Shelf, stock: Stock) -> None:
    """A table that is partitioned by another column too."""
    if shelf.kind == "iceberg":
        shelf.one(stock)
        with shelf.iceberg().update_spec() as update:
            update.add_field("version", BucketTransform(4), "some")
        stock.change("us-east-1")
    else:
        rows = pa.table({"region": ["a"], "day": ["b"], "version": [1]})
        deltalake.write_deltalake(f"{shelf.folder}/lake/image_versions", rows, partition_by=["region", "day"])


def of_other_types(shelf: Shelf, _: Stock) -> None:
    """An empty table of that name with a column of another type."""
    schema = pa.schema([pa.field("region", pa.string()), pa.field("version", pa.string())])
    if shelf.kind == "iceberg":
        catalog = load_catalog("local", **shelf.catalog)
        catalog.create_namespace("inventory")
        catalog.create_table("inventory.image_versions", schema)
    else:
        deltalake.DeltaTable.create(f"{shelf.folder}/lake/image_versions", schema)


def not_ours(shelf: Shelf, stock: Stock) -> None:
    """A table with rows that image-history did not write."""
    of_other_types(shelf, stock)
    rows = pa.table({"region": ["a"], "version": ["b"]})
    if shelf.kind == "iceberg":
        shelf.iceberg().append(rows)
    else:
        deltalake.write_deltalake(f"{shelf.folder}/lake/image_versions", rows, mode="append")


def of_another_warehouse(shelf: Shelf, stock: Stock) -> None:
    """A table whose owner is another warehouse."""
    shelf.one(stock)
    name_owner(shelf, "else-1")


def of_labels(shelf: Shelf, stock: Stock) -> None:
    """A table that is published under labels."""
    shelf.one(stock, label="mine")


def in_the_way(shelf: Shelf, _: Stock) -> None:
    """A file at the path of the lake's folder."""
    (shelf.folder / "lake").write_text("mine", encoding="utf-8")


def leading_nowhere(shelf: Shelf, _: Stock) -> None:
    """A link to a folder that does not exist."""
    (shelf.folder / "lake").symlink_to("nowhere")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (partitioned_otherwise, "it is partitioned by"),
        (of_other_types, "version: string -> int"),
        (not_ours, "did not publish"),
        (of_another_warehouse, "it names else-1 as the one that fills it"),
        (of_labels, "each under a label"),
        (in_the_way, "it is not a folder"),
        (leading_nowhere, "it is not a folder"),
    ],
)
def test_check_and_publish_say_the_same(
    kind: str, broken: Break, reason: str, stock: Stock, tmp_path: Path
) -> None:
    """Whatever prevents a publication, `check` and `publish` report it in the same sentence."""
    (tmp_path / "lakes").mkdir()
    shelf = Shelf(kind, tmp_path / "lakes")
    broken(shelf, stock)
    assert reason in told_by_both(shelf, stock)


@pytest.mark.parametrize("kind", KINDS)
def test_place_that_this_user_cannot_write_is_told_by_both(
    kind: str, stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path without write permission is reported before the folder exists, and when an existing table has news."""
    (tmp_path / "lakes").mkdir()
    shelf = Shelf(kind, tmp_path / "lakes")
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("image_history.publish.target.unwritable", lambda _: "permission denied")
            assert "(permission denied)" in told_by_both(shelf, stock)
        shelf.one(stock)
        stock.change("us-east-1")


@pytest.mark.parametrize("kind", KINDS)
def test_check_of_what_is_not_there_yet_makes_nothing(kind: str, stock: Stock, tmp_path: Path) -> None:
    """`check` of a lake that does not exist makes no folder and no catalog; the publication after it succeeds."""
    (tmp_path / "lakes").mkdir()
    shelf = Shelf(kind, tmp_path / "lakes")
    [found] = looked(shelf, stock)
    assert (found.level, found.message.partition(" (")[0]) == (Level.OK, "answers; 0 of 1 table is there")
    assert list(shelf.folder.iterdir()) == []
    shelf.one(stock)
    stock.change("us-east-1")
    [found] = looked(shelf, stock)
    assert found.message.startswith("answers; 1 of 1")


@pytest.mark.parametrize("kind", KINDS)
def test_owner_is_compared_before_there_is_a_warehouse(kind: str, stock: Stock, tmp_path: Path) -> None:
    """If the warehouse has no sync yet, `check` refuses a table that another warehouse owns."""
    shelf = Shelf(kind, tmp_path)
    shelf.one(stock)
    stock.warehouse.unlink()
    [found] = looked(shelf, stock)
    assert found.level is Level.FAILED
    assert "this one has no sync yet" in found.message


def database(path: Path, statement: str) -> None:
    """A SQLite file of another program."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda path: path.write_text("mine " * 99, encoding="utf-8"), "cannot be read as a catalog"),
        (lambda path: path.mkdir(), "cannot be read as a catalog"),
        (lambda path: database(path, "CREATE TABLE bookmarks (url TEXT)"), "another program's database"),
    ],
    ids=["text", "folder", "database"],
)
def test_catalog_file_of_another_program_is_left_alone(
    broken: Callable[[Path], Any], reason: str, stock: Stock, tmp_path: Path
) -> None:
    """A catalog file of another program is refused, and gets no tables of a catalog."""
    shelf = Shelf("iceberg", tmp_path)
    broken(tmp_path / "catalog.db")
    [found] = looked(shelf, stock)
    before = tree(tmp_path)
    [done] = shelf.publish(stock)
    assert tree(tmp_path) == before
    assert found.message == done.error
    assert reason in found.message
    assert summary_line(done).count(shelf.to) == 1


def test_folder_of_something_else_gets_no_delta_table(stock: Stock, tmp_path: Path) -> None:
    """A folder of something else, such as a Parquet dataset of the same warehouse, is refused and stays as it is."""
    stock.publish()
    shelf = msgspec.structs.replace(Shelf("delta", tmp_path).entry(), to=f"delta+file:{stock.dataset}")
    before = tree(stock.dataset)
    [found] = look_at_lakes(Config(warehouse=stock.warehouse, publish=(shelf,)))
    [done] = publish_lake(stock.config, shelf)
    assert found.message == done.error
    assert "there is something else in its folder (region=" in found.message
    assert tree(stock.dataset) == before


def test_table_that_is_refused_costs_no_other(stock: Stock, tmp_path: Path) -> None:
    """If one table is refused, `check` names it, and the other tables are published."""
    shelf = Shelf("delta", tmp_path)
    (tmp_path / "lake" / "images").mkdir(parents=True)
    (tmp_path / "lake" / "images" / "notes.txt").write_text("mine", encoding="utf-8")
    entry = shelf.entry("images", "image_versions")
    [found] = look_at_lakes(Config(warehouse=stock.warehouse, publish=(entry,)))
    assert found.where == f"{shelf.to}/images"
    assert [done.error is None for done in publish_lake(stock.config, entry)] == [False, True]
    assert by_library(shelf, "image_versions").num_rows == 12


@pytest.mark.parametrize("kind", KINDS)
def test_folder_of_any_name_is_the_one_that_is_named(kind: str, stock: Stock, tmp_path: Path) -> None:
    """A folder name with spaces, letters beyond ASCII or characters with a meaning in URLs is used as it is."""
    folder = tmp_path / ("a b\u00fc#?c" if kind == "delta" else "a b\u00fc")
    folder.mkdir()
    shelf = Shelf(kind, folder)
    for there in (0, 1):
        [found] = looked(shelf, stock)
        assert found.message.startswith(f"answers; {there} of 1")
        assert [done.error for done in shelf.publish(stock)] == [None]
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, stock.warehouse.name}
    assert list(folder.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("kind", "name", "reason"), [("iceberg", "a#b", "cuts"), ("delta", "a%20b", "reads")]
)
def test_folder_whose_name_a_library_changes_is_refused(
    kind: str, name: str, reason: str, stock: Stock, tmp_path: Path
) -> None:
    """A folder name that a library would change is refused, because the files would be in another folder."""
    folder = tmp_path / name
    folder.mkdir()
    assert reason in told_by_both(Shelf(kind, folder), stock)


def test_table_of_another_catalog_in_the_same_folder_is_left_alone(stock: Stock, tmp_path: Path) -> None:
    """Another catalog's table in the same folder is refused, because upkeep would remove its files."""
    shelf = Shelf("iceberg", tmp_path)
    shelf.one(stock)
    (tmp_path / "catalog.db").rename(tmp_path / "theirs.db")
    assert "another catalog's table" in told_by_both(shelf, stock)


def test_region_that_delta_cannot_tell_from_none_is_refused(stock: Stock, tmp_path: Path) -> None:
    """An empty region is refused, because Delta would read it as null; the table stays readable."""
    shelf = Shelf("delta", tmp_path)
    shelf.one(stock)
    stock.run_sql("UPDATE image_versions SET region = '' WHERE region = 'us-east-1'")
    stock.change()
    [done] = shelf.publish(stock)
    assert "empty text" in str(done.error)
    assert by_library(shelf, "image_versions").num_rows == 12
