"""Lake tables of other programs: made or tagged by them, beside files and secrets that are not ours."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import DataFileContent

from image_history.config import Publish
from image_history.errors import OutputError
from image_history.publish.lakes import opened
from tests.behaviour.lakes import KINDS, Shelf, at_commit, by_library, learn
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb

EVENTS = "image_version_events"
SECRET = "s3cret-p\u0061ssword"


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path).fill()


def premade(stock: Stock, tmp_path: Path) -> Shelf:
    """An empty Iceberg table that another program made, without properties of ours."""
    model = Shelf("iceberg", tmp_path / "model")
    ours = Shelf("iceberg", tmp_path / "ours")
    for shelf in (model, ours):
        shelf.folder.mkdir(parents=True, exist_ok=True)
    model.one(stock, EVENTS)
    table = model.iceberg(EVENTS)
    catalog = load_catalog("local", **ours.catalog)
    catalog.create_namespace("inventory")
    catalog.create_table(f"inventory.{EVENTS}", table.schema(), partition_spec=table.spec())
    return ours


def test_commit_to_a_table_that_another_program_made_is_not_repeated(stock: Stock, tmp_path: Path) -> None:
    """If a region is removed between reading and commit, the lost commit is planned again, and no row is missing."""
    learn(stock, "us-east-1", "us-west-2")
    shelf = premade(stock, tmp_path)
    shelf.one(stock, EVENTS)
    learn(stock, "us-east-1", versions=1)
    table = shelf.iceberg(EVENTS)
    once = [True]

    def remove() -> None:
        if once:
            once.pop()
            table.delete("region = 'us-west-2'")

    done = at_commit(remove, lambda: shelf.one(stock, EVENTS))
    assert by_library(shelf, EVENTS).num_rows == done.rows


def test_rows_that_were_deleted_by_value_are_named(stock: Stock, tmp_path: Path) -> None:
    """If rows were deleted by value, as Flink does, the error says what to do, and nothing is changed."""
    shelf = Shelf("iceberg", tmp_path)
    shelf.one(stock)
    table = shelf.iceberg()
    [file, *_] = [task.file for task in table.scan().plan_files()]
    deleting = IcebergFile.from_args(
        content=DataFileContent.EQUALITY_DELETES,
        file_path=f"{file.file_path}.deletes",
        file_format=file.file_format,
        partition=file.partition,
        record_count=1,
        file_size_in_bytes=file.file_size_in_bytes,
        equality_ids=[1],
        spec_id=file.spec_id,
    )
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as snapshot:
        snapshot.append_data_file(deleting)
    stock.change("us-east-1")
    before = shelf.bytes_there()
    [done] = shelf.publish(stock)
    assert done.error == (
        "Cannot publish to iceberg://local/inventory/image_versions: its rows were deleted by value (equality "
        f"deletes), which pyiceberg {version('pyiceberg')} cannot read. Nothing was changed. Let the program that "
        "deleted them compact the table, or publish to another namespace."
    )
    assert shelf.bytes_there() == before


def test_tag_of_an_auditor_does_not_stop_the_upkeep(stock: Stock, tmp_path: Path) -> None:
    """A tagged snapshot is kept; other snapshots that are older than `keep` are removed."""
    shelf = Shelf("iceberg", tmp_path)
    none = timedelta(0)
    shelf.one(stock, keep=none)
    table = shelf.iceberg()
    newest = table.current_snapshot()
    assert newest is not None
    table.manage_snapshots().create_tag(newest.snapshot_id, "audit").commit()
    for _ in range(4):
        stock.change("us-east-1")
        shelf.one(stock, keep=none)
    kept = {each.snapshot_id for each in shelf.iceberg().metadata.snapshots}
    assert newest.snapshot_id in kept
    assert len(kept) <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_file_of_the_user_with_our_prefix_stays(kind: str, stock: Stock, tmp_path: Path) -> None:
    """Upkeep removes only file names that we alone make: an old file of the user's with our prefix stays."""
    shelf = Shelf(kind, tmp_path)
    shelf.one(stock, keep=timedelta(0))
    folder = next(path.parent for path in shelf.folder.rglob("image-history-*.parquet"))
    while "=" in folder.name:
        folder = folder.parent
    notes = folder / "image-history-notes.txt"
    notes.write_text("mine", encoding="utf-8")
    old = time.time() - 9 * 86_400
    os.utime(notes, (old, old))
    for _ in range(3):
        stock.change("us-east-1")
        shelf.one(stock, keep=timedelta(0))
    assert notes.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "properties",
    [
        {"type": "rest", "uri": "http://127.0.0.1:9", "token": f"{SECRET}\r"},
        {"type": "rest", "uri": "http://127.0.0.1:9", "ssl": "x"},
        {"type": "rest", "uri": f"http://somebody:{SECRET}@127.0.0.1:9/"},
    ],
    ids=["line-break", "wrong-kind", "userinfo"],
)
def test_what_a_library_says_of_a_property_is_one_sentence_without_secrets(
    properties: dict[str, str],
) -> None:
    """Whatever a library's error says of a property, it becomes an OutputError without the secret."""
    entry = Publish(to="iceberg://lake/inventory", properties=properties)
    with pytest.raises(OutputError) as told:
        opened(entry).table("images", None).state()
    assert SECRET not in str(told.value)
