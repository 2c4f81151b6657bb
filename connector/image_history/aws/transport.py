"""Sends an account's requests, limits the size of the answers, and decides which connections are reused.

Plugs into botocore's clients through their `before-send` event and as their credentials, so botocore builds and
signs every request. Must not know services, or what an answer means.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.credentials import CredentialProvider, Credentials
from botocore.exceptions import NoCredentialsError
from botocore.response import StreamingBody

from image_history.aws.deadline import connection_is_free
from image_history.errors import MalformedResponseError
from image_history.hiding import keep_hidden

if TYPE_CHECKING:
    from botocore.httpsession import URLLib3Session

# A page of a hundred versions has 40 kB.
MOST_BODY_BYTES = 16 << 20
MOST_HEADER_BYTES = 256 << 10
_READ_BYTES = 256 << 10
# How long before expiry botocore renews credentials, and how much later than our check the signature may come.
_RENEWED_BEFORE_SECONDS = 15 * 60
_MARGIN_SECONDS = 60
_under_way = threading.local()


class Line:
    """An HTTP session that serves one exchange at a time, and the request id of its last answer."""

    def __init__(self, http: URLLib3Session) -> None:
        self.http = http
        # The servers that it has a connection to.
        self.known: set[str] = set()
        self.request_id: str | None = None

    def close(self) -> None:
        """Close its connections. The next request opens a new one."""
        self.http.close()
        self.known.clear()
        self.request_id = None


class Exchange:
    """One request and its answer, until it is known whether the answer belongs to the request."""

    def __init__(self, line: Line, credentials: Credentials | None, *, connected: bool) -> None:
        self.line = line
        self.credentials = credentials
        self._connected = connected
        self.answer: Any = None
        self.believed = False
        # Whether the answer has the request id of the previous answer on the connection, so is a duplicate of it.
        self.repeated = False

    @property
    def has_connection(self) -> bool:
        """Whether the last exchange left a connection open, and the credentials need no renewal now."""
        # Only renewable credentials have this method.
        renewable = getattr(self.credentials, "refresh_needed", None)
        fresh = renewable is None or not renewable(_RENEWED_BEFORE_SECONDS + _MARGIN_SECONDS)
        return self._connected and self.credentials is not None and fresh

    def answered(self, answer: Any) -> None:
        """Record an answer whose headers have arrived."""
        self.answer = answer
        request_id = answer.headers.get("x-amzn-requestid")
        self.repeated = request_id is not None and request_id == self.line.request_id
        # Without a socket, the connection ends with this answer and is not used again.
        ends = answer.connection is None or answer.connection.sock is None
        self.line.request_id = None if ends else request_id
        if ends:
            self.line.known.clear()

    def end(self) -> None:
        """End the exchange. Unless its answer was believed, close the line, so that it opens a new connection."""
        if self.believed:
            return
        if self.answer is not None:
            # The answer holds the socket open, even if the connection is closed.
            self.answer.close()
        self.line.close()


class Transport:
    """The connections of one account to all services and regions. Safe to share between threads.

    A connection serves one exchange at a time. It is used again only if the answer was believed: checked to belong
    to the request. So if a server or proxy answers twice, late or in place of another, its connection is not used
    again. urllib3's own pool would give a connection to the next thread before the last answer is checked.
    Therefore each exchange in progress has an HTTP session of its own.
    """

    def __init__(self) -> None:
        # Keyed by what they were made with: proxies, certificate authorities and timeouts.
        self._idle: dict[object, list[Line]] = {}
        self._lock = threading.Lock()

    def begin(self, client: Sender, credentials: Credentials | None) -> Exchange:
        """Begin an exchange of the client. Its request is sent inside `under_way`."""
        with self._lock:
            idle = self._idle.setdefault(client.ways, [])
            # Prefer a line with a connection to this client's server; else take the one that was used last.
            near = (at for at in range(len(idle) - 1, -1, -1) if client.server in idle[at].known)
            line = idle.pop(next(near, -1)) if idle else None
        if line is None:
            line = Line(client.make())
        connected = client.server in line.known
        line.known.add(client.server)
        return Exchange(line, credentials, connected=connected)

    @contextmanager
    def under_way(self, client: Sender, made: Exchange) -> Iterator[None]:
        """The request that this thread sends inside is that exchange. Unless it is `believed`, its line is closed.

        Exchanges may be nested: the inner one fetches the credentials.
        """
        outer = getattr(_under_way, "exchange", None)
        _under_way.exchange = made
        try:
            yield
        finally:
            _under_way.exchange = outer
            made.end()
            connection_is_free()
            self._idle[client.ways].append(made.line)


@dataclass(frozen=True, slots=True, eq=False)
class Sender:
    """A botocore client that sends each request in its thread's current exchange, with the exchange's credentials.

    `make` makes an HTTP session for it. Clients with equal `ways` can share a session, and those with the same
    `server` also a connection.
    """

    api: Any
    server: str
    make: Callable[[], URLLib3Session]
    ways: object


def send(request: Any, event_name: str, **_: object) -> AWSResponse:
    """Handle botocore's `before-send` event: send the request, read the answer. Raises botocore's exceptions.

    MalformedResponseError for an answer that is too large, cut off, or has an interim status.
    """
    exchange: Exchange = _under_way.exchange
    request.stream_output = True
    answer = exchange.line.http.send(request)
    exchange.answered(answer.raw)
    try:
        body = _Body(_read(answer))
    except _UnfitError as error:
        operation = event_name.rpartition(".")[2]
        request_id = answer.headers.get("x-amzn-requestid", "none")
        raise MalformedResponseError(
            f"{operation} answered with {error} (request id {request_id})",
            operation=operation,
            request_id=request_id,
        ) from error
    return AWSResponse(answer.url, answer.status_code, answer.headers, body)


class CredentialsOfExchange(CredentialProvider):
    """Credentials for a client that many accounts share: each signature uses those of the current exchange."""

    METHOD = "image-history-exchange"

    def load(self) -> Credentials:
        """Credentials that are looked up when a request is signed, by the thread that sends it."""
        return _OfExchange("", "", method=self.METHOD)


class _OfExchange(Credentials):
    def get_frozen_credentials(self) -> Any:
        credentials = _under_way.exchange.credentials
        if credentials is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        keep_hidden(frozen.access_key, frozen.secret_key, frozen.token)
        return frozen


class _UnfitError(Exception):
    """An answer that is not acceptable; the message says what it is instead."""


class _Body:
    """A body that has been read, in the form that AWSResponse takes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> tuple[bytes, ...]:
        """The whole body, as one part."""
        return (self._content,)


def _read(answer: AWSResponse) -> bytes:
    """Read the whole body. _UnfitError if the answer is not acceptable."""
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
