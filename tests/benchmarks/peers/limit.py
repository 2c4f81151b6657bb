"""The lower bound of the peers: raw sockets without botocore or signing; typed JSON, Arrow, DuckDB.

It splits a single giant image into windows of creation time. It is no real connector: it handles no error but
throttling.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tests.benchmarks.peers import columns, common, typed

_LENGTH = re.compile(rb"Content-Length: (\d+)")
_WINDOWS = 16
_own = threading.local()

Piece = tuple[str, dict[str, Any]]


def main() -> None:
    """Fetch the changed versions, merge them, and publish."""
    database = common.connect(primary_key=False)
    known = common.watermarks(database)
    names = [image.ImageName for page in _pages("ListImages", {}) for image in page.Images]
    with ThreadPoolExecutor(common.THREADS) as pool:
        items = list(pool.map(_versions, _pieces(names, known)))
    rows = columns.of_structs(items)
    if rows.num_rows:
        common.replace(database, rows)
    common.publish(database)


def _pieces(names: list[str], known: dict[str, float]) -> list[Piece]:
    if len(names) == 1 and not known:
        return _windows(names[0])
    return [(name, {"LastModifiedTimeAfter": known[name]} if name in known else {}) for name in names]


def _windows(name: str) -> list[Piece]:
    """Split an image into equal windows between its oldest and its newest creation time."""
    asked = {"ImageName": name, "MaxResults": 1, "SortBy": "CREATION_TIME"}
    first = _call("ListImageVersions", asked | {"SortOrder": "ASCENDING"}).ImageVersions[0].CreationTime
    last = _call("ListImageVersions", asked | {"SortOrder": "DESCENDING"}).ImageVersions[0].CreationTime
    step = (last - first) / _WINDOWS
    bounds = [int(first + number * step) + 0.5 for number in range(1, _WINDOWS)]
    starts = [{}, *({"CreationTimeAfter": bound} for bound in bounds)]
    ends = [*({"CreationTimeBefore": bound + 0.001} for bound in bounds), {}]
    return [(name, start | end) for start, end in zip(starts, ends, strict=True)]


def _versions(piece: Piece) -> tuple[str, list[typed.Version]]:
    name, filters = piece
    pages = _pages("ListImageVersions", {"ImageName": name, **filters})
    return name, [version for page in pages for version in page.ImageVersions]


def _pages(operation: str, asked: dict[str, Any]) -> list[Any]:
    pages = [_call(operation, {"MaxResults": common.PAGE_SIZE, **asked})]
    while (token := pages[-1].NextToken) is not None:
        pages.append(_call(operation, {"MaxResults": common.PAGE_SIZE, "NextToken": token, **asked}))
    return pages


def _call(operation: str, asked: dict[str, Any]) -> Any:
    body = msgspec.json.encode(asked)
    request = (
        f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: SageMaker.{operation}\r\n"
        f"Content-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    while True:
        status, answer = _exchange(request + body)
        if status == b"200":
            return typed.DECODERS[operation].decode(answer)
        # Throttled: the wait is short, because this is a lower bound; without a wait, the server would be flooded.
        time.sleep(0.05)


def _exchange(request: bytes) -> tuple[bytes, bytearray]:
    if not hasattr(_own, "socket"):
        address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        _own.socket = socket.create_connection((address.hostname or "", address.port or 0))
        _own.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _own.socket.sendall(request)
    received = bytearray()
    size = end = -1
    while size < 0 or len(received) < size:
        received += _own.socket.recv(1 << 18)
        if size < 0 and (end := received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(received)
            assert length is not None
            size = end + 4 + int(length[1])
    return bytes(received[9:12]), received[end + 4 :]


if __name__ == "__main__":
    main()
