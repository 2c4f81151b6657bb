"""How a request goes out and its answer comes back: the shortest way that botocore's connections allow.

botocore's HTTP session looks for a proxy, a pool and its certificates at each request, and urllib3 wraps what
http.client has read: more work than all the rest of a call. Where no proxy stands between, the same connections
(their trust, client certificates and bounds) are written to directly, and read by http.client. Must not know
services, signing, or what an answer means.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote, urlsplit
from weakref import finalize

from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import (
    NewConnectionError,
    ProtocolError,
    URLLib3ConnectTimeoutError,
    URLLib3SSLError,
)

from image_history.aws.headers import Headers

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError

_IN_A_PATH = "/%:@!$&'()*+,;=~-._"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes out; its headers say how long its body is. `stream_output` is for botocore's session."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    stream_output: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: `body` is what there was of it."""

    status: int
    headers: Headers
    body: bytes


class Way(Protocol):
    """To one endpoint. Safe to share between threads."""

    def send(self, request: Request) -> Reply:
        """Send a request and wait for its answer. Raises botocore's own exceptions."""


def way_to(url: str, http: Any) -> Way:
    """The way to an endpoint, with what a client's HTTP session has: straight, or around by its proxy."""
    return Straight.to(url, http) or Around(http)


class Around:
    """As a client of botocore sends: through its HTTP session, and the proxy that it knows."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def send(self, request: Request) -> Reply:
        """See Way."""
        answer = self._http.send(request)
        return Reply(answer.status_code, answer.headers, answer.content)


class Straight:
    """Without a proxy, over connections that are kept open: a free one, or a new one."""

    def __init__(self, url: str, pool: Any, *, connect_seconds: float, read_seconds: float) -> None:
        self._url = url
        self._pool = pool
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._most = pool.pool.maxsize
        self._free: deque[Any] = deque()
        finalize(self, _close, self._free)

    @classmethod
    def to(cls, url: str, http: Any) -> Self | None:
        """None if a proxy stands between, or if botocore and urllib3 are made otherwise than is known here."""
        try:
            if http._proxy_config.proxy_url_for(url) is not None:  # noqa: SLF001 - nobody else knows it
                return None
            pool = http._manager.connection_from_url(url)  # noqa: SLF001 - what makes its connections
            http._setup_ssl_cert(pool, url, http._verify)  # noqa: SLF001 - whom they trust
            bounds = pool.timeout
            straight = cls(
                url, pool, connect_seconds=bounds.connect_timeout, read_seconds=bounds.read_timeout
            )
            known = hasattr(type(straight._new()), "is_connected")
        except (AttributeError, TypeError, ValueError):
            # An endpoint that is none is told when it is called.
            return None
        return straight if known else None

    def _new(self) -> Any:
        return self._pool._new_conn()  # noqa: SLF001 - urllib3's pool has no other way to make one

    def send(self, request: Request) -> Reply:
        """See Way."""
        connection = self._taken()
        try:
            reply = self._exchanged(connection, request)
        except BaseException as error:
            connection.close()
            if isinstance(error, Exception):
                raise _botocores(error, self._url, request) from error
            raise
        if len(self._free) < self._most:
            self._free.append(connection)
        else:
            connection.close()
        return reply

    def _taken(self) -> Any:
        """A connection that nobody uses, and that the server has not closed."""
        while self._free:
            try:
                connection = self._free.pop()
            except IndexError:
                break
            if connection.is_connected:
                return connection
            connection.close()
        return self._new()

    def _exchanged(self, connection: Any, request: Request) -> Reply:
        if connection.is_closed:
            self._connect(connection)
        connection.sock.sendall(_written(request))
        with HTTPResponse(connection.sock, method=request.method) as answer:
            answer.begin()
            try:
                body = answer.read()
            except IncompleteRead as cut:
                if answer.chunked:
                    raise
                # Who reads the answer says how much was announced.
                connection.close()
                body = cut.partial
            if answer.will_close:
                connection.close()
        return Reply(answer.status, answer.headers, body)

    def _connect(self, connection: Any) -> None:
        connection.timeout = self._connect_seconds
        try:
            connection.connect()
        except ValueError as error:
            # urllib3's own kind for a certificate of another name, which botocore does not name.
            if type(error).__name__ != "CertificateError":
                raise
            raise ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {error}") from error
        connection.sock.settimeout(self._read_seconds)


def _written(request: Request) -> bytes:
    """A request as bytes. ValueError for a header that would be more than one."""
    headers = {"Host": host_of(request.url), "Accept-Encoding": "identity", **request.headers}
    if any("\r" in value or "\n" in value for value in headers.values()):
        raise ValueError("Invalid header value: it has a line break")
    lines = [
        f"{request.method} {_target(request.url)} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


@lru_cache(maxsize=1024)
def _target(url: str) -> str:
    """Path and query as they are written: what may not stand there is encoded, what is encoded stays."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe=_IN_A_PATH)
    return f"{path}?{quote(parts.query, safe=_IN_A_PATH + '?')}" if parts.query else path


@lru_cache(maxsize=1024)
def host_of(url: str) -> str:
    """The host of a URL as a request names it: with its port, but for the one that its scheme has anyway."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    own_port = parts.port not in (None, _DEFAULT_PORTS.get(parts.scheme))
    return f"{host}:{parts.port}" if own_port else host


def _close(free: deque[Any]) -> None:
    while free:
        free.pop().close()


def _botocores(error: Exception, url: str, request: Request) -> BotoCoreError:
    """The error as botocore's HTTP session would have raised it."""
    kinds: tuple[tuple[tuple[type[Exception], ...], type[BotoCoreError]], ...] = (
        ((URLLib3SSLError, ssl.SSLError), SSLError),
        ((NewConnectionError, socket.gaierror), EndpointConnectionError),
        ((URLLib3ConnectTimeoutError,), ConnectTimeoutError),
        ((TimeoutError,), ReadTimeoutError),
        ((ProtocolError, HTTPException, OSError), ConnectionClosedError),
    )
    for raised, kind in kinds:
        if isinstance(error, raised):
            return kind(endpoint_url=url, error=error, request=request)
    return HTTPClientError(error=error)
