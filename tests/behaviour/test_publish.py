"""A dataset in a folder: what readers find, what is written, and what is refused."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from image_history.config import Publish
from image_history.errors import ConfigError, ConnectorError, OutputError
from image_history.publish.dataset import Dataset
from image_history.publish.stage import publish_one, require_ready
from image_history.schema import IMAGE_VERSIONS, arrow_schema
from image_history.simulator import generate
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.beside import Beside
from tests.behaviour.checking import MakeBench
from tests.behaviour.checking import bench as bench  # noqa: PLC0414 - a fixture
from tests.behaviour.publishing import CUT, READERS, Stock, by_glob, by_manifest, manifest, parts, plain

pytestmark = pytest.mark.duckdb

DOCUMENT = Path(__file__).parents[2] / "docs" / "datasets.md"
NO_GRACE = timedelta(0)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """A warehouse of three regions after its first run, to be copied."""
    return Stock(tmp_path_factory.mktemp("filled")).fill()


@pytest.fixture
def stock(filled: Stock, tmp_path: Path) -> Stock:
    """A warehouse of three regions after its first run."""
    shutil.copy(filled.warehouse, tmp_path)
    return replace(filled, folder=tmp_path)


def snapshots(stock: Stock) -> list[str]:
    """The publications that are still on disk, the oldest first."""
    return sorted(path.name for path in (stock.dataset / "snapshots").iterdir())


@pytest.mark.parametrize("reader", sorted(READERS))
def test_dataset_is_read_by_plain_tools(stock: Stock, reader: str) -> None:
    """DuckDB by path and by manifest, pandas and pyarrow find every row of the warehouse, with its region."""
    done = stock.publish()
    assert (done.rows, done.files, done.written) == (120, 3, 3)
    assert plain(READERS[reader](stock.dataset)).cast(stock.stored().schema).equals(stock.stored())


def test_dataset_lies_by_table_and_region(stock: Stock) -> None:
    """A table has one file for each region; a table without regions is one file; only the owner may read them."""
    stock.publish("image_versions", "runs")
    assert [path.rsplit("/", 1)[0] for path in parts(stock.dataset)] == [
        "image_versions/region=eu-west-1",
        "image_versions/region=us-east-1",
        "image_versions/region=us-west-2",
        "runs",
    ]
    assert plain(by_glob(stock.dataset, "runs")).equals(stock.stored("runs"))
    for path in stock.dataset.rglob("*"):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_manifest_says_what_there_is(stock: Stock) -> None:
    """The manifest has the run, the files with rows, bytes, hash and region, and the columns with their meaning."""
    run_id = stock.change()
    stock.publish()
    found = manifest(stock.dataset)
    assert (found["format"], found["version"], found["etl_run_id"]) == ("image-history-dataset", 1, run_id)
    assert found["data_as_of"] == "2026-11-23T12:02:00.000Z"
    for file in found["files"]:
        path = stock.dataset / file["path"]
        assert pq.read_metadata(path).num_rows == file["rows"] == 40
        assert path.stat().st_size == file["bytes"]
        assert parts(stock.dataset)[file["path"].split("/", 2)[2]] == file["sha256"]
        assert f"region={file['region']}" in file["path"]
    (table,) = found["tables"]
    assert (table["rows"], table["partitioned_by"]) == (120, ["region"])
    assert [column["name"] for column in table["columns"]] == arrow_schema(IMAGE_VERSIONS).names
    assert table["columns"][0]["comment"] == IMAGE_VERSIONS.column("account_id").meaning


def test_file_has_types_comments_and_the_order_of_the_key(stock: Stock) -> None:
    """A file has the schema's types and comments, zstd compression, and rows sorted by account, image and version."""
    stock.publish()
    path = next(path for path in (stock.dataset / "image_versions").rglob("*.parquet"))
    schema, expected = pq.read_schema(path), arrow_schema(IMAGE_VERSIONS)
    assert "region" not in schema.names
    for field in schema:
        assert field.type == expected.field(field.name).type
        assert field.metadata[b"comment"] == expected.field(field.name).metadata[b"comment"]
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"
    rows = pq.read_table(path, partitioning=None).to_pylist()
    keys = [(row["account_id"], row["image_name"], row["version"]) for row in rows]
    assert keys == sorted(keys)


def test_equal_data_gives_equal_bytes(stock: Stock, tmp_path: Path) -> None:
    """Equal rows give equal bytes, whatever their order in the warehouse, and wherever they are published."""
    stock.publish()
    stock.run_sql("CREATE TABLE shuffled AS FROM image_versions ORDER BY hash(version, image_name)")
    stock.run_sql("DELETE FROM image_versions")
    stock.run_sql("INSERT INTO image_versions FROM shuffled")
    stock.publish(to=str(tmp_path / "other"))
    assert parts(tmp_path / "other") == parts(stock.dataset)


def test_change_in_one_region_writes_one_partition(stock: Stock) -> None:
    """A change in one region writes one file; the other partitions are the same files as before, under new paths."""
    stock.publish()
    before = {
        path.name: path.stat().st_ino for path in (stock.dataset / "current").resolve().rglob("*.parquet")
    }
    run_id = stock.change("us-east-1")
    done = stock.publish()
    after = {
        path.name: path.stat().st_ino for path in (stock.dataset / "current").resolve().rglob("*.parquet")
    }
    assert (done.files, done.written) == (3, 1)
    assert len(before.items() & after.items()) == 2
    assert done.written_bytes < sum(file["bytes"] for file in manifest(stock.dataset)["files"])
    changed = {row["region"] for row in by_glob(stock.dataset).to_pylist() if row["failure_reason"] == run_id}
    assert changed == {"us-east-1"}


def test_publication_without_a_new_run_touches_nothing(stock: Stock) -> None:
    """A publication without a new run changes no file and no folder."""
    stock.publish()
    before = {path: path.lstat().st_mtime_ns for path in stock.dataset.rglob("*")}
    assert stock.publish().written == 0
    assert {path: path.lstat().st_mtime_ns for path in stock.dataset.rglob("*")} == before


def test_quiet_run_renews_the_manifest_only(stock: Stock) -> None:
    """A run without changes writes a manifest with its ID, and no other file."""
    stock.publish()
    before = parts(stock.dataset)
    run_id = stock.change()
    assert stock.publish().written == 0
    assert parts(stock.dataset) == before
    assert manifest(stock.dataset)["etl_run_id"] == run_id


def test_changed_schema_writes_all_partitions(stock: Stock) -> None:
    """A new column is written to every file of its table, even if no row of it changed."""
    stock.publish("image_versions", "runs")
    stock.run_sql("ALTER TABLE image_versions ADD COLUMN of_next_year VARCHAR")
    stock.change()
    assert stock.publish("image_versions", "runs").written == 4
    assert "of_next_year" in by_glob(stock.dataset).column_names
    assert plain(by_glob(stock.dataset)).equals(stock.stored())


def test_region_that_vanishes_is_gone(stock: Stock) -> None:
    """A region that the warehouse no longer has is in no file that readers find."""
    stock.publish()
    stock.run_sql("DELETE FROM image_versions WHERE region = 'eu-west-1'")
    stock.change()
    assert stock.publish().written == 0
    assert plain(by_glob(stock.dataset)).equals(stock.stored())


def test_table_without_rows_can_be_read(stock: Stock) -> None:
    """A table without rows is one file with all columns; it is partitioned once it has rows."""
    stock.publish("images", "image_version_events")
    for reader in READERS.values():
        empty = reader(stock.dataset, "images")
        assert (empty.num_rows, "region" in empty.column_names) == (0, True)
    stock.run_sql(
        "INSERT INTO images BY NAME SELECT account_id, region, image_name, image_arn, 'CREATED' AS image_status, "
        "creation_time, last_modified_time, etl_first_seen_at, etl_changed_at, etl_run_id "
        "FROM image_versions WHERE version = 1"
    )
    stock.change()
    stock.publish("images", "image_version_events")
    assert plain(by_glob(stock.dataset, "images")).equals(stock.stored("images"))


def test_views_and_rows_without_a_region_are_published(stock: Stock) -> None:
    """A view is partitioned like a table, and null is a region of its own."""
    stock.run_sql(
        "CREATE VIEW of_a_test AS "
        "SELECT account_id, nullif(region, 'eu-west-1') AS region, version FROM image_versions"
    )
    stock.change()
    stock.publish("of_a_test")
    assert plain(by_glob(stock.dataset, "of_a_test")).equals(stock.stored("of_a_test"))
    assert plain(READERS["pyarrow"](stock.dataset, "of_a_test")).equals(stock.stored("of_a_test"))


def test_dropped_table_leaves_no_name_behind(stock: Stock) -> None:
    """A dataset has only the tables of its last publication."""
    stock.publish("image_versions", "runs")
    stock.publish("runs", "coverage")
    names = {path.name for path in stock.dataset.iterdir()}
    assert names == {
        ".image-history-dataset",
        ".lock",
        "current",
        "snapshots",
        "manifest.json",
        "runs",
        "coverage",
    }


def test_replaced_files_stay_for_the_grace_period(stock: Stock) -> None:
    """Replaced files stay for the grace period, so that readers can finish; then a publication deletes them."""
    stock.publish()
    old = Dataset.at(stock.dataset).files("image_versions")
    stock.change("us-east-1")
    stock.publish()
    stock.change("us-east-1")
    stock.publish()
    assert len(snapshots(stock)) == 3
    assert all(Path(path).exists() for path in old)
    assert len(manifest(stock.dataset)["superseded"]) == 2
    stock.change("us-east-1")
    stock.publish(grace=NO_GRACE)
    assert len(snapshots(stock)) == 1
    assert not any(Path(path).exists() for path in old)
    assert plain(by_glob(stock.dataset)).equals(stock.stored())


def test_what_a_cut_publication_left_is_removed(stock: Stock) -> None:
    """What a publication that was cut short left behind is deleted at once, since no reader knows it."""
    stock.publish()
    (stock.dataset / "snapshots" / CUT / "image_versions").mkdir(parents=True)
    (stock.dataset / ".current.next").symlink_to(f"snapshots/{CUT}")
    stock.change("us-east-1")
    stock.publish()
    assert len(snapshots(stock)) == 2
    assert not (stock.dataset / ".current.next").is_symlink()


def test_file_that_is_missing_or_cut_is_written_again(stock: Stock) -> None:
    """A missing or damaged file is written again, even without a new run."""
    stock.publish()
    first, second, _ = sorted((stock.dataset / "image_versions").rglob("*.parquet"))
    first.unlink()
    second.write_bytes(b"cut")
    stock.publish()
    assert plain(by_glob(stock.dataset)).equals(stock.stored())


def test_readers_beside_publications_see_whole_runs(stock: Stock) -> None:
    """While publications replace the dataset, no reader fails or sees rows of two runs; 200 times in `make soak`."""
    figures = Beside(stock).run(2)
    assert figures.clean, str(figures)


def test_places_without_hard_links_get_copies(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links, unchanged files are copied instead."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    stock.publish()
    stock.change("us-east-1")
    monkeypatch.setattr(os, "link", refuse)
    assert stock.publish(grace=NO_GRACE).written == 1
    assert plain(by_glob(stock.dataset)).equals(stock.stored())


def test_another_warehouse_is_refused_until_it_may_take_over(stock: Stock, tmp_path: Path) -> None:
    """Another warehouse is refused without --replace; with it, equal files are kept, and the first one is refused."""
    stock.publish()
    before = parts(stock.dataset)
    (tmp_path / "other").mkdir()
    other = Stock(tmp_path / "other", name="other").fill()
    to = str(stock.dataset)
    with pytest.raises(OutputError, match=r"published from another warehouse.*run-1"):
        other.publish(to=to)
    assert parts(stock.dataset) == before
    done = other.publish(to=to, replace=True)
    assert (done.written, parts(stock.dataset) == before) == (0, True)
    with pytest.raises(OutputError, match="--replace"):
        stock.publish()


def test_older_copy_of_a_warehouse_is_refused(stock: Stock, tmp_path: Path) -> None:
    """An older copy of the warehouse is refused, so that it does not replace newer data."""
    (tmp_path / "backup").mkdir()
    shutil.copy(stock.warehouse, tmp_path / "backup")
    stock.change("us-east-1")
    stock.publish()
    with pytest.raises(OutputError, match="newer copy of this one"):
        Stock(tmp_path / "backup").publish(to=str(stock.dataset))


def test_second_publisher_is_refused(stock: Stock) -> None:
    """While another process publishes to the dataset, a publication is refused and changes nothing."""
    stock.publish()
    stock.change("us-east-1")
    before = parts(stock.dataset)
    with (stock.dataset / ".lock").open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="Another process publishes to"):
            stock.publish()
    assert parts(stock.dataset) == before
    assert stock.publish().written == 1


def test_warehouse_without_a_run_publishes_nothing(stock: Stock) -> None:
    """A warehouse without a run is refused, so that no empty dataset is created by mistake."""
    stock.run_sql("DELETE FROM runs")
    with pytest.raises(OutputError, match="run image-history sync first"):
        stock.publish()


def places(folder: Path) -> dict[str, tuple[Path, str]]:
    """Paths where no dataset can be, and the reasons."""
    (folder / "full").mkdir()
    (folder / "full" / "thesis.doc").touch()
    (folder / "file").touch()
    (folder / "damaged" / "snapshots" / CUT).mkdir(parents=True)
    (folder / "damaged" / "snapshots" / CUT / "manifest.json").write_text("{")
    (folder / "damaged" / "manifest.json").symlink_to("current/manifest.json")
    (folder / "damaged" / "current").symlink_to(f"snapshots/{CUT}")
    return {
        "other-files": (folder / "full", "holds 'thesis.doc', which is no part of a dataset"),
        "a-file": (folder / "file", "it is no folder"),
        "below-nothing": (folder / "none" / "dataset", "there is no folder"),
        "damaged": (folder / "damaged", "no manifest of a dataset"),
    }


@pytest.mark.parametrize("place", ["other-files", "a-file", "below-nothing", "damaged"])
def test_wrong_place_is_refused(stock: Stock, tmp_path: Path, place: str) -> None:
    """A wrong path is refused with the reason, and nothing in it changes."""
    path, reason = places(tmp_path)[place]
    before = sorted(path.rglob("*"))
    with pytest.raises(OutputError, match=reason):
        stock.publish(to=str(path))
    assert [each for each in sorted(path.rglob("*")) if each.name != ".lock"] == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"version": 2}, "newer image-history", id="newer"),
        pytest.param({"format": "delta"}, "another program's", id="foreign"),
        pytest.param({"superseded": [{"path": "../..", "at_ms": 0}]}, r"it names '../\.\.'", id="outside"),
        pytest.param({"publication": "/etc"}, "it names '/etc'", id="absolute"),
    ],
)
def test_manifest_that_is_not_ours_is_refused(stock: Stock, change: dict[str, object], reason: str) -> None:
    """A manifest of a newer version, of another program, or with paths outside is refused and not replaced."""
    stock.publish()
    path = (stock.dataset / "manifest.json").resolve()
    path.write_text(json.dumps(manifest(stock.dataset) | change))
    stock.change("us-east-1")
    with pytest.raises(OutputError, match=reason):
        stock.publish()
    assert snapshots(stock) == [path.parent.name]


def test_unknown_table_is_named(stock: Stock) -> None:
    """For an unknown table, the error suggests the nearest name, and no publication is added."""
    stock.publish()
    before = snapshots(stock)
    stock.change("us-east-1")
    with pytest.raises(ConfigError, match="no table or view 'image_version'; did you mean image_versions"):
        stock.publish("image_versions", "image_version")
    assert snapshots(stock) == before


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_disk_that_refuses_leaves_the_dataset(
    stock: Stock, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """If the disk refuses to write, the error says why, the dataset stays, and no partial publication is left."""
    stock.publish()
    before = parts(stock.dataset)
    stock.change("us-east-1")

    def refuse(_: int) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(ConnectorError, match=os.strerror(error)):
            stock.publish()
    assert (parts(stock.dataset), len(snapshots(stock))) == (before, 1)
    assert stock.publish().written == 1


def test_dataset_helper_lists_the_files_of_one_publication(stock: Stock) -> None:
    """A Dataset keeps the files of the publication that was current when the object was created."""
    with pytest.raises(OutputError, match="There is no dataset at"):
        Dataset.at(stock.dataset)
    stock.publish()
    found = Dataset.at(stock.dataset)
    stock.change("us-east-1")
    stock.publish()
    assert pq.read_table(found.files("image_versions"), partitioning="hive").num_rows == 120
    assert (
        len(set(found.files("image_versions")) & set(Dataset.at(stock.dataset).files("image_versions"))) == 0
    )
    with pytest.raises(ConfigError, match="has no table images; it has image_versions"):
        found.files("images")
    assert by_manifest(stock.dataset).num_rows == 120


def test_part_is_read_by_old_readers_and_names_its_region(stock: Stock) -> None:
    """Data pages have version 1, and the metadata of a file names its region for readers that ignore folder names."""
    stock.publish("image_versions", "image_version_events", "runs")
    for path in stock.dataset.resolve().glob("snapshots/*/image_versions/*/*.parquet"):
        metadata = pq.read_metadata(path)
        assert "region" not in pq.ParquetFile(path).read().column_names
        assert metadata.metadata[b"region"].decode() == path.parent.name.removeprefix("region=")
        content = path.read_bytes()
        for number in range(metadata.num_columns):
            # A page's header begins with its type: 0 is a data page of version 1, 3 one of version 2.
            start = metadata.row_group(0).column(number).data_page_offset
            assert content[start : start + 2] == b"\x15\x00"
    (whole,) = stock.dataset.resolve().glob("snapshots/*/runs/*.parquet")
    assert b"region" not in pq.read_metadata(whole).metadata


def test_copy_of_what_current_leads_to_is_the_dataset(stock: Stock, tmp_path: Path) -> None:
    """The copy command in docs/datasets.md copies each file once; a copy of the root has every file three times."""
    stock.publish()
    copying = re.findall(r"^    (cp -rL .*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(copying) == 1
    subprocess.run(shlex.split(copying[0]), cwd=stock.folder, check=True)
    copied = [path for path in (stock.folder / "copy").rglob("*") if path.is_file()]
    assert not any(path.is_symlink() for path in (stock.folder / "copy").rglob("*"))
    names = {path.relative_to(stock.dataset / "current") for path in (stock.dataset / "current").rglob("*.*")}
    assert {path.relative_to(stock.folder / "copy") for path in copied} == names
    read = ds.dataset(stock.folder / "copy" / "image_versions", partitioning="hive").to_table()
    assert plain(read).equals(stock.stored())
    tripled = tmp_path / "tripled"
    subprocess.run(shlex.split(f"cp -rL {stock.dataset} {tripled}"), check=True)
    assert len(list(tripled.rglob("*.parquet"))) == 3 * len(list((stock.folder / "copy").rglob("*.parquet")))


def test_group_may_read_what_is_published(stock: Stock) -> None:
    """With a group, files have mode 0640 and folders 0750 and belong to the group, in the next publication, too."""
    group = 4_242 if os.geteuid() == 0 else os.getegid()
    for _ in range(2):
        stock.publish(group=str(group))
        top = stock.dataset.resolve()
        shown = [top, top / "snapshots", *(top / "current").resolve().rglob("*"), (top / "current").resolve()]
        assert {path.stat().st_gid for path in shown} == {group}
        assert {stat.S_IMODE(path.stat().st_mode) for path in shown if path.is_file()} == {0o640}
        assert {stat.S_IMODE(path.stat().st_mode) for path in shown if path.is_dir()} == {0o750}
        stock.change("us-east-1")


def test_dataset_is_private_unless_a_group_is_named(stock: Stock) -> None:
    """Without a group, only the owner may read the dataset."""
    stock.publish()
    assert all(
        path.lstat().st_mode & 0o077 == 0 for path in stock.dataset.rglob("*") if not path.is_symlink()
    )


@pytest.mark.parametrize(
    ("group", "sentence"),
    [
        pytest.param("no-such-group", "There is no group 'no-such-group' on this machine", id="unknown"),
        pytest.param("4242", "This user is not in the group '4242'", id="not-ours"),
    ],
)
def test_group_that_cannot_be_is_refused(
    stock: Stock, bench: MakeBench, monkeypatch: pytest.MonkeyPatch, group: str, sentence: str
) -> None:
    """A group that does not exist, or that the user is not in, is refused by publish and check; nothing is made."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    entry = Publish(to=str(stock.dataset), tables=("image_versions",), group=group)
    with pytest.raises(OutputError, match=sentence):
        require_ready(entry, WarehouseFile(stock.warehouse))
    with pytest.raises(OutputError, match=sentence):
        publish_one(stock.config, entry)
    world = generate(23, images=1, versions_per_image=2)
    desk = bench(world, config=f"publish: [{{to: {stock.dataset}, group: '{group}'}}]\n")
    code, troubles = desk.troubles()
    assert (code, [row["check"] for row in troubles]) == (4, ["publish"])
    assert sentence in troubles[0]["message"]
    assert not stock.dataset.exists()
