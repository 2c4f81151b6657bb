"""Several writers of one lake table: strangers are refused, stale ones heal, labels share; and what is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from image_history.config import Publish, load_config
from image_history.durable.effects import Effect, install
from image_history.model import Stop
from image_history.publish.lakes import opened, publish_lake
from image_history.publish.tables import Wanted, publish_table
from image_history.warehouse.partitions import source
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.lakes import KINDS, Shelf, alike, assert_same, by_library
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb

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
    """Rows of a stranger stay until somebody says that they may go."""
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
    """A table of the same name that is not ours stays as it is."""
    shelf.one(stock, "runs")
    rows = by_library(shelf, "runs")
    if shelf.kind == "iceberg":
        catalog = shelf.iceberg("runs").catalog
        catalog.create_table("inventory.images", schema=rows.schema).append(rows)
    else:
        from deltalake import write_deltalake

        write_deltalake(f"{shelf.folder}/lake/images", rows)
    [refused] = shelf.publish(stock, "images")
    assert refused.error is not None


def _only_the_warehouse(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name != "image-history.duckdb"}


def test_stale_publisher_is_refused_and_heals(shelf: Shelf, stock: Stock) -> None:
    """Two publishers that read the same state: the second commit is refused, and nothing is doubled."""
    shelf.one(stock)
    stock.change("us-east-1")
    (stock.folder / "twin").mkdir()
    twin = Stock(
        Path(shutil.copytree(stock.folder, stock.folder / "twin" / "copy", ignore=_only_the_warehouse))
    )
    entry = shelf.entry()
    wanted = Wanted(to=shelf.to, name="image_versions", keep=timedelta(days=7))
    overtaken: list[str] = []

    def overtake(effect: Effect, subject: str) -> None:
        if (effect, subject) == (Effect.COMMIT, "table") and not overtaken:
            overtaken.append("once")
            shelf.one(twin)

    remove = install(overtake)
    try:
        with source(WarehouseFile(stock.warehouse, 5.0)) as rows:
            done = publish_table(opened(entry).table("image_versions", None), rows, wanted, Stop())
    finally:
        remove()
    assert overtaken
    assert done.written == 0
    assert_same(shelf, stock)
    if shelf.kind == "iceberg":
        live = {Path(path).name for path in shelf.iceberg().inspect.files()["file_path"].to_pylist()}
    else:
        live = {Path(path).name for path in shelf.delta().file_uris()}
    assert len(live) == 3
    assert len(shelf.data_files() - live) == 1  # of the version before; what lost was removed


def test_writers_that_always_lose_end_with_a_sentence(shelf: Shelf, stock: Stock) -> None:
    """After ten conflicts a publication gives up, and says so."""
    others = [Stock(stock.folder / name, rows_of_a_region=3, name=name) for name in ("other",)]
    others[0].folder.mkdir()
    others[0].fill()
    shelf.one(others[0], label="other")

    def overtake(effect: Effect, subject: str) -> None:
        if (effect, subject) == (Effect.COMMIT, "table") and not busy:
            busy.append(True)
            others[0].change("us-east-1")
            shelf.one(others[0], label="other")
            busy.clear()

    busy: list[bool] = []
    remove = install(overtake)
    try:
        [done] = shelf.publish(stock, label="mine")
    finally:
        remove()
    assert done.error is not None
    assert "10 attempts" in done.error


def test_labels_share_a_table(shelf: Shelf, stock: Stock, tmp_path: Path) -> None:
    """Two warehouses, a partition `source` each: neither touches the other's rows."""
    (tmp_path / "second").mkdir()
    second = Stock(tmp_path / "second", rows_of_a_region=7, name="second").fill()
    shelf.one(stock, label="first")
    shelf.one(second, label="second")
    stock.change("us-east-1")
    assert shelf.one(stock, label="first").partitions == 1
    read = by_library(shelf, "image_versions")
    for label, of in (("first", stock), ("second", second)):
        mine = read.filter(pc.equal(read["source"], label))
        assert alike(mine, of.stored())
    [refused] = shelf.publish(stock)
    assert refused.error is not None
    assert "label" in refused.error


WRITER = """
import sys
sys.path.insert(0, "{root}")
from pathlib import Path
from tests.behaviour.lakes import Shelf, learn
from tests.behaviour.publishing import Stock
name, kind, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
folder = Path("{folder}")
stock = Stock(folder / name, rows_of_a_region=4, name=name)
(folder / name).mkdir()
stock.fill()
for number in range(commits):
    learn(stock, "us-east-1")
    for done in Shelf(kind, folder).publish(stock, "image_versions", "image_version_events", label=name):
        assert done.error is None, done.error
"""


def test_processes_with_labels_lose_nothing(shelf: Shelf, tmp_path: Path) -> None:
    """Three processes commit to the same tables at once, many times: every row of each is there once."""
    commits = int(os.environ.get("IMAGE_HISTORY_TEST_COMMITS", "4"))
    program = WRITER.format(root=Path(__file__).parents[2], folder=tmp_path)
    names = ("one", "two", "three")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, name, shelf.kind, str(commits)], stderr=subprocess.PIPE
        )
        for name in names
    ]
    for writer in writers:
        _, err = writer.communicate(timeout=600)
        assert writer.returncode == 0, err.decode()
    for table in ("image_versions", "image_version_events"):
        read = by_library(shelf, table)
        for name in names:
            stored = Stock(tmp_path / name).stored(table)
            assert alike(read.filter(pc.equal(read["source"], name)), stored), (table, name)


def test_state_that_expired_is_made_up_for(shelf: Shelf, stock: Stock) -> None:
    """Where others' upkeep removed our commits, the owner is still known: the rows are written once more."""
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
    """Without the package the error is what to type."""
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
    """A folder that is written relative to a configuration in the working folder is one all the same."""
    monkeypatch.chdir(stock.folder)
    Path("config.yaml").write_text("publish: [{to: 'delta+file:./tables'}]", encoding="utf-8")
    [entry] = load_config(None, {}).publish
    done = publish_lake(stock.config, entry)
    assert [each.error for each in done] == [None, None, None]
    assert (stock.folder / "tables" / "image_versions" / "_delta_log").is_dir()


def test_unreachable_lake_is_an_error_of_each_table(stock: Stock, tmp_path: Path) -> None:
    """A catalog that cannot be had costs no other entry, and names itself."""
    entry = Publish(
        to="iceberg://nowhere/ns",
        properties={"type": "sql", "uri": f"sqlite:///{tmp_path}/no/such/folder.db"},
    )
    [done, other] = publish_lake(
        stock.config, Publish(to=entry.to, properties=entry.properties, tables=("runs", "images"))
    )
    assert done.error is not None
    assert "iceberg://nowhere/ns" in done.error
    assert other.error is not None
