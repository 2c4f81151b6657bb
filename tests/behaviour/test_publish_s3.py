"""A dataset in S3, on moto's server over HTTP: what is put, in which order, and what may be overwritten."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from image_history.aws.store import Store
from image_history.cli import run
from image_history.config import Publish
from image_history.durable.effects import Effect, File, install
from image_history.errors import ConfigError, ConnectorError, CredentialsError, OutputError
from image_history.publish import s3
from image_history.publish.dataset import Dataset
from image_history.publish.manifest import encoded
from image_history.publish.s3 import encryption
from image_history.publish.stage import publish_one
from tests.behaviour.cloud import Cloud
from tests.behaviour.publishing import Stock, parts, plain

pytestmark = pytest.mark.duckdb

NEW_STORE = Store
PLACE = "s3://history/team/images"
NO_GRACE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The bucket `history`, as a plain client sees it."""

    client: Any
    endpoint: str

    def keys(self) -> list[str]:
        answer = self.client.list_objects_v2(Bucket="history")
        return [each["Key"] for each in answer.get("Contents", [])]

    def get(self, path: str) -> bytes:
        """The content of an object of the dataset."""
        body: bytes = self.client.get_object(Bucket="history", Key=f"team/images/{path}")["Body"].read()
        return body

    def put(self, path: str, content: bytes) -> None:
        self.client.put_object(Bucket="history", Key=f"team/images/{path}", Body=content)

    def read(self) -> pa.Table:
        """The rows, as a reader gets them from the manifest's files."""
        files = json.loads(self.get("manifest.json"))["files"]
        tables = [pq.read_table(io.BytesIO(self.get(file["path"]))) for file in files]
        regions = [
            table.append_column("region", pa.array([file["region"]] * table.num_rows, pa.string()))
            for table, file in zip(tables, files, strict=True)
        ]
        return plain(pa.concat_tables(regions))

    def read_by_pyarrow(self) -> pa.Table:
        """The rows, read with pyarrow's own client of S3."""
        scheme, _, address = self.endpoint.partition("://")
        system = pafs.S3FileSystem(
            access_key="test", secret_key="test", region="us-east-1", scheme=scheme, endpoint_override=address
        )
        files = [file.removeprefix("s3://") for file in Dataset.at(PLACE).files("image_versions")]
        return plain(ds.dataset(files, filesystem=system, partitioning="hive").to_table())


@pytest.fixture(scope="module")
def stores() -> Callable[[str | None], Store]:
    """Clients that are created once, since that takes most of a test's time."""
    return cache(NEW_STORE)


@pytest.fixture
def bucket(
    stores: Callable[[str | None], Store], moto: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bucket]:
    """An empty bucket, and credentials for it in the environment."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto.url,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "Store", stores)
    client = stores(None).api
    client.create_bucket(Bucket="history")
    yield Bucket(client, moto.url)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="history"):
        for each in page.get("Contents", ()):
            client.delete_object(Bucket="history", Key=each["Key"])
    client.delete_bucket(Bucket="history")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """A warehouse after its first run, to be copied."""
    return Stock(tmp_path_factory.mktemp("filled")).fill()


@pytest.fixture
def stock(filled: Stock, tmp_path: Path) -> Stock:
    """A warehouse of three regions after its first run."""
    shutil.copy(filled.warehouse, tmp_path)
    return replace(filled, folder=tmp_path)


def watch(seen: Callable[[Effect, str], None]) -> Callable[[], None]:
    """Call a function before each request that changes the bucket; the result removes the hook."""

    def hook(effect: Effect, subject: str) -> None:
        if effect in {Effect.PUT, Effect.DELETE}:
            seen(effect, str(subject))

    return install(hook)


def test_dataset_in_s3_is_read_by_its_manifest(bucket: Bucket, stock: Stock) -> None:
    """The manifest names files below TABLE/region=..., which have the same bytes as those of a local dataset."""
    done = stock.publish(to=PLACE)
    assert (done.rows, done.files, done.written) == (120, 3, 3)
    assert bucket.read_by_pyarrow().equals(stock.stored())
    assert bucket.read().equals(stock.stored())
    keys = bucket.keys()
    assert keys[-1] == "team/images/manifest.json"
    assert [key.split("/")[3] for key in keys[:-1]] == [f"region={region}" for region in stock.regions]
    stock.publish()
    local = set(parts(stock.dataset).values())
    assert {file.sha256 for file in Dataset.at(PLACE).manifest.files} == local
    assert Dataset.at(PLACE).folder("image_versions") == f"{PLACE}/image_versions"


def test_change_in_one_region_puts_one_object_then_the_manifest(bucket: Bucket, stock: Stock) -> None:
    """A change in one region puts one file, then the manifest; without a new run, nothing is put."""
    stock.publish(to=PLACE)
    stock.change("us-east-1")
    seen: list[tuple[Effect, str]] = []
    remove = watch(lambda effect, subject: seen.append((effect, subject)))
    assert stock.publish(to=PLACE).written == 1
    assert seen == [(Effect.PUT, File.PART), (Effect.PUT, File.MANIFEST)]
    stock.publish(to=PLACE)
    remove()
    assert len(seen) == 2
    assert bucket.read().equals(stock.stored())


def test_rows_that_change_back_put_no_object(bucket: Bucket, stock: Stock) -> None:
    """A file with the same bytes as the current one is not uploaded, even if its fingerprint differs."""
    stock.publish(to=PLACE)
    manifest = Dataset.at(PLACE).manifest
    other = [type(file)(**{**_members(file), "fingerprint": "of another DuckDB"}) for file in manifest.files]
    forged = type(manifest)(**{**_members(manifest), "files": tuple(other)})
    bucket.put("manifest.json", encoded(forged))
    stock.change()
    assert stock.publish(to=PLACE).written == 0
    assert len(bucket.keys()) == 4


def _members(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def test_replaced_objects_stay_for_the_grace_period(bucket: Bucket, stock: Stock) -> None:
    """Replaced objects outlast each publication of the grace period; the first one after it deletes them."""
    stock.publish(to=PLACE)
    old = Dataset.at(PLACE)
    for replaced in (1, 2):
        stock.change("us-east-1")
        stock.publish(to=PLACE)
        assert len(bucket.keys()) == 4 + replaced
        assert {f"team/images/{file.path}" for file in old.manifest.files} <= set(bucket.keys())
    stock.change("us-east-1")
    stock.publish(to=PLACE, grace=NO_GRACE)
    named = {f"team/images/{file.path}" for file in Dataset.at(PLACE).manifest.files}
    assert set(bucket.keys()) == {*named, "team/images/manifest.json"}
    assert bucket.read().equals(stock.stored())


def test_orphans_are_deleted_after_a_day_and_nothing_else(
    bucket: Bucket, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day, files of these tables that no manifest names are deleted, and no other object."""
    stock.publish(to=PLACE)
    part = "part-0123456789abcdef-01234567.parquet"
    orphan = f"image_versions/region=us-east-1/{part}"
    others = [
        f"other/{part}",
        f"image_versions/{part}.txt",
        f"sub/image_versions/region=us-east-1/{part}",
        "x",
    ]
    for path in (orphan, *others):
        bucket.put(path, b"x")
    stock.change("us-east-1")
    stock.publish(to=PLACE)
    assert f"team/images/{orphan}" in set(bucket.keys())
    monkeypatch.setattr(s3, "parsedate_to_datetime", lambda _: datetime.now(UTC) + timedelta(days=2))
    stock.change("us-east-1")
    stock.publish(to=PLACE)
    assert f"team/images/{orphan}" not in set(bucket.keys())
    assert {f"team/images/{path}" for path in others} <= set(bucket.keys())
    assert bucket.read().equals(stock.stored())


def test_publisher_that_was_overtaken_is_refused(bucket: Bucket, stock: Stock) -> None:
    """A manifest that another process puts meanwhile is not overwritten, whether it is the first or a later one."""
    for first in (True, False):
        winner = [b"{}"] if first else [b'{"other": 1}']

        def overtake(effect: Effect, subject: str, content: bytes = winner[0]) -> None:
            if (effect, subject) == (Effect.PUT, File.MANIFEST):
                bucket.put("manifest.json", content)

        remove = watch(overtake)
        with pytest.raises(OutputError, match=r"(Another process published|no manifest of a dataset)"):
            stock.publish(to=PLACE)
        remove()
        assert bucket.get("manifest.json") == winner[0]
        bucket.client.delete_object(Bucket="history", Key="team/images/manifest.json")
        stock.publish(to=PLACE)
        stock.change("us-east-1")


def test_put_whose_answer_was_lost_counts(
    bucket: Bucket, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second attempt that finds the manifest of the first attempt is not a conflict."""
    original = s3.Prefix._put

    def twice(self: s3.Prefix, content: bytes, condition: dict[str, str]) -> None:
        original(self, content, condition)
        original(self, content, condition)

    monkeypatch.setattr(s3.Prefix, "_put", twice)
    assert stock.publish(to=PLACE).written == 3
    stock.change("us-east-1")
    assert stock.publish(to=PLACE).written == 1
    assert bucket.read().equals(stock.stored())


class CutOffError(BaseException):
    """Simulates the end of the process."""


def test_cut_at_each_request_leaves_the_old_dataset_or_the_new(bucket: Bucket, stock: Stock) -> None:
    """If the process ends before a request, readers find a whole dataset, and the next publication completes it."""
    stock.publish(to=PLACE)
    seen: list[str] = []
    for number in count(1):
        old = bucket.read()
        stock.change("us-east-1")
        new = stock.stored()
        seen.clear()

        def cut(effect: Effect, subject: str, number: int = number) -> None:
            seen.append(f"{effect}.{subject}")
            if len(seen) >= number:
                raise CutOffError

        remove = watch(cut)
        with suppress(CutOffError):
            stock.publish(to=PLACE, grace=NO_GRACE)
        remove()
        assert bucket.read().equals(new if "put.manifest" in seen[: number - 1] else old)
        stock.publish(to=PLACE, grace=NO_GRACE)
        assert bucket.read().equals(new)
        if len(seen) < number:
            break
    assert seen == ["put.part", "put.manifest", "delete.part", "delete.part"]
    # The file that was uploaded before the manifest was cut off is deleted after a day.
    assert len(bucket.keys()) == 4 + 1


def test_reader_of_s3_never_sees_a_mixture(bucket: Bucket, stock: Stock) -> None:
    """Before each request of a publication, a reader sees rows of one run only."""
    stock.change(*stock.regions)
    stock.publish(to=PLACE)
    seen: list[set[str]] = []
    remove = watch(lambda _, __: seen.append(set(bucket.read()["failure_reason"].to_pylist())))
    stock.change(*stock.regions)
    stock.publish(to=PLACE, grace=NO_GRACE)
    remove()
    assert [len(reasons) for reasons in seen] == [1] * len(seen)
    assert len(seen) == 7


@pytest.mark.parametrize(("suffix", "magic"), [("parquet", b"PAR1"), ("csv", b'"etl'), ("jsonl", b'{"etl')])
def test_export_writes_one_object(
    bucket: Bucket,
    stock: Stock,
    *,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    magic: bytes,
) -> None:
    """`export` writes a table as one object in each format, and replaces an older object."""
    monkeypatch.chdir(stock.folder)
    key = f"out/runs.{suffix}"
    bucket.client.put_object(Bucket="history", Key=key, Body=b"old")
    assert run(["export", "runs", "--output", f"s3://history/{key}"]) == 0
    content = bucket.client.get_object(Bucket="history", Key=key)["Body"].read()
    assert content.startswith(magic)
    assert capfd.readouterr().out == f"Wrote 1 row, {len(content):,} bytes: s3://history/{key}\n"
    if suffix == "parquet":
        assert pq.read_table(io.BytesIO(content)).num_rows == 1


@pytest.mark.parametrize(
    ("variables", "to", "error", "sentence"),
    [
        pytest.param({}, "s3://nobody/x", OutputError, "NoSuchBucket", id="no-bucket"),
        pytest.param({"AWS_ACCESS_KEY_ID": ""}, PLACE, CredentialsError, "Unable to locate", id="no-keys"),
        pytest.param({"AWS_PROFILE": "nosuch"}, PLACE, ConfigError, "nosuch", id="profile"),
        pytest.param(
            {"AWS_ENDPOINT_URL_S3": "http://example.com"}, PLACE, ConfigError, "plain http", id="plain-http"
        ),
        pytest.param(
            {"AWS_ENDPOINT_URL_S3": "nonsense"}, PLACE, ConfigError, "AWS_ENDPOINT_URL_S3", id="endpoint"
        ),
    ],
)
def test_s3_that_refuses_is_one_sentence(
    bucket: Bucket,
    stock: Stock,
    *,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    to: str,
    error: type[Exception],
    sentence: str,
) -> None:
    """What S3 refuses is reported as our own error, which names the cause."""
    monkeypatch.setattr(s3, "Store", NEW_STORE)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(error, match=sentence):
        stock.publish(to=to)


def test_access_that_is_denied_is_told(stock: Stock, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """If IAM denies access, the error names the address and the permissions that are needed there."""
    from botocore.exceptions import ClientError

    def deny(*_: object, **__: object) -> None:
        answer = {"Error": {"Code": "AccessDenied", "Message": "no."}}
        raise ClientError(answer, "PutObject")

    monkeypatch.setattr(s3.Prefix, "_put", deny)
    with pytest.raises(
        OutputError,
        match=r"s3://history/team/images failed: AccessDenied: no\. .* may get, put, list and delete",
    ):
        stock.publish(to=PLACE)


@pytest.mark.parametrize(
    "address", ["s3://", "s3://ab", "s3://UPPER/x", "s3://bucket/../x", "s3://bucket//x//y"]
)
def test_wrong_address_is_refused(address: str) -> None:
    """An address that S3 does not allow, or that leaves its prefix, is refused."""
    with pytest.raises(ConfigError, match="is no address in S3"):
        s3.Address.parse(address)


ENCRYPTED: dict[str, Any] = {
    "sse": "aws:kms",
    "kms_key_id": "arn:aws:kms:us-east-1:111122223333:key/1234abcd",
}


def test_every_object_is_encrypted_as_configured(bucket: Bucket, stock: Stock) -> None:
    """Files, manifest and report are encrypted as configured; without the setting, no encryption is requested."""
    publish_one(stock.config, Publish(to=PLACE, tables=("image_versions",), **ENCRYPTED))
    publish_one(stock.config, Publish(to="s3://history/team/images.html", **ENCRYPTED))
    assert len(bucket.keys()) == 5
    keys = bucket.keys()
    for key in keys:
        told = bucket.client.head_object(Bucket="history", Key=key)
        assert (told["ServerSideEncryption"], told["SSEKMSKeyId"]) == ("aws:kms", ENCRYPTED["kms_key_id"])
    assert len(keys) == 5
    stock.change("us-east-1")
    publish_one(stock.config, Publish(to=PLACE, tables=("image_versions",), sse="AES256"))
    assert bucket.client.head_object(Bucket="history", Key="team/images/manifest.json")[
        "ServerSideEncryption"
    ] == ("AES256")
    assert encryption(Publish(to=PLACE)) == {}


def test_refused_publication_leaves_no_object(bucket: Bucket, stock: Stock, tmp_path: Path) -> None:
    """If another warehouse publishes first meanwhile, a publication is refused, and none of its objects stays."""
    (tmp_path / "other").mkdir()
    other = Stock(tmp_path / "other", name="other").fill()

    def overtake(effect: Effect, subject: str) -> None:
        if (effect, subject) == (Effect.PUT, File.MANIFEST) and not won:
            won.append(True)
            stock.publish(to=PLACE)

    won: list[bool] = []
    remove = watch(overtake)
    with pytest.raises(OutputError, match="Another process published"):
        other.publish(to=PLACE)
    remove()
    named = {file.path for file in Dataset.at(PLACE).manifest.files}
    keys = bucket.keys()
    assert {key.removeprefix("team/images/") for key in keys} == {*named, "manifest.json"}
    assert bucket.read().equals(stock.stored())


@pytest.mark.parametrize(
    ("status", "left"), [pytest.param(403, 0, id="denied"), pytest.param(500, 3, id="unknown")]
)
def test_manifest_that_s3_refuses_leaves_no_object(
    bucket: Bucket, stock: Stock, monkeypatch: pytest.MonkeyPatch, status: int, left: int
) -> None:
    """If S3 denies the manifest, the uploaded files are deleted; after a server error they stay: it may be stored."""

    def refused(*_: object) -> None:
        told = {"Error": {"Code": "No"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(told, "PutObject")

    monkeypatch.setattr(s3.Prefix, "_put", refused)
    with pytest.raises(ConnectorError, match="failed: No"):
        stock.publish(to=PLACE)
    assert len(bucket.keys()) == left
