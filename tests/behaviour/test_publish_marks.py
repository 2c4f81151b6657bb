"""A mark shows that a dataset's folder is ours; user files are not deleted, overwritten or reached by a link."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from image_history.errors import OutputError
from tests.behaviour.belongings import fingerprint, furnish
from tests.behaviour.publishing import CUT, Stock, by_glob, manifest

MARK = ".image-history-dataset"


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse with two versions in each of three regions."""
    return Stock(tmp_path, rows_of_a_region=2).fill()


def snapshots(folder: Path) -> None:
    """Add a user's own backups, in a folder that happens to have the name of ours."""
    (folder / "snapshots" / "2024-01-01").mkdir(parents=True)
    (folder / "snapshots" / "2024-01-01" / "photos.tar").write_bytes(b"mine")


def linked_snapshots(folder: Path) -> None:
    """Add a link with the name of our folder, which leads to a user's folder outside."""
    victim = folder.parent / "victim"
    victim.mkdir()
    furnish(victim)
    (folder / "snapshots").symlink_to("../victim")


def linked_current(folder: Path) -> None:
    """Add a user's link with the name of our link."""
    snapshots(folder)
    (folder / "current").symlink_to("snapshots/2024-01-01")


@pytest.mark.parametrize("fill", [furnish, snapshots, linked_snapshots, linked_current])
def test_folder_of_the_user_is_refused_and_left_alone(stock: Stock, fill: object) -> None:
    """A user's folder is refused, even with --replace; the folder and the targets of its links stay as they are."""
    stock.dataset.mkdir()
    assert callable(fill)
    fill(stock.dataset)
    before = fingerprint(stock.folder)
    with pytest.raises(OutputError, match="no part of a dataset"):
        stock.publish()
    with pytest.raises(OutputError, match="no part of a dataset"):
        stock.publish(replace=True)
    assert fingerprint(stock.folder) == before


@pytest.mark.parametrize("name", ["notes.txt", "snapshots/2024-01-01", "snapshots/notes.txt", "latest"])
def test_something_of_the_users_in_a_dataset_stops_the_next_publication(stock: Stock, name: str) -> None:
    """If a user's file, folder or link is in a dataset, a publication is refused, names it, and changes nothing."""
    stock.publish()
    path = stock.dataset / name
    if name == "latest":
        path.symlink_to("current/image_versions")
    elif path.suffix:
        path.write_text("mine", encoding="utf-8")
    else:
        path.mkdir()
        furnish(path)
    stock.change()
    before = fingerprint(stock.dataset)
    with pytest.raises(OutputError, match=name):
        stock.publish()
    assert fingerprint(stock.dataset) == before


def test_users_files_in_a_publication_outlive_it(stock: Stock) -> None:
    """When a publication is deleted, a user's files and links in it stay, and no link is followed."""
    stock.publish()
    publication = (stock.dataset / "current").resolve()
    victim = stock.folder / "victim"
    victim.mkdir()
    furnish(victim)
    (publication / "image_versions" / "notes").write_text("mine", encoding="utf-8")
    (publication / "image_versions" / "region=us-east-1" / "out").symlink_to(victim)
    shutil.copytree(victim, publication / "mine", symlinks=True)
    cut = stock.dataset / "snapshots" / CUT
    (cut / "image_versions" / "region=us-east-1").mkdir(parents=True)
    (cut / "image_versions" / "region=us-east-1" / ".part.tmp").write_bytes(b"cut")
    before = fingerprint(victim)
    stock.change()
    stock.publish(grace=timedelta(0))
    stock.change()
    stock.publish(grace=timedelta(0))
    assert not cut.exists()
    assert not list(publication.rglob("*.parquet"))[1:]
    assert (publication / "image_versions" / "notes").read_text(encoding="utf-8") == "mine"
    assert (publication / "image_versions" / "region=us-east-1" / "out").is_symlink()
    assert fingerprint(publication / "mine") == before == fingerprint(victim)


def test_dataset_of_the_version_before_is_adopted(stock: Stock) -> None:
    """A dataset of the previous version, which has no mark, is recognized by its content, and gets a mark."""
    stock.publish()
    (stock.dataset / MARK).unlink()
    stock.change()
    stock.publish()
    assert (stock.dataset / MARK).is_file()
    assert len(by_glob(stock.dataset)) == 6


def test_links_in_place_of_our_files_are_not_followed(stock: Stock) -> None:
    """If the lock is a link or a hard link of a user's file, a publication is refused, and the file is unchanged."""
    victim = stock.folder / "victim"
    victim.write_text("precious", encoding="utf-8")
    stock.publish()
    for plant in (Path.symlink_to, Path.hardlink_to):
        (stock.dataset / ".lock").unlink()
        plant(stock.dataset / ".lock", victim)
        with pytest.raises(OutputError, match=r"link|second name|no part"):
            stock.publish()
        assert victim.read_text(encoding="utf-8") == "precious"


def test_folder_that_everybody_may_write_to_is_refused(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that every user may write to, or that belongs to another user, is refused."""
    stock.publish()
    stock.dataset.chmod(0o777)
    with pytest.raises(OutputError, match="every user of this machine may write to it"):
        stock.publish()
    stock.dataset.chmod(0o700)
    owner = stock.dataset.stat()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    monkeypatch.setattr(os, "getegid", lambda: owner.st_gid + 1)
    monkeypatch.setattr(os, "getgroups", lambda: [owner.st_gid + 2])
    with pytest.raises(OutputError, match="belongs to user"):
        stock.publish()


def test_manifest_names_the_warehouse(stock: Stock, tmp_path: Path) -> None:
    """Another warehouse is refused, even if it has a run with the same ID."""
    stock.publish()
    (tmp_path / "other").mkdir()
    other = Stock(tmp_path / "other", rows_of_a_region=2).fill()
    # In tests, new warehouses are copies of one file, and share its ID.
    other.run_sql("UPDATE warehouse_identity SET warehouse_id = uuid()")
    with pytest.raises(OutputError, match="from another warehouse"):
        other.publish(to=str(stock.dataset))
    assert manifest(stock.dataset)["warehouse_id"]
