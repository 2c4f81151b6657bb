"""The files of the landing as bytes: written whole, protected by a checksum, and refused if it doesn't match.

A file that cannot be written or read raises a LandingError that says what to do. Must not know what a file means.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from image_history.durable.disk import rename, sync_folder, synced_file
from image_history.durable.effects import File
from image_history.durable.guard import opened_to_read
from image_history.errors import LandingError

_SEALED_NAME = re.compile(r"-(?P<checksum>[0-9a-f]{8})\.parquet")
_METADATA_KEY = b"image-history"
_FAST = 1
# ARNs and instants hardly repeat. With a small dictionary Parquet soon stores them plainly: half the bytes and a
# fifth of the time.
_DICTIONARY_BYTES = 16 * 1024

Value = TypeVar("Value")


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON document with the checksum of its bytes; a compressed document is a base64 string."""

    crc32: int
    document: msgspec.Raw


def seal(document: object) -> bytes:
    """A value as JSON for `unsealed`, which detects a changed byte.

    Compressed, for the reason that `parquet` gives.
    """
    encoded = msgspec.json.encode(document)
    packed = msgspec.json.encode(zlib.compress(encoded, _FAST))
    return msgspec.json.encode(_Sealed(zlib.crc32(encoded), msgspec.Raw(packed)))


def unsealed(path: Path, kind: type[Value]) -> Value:
    """The value in a file that `seal` made, or that the previous version wrote without compression."""
    sealed = decoded(read_whole(path), _Sealed, path)
    written = bytes(sealed.document)
    document = _unpacked(decoded(written, bytes, path), path) if written.startswith(b'"') else written
    if zlib.crc32(document) != sealed.crc32:
        raise damaged(path, "its checksum does not match")
    return decoded(document, kind, path)


def _unpacked(packed: bytes, path: Path) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise damaged(path, str(error)) from error


def decoded(content: bytes, kind: type[Value], path: Path) -> Value:
    """A value from its JSON in `path`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error


def parquet(table: pa.Table, note: object = None) -> pa.Buffer:
    """A table as the bytes of a Parquet file, with a value in its metadata that `noted` reads.

    The value is compressed here, since Parquet does not compress metadata: a run that finds no change in many images
    writes little else than their checkpoints.
    """
    buffer = pa.BufferOutputStream()
    # Without Arrow's copy of the schema, which would hold the value a second time, and longer.
    with pq.ParquetWriter(
        buffer,
        table.schema,
        compression="zstd",
        dictionary_pagesize_limit=_DICTIONARY_BYTES,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        if note is not None:
            writer.add_key_value_metadata({_METADATA_KEY: zlib.compress(msgspec.json.encode(note), _FAST)})
    return buffer.getvalue()


def noted(content: bytes, kind: type[Value], path: Path) -> Value:
    """The value that `parquet` put into the metadata of a file with this content."""
    try:
        metadata = pq.read_metadata(pa.BufferReader(content)).metadata or {}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, str(error)) from error
    if _METADATA_KEY not in metadata:
        raise damaged(path, "it carries no checkpoints")
    return decoded(_unpacked(metadata[_METADATA_KEY], path), kind, path)


def checksum(content: bytes | pa.Buffer) -> str:
    """The checksum that a file has in its name, as in segment-000001-0badcafe.parquet."""
    return f"{zlib.crc32(content):08x}"


def read_checked(path: Path) -> bytes:
    """The content of a file that has its checksum in its name. LandingError if they differ."""
    content = read_whole(path)
    named = _SEALED_NAME.search(path.name)
    if named is None or named["checksum"] != checksum(content):
        raise damaged(path, "its checksum does not match")
    return content


def read_whole(path: Path) -> bytes:
    """The content of a file."""
    try:
        with opened_to_read(path) as file:
            return file.read()
    except PermissionError as error:
        raise LandingError(
            f"{path} cannot be read by this user ({error.strerror}): nothing of its run was loaded, and nothing is "
            "lost. Sync as the user who owns the landing folder, or give all of it to this one (chown -R).",
            path=str(path),
        ) from error
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def write_whole(path: Path, content: bytes | pa.Buffer, what: File) -> None:
    """Write a file so that it appears whole; it is on disk when this returns.

    A temporary file that a killed process left is replaced. After a LandingError the file is whole or missing.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with synced_file(temporary, what, over=True) as file:
            file.write(content)
        rename(temporary, path, what)
        sync_folder(path.parent, what)
    except OSError as error:
        raise refused("write", path, error) from error


def damaged(path: Path, problem: str) -> LandingError:
    """The error for a file of a run whose content is not what was written; its context has the problem alone."""
    return LandingError(
        f"{path} is damaged ({problem}); nothing of its run was loaded. "
        "Drop that run with sync --fresh: what it had read is read again.",
        path=str(path),
        problem=problem,
    )


def refused(action: str, path: Path, error: OSError) -> LandingError:
    """The error for a file operation that failed."""
    return LandingError(
        f"Cannot {action} {path}: {error.strerror or error}. "
        "Check that the disk has room and that the path is writable; the next sync continues from here.",
        path=str(path),
    )
