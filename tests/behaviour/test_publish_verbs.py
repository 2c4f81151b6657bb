"""Datasets on the command line: with `sync`, with `publish`, and with `export`."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import msgspec
import pandas as pd
import pytest

from image_history import Dataset
from image_history.cli import run
from image_history.cli.reports import document
from image_history.cli.sync import exit_code
from image_history.config import Publish
from image_history.errors import ConfigError, InterruptedRunError
from image_history.model import Stop
from image_history.publish.manifest import Column, DataFile, Manifest, Superseded, Table
from image_history.publish.stage import publish_all
from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld
from tests.behaviour.publishing import Stock, by_glob, parts, plain

DATASETS = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """A warehouse after its first run, to be copied."""
    return Stock(tmp_path_factory.mktemp("filled")).fill()


@pytest.fixture
def stock(filled: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stock:
    """A warehouse in the working directory."""
    shutil.copy(filled.warehouse, tmp_path)
    monkeypatch.chdir(tmp_path)
    return replace(filled, folder=tmp_path)


def test_sync_publishes_and_makes_up_for_what_failed(served: ServeWorld, tmp_path: Path) -> None:
    """If a publication fails, the load stays and the exit code is 4; the next sync publishes what is missing."""
    site = served(
        generate(3, images=3, versions_per_image=4, clock=VirtualClock(frozen_at=1_790_000_000_000))
    )
    to = tmp_path / "published" / "dataset"
    entry = Publish(to=str(to), tables=("image_versions", "runs"))
    report = site.sync(publish=(entry,))
    (failed,) = report.publications
    assert failed.error is not None
    assert "there is no folder" in failed.error
    assert exit_code(report) == 4
    assert document(report)["publications"][0]["error"] == failed.error
    site.assert_true()
    to.parent.mkdir()
    report = site.sync(publish=(entry,))
    (done,) = report.publications
    assert (done.error, done.files, exit_code(report)) == (None, 2, 0)
    assert by_glob(to).num_rows == len(site.stored())
    site.world.create_version(site.world.truth()[0].image_name)
    site.sync(publish=(entry,))
    assert by_glob(to).num_rows == len(site.stored())


def test_interrupted_publication_leaves_the_dataset(stock: Stock) -> None:
    """A stop signal ends a publication, and the dataset stays as it was."""
    stock.publish()
    before = parts(stock.dataset)
    stock.change("us-east-1")
    stop = Stop()
    stop.request(15)
    config = msgspec.structs.replace(
        stock.config, publish=(Publish(to=str(stock.dataset), tables=("image_versions",)),)
    )
    with pytest.raises(InterruptedRunError):
        publish_all(config, stop=stop)
    assert parts(stock.dataset) == before


def test_publish_says_what_became_of_each_dataset(stock: Stock, capfd: pytest.CaptureFixture[str]) -> None:
    """`publish` prints a line for each dataset; if one fails, the others are published, and the exit code is 4."""
    Path("config.yaml").write_text(
        "publish: [{to: dataset, tables: [image_versions]}, {to: none/dataset, tables: [runs]}]"
    )
    assert run(["publish"]) == 4
    first, second = capfd.readouterr().out.splitlines()
    size = sum(path.stat().st_size for path in (stock.dataset / "image_versions").rglob("*.parquet"))
    assert first == f"Published the dataset dataset: 120 rows in 3 files, 3 new ({size:,} bytes)"
    assert second.startswith("not published: Cannot publish to 'none/dataset': there is no folder")
    Path("none").mkdir()
    stock.change()
    assert run(["publish"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == (
        "Published the dataset dataset: 120 rows in 3 files, nothing new"
    )


def test_publish_without_a_dataset_says_how(stock: Stock, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a configured dataset, `publish` exits with 2 and says what to add."""
    assert run(["publish"]) == 2
    assert "add an entry under publish" in capfd.readouterr().err


def test_analyst_publishes_and_reads(stock: Stock, capfd: pytest.CaptureFixture[str]) -> None:
    """The example of docs/datasets.md: export to a folder, then read its path with plain DuckDB and pandas."""
    assert run(["export", "--dataset", "dataset", "image_versions", "runs"]) == 0
    assert capfd.readouterr().out.startswith("Published the dataset dataset: 121 rows in 4 files, 4 new")
    counted = duckdb.execute(
        "SELECT region, count(*) FROM read_parquet('dataset/image_versions/**/*.parquet', hive_partitioning = true) "
        "GROUP BY region ORDER BY region"
    ).fetchall()
    assert counted == [("eu-west-1", 40), ("us-east-1", 40), ("us-west-2", 40)]
    frame = pd.read_parquet("dataset/image_versions")
    assert frame.groupby("region", observed=True).size().to_dict() == dict(counted)
    assert plain(by_glob(Path("dataset"))).equals(stock.stored())


def test_sql_of_the_documentation_runs(stock: Stock, capfd: pytest.CaptureFixture[str]) -> None:
    """Each SQL block of docs/datasets.md works as it stands, in a plain DuckDB beside the folder `dataset`."""
    assert run(["export", "--dataset", "dataset"]) == 0
    counted, listed = re.findall(r"```sql\n(.*?)```", DATASETS.read_text(encoding="utf-8"), re.DOTALL)
    with duckdb.connect() as connection:
        assert sorted(connection.execute(counted).fetchall()) == [(region, 40) for region in stock.regions]
        assert connection.sql(listed.rstrip().rstrip(";")).to_arrow_table().num_rows == 120


def test_dataset_helper_names_the_folder_below_which_a_table_lies(stock: Stock) -> None:
    """`Dataset.folder` is a table's folder in the publication, partitioned or not; Spark needs it as a base path."""
    stock.publish("image_versions", "runs")
    found = Dataset.at(stock.dataset)
    for table in ("image_versions", "runs"):
        assert Path(found.folder(table)) == (stock.dataset / table).resolve()
    with pytest.raises(ConfigError, match="has no table images"):
        found.folder("images")


def test_manifest_has_the_members_of_the_documentation(
    stock: Stock, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each member that the manifest can have is explained in docs/datasets.md."""
    text = DATASETS.read_text(encoding="utf-8").partition("## Manifest")[2]
    named = set(re.findall(r"`(\w+)(?:\[\])?`", text))
    members = {
        name for kind in (Manifest, Table, Column, DataFile, Superseded) for name in kind.__struct_fields__
    }
    assert members - named == set()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param([], "--output FILE for one file, or --dataset FOLDER", id="nowhere"),
        pytest.param(["--dataset", "d", "--output", "x.csv"], "Say where to", id="both"),
        pytest.param(["--dataset", "d", "SELECT 1"], "'SELECT 1' is the name of none", id="query"),
        pytest.param(["--dataset", "d", "--format", "csv"], "A dataset is Parquet", id="format"),
        pytest.param(["--dataset", "gs://b/d"], "gs:// is no place to write to", id="scheme"),
        pytest.param(["--dataset", "s3://B/d"], "'s3://B/d' is no address in S3", id="bucket"),
        pytest.param(["--dataset", "s3:/b/d"], "'s3:/b/d' is no address in S3", id="slashes"),
        pytest.param(["--dataset", "."], "which is no part of a dataset", id="other-files"),
        pytest.param(["--output", "x.csv", "runs", "images"], "several tables make a dataset", id="two"),
        pytest.param(["--output", "x.csv", "--replace"], "--replace is for --dataset", id="replace"),
        pytest.param(["--output", "s3://bucket"], "names a bucket; add the name", id="no-key"),
    ],
)
def test_export_refuses_in_one_sentence(
    stock: Stock, capfd: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """A wrong `export` exits with 2 and one sentence, and creates nothing."""
    assert run(["export", *arguments]) == 2
    error = capfd.readouterr().err
    assert sentence in error.splitlines()[-1]
    assert {path.name for path in stock.folder.iterdir()} - {".lock"} == {"image-history.duckdb"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("publish: [{tables: [runs]}]", "publish[0] has no 'to'", id="no-place"),
        pytest.param("publish: [{to: a}, {to: a/}]", "have the same 'to'", id="twice"),
        pytest.param("publish: [{to: 'gs://b/c'}]", "not gs://", id="scheme"),
        pytest.param("publish: [{to: a, profile: p}]", "publish[0].profile is for S3", id="profile"),
        pytest.param("publish: [{to: a, tables: []}]", "is an empty list", id="no-table"),
        pytest.param("publish: [{to: a, tables: [a b]}]", "the name of a table or view", id="table"),
        pytest.param("publish: a", "publish must be a list", id="no-list"),
    ],
)
def test_setting_publish_is_checked(
    stock: Stock, capfd: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    """A mistake in the setting `publish` exits with 2 and is named with its file."""
    Path("config.yaml").write_text(text)
    assert run(["publish"]) == 2
    error = capfd.readouterr().err
    assert "config.yaml" in error
    assert sentence in error
