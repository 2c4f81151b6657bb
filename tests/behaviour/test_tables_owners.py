"""A lake table belongs to one warehouse by its id: copies that have diverged are told apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from image_history.durable.effects import Effect
from image_history.publish.lake import owner_key
from tests.behaviour.lakes import KINDS, Shelf, assert_same, at_commit, learn, name_owner, owner_of
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path).fill()


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """An empty lake."""
    return Shelf(request.param, tmp_path)


def copied(stock: Stock, name: str = "copy") -> Stock:
    """A copy of the warehouse with its own id, like copies that were made before ids existed."""
    (stock.folder / name).mkdir()
    shutil.copy(stock.warehouse, stock.folder / name)
    copy = Stock(stock.folder / name, runs=stock.runs, name=name)
    copy.run_sql("UPDATE warehouse_identity SET warehouse_id = uuid()")
    return copy


def refused(shelf: Shelf, stock: Stock, table: str = "image_versions") -> str:
    """The error of a publication that must not change the table."""
    before = shelf.commits(table)
    [done] = shelf.publish(stock, table)
    assert done.error is not None
    assert shelf.commits(table) == before
    return done.error


def test_table_names_its_warehouse(shelf: Shelf, stock: Stock) -> None:
    """A table's property names the warehouse by its id; with a label, the property of the label does."""
    shelf.one(stock)
    shelf.one(stock, "images", label="mine")
    assert owner_of(shelf) == stock.identity
    assert owner_of(shelf, "images", label="mine") == stock.identity


@pytest.mark.parametrize("table", ["image_versions", "image_version_events"])
def test_copy_with_the_same_runs_is_another_warehouse(shelf: Shelf, stock: Stock, table: str) -> None:
    """A copy that has all runs of the table, but another id, is refused; the error names both ids."""
    learn(stock, "us-east-1")
    shelf.one(stock, table)
    copy = copied(stock)
    for _ in range(2):
        told = refused(shelf, copy, table)
        assert stock.identity in told
        assert copy.identity in told
        learn(copy, "us-east-1", versions=1)
    learn(stock, "us-west-2", versions=1)
    shelf.one(stock, table)
    assert_same(shelf, stock, table)


def test_replacing_makes_the_copy_the_owner(shelf: Shelf, stock: Stock) -> None:
    """With --replace the copy becomes the owner, and the previous owner is refused from then on."""
    shelf.one(stock)
    copy = copied(stock)
    copy.change("us-east-1")
    shelf.one(copy, replace=True)
    assert owner_of(shelf) == copy.identity
    stock.change("us-west-2")
    assert copy.identity in refused(shelf, stock)
    assert_same(shelf, copy)


class Killed(BaseException):
    """Simulates the end of a process."""


def die() -> None:
    """Raise Killed, as if the process ended here."""
    raise Killed


@pytest.mark.parametrize("table", ["image_versions", "image_version_events"])
def test_take_over_that_is_cut_off_is_completed_later(shelf: Shelf, stock: Stock, table: str) -> None:
    """A take-over killed before its rows leaves the old ones; the next completes it, on Iceberg with --replace."""
    learn(stock, "us-east-1")
    shelf.one(stock, table)
    (stock.folder / "other").mkdir()
    other = Stock(stock.folder / "other", rows_of_a_region=5, name="else").fill()
    other.run_sql("UPDATE warehouse_identity SET warehouse_id = uuid()")
    learn(other, "eu-west-1")
    with pytest.raises(Killed):
        at_commit(die, lambda: shelf.one(other, table, replace=True))
    assert_same(shelf, stock, table)
    # Delta commits the owner in a version before that of the rows; Iceberg commits both at once.
    taken = shelf.kind == "delta"
    owner, loser = (other, stock) if taken else (stock, other)
    assert owner_of(shelf, table) == owner.identity
    assert owner.identity in refused(shelf, loser, table)
    shelf.one(other, table, replace=not taken)
    assert_same(shelf, other, table)
    assert owner_of(shelf, table) == other.identity
    assert shelf.one(other, table).written == 0
    assert other.identity in refused(shelf, stock, table)


def test_copy_from_before_the_newest_run_is_refused(shelf: Shelf, stock: Stock) -> None:
    """A restored copy that lacks the table's newest run is refused, although its id is the same."""
    (stock.folder / "restored").mkdir()
    shutil.copy(stock.warehouse, stock.folder / "restored")
    stock.change("us-east-1")
    shelf.one(stock)
    assert "newer copy" in refused(shelf, Stock(stock.folder / "restored"))


def test_owner_is_of_a_label(shelf: Shelf, stock: Stock) -> None:
    """A copy fills the same table under its own label, and is refused under the label of the other warehouse."""
    copy = copied(stock)
    shelf.one(stock, label="first")
    shelf.one(copy, label="second")
    assert owner_of(shelf, label="first") == stock.identity
    assert owner_of(shelf, label="second") == copy.identity
    [done] = shelf.publish(copy, label="first")
    assert done.error is not None
    assert "another warehouse" in done.error


def test_table_that_names_the_first_run_is_taken_once(shelf: Shelf, stock: Stock) -> None:
    """A table of an earlier version names the first run: the next commit with news names the id instead."""
    shelf.one(stock)
    name_owner(shelf, "run-1")
    before = shelf.bytes_there()
    stock.change()
    assert shelf.one(stock).written == 0
    assert shelf.bytes_there() == before
    copy = copied(stock)
    stock.change("us-east-1")
    assert shelf.one(stock).partitions == 1
    assert owner_of(shelf) == stock.identity
    assert copy.identity in refused(shelf, copy)


def test_first_run_of_another_warehouse_is_refused(shelf: Shelf, stock: Stock) -> None:
    """A table of an earlier version is refused if its first run is not a run of this warehouse."""
    shelf.one(stock)
    name_owner(shelf, "else-1")
    stock.change("us-east-1")
    assert "else-1" in refused(shelf, stock)


def test_one_of_two_copies_takes_a_table_that_names_their_first_run(shelf: Shelf, stock: Stock) -> None:
    """Of two copies with the same first run the first to commit its id is the owner, and the other one is refused."""
    shelf.one(stock)
    name_owner(shelf, "run-1")
    copy = copied(stock)
    stock.change("us-east-1")
    copy.change("us-west-2")
    # Delta commits its owner in a version of its own, before that with the rows.
    told = Effect.COMMIT if shelf.kind == "iceberg" else Effect.STATEMENT
    lost = at_commit(lambda: shelf.one(copy), lambda: shelf.publish(stock)[0], told)
    assert lost.error is not None
    assert copy.identity in lost.error
    assert owner_of(shelf) == copy.identity
    assert_same(shelf, copy)


def test_key_of_the_owner_is_as_it_was() -> None:
    """The name of the property does not change, because existing tables are found by it."""
    assert owner_key(None) == "image-history.owner"
    assert owner_key("gov") == "image-history.owner.gov"
