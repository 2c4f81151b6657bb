"""How an account's requests go out and its answers come back: each answer bounded, and its connection judged.

Hangs in botocore's clients by their `before-send` event, so botocore builds and signs every request. Must not know
services, or what an answer means.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody

from image_history.errors import MalformedResponseError

if TYPE_CHECKING:
    from botocore.httpsession import URLLib3Session

# A page of a hundred versions has 40 kB.
MOST_BODY_BYTES = 16 << 20
MOST_HEADER_BYTES = 256 << 10
_READ_BYTES = 256 << 10


class Exchange:
    """One request and its answer, until it is known whether the answer is the one that was asked for."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.connection: Any = None
        self.judgement: _Judgement | None = None
        self.believed = False
        # Whether the answer has the request id of the one before it on the connection: it is that once more.
        self.repeated = False

    def end(self) -> None:
        """Let the connection serve again, or close it."""
        if self.judgement is None:
            return
        if not self.believed:
            # Both: the answer's part of the socket outlives the connection's, and a read answer no longer has one.
            self.answer.close()
            self.connection.close()
            self.judgement.ended_at = time.monotonic()
            self.judgement.request_id = None
        self.judgement.under_way.release()


class _Judgement:
    """Of a connection: whether the last answer's is under way, its request id, and when one ended it."""

    def __init__(self) -> None:
        self.under_way = threading.Lock()
        self.ended_at = -math.inf
        self.request_id: str | None = None


class Transport:
    """The connections of one account, to whatever services and regions. Safe to share between threads.

    A connection is used again only after an answer that was believed. So a server, or whatever stands between,
    that answers twice, late or in the place of another is never heard on that connection again.
    """

    def __init__(self, http: URLLib3Session) -> None:
        self._http = http
        self._mine = threading.local()
        # urllib3 takes a connection back as soon as the last byte was read, before anybody has judged the answer.
        self._judgements: WeakKeyDictionary[Any, _Judgement] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @contextmanager
    def exchange(self) -> Iterator[Exchange]:
        """Whatever this thread sends inside is one exchange; unless it is `believed`, its connection is closed."""
        made = self._mine.exchange = Exchange()
        try:
            yield made
        finally:
            self._mine.exchange = None
            made.end()

    def send(self, request: Any, event_name: str, **_: object) -> AWSResponse:
        """Answer botocore's `before-send` event: send the request, read the answer. Raises botocore's exceptions.

        MalformedResponseError for an answer without end, a cut one, and one that is none (an interim status).
        """
        began = time.monotonic()
        request.stream_output = True
        answer = self._http.send(request)
        try:
            self._await_judgement(answer.raw, began)
            body = _Body(_read(answer))
        except _UnfitError as error:
            operation, request_id = (
                event_name.rpartition(".")[2],
                answer.headers.get("x-amzn-requestid", "none"),
            )
            raise MalformedResponseError(
                f"{operation} answered with {error} (request id {request_id})",
                operation=operation,
                request_id=request_id,
            ) from error
        return AWSResponse(answer.url, answer.status_code, answer.headers, body)

    def _await_judgement(self, answer: Any, began: float) -> None:
        """Wait until the answer before this one on its connection was judged, and refuse this one if that was bad."""
        exchange: Exchange = self._mine.exchange
        connection = answer.connection
        with self._lock:
            judgement = self._judgements.setdefault(connection, _Judgement())
        judgement.under_way.acquire()
        exchange.answer, exchange.connection, exchange.judgement = answer, connection, judgement
        # With a socket it has connected again meanwhile.
        if began <= judgement.ended_at and connection.sock is None:
            raise _UnfitError("what came on a connection that had brought a wrong answer")
        request_id = answer.headers.get("x-amzn-requestid")
        exchange.repeated = request_id is not None and request_id == judgement.request_id
        # Without a socket the connection ends with this answer, so that nothing follows on it.
        judgement.request_id = request_id if connection.sock is not None else None


class _UnfitError(Exception):
    """What an answer is that cannot be the one that was asked for."""


class _Body:
    """What was read, as an AWSResponse takes it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> tuple[bytes, ...]:
        """All of it."""
        return (self._content,)


def _read(answer: AWSResponse) -> bytes:
    """The whole body of an answer that is one."""
    if answer.status_code < HTTPStatus.OK:
        raise _UnfitError(f"HTTP status {answer.status_code}")
    if sum(len(name) + len(value) for name, value in answer.headers.items()) > MOST_HEADER_BYTES:
        raise _UnfitError(f"more than {MOST_HEADER_BYTES:,} bytes of headers")
    source = StreamingBody(answer.raw, None)
    parts: list[bytes] = []
    size = 0
    while part := source.read(_READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > MOST_BODY_BYTES:
            raise _UnfitError(f"a body of more than {MOST_BODY_BYTES:,} bytes")
    announced = answer.headers.get("content-length")
    if announced is not None and announced != str(size):
        raise _UnfitError(f"{size} of {announced} announced bytes")
    return b"".join(parts)
