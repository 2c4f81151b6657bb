"""Datasets and single files in S3.

    PREFIX/manifest.json                    what readers read first; one conditional PUT of it publishes
    PREFIX/image_versions/region=us-east-1/part-0123456789abcdef-89abcdef.parquet

Only the manifest is ever overwritten. Must not know what a table is, nor when something is published.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, BinaryIO

from image_history.aws.store import AbsentError, OvertakenError, Store, is_refused
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import ConfigError, ConnectorError, OutputError
from image_history.publish.destination import Fill, HashingSink, Written
from image_history.publish.manifest import NAME, DataFile, Manifest, decoded, encoded, is_part, part_name

if TYPE_CHECKING:
    from image_history.config import Publish

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<key>.*))?")
# The age at which an object that no manifest names is an interrupted publication's: no publication takes longer.
_ORPHANED_AFTER = timedelta(days=1)
_MARK_LENGTH = 8
_IN_MEMORY_BYTES = 8 << 20
# The most that S3 takes in one request; a single request makes an object appear whole.
_LARGEST_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Address:
    """A bucket and a key in it, without slashes at its ends; str() is the s3:// address."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse s3://bucket/key; ConfigError if the text is not such an address."""
        found = _ADDRESS.fullmatch(text)
        key = (found["key"] or "").strip("/") if found else ""
        if found is None or {"", ".", ".."} & set(key.split("/") if key else []):
            raise ConfigError(f"{text!r} is no address in S3; it must be like s3://bucket/folder/name.")
        return cls(found["bucket"], key)

    def require_key(self) -> Address:
        """This address; ConfigError if it names only a bucket."""
        if not self.key:
            raise ConfigError(
                f"{self} names a bucket; add the name of the object, as in {self}/name.parquet."
            )
        return self

    def below(self, path: str) -> str:
        """The key of a path below this address."""
        return f"{self.key}/{path}" if self.key else path

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}".rstrip("/")


@contextmanager
def uploaded(
    address: Address, profile: str | None = None, members: Mapping[str, str] | None = None
) -> Iterator[BinaryIO]:
    """A file to write that becomes an object when the block ends, in place of an older one of that name.

    `members` are further members of the PutObject request: ContentType, and the encryption.
    OutputError if the upload fails. After any error, the older object is unchanged.
    """
    store = Store(profile)
    with _spool(str(address)) as file:
        yield file
        _upload(store, address.bucket, address.key, file, members or {})


def require_reachable(to: str, profile: str | None, *, report: bool) -> Manifest | None:
    """ConnectorError if the bucket is missing or cannot be read; only a publication shows whether it can be written.

    For a dataset, reads the manifest and lists the objects, as a publication does first; returns that manifest.
    """
    address = Address.parse(to)
    if not report:
        return Prefix(address, profile).manifest()
    address.require_key()
    store = Store(profile)
    with suppress(AbsentError), store.translated(str(address)):
        store.api.get_object(Bucket=address.bucket, Key=address.key, Range="bytes=0-0")
    return None


@dataclass(frozen=True, slots=True)
class _Object:
    bytes: int
    modified: datetime


class Prefix:
    """A `Destination` below a prefix of a bucket. Of two simultaneous publishers, the second one is refused."""

    def __init__(
        self, address: Address, profile: str | None = None, members: Mapping[str, str] | None = None
    ) -> None:
        self._address = address
        self._members = members or {}
        self._store = Store(profile)
        self._etag: str | None = None
        self._objects: Mapping[str, _Object] = {}
        self._now: datetime | None = None
        self._mark = ""
        self._committed = False
        self._uploaded: list[str] = []
        # Whether readers may see the uploaded files; True too if the answer to the commit was lost.
        self._perhaps_seen = False

    def manifest(self) -> Manifest | None:
        """What readers see now; None if nothing was ever published here."""
        manifest = self.read()
        self._objects = self._listed() if manifest is not None else {}
        return manifest

    def read(self) -> Manifest | None:
        """The manifest alone, as a reader gets it."""
        key = self._address.below(NAME)
        try:
            with self._store.translated(str(self._address)):
                answer = self._store.api.get_object(Bucket=self._address.bucket, Key=key)
                content = answer["Body"].read()
        except AbsentError:
            self._etag = None
            return None
        self._etag = answer["ETag"]
        return decoded(content, f"s3://{self._address.bucket}/{key}")

    def begin(self, publication: str) -> None:
        """Creates nothing: the names of a publication's objects contain its mark."""
        self._mark = publication[-_MARK_LENGTH:]

    def holds(self, file: DataFile) -> bool:
        """Whether an object of the manifest still exists with the same size."""
        found = self._objects.get(file.path)
        return found is not None and found.bytes == file.bytes

    def keep(self, file: DataFile) -> str:
        """Return the same path: an unchanged object stays where it is."""
        return file.path

    def write(self, folder: str, fill: Fill, before: DataFile | None) -> Written:
        """Upload a file under a name that no object ever had, unless the earlier file has the same content."""
        with _spool(str(self._address)) as file:
            sink = HashingSink(file)
            rows = fill(sink)
            if before is not None and before.sha256 == sink.sha256 and self.holds(before):
                path = before.path
            else:
                path = f"{folder}/{part_name(sink.sha256, self._mark)}"
                self._uploaded.append(path)
                _upload(self._store, self._address.bucket, self._address.below(path), file, self._members)
        return Written(path, rows, sink.bytes, sink.sha256)

    def superseded(self, before: Manifest, files: Sequence[DataFile]) -> Sequence[str]:
        """The objects of the previous publication that this one does not use."""
        used = {file.path for file in files}
        return [file.path for file in before.files if file.path not in used]

    def lasts(self, path: str) -> bool:
        """Whether a superseded object still exists."""
        return path in self._objects

    def commit(self, manifest: Manifest) -> None:
        """Replace the manifest, on condition that it is still the one that was read."""
        condition = {"IfNoneMatch": "*"} if self._etag is None else {"IfMatch": self._etag}
        self._perhaps_seen = True
        try:
            with self._store.translated(str(self._address)):
                self._put(encoded(manifest), condition)
        except OvertakenError as error:
            # The commit that came first may be an earlier attempt of ours whose answer was lost.
            now = self.read()
            if now is None or now.publication != manifest.publication:
                self._perhaps_seen = False
                raise OutputError(
                    f"Another process published to {self._address} meanwhile; its publication stands, and nothing of "
                    "this one is seen. Publish again."
                ) from error
        except ConnectorError as error:
            self._perhaps_seen = not is_refused(error)
            raise
        self._committed = True

    def sweep(self, manifest: Manifest | None, expired: Collection[str]) -> None:
        """Delete expired objects and those of interrupted publications, but only after a commit of this one.

        Without a commit, delete what this publication uploaded, if it is certain that no manifest names it.
        """
        if manifest is not None and self._committed:
            gone = [*expired, *self._orphans(manifest)]
        else:
            gone = [] if self._perhaps_seen else self._uploaded
            self._uploaded = []
        try:
            for path in gone:
                self._delete(path)
        except ConnectorError as error:
            reason = {"path": str(self._address), "reason": error.message}
            logger.warning("dataset_not_swept", extra=reason)

    def _put(self, content: bytes, condition: Mapping[str, str]) -> None:
        fault_point(Effect.PUT, File.MANIFEST)
        self._store.api.put_object(
            Bucket=self._address.bucket,
            Key=self._address.below(NAME),
            Body=content,
            ContentType="application/json",
            CacheControl="no-cache",
            **self._members,
            **condition,
        )

    def _listed(self) -> Mapping[str, _Object]:
        """Every object below the prefix, by its path."""
        prefix = self._address.below("")
        found: dict[str, _Object] = {}
        with self._store.translated(str(self._address)):
            pages = self._store.api.get_paginator("list_objects_v2").paginate(
                Bucket=self._address.bucket, Prefix=prefix
            )
            for page in pages:
                date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
                self._now = parsedate_to_datetime(date) if date else None
                for each in page.get("Contents", ()):
                    found[each["Key"].removeprefix(prefix)] = _Object(each["Size"], each["LastModified"])
        return found

    def _orphans(self, manifest: Manifest) -> Sequence[str]:
        """Old objects that publications of these tables uploaded and that the manifest does not name."""
        named = {file.path for file in manifest.files} | {gone.path for gone in manifest.superseded}
        tables = {table.name for table in manifest.tables}
        return [
            path
            for path, each in self._objects.items()
            if path not in named
            and _is_ours(path, tables)
            and self._now is not None
            and each.modified + _ORPHANED_AFTER < self._now
        ]

    def _delete(self, path: str) -> None:
        with self._store.translated(str(self._address)):
            fault_point(Effect.DELETE, File.PART)
            self._store.api.delete_object(Bucket=self._address.bucket, Key=self._address.below(path))


def _is_ours(path: str, tables: Collection[str]) -> bool:
    table, *folders, _ = path.split("/") if "/" in path else ("", "")
    cut = not folders or (len(folders) == 1 and folders[0].startswith("region="))
    return table in tables and cut and is_part(path)


@contextmanager
def _spool(where: str) -> Iterator[BinaryIO]:
    """A temporary file without a name, which is uploaded when complete; small ones stay in memory."""
    try:
        fault_point(Effect.CREATE, File.SPOOL)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
            yield file  # type: ignore[misc]  # it is one in all but its class
    except OSError as error:
        raise OutputError(
            f"Cannot buffer the data for {where}: {error.strerror or error}. Name a folder with room in the "
            "environment variable TMPDIR. What readers see is unchanged."
        ) from error


def encryption(entry: Publish | None) -> Mapping[str, str]:
    """The members of PutObject for the encryption of an object; none leaves it to the bucket's default."""
    if entry is None or entry.sse is None:
        return {}
    key = {} if entry.kms_key_id is None else {"SSEKMSKeyId": entry.kms_key_id}
    return {"ServerSideEncryption": entry.sse, **key}


def _upload(store: Store, bucket: str, key: str, file: BinaryIO, members: Mapping[str, str]) -> None:
    """Upload a complete file as one object, which appears whole."""
    where = f"s3://{bucket}/{key}"
    if file.seek(0, os.SEEK_END) > _LARGEST_BYTES:
        raise OutputError(
            f"{where} is larger than 5 GiB, the most that S3 takes in one request: publish less, or elsewhere."
        )
    file.seek(0)
    with store.translated(where):
        fault_point(Effect.PUT, File.PART)
        store.api.put_object(Bucket=bucket, Key=key, Body=file, **members)
