"""A fast copy of SageMaker's image API: `python -m tests.benchmarks.server PORT`, one process, computed bodies.

It answers ListImages, ListImageVersions and STS's GetCallerIdentity after a set latency, within a set rate. The
account is the last 12 digits of the access key, the region is the signature's. Must not know which program calls.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

from tests.benchmarks.world import ACCOUNT, CREATED, FAILED, REASON, REGION, Bounds, Shape, arn, image_name

_CREDENTIAL = re.compile(rb"Credential=\w*?(\d{12})/\d+/([a-z0-9-]+)/")
_TARGET = re.compile(rb"(?i)x-amz-target: *SageMaker\.(\w+)")
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_JSON = "application/x-amz-json-1.1"
_BURST_SECONDS = 0.25


@dataclass(slots=True)
class Settings:
    """The served shape, latency and rate; `rate` is in calls a second and scope, 0 for no limit."""

    shape: Shape
    latency_seconds: float = 0.0
    rate: float = 0.0


@dataclass(slots=True)
class Service:
    """Answers requests according to the settings, and counts them."""

    settings: Settings = field(default_factory=lambda: Settings(Shape(1, 1)))
    calls: Counter[str] = field(default_factory=Counter)
    free_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def administer(self, path: str) -> bytes:
        """`/set?images=..` changes the settings; both `/set` and `/calls` return the calls since the last count."""
        parts = urlsplit(path)
        if parts.path == "/set":
            given = {name: float(value) for name, value in parse_qsl(parts.query)}
            limit = given.get("changed_images")
            self.settings = Settings(
                Shape(
                    int(given["images"]),
                    int(given["versions"]),
                    int(given.get("changed", 0)),
                    None if limit is None else int(limit),
                ),
                given.get("latency_ms", 0) / 1000,
                given.get("rate", 0),
            )
            self.free_at.clear()
        told = json.dumps(self.calls).encode()
        self.calls.clear()
        return response(200, told)

    def throttled(self, scope: tuple[str, str]) -> bool:
        """Whether a call comes too early for the rate; a call in time uses up its share of the rate."""
        if not self.settings.rate:
            return False
        now = time.monotonic()
        free = max(self.free_at.get(scope, 0.0), now - _BURST_SECONDS)
        if free > now:
            return True
        self.free_at[scope] = free + 1 / self.settings.rate
        return False

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The response to a request of an AWS client."""
        signed = _CREDENTIAL.search(head)
        scope = (signed[1].decode(), signed[2].decode()) if signed else (ACCOUNT, REGION)
        target = _TARGET.search(head)
        if target is None:
            return self._identity(scope)
        operation = target[1].decode()
        if operation not in _OPERATIONS:
            return error("ResourceNotFound", f"There is no {operation} here.")
        if self.throttled(scope):
            self.calls["throttled"] += 1
            return error("ThrottlingException", "Rate exceeded")
        self.calls[operation] += 1
        return response(200, _OPERATIONS[operation](self.settings.shape, scope, json.loads(body)))

    def _identity(self, scope: tuple[str, str]) -> bytes:
        text = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<GetCallerIdentityResult><Arn>arn:aws:iam::{scope[0]}:user/bench</Arn><UserId>AIDA</UserId>"
            f"<Account>{scope[0]}</Account></GetCallerIdentityResult>"
            "<ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )
        return response(200, text.encode(), "text/xml")


def list_images(shape: Shape, scope: tuple[str, str], asked: dict[str, object]) -> bytes:
    """A page of ListImages, oldest first."""
    start = int(str(asked.get("NextToken", "t0"))[1:])
    end = min(shape.images, start + int(str(asked.get("MaxResults", 10))))
    items = [
        f'{{"CreationTime":1704067200.0,"ImageArn":"{arn(scope, index)}","ImageName":"{image_name(index)}",'
        '"ImageStatus":"CREATED","LastModifiedTime":1704067200.5}'
        for index in range(start, end)
    ]
    return page("Images", items, f"t{end}" if end < shape.images else None)


def list_image_versions(shape: Shape, scope: tuple[str, str], asked: dict[str, object]) -> bytes:
    """A page of ListImageVersions: filtered, then paged; each SortBy is the order of the version numbers."""
    image = int(str(asked["ImageName"]).rpartition("-")[2])
    bounds = Bounds(
        created_after=_ms(asked.get("CreationTimeAfter"), "-inf"),
        created_before=_ms(asked.get("CreationTimeBefore"), "inf"),
        modified_after=_ms(asked.get("LastModifiedTimeAfter"), "-inf"),
    )
    chosen: range = shape.chosen(image, bounds)
    if asked.get("SortOrder", "DESCENDING") == "DESCENDING":
        chosen = chosen[::-1]
    start = int(str(asked.get("NextToken", "t0"))[1:])
    end = start + int(str(asked.get("MaxResults", 10)))
    items = versions(shape, scope, image, chosen[start:end])
    return page("ImageVersions", items, f"t{end}" if end < len(chosen) else None)


def versions(shape: Shape, scope: tuple[str, str], image: int, numbers: range) -> list[str]:
    """The JSON items of some versions of an image."""
    name = arn(scope, image)
    between = f',"ImageArn":"{name}","ImageVersionArn":"{name.replace(":image/", ":image-version/")}/'
    changed = shape.changed_from(image)
    states = (
        f'","ImageVersionStatus":"{CREATED}","LastModifiedTime":',
        f'","FailureReason":"{REASON}","ImageVersionStatus":"{FAILED}","LastModifiedTime":',
    )
    return [
        f'{{"CreationTime":{shape.created_ms(image, number) / 1000}{between}{number}'
        f'{states[number >= changed]}{shape.modified_ms(image, number) / 1000},"Version":{number}}}'
        for number in numbers
    ]


def page(member: str, items: list[str], token: str | None) -> bytes:
    """A body with its items and its token."""
    tail = f'],"NextToken":"{token}"}}' if token is not None else "]}"
    return f'{{"{member}":[{",".join(items)}{tail}'.encode()


def _ms(seconds: object, default: str) -> float:
    return float(default) if seconds is None else round(float(str(seconds)) * 1000)


_OPERATIONS: dict[str, Callable[[Shape, tuple[str, str], dict[str, object]], bytes]] = {
    "ListImages": list_images,
    "ListImageVersions": list_image_versions,
}


def response(status: int, body: bytes, kind: str = _JSON) -> bytes:
    """A complete HTTP response."""
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Bad Request'}\r\n"
        f"x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\nContent-Type: {kind}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def error(code: str, message: str) -> bytes:
    """An AWS error response."""
    return response(400, json.dumps({"__type": code, "message": message}).encode())


class Connection(asyncio.Protocol):
    """One client's connection: requests arrive in sequence, complete or in parts."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._pending[:end]
        length = _LENGTH.search(head)
        size = end + 4 + (int(length[1]) if length else 0)
        if len(self._pending) < size:
            return
        body, self._pending = self._pending[end + 4 : size], self._pending[size:]
        if head.startswith(b"GET"):
            self._send(self._service.administer(head.split(b" ", 2)[1].decode()))
            return
        answer = self._service.answer(head, body)
        latency = self._service.settings.latency_seconds
        if latency:
            asyncio.get_running_loop().call_later(latency, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes) -> None:
        assert self._transport is not None
        self._transport.write(answer)


async def serve(port: int) -> None:
    """Serve on a loopback port, 0 for any, until the process ends; print the port as the first line of stdout."""
    service = Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
