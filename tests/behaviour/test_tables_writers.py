"""Several writers of one lake table: other warehouses are refused, stale copies recover, labels share a table."""

from __future__ import annotations

import functools
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow.compute as pc
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy.exc import IntegrityError, OperationalError

from image_history.config import Publish, load_config
from image_history.durable.effects import Effect, File, install
from image_history.model import Publication
from image_history.publish.lakes import publish_lake
from image_history.publish.stage import publish_all
from tests.behaviour.lakes import (
    KINDS,
    READERS,
    Shelf,
    alike,
    assert_same,
    at_commit,
    by_library,
    learn,
    owner_of,
)
from tests.behaviour.publishing import Stock
from tests.faultpoints.labels import Labels

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table as IcebergTable

pytestmark = pytest.mark.duckdb

GROWING = ("image_versions", "image_version_events")
TABLES = ("image_versions", "image_version_events", "images", "runs")


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path).fill()


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """An empty lake."""
    return Shelf(request.param, tmp_path)


def test_table_of_another_warehouse_is_refused_without_replace(
    shelf: Shelf, stock: Stock, tmp_path: Path
) -> None:
    """A table of another warehouse is refused and keeps its rows, until a publication with --replace."""
    shelf.one(stock)
    (tmp_path / "other").mkdir()
    other = Stock(tmp_path / "other", rows_of_a_region=5, name="else").fill()
    [refused] = shelf.publish(other)
    assert refused.error is not None
    assert "another warehouse" in refused.error
    assert_same(shelf, stock)
    assert shelf.one(other, replace=True).rows == 15
    assert_same(shelf, other)
    [now_refused] = shelf.publish(stock)
    assert now_refused.error is not None


def test_rows_that_another_program_wrote_are_refused(shelf: Shelf, stock: Stock, tmp_path: Path) -> None:
    """A table of the same name that another program filled is refused, and stays as it is."""
    shelf.one(stock, "runs")
    rows = by_library(shelf, "runs")
    if shelf.kind == "iceberg":
        catalog = shelf.iceberg("runs").catalog
        catalog.create_table("inventory.images", schema=rows.schema).append(rows)
    else:
        from deltalake import write_deltalake

        write_deltalake(f"{shelf.folder}/lake/images", rows)
    commits, files = shelf.commits("images"), shelf.bytes_there()
    [refused] = shelf.publish(stock, "images")
    assert refused.error is not None
    assert "it holds rows that image-history did not publish" in refused.error
    assert by_library(shelf, "images").equals(rows)
    assert owner_of(shelf, "images") is None
    assert (shelf.commits("images"), shelf.bytes_there()) == (commits, files)


class Twins:
    """Copies of one warehouse, one of them older by a run, and a lake that was published before that run."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder / "case", kind
        self.folder.mkdir(parents=True)
        stock = Stock(self.folder, rows_of_a_region=6).fill()
        Shelf(kind, self.folder).publish(stock, *GROWING)
        learn(stock, "us-east-1", versions=1)
        for name in ("older", "newer"):
            (self.folder / name).mkdir()
            shutil.copy(stock.warehouse, self.folder / name)
        learn(Stock(self.folder / "newer", runs=stock.runs), "us-east-1", versions=1)
        shutil.copytree(self.folder / "newer", self.folder / "twin")
        shutil.move(self.folder, folder / "template")
        self.template = folder / "template"

    def restored(self) -> Shelf:
        """The lake and the warehouses as they were made."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        return Shelf(self.kind, self.folder)

    def stock(self, name: str) -> Stock:
        """One of the warehouses."""
        return Stock(self.folder / name)


def overtaken(
    shelf: Shelf, first: Stock, second: Stock, at: int
) -> tuple[list[str], tuple[Publication, ...]]:
    """Publish from `first`, and from `second` at the `at`-th effect in the lake; return effects and results."""
    reached: list[str] = []

    def overtake(effect: Effect, subject: str) -> None:
        if subject not in {File.TABLE, File.TABLE_FILE} or busy:
            return
        reached.append(f"{effect} {subject}")
        if len(reached) == at:
            busy.append(True)
            shelf.publish(second, *GROWING)
            busy.clear()

    busy: list[bool] = []
    remove = install(overtake)
    try:
        done = shelf.publish(first, *GROWING)
    finally:
        remove()
    return reached, done


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("first", "second"),
    [("newer", "twin"), ("older", "newer"), ("newer", "older")],
    ids=["twins", "older-first", "newer-first"],
)
def test_stale_publisher_is_refused_and_heals(kind: str, first: str, second: str, tmp_path: Path) -> None:
    """If one publisher overtakes another at any effect, no row is doubled, and no table returns to an older run."""
    twins = Twins(tmp_path, kind)
    effects = len(overtaken(twins.restored(), twins.stock("newer"), twins.stock("twin"), at=0)[0])
    assert effects >= 8
    for at in range(1, effects + 1):
        shelf, newer = twins.restored(), twins.stock("newer")
        reached, done = overtaken(shelf, twins.stock(first), twins.stock(second), at)
        assert_same(shelf, newer, *GROWING)
        assert len(live_files(shelf, "image_versions")) == 3, reached
        assert len(live_files(shelf, "image_version_events")) <= 2, reached
        refused = [each for each in done if each.error is not None]
        assert all("newer copy" in str(each.error) for each in refused)
        assert first == "older" or not refused
        again = shelf.publish(newer, *GROWING)
        assert [(each.written, each.error) for each in again] == [(0, None)] * 2


def live_files(shelf: Shelf, table: str) -> set[str]:
    """The names of the files that hold a table's rows now."""
    if shelf.kind == "iceberg":
        return {Path(path).name for path in shelf.iceberg(table).inspect.files()["file_path"].to_pylist()}
    return {Path(path).name for path in shelf.delta(table).file_uris()}


def test_file_that_a_lost_commit_would_have_shown_is_removed(shelf: Shelf, stock: Stock) -> None:
    """If another publisher commits the same change first, the file of the lost commit is removed at once."""
    shelf.one(stock)
    stock.change("us-east-1")
    before = shelf.data_files()
    shutil.copytree(stock.folder, stock.folder / "twin", ignore=_only_the_warehouse)
    overtake = functools.partial(shelf.one, Stock(stock.folder / "twin"))
    assert at_commit(overtake, functools.partial(shelf.one, stock)).written == 0
    assert len(live_files(shelf, "image_versions")) == 3
    assert len(shelf.data_files() - before) == 1


def test_commit_that_lost_to_a_removal_is_planned_anew(shelf: Shelf, stock: Stock) -> None:
    """If another program removes a region before our commit, the publication is planned again, and no row is missing.

    A client that repeats a commit by itself finds no file of its own missing, and leaves the region out.
    """
    learn(stock, "us-east-1", "us-west-2")
    shelf.one(stock, "image_version_events")
    learn(stock, "us-east-1", versions=1)

    table: IcebergTable | DeltaTable = (
        shelf.iceberg("image_version_events")
        if shelf.kind == "iceberg"
        else shelf.delta("image_version_events")
    )
    once = [functools.partial(table.delete, "region = 'us-west-2'")]
    done = at_commit(lambda: once.pop()() if once else None, lambda: shelf.one(stock, "image_version_events"))
    assert done.partitions == 2
    assert_same(shelf, stock, "image_version_events")


def test_commit_that_lost_to_a_take_over_is_refused(shelf: Shelf, stock: Stock) -> None:
    """If a warehouse without events takes the table over before our commit, no event is appended."""
    learn(stock, "us-east-1")
    shelf.one(stock, "image_version_events")
    learn(stock, "us-east-1", versions=1)
    (stock.folder / "other").mkdir()
    other = Stock(stock.folder / "other", rows_of_a_region=1, name="other").fill()
    other.run_sql("UPDATE warehouse_identity SET warehouse_id = uuid()")
    lost = at_commit(
        lambda: shelf.one(other, "image_version_events", replace=True),
        lambda: shelf.publish(stock, "image_version_events")[0],
    )
    assert lost.error is not None
    assert other.identity in lost.error
    assert owner_of(shelf, "image_version_events") == other.identity
    assert by_library(shelf, "image_version_events").num_rows == 0


def _only_the_warehouse(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name != "image-history.duckdb"}


def test_writers_that_always_lose_end_with_a_sentence(shelf: Shelf, stock: Stock) -> None:
    """After ten conflicts a publication fails, and the error says so."""
    (stock.folder / "other").mkdir()
    other = Stock(stock.folder / "other", rows_of_a_region=3, name="other").fill()
    shelf.one(other, label="other")

    def overtake() -> None:
        other.change("us-east-1")
        shelf.one(other, label="other")

    done = at_commit(overtake, lambda: shelf.publish(stock, label="mine")[0])
    assert done.error is not None
    assert "10 attempts" in done.error


def test_labels_share_a_table(shelf: Shelf, stock: Stock, tmp_path: Path) -> None:
    """Two warehouses share a table, each in its partition `source`; neither changes the other's rows."""
    (tmp_path / "second").mkdir()
    second = Stock(tmp_path / "second", rows_of_a_region=7, name="second").fill()
    shelf.one(stock, label="first")
    shelf.one(second, label="second")
    stock.change("us-east-1")
    assert shelf.one(stock, label="first").partitions == 1
    for reader in READERS.values():
        read = reader(shelf, "image_versions")
        for label, of in (("first", stock), ("second", second)):
            mine = read.filter(pc.equal(read["source"], label))
            assert alike(mine, of.stored())
    [refused] = shelf.publish(stock)
    assert refused.error is not None
    assert "label" in refused.error


def test_processes_with_labels_lose_nothing(shelf: Shelf, tmp_path: Path) -> None:
    """Three processes commit to the same tables at once, each killed once: each row is in the tables exactly once."""
    labels = Labels(tmp_path, shelf.kind, random.Random(shelf.kind))
    seen = labels.run(commits=3, kills=1)
    assert seen.wrong == []
    assert (seen.commits, seen.killed) == (9, 3)
    assert seen.reads > 0


def test_catalog_that_another_publisher_makes_meanwhile_is_used(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another publisher makes the catalog's tables or the namespace at the same time, the publication goes on."""
    calls: list[str] = []

    def load(name: str, **properties: str) -> Catalog:
        calls.append("load")
        if len(calls) == 1:
            raise OperationalError("CREATE TABLE iceberg_tables", {}, Exception("it exists already"))
        return load_catalog(name, **properties)

    def create(catalog: SqlCatalog, namespace: str) -> None:
        calls.append("namespace")
        make_namespace(catalog, namespace)
        raise IntegrityError("INSERT INTO iceberg_namespace_properties", {}, Exception("it exists already"))

    make_namespace = SqlCatalog.create_namespace
    monkeypatch.setattr("image_history.publish.iceberg.load_catalog", load)
    monkeypatch.setattr(SqlCatalog, "create_namespace", create)
    shelf = Shelf("iceberg", tmp_path)
    assert shelf.one(stock).rows == 120
    assert calls == ["load", "load", "namespace"]
    assert_same(shelf, stock)


def test_state_that_expired_is_made_up_for(shelf: Shelf, stock: Stock) -> None:
    """If another program's upkeep removed our commits, the owner is still known, and the rows are written again."""
    shelf.one(stock)
    if shelf.kind == "iceberg":
        table = shelf.iceberg()
        table.append(table.scan().to_arrow().slice(0, 0))
        table = shelf.iceberg()
        old = [each.snapshot_id for each in table.metadata.snapshots][:-1]
        table.maintenance.expire_snapshots().by_ids(old).commit()
    else:
        there = shelf.delta()
        for _ in range(2):
            there.alter.set_table_description("renewed")
            there.update_incremental()
        there.create_checkpoint()
        log = shelf.folder / "lake" / "image_versions" / "_delta_log"
        for number in (0, 1, 2):
            (log / f"{number:020}.json").unlink()
    stock.change()
    assert shelf.one(stock).partitions == 3
    assert_same(shelf, stock)


def test_missing_extra_names_the_pip_line(
    stock: Stock, monkeypatch: pytest.MonkeyPatch, shelf: Shelf
) -> None:
    """Without the package of a format the error has the pip command."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    [done] = shelf.publish(stock)
    assert done.error is not None
    assert f"pip install 'sagemaker-image-history[{shelf.kind}]'" in done.error


def test_nothing_is_imported_without_a_table_target(stock: Stock) -> None:
    """Publishing a Parquet dataset loads neither pyiceberg nor deltalake."""
    program = f"""
import sys
from pathlib import Path
from image_history.config import Config, Publish
from image_history.publish.stage import publish_all
publish_all(Config(warehouse=Path({str(stock.warehouse)!r}), publish=(Publish(to={str(stock.dataset)!r}),)))
loaded = {{name.split(".")[0] for name in sys.modules}}
print(sorted(loaded & {{"pyiceberg", "deltalake", "sqlalchemy", "arro3"}}))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_delta_folder_of_a_configuration_here_is_found(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is relative to a configuration in the working directory is found."""
    monkeypatch.chdir(stock.folder)
    Path("config.yaml").write_text("publish: [{to: 'delta+file:./tables'}]", encoding="utf-8")
    [entry] = load_config(None, {}).publish
    done = publish_lake(stock.config, entry)
    assert [each.error for each in done] == [None, None, None]
    assert (stock.folder / "tables" / "image_versions" / "_delta_log").is_dir()


def test_unreachable_lake_is_an_error_of_each_table(stock: Stock, tmp_path: Path) -> None:
    """A catalog that cannot be reached is an error of each of its tables, with its name, and of no other entry."""
    entry = Publish(
        to="iceberg://nowhere/ns",
        properties={"type": "sql", "uri": f"sqlite:///{tmp_path}/no/such/folder.db"},
        tables=("runs", "images"),
    )
    shelf = Shelf("delta", tmp_path)
    beside = (Publish(to=str(stock.dataset), tables=("image_versions",)), shelf.entry())
    config = msgspec.structs.replace(stock.config, publish=(beside[0], entry, beside[1]))
    done = publish_all(config)
    assert [(each.to, each.table, each.error is None) for each in done] == [
        (str(stock.dataset), None, True),
        ("iceberg://nowhere/ns", "runs", False),
        ("iceberg://nowhere/ns", "images", False),
        (shelf.to, "image_versions", True),
    ]
    for each in done[1:3]:
        assert "the catalog 'nowhere'" in str(each.error)
    assert done[0].rows == 120
    assert_same(shelf, stock)
