"""Lake tables in AWS: Glue and S3 of moto over HTTP, with the configuration and the code of docs/tables.md."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyiceberg.utils.config import Config as PyicebergConfig

from image_history.checking.lakes import look_at_lakes
from image_history.checking.needed import policy_of_publisher
from image_history.checking.results import Level, Result
from image_history.cli import run
from image_history.config import Config, Publish, load_config
from image_history.model import Publication
from image_history.publish.lake import OUR_FILES
from image_history.publish.lakes import publish_lake
from tests.behaviour.cloud import Cloud
from tests.behaviour.lakes import KINDS, Shelf, alike, assert_same, at_commit, learn
from tests.behaviour.publishing import REGIONS, Stock

pytestmark = pytest.mark.duckdb

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
TABLES = ("image_versions", "image_version_events")


@pytest.fixture
def aws(moto: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An account with an empty bucket `bucket`."""
    moto.reset()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "simulated-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto.url,
        # For readers: Arrow's S3 ignores the variable above, and Delta's needs permission for HTTP.
        "PYICEBERG_CATALOG__GLUE__S3__ENDPOINT": moto.url,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    # Replaces what pyiceberg read from the environment when it was imported.
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", PyicebergConfig())
    moto.client("s3").create_bucket(Bucket="bucket")
    yield moto
    moto.reset()


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path).fill()


def entries(folder: Path) -> tuple[Publish, Publish]:
    """The two entries of `publish` in docs/tables.md."""
    shown = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    path = folder / "config.yaml"
    path.write_text(shown, encoding="utf-8")
    iceberg, delta = load_config(path, {}).publish
    return iceberg, delta


def shelf_of(kind: str, folder: Path, aws: Cloud) -> Shelf:
    """The lake of the page's entry of this kind, as readers open it."""
    iceberg, delta = entries(folder)
    if kind == "iceberg":
        return Shelf(kind, folder, tuple((iceberg.properties or {}).items()), str(iceberg.to))
    store = {"AWS_ENDPOINT_URL": aws.url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    return Shelf(kind, folder, tuple(store.items()), str(delta.to))


def publish(kind: str, stock: Stock) -> tuple[Publication, ...]:
    """Publish the growing tables with the page's entry of this kind."""
    entry = entries(stock.folder)[KINDS.index(kind)]
    wanted = Publish(to=entry.to, properties=entry.properties, tables=TABLES)
    return publish_lake(stock.config, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_tables_in_aws_equal_the_warehouse(kind: str, aws: Cloud, stock: Stock) -> None:
    """After a first publication, changes, a new column and a stale publisher, readers find the warehouse's rows."""
    shelf = shelf_of(kind, stock.folder, aws)
    assert [done.error for done in publish(kind, stock)] == [None, None]
    assert_same(shelf, stock, *TABLES)
    stock.run_sql("ALTER TABLE image_versions ADD COLUMN note VARCHAR DEFAULT 'noted'")
    learn(stock, "us-east-1")
    assert [done.error for done in publish(kind, stock)] == [None, None]
    assert_same(shelf, stock, *TABLES)
    learn(stock, "us-west-2", versions=1)
    (stock.folder / "twin").mkdir()
    twin = Stock(stock.folder / "twin")
    twin.warehouse.write_bytes(stock.warehouse.read_bytes())
    lost = at_commit(lambda: publish(kind, twin), lambda: publish(kind, stock)[0])
    assert (lost.error, lost.written) == (None, 0)
    assert_same(shelf, stock, *TABLES)


@pytest.mark.parametrize("kind", KINDS)
def test_publication_without_news_asks_little_and_writes_nothing(kind: str, aws: Cloud, stock: Stock) -> None:
    """Without news the catalog gets at most two requests a table, and no object changes."""
    publish(kind, stock)
    stock.change()
    before, keys = Counter(aws.asked()), objects(aws)
    quiet = publish(kind, stock)
    asked = Counter(aws.asked()) - before
    assert [(done.written, done.error) for done in quiet] == [(0, None), (0, None)]
    assert objects(aws) == keys
    assert asked["GetTable"] <= 2 * len(TABLES)
    assert not asked["UpdateTable"]
    assert not asked["CreateTable"]


@pytest.mark.parametrize("kind", KINDS)
def test_new_file_is_put_and_not_read_again(kind: str, aws: Cloud, stock: Stock) -> None:
    """A new file is an upload of one part and is not read again; Iceberg's FileIO checks twice whether it exists."""
    before = Counter(aws.asked())
    publish(kind, stock)
    asked = Counter(aws.asked()) - before
    files = [count for path, count in asked.items() if OUR_FILES in path]
    assert files == [5 if kind == "iceberg" else 3] * len(REGIONS)


def objects(aws: Cloud) -> dict[str, str]:
    """Every object of the bucket with its ETag."""
    answer = aws.client("s3").list_objects_v2(Bucket="bucket")
    return {each["Key"]: each["ETag"] for each in answer.get("Contents", [])}


def test_code_of_the_page_reads_the_tables(aws: Cloud, stock: Stock) -> None:
    """The page's code for readers, word for word, returns the tables, and an earlier run by its commit."""
    publish("iceberg", stock)
    publish("delta", stock)
    then = stock.stored()
    run_id = f"{stock.name}-{stock.runs}"
    learn(stock, "us-east-1")
    publish("iceberg", stock)
    publish("delta", stock)
    over_arrow, delta, travel = re.findall(
        r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(over_arrow.replace("\nduckdb.sql", "\nanswer = duckdb.sql"), names)  # noqa: S102 - the page's own code
    assert sorted(names["answer"].fetchall()) == [("eu-west-1", 40), ("us-east-1", 40), ("us-west-2", 40)]
    exec(delta, names)  # noqa: S102 - as above
    assert alike(pa.table(names["versions"].to_table()), stock.stored())
    shown = re.findall(r'found\["(.*?)"\]', travel)[0]
    code = travel.replace(shown, run_id).replace("\ntable.scan", "\nearlier = table.scan")
    exec(code, names)  # noqa: S102 - as above
    assert alike(names["earlier"], then)
    assert not alike(names["earlier"], stock.stored())


def looked(stock: Stock, *entries: Publish) -> list[Result]:
    """The results of `check` for lakes."""
    return list(look_at_lakes(Config(warehouse=stock.warehouse, publish=entries)))


@pytest.mark.parametrize("kind", KINDS)
def test_check_says_that_a_lake_can_be_committed_to(kind: str, aws: Cloud, stock: Stock) -> None:
    """`check` counts the tables that exist and names the extra's version; it makes no object."""
    entry = entries(stock.folder)[KINDS.index(kind)]
    package = "pyiceberg" if kind == "iceberg" else "deltalake"
    [before] = looked(stock, entry)
    assert before.level is Level.OK
    assert before.message == f"answers; 0 of 3 tables are there ({package} {version(package)})"
    assert objects(aws) == {}
    publish(kind, stock)
    kept = objects(aws)
    [after] = looked(stock, entry)
    assert after.message == f"answers; 2 of 3 tables are there ({package} {version(package)})"
    assert objects(aws) == kept


@pytest.mark.parametrize("kind", KINDS)
def test_check_says_what_keeps_a_lake_from_being_committed_to(
    kind: str, aws: Cloud, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` fails with exit code 4 for a missing bucket, missing credentials or a missing extra, with a remedy."""
    entry = entries(stock.folder)[KINDS.index(kind)]
    aws.client("s3").delete_bucket(Bucket="bucket")
    [refused] = looked(stock, entry)
    assert (refused.level, refused.exit_code) == (Level.FAILED, 4)
    assert "bucket" in refused.message.lower()
    assert refused.fix is not None
    assert "--emit-policy=publisher" in refused.fix
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    [unknown] = looked(stock, entry)
    assert (unknown.level, unknown.exit_code) == (Level.FAILED, 4)
    assert "no AWS credentials" in unknown.message
    assert unknown.fix == refused.fix
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    [missing] = looked(stock, entry)
    assert (missing.level, missing.exit_code) == (Level.FAILED, 4)
    assert missing.fix is not None
    assert f"pip install 'sagemaker-image-history[{kind}]'" in missing.fix


@pytest.mark.parametrize("kind", KINDS)
def test_check_names_a_table_that_there_is_not(kind: str, aws: Cloud, stock: Stock) -> None:
    """`check` fails with exit code 4 if an entry names a table that does not exist."""
    assert objects(aws) == {}
    entry = msgspec.structs.replace(entries(stock.folder)[KINDS.index(kind)], tables=("image_version",))
    [misspelt] = looked(stock, entry)
    assert (misspelt.level, misspelt.exit_code) == (Level.FAILED, 4)
    assert "no table or view 'image_version'" in misspelt.message


def test_policy_of_the_publisher_reaches_tables_and_files_alone(stock: Stock) -> None:
    """The publisher's policy allows only one database of Glue, and in S3 only what is below the page's addresses."""
    iceberg, delta = entries(stock.folder)
    policy: Any = policy_of_publisher(Config(publish=(iceberg, delta)))
    allowed = {resource for each in policy["Statement"] for resource in each["Resource"]}
    assert {resource for resource in allowed if ":glue:" in resource} == {
        "arn:aws:glue:*:*:catalog",
        "arn:aws:glue:*:*:database/ml_inventory",
        "arn:aws:glue:*:*:table/ml_inventory/*",
    }
    assert {resource for resource in allowed if ":s3:" in resource} == {
        "arn:aws:s3:::bucket",
        "arn:aws:s3:::bucket/images-delta/*",
        "arn:aws:s3:::bucket/lake/*",
    }


SESSIONS = re.findall(r"((?:^    .*\n)+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def measured(text: str) -> str:
    """The printed text without sizes, versions and times."""
    return re.sub(r"[\d,]+ bytes|version \d+|[\d.]+ s\b", "N", text)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("number", range(3), ids=["glue", "delta", "local"])
def test_session_of_the_page_prints_what_it_shows(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the configuration of the page's session, both publications print the lines that the session shows."""
    session = textwrap.dedent([each for each in SESSIONS if "$ cat config.yaml" in each][number])
    _, shown, *publications = re.split(r"^\$ .*\n", session, flags=re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    Stock(tmp_path, rows_of_a_region=400).fill()
    (tmp_path / "config.yaml").write_text(shown.replace("/srv/lake", str(tmp_path)), encoding="utf-8")
    assert len(publications) == 2
    for expected in publications:
        capsys.readouterr()
        assert run(["publish"]) == 0
        assert measured(capsys.readouterr().out) == measured(expected)
