"""Lake tables of a REST catalog with signed requests, like S3 Tables: over HTTP, with moto's S3 for the files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.utils.config import Config as PyicebergConfig

from image_history.checking.lakes import look_at_lakes
from image_history.checking.results import Level
from image_history.config import Config, Publish, load_config
from image_history.model import Publication
from image_history.publish.lakes import publish_lake
from tests.behaviour.cloud import Cloud
from tests.behaviour.lakes import Shelf, assert_same, at_commit, learn
from tests.behaviour.publishing import Stock
from tests.behaviour.rest_catalog import RestCatalog, serving

pytestmark = pytest.mark.duckdb

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
ARN = "arn:aws:s3tables:us-east-1:111122223333:bucket/inventory"
TABLES = ("image_versions", "image_version_events")
KEY, OTHER_KEY = "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"


@pytest.fixture
def catalog(moto: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RestCatalog]:
    """An empty catalog with its tables in moto's bucket `bucket`; keys in a profile and in the environment."""
    moto.reset()
    text = f"[profile lake]\naws_access_key_id={OTHER_KEY}\naws_secret_access_key=x\nregion=us-east-1\n"
    (tmp_path / "aws").write_text(text, encoding="utf-8")
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "aws"),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "simulated-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto.url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", PyicebergConfig())
    moto.client("s3").create_bucket(Bucket="bucket")
    keys = {"s3.endpoint": moto.url, "s3.access-key-id": KEY, "s3.secret-access-key": "simulated-secret"}
    below = SqlCatalog("below", uri=f"sqlite:///{tmp_path}/below.db", warehouse="s3://bucket/tables", **keys)
    with serving(RestCatalog(below, ARN)) as served:
        yield served
    below.close()
    moto.reset()


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with one run."""
    return Stock(tmp_path).fill()


def entry(catalog: RestCatalog, folder: Path, profile: str | None = None) -> Publish:
    """The entry of docs/tables.md, with the address of this catalog."""
    [shown] = re.findall(
        r"```yaml\n(publish:\n  - to: iceberg://s3tables.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    path = folder / "config.yaml"
    path.write_text(shown, encoding="utf-8")
    [found] = load_config(path, {}).publish
    properties = {**(found.properties or {}), "uri": catalog.uri}
    assert properties["warehouse"] == ARN
    return Publish(to=found.to, properties=properties, tables=TABLES, keep=found.keep, profile=profile)


def publish(catalog: RestCatalog, stock: Stock, profile: str | None = None) -> tuple[Publication, ...]:
    """Publish the growing tables."""
    return publish_lake(stock.config, entry(catalog, stock.folder, profile))


def shelf_of(catalog: RestCatalog, folder: Path, moto: Cloud) -> Shelf:
    """The lake as readers open it."""
    found = entry(catalog, folder)
    keys = {"s3.endpoint": moto.url, "s3.access-key-id": KEY, "s3.secret-access-key": "simulated-secret"}
    return Shelf("iceberg", folder, tuple({**(found.properties or {}), **keys}.items()), str(found.to))


def test_tables_of_a_signed_catalog_equal_the_warehouse(
    catalog: RestCatalog, stock: Stock, moto: Cloud
) -> None:
    """After a first publication, changes and a new column, the rows are equal and each request is signed as asked."""
    assert [done.error for done in publish(catalog, stock)] == [None, None]
    stock.run_sql("ALTER TABLE image_versions ADD COLUMN note VARCHAR DEFAULT 'noted'")
    learn(stock, "us-east-1")
    assert [done.error for done in publish(catalog, stock)] == [None, None]
    assert {(each.key, each.region, each.service) for each in catalog.asked} == {
        (KEY, "us-east-1", "s3tables")
    }
    assert_same(shelf_of(catalog, stock.folder, moto), stock, *TABLES)


def test_profile_signs_the_catalogs_requests_and_opens_its_bucket(
    catalog: RestCatalog, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the entry's profile has keys, they sign the catalog's requests and open its bucket."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert [done.error for done in publish(catalog, stock, "lake")] == [None, None]
    assert {each.key for each in catalog.asked} == {OTHER_KEY}


def test_no_news_costs_two_requests_a_table_at_most(catalog: RestCatalog, stock: Stock) -> None:
    """Without news there is one request for each table, and one for the catalog's configuration."""
    publish(catalog, stock)
    catalog.asked.clear()
    assert [(done.written, done.error) for done in publish(catalog, stock)] == [(0, None), (0, None)]
    assert [each.method for each in catalog.asked] == ["GET"] * (1 + len(TABLES))


def test_check_says_that_the_catalog_answers(catalog: RestCatalog, stock: Stock) -> None:
    """`check` signs its requests like a publication; a catalog that refuses the warehouse's name fails the check."""
    config = Config(warehouse=stock.warehouse, publish=(entry(catalog, stock.folder),))
    [found] = look_at_lakes(config)
    assert found.message.startswith("answers; 0 of 2 tables are there")
    assert {each.service for each in catalog.asked} == {"s3tables"}
    catalog.warehouse = "arn:aws:s3tables:us-east-1:111122223333:bucket/renamed"
    [refused] = look_at_lakes(config)
    assert refused.level is Level.FAILED
    assert "Forbidden" in refused.message


def test_conflict_is_answered_by_the_catalog_and_made_up_for(
    catalog: RestCatalog, stock: Stock, moto: Cloud
) -> None:
    """If a twin commits first, the catalog answers 409, and the next attempt finds nothing left to write."""
    publish(catalog, stock)
    learn(stock, "us-west-2", versions=1)
    (stock.folder / "twin").mkdir()
    twin = Stock(stock.folder / "twin")
    twin.warehouse.write_bytes(stock.warehouse.read_bytes())
    lost = at_commit(lambda: publish(catalog, twin), lambda: publish(catalog, stock)[0])
    assert (lost.error, lost.written) == (None, 0)
    assert_same(shelf_of(catalog, stock.folder, moto), stock, *TABLES)
