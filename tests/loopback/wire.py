"""Servers on loopback: plain HTTP, TLS for any host, and proxies.

Must not know the responses.
"""

from __future__ import annotations

import base64
import selectors
import socket
import socketserver
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.behaviour.scripted import running
from tests.loopback.authority import Authority
from tests.loopback.signature import Received

_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, headers and body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Way:
    """The scheme and the proxy of a request."""

    scheme: str
    proxy: str | None = None


Answering = Callable[[Received, Way], Answer]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return int(self.server_address[1])


@dataclass(slots=True)
class Proxies:
    """The proxy's name of each connection to the servers, by the connection's address; `greeted` are the requests."""

    names: dict[tuple[str, int], str] = field(default_factory=dict)
    greeted: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _for_every_method(handler: type[_Handler], reply: Callable[[Any], None]) -> type[_Handler]:
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        setattr(handler, f"do_{method}", reply)
    return handler


def _received(handler: BaseHTTPRequestHandler) -> Received:
    path, _, query = handler.path.partition("?")
    if path.startswith("http://"):
        # A request to a proxy for plain HTTP has the whole address as its path.
        path = "/" + path.removeprefix("http://").partition("/")[2]
    headers = {name.lower(): value for name, value in handler.headers.items()}
    return Received(handler.command, path, query, headers, _body(handler))


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    parts = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    while handler.rfile.readline().strip():
        pass
    return b"".join(parts)


def _answering(answering: Answering, scheme: str, proxies: Proxies) -> type[_Handler]:
    class Handler(_Handler):
        def reply(self) -> None:
            way = Way(scheme, proxies.names.get(self.client_address))
            answer = answering(_received(self), way)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    return _for_every_method(Handler, Handler.reply)


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    with server, running(server):
        yield


def _tls(server: _Server, authority: Authority) -> None:
    """Send every client a certificate for the host that the client names."""
    outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    outer.load_cert_chain(authority.pair("127.0.0.1"))

    def choose(sock: Any, host: str | None, _: ssl.SSLContext) -> None:
        if host is not None:
            sock.context = authority.context(host)

    outer.sni_callback = choose
    plain = server.get_request

    def get_request() -> tuple[Any, Any]:
        sock, address = plain()
        sock.settimeout(_SECONDS)
        # The connection's own thread does the handshake.
        return outer.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    server.get_request = get_request  # type: ignore[method-assign]  # one server's own way


class _QuietServer(_Server):
    def handle_error(self, *_: object) -> None:
        """Ignore clients that refuse a certificate or disconnect."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The ports of the plain server and the TLS server, and the connections of the proxies."""

    http: int
    https: int
    proxies: Proxies

    def port_for(self, port: int) -> int:
        """The local port for a port of any host."""
        return {80: self.http, 443: self.https}.get(port, port)


@contextmanager
def serving(answering: Answering, authority: Authority) -> Iterator[Wire]:
    """Serve plain HTTP and TLS until the block ends."""
    proxies = Proxies()
    with ExitStack() as stack:
        plain = _QuietServer(("127.0.0.1", 0), _answering(answering, "http", proxies))
        stack.enter_context(_serving(plain))
        secure = _QuietServer(("127.0.0.1", 0), _answering(answering, "https", proxies))
        _tls(secure, authority)
        stack.enter_context(_serving(secure))
        yield Wire(plain.port, secure.port, proxies)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its name, the credentials that it requires, and the response that it sends instead of forwarding."""

    name: str
    wire: Wire
    user: str | None = None
    refusal: Answer | None = None

    def admits(self, authorization: str | None) -> bool:
        """Whether a client sent the required credentials."""
        if self.user is None:
            return True
        told = base64.b64encode(self.user.encode()).decode()
        return authorization == f"Basic {told}"


class _ProxyHandler(_Handler):
    """Forwards a client's requests to the servers, if the proxy admits the client."""

    proxy: Proxy
    answering: Answering

    def answer(self, answer: Answer) -> None:
        """Send a response."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def refused(self) -> bool:
        """Send a refusal if the proxy refuses all clients or this one; return whether it did."""
        self.proxy.wire.proxies.greeted.append(self.path)
        refusal = self.proxy.refusal
        if refusal is None and not self.proxy.admits(self.headers["Proxy-Authorization"]):
            asking = {"Proxy-Authenticate": 'Basic realm="gate"'}
            refusal = Answer(407, b"<html>Who are you?</html>", asking)
        if refusal is not None:
            self.answer(refusal)
            self.close_connection = True
        return refusal is not None

    def do_CONNECT(self) -> None:
        self.close_connection = True
        if self.refused():
            return
        wire = self.proxy.wire
        port = int(self.path.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", wire.port_for(port))) as there:
            wire.proxies.names[there.getsockname()] = self.proxy.name
            self.send_response(200, "Connection established")
            self.end_headers()
            _splice(self.connection, there)

    def forward(self) -> None:
        """Answer a request to a plain HTTP address."""
        if not self.refused():
            self.answer(type(self).answering(_received(self), Way("http", self.proxy.name)))


def _splice(here: socket.socket, there: socket.socket) -> None:
    """Forward the bytes of both sides until both have closed.

    In one thread: OpenSSL allows no two threads on one TLS connection, and Python 3.11 does not lock it.
    """
    other = {here: there, there: here}
    with selectors.DefaultSelector() as ready:
        for side in other:
            ready.register(side, selectors.EVENT_READ)
        while ready.get_map():
            told = ready.select(_SECONDS)
            if not told:
                return
            for source in [key.fileobj for key, _ in told]:
                assert isinstance(source, socket.socket)
                if not _handed_on(source, other[source]):
                    ready.unregister(source)


def _handed_on(source: socket.socket, target: socket.socket) -> bool:
    """Forward all bytes that can be read without waiting; return whether more may follow."""
    with suppress(OSError):
        while part := _read_now(source):
            target.sendall(part)
        if part is None:
            return True
        target.shutdown(socket.SHUT_WR)
    return False


def _read_now(source: socket.socket) -> bytes | None:
    """The next bytes, none at the end, None if the read would wait. Raises OSError if the connection is broken."""
    waits = source.gettimeout()
    source.settimeout(0)
    try:
        return source.recv(65_536)
    except (BlockingIOError, ssl.SSLWantReadError):
        return None
    finally:
        source.settimeout(waits)


@contextmanager
def proxying(proxy: Proxy, answering: Answering, authority: Authority | None = None) -> Iterator[int]:
    """Serve a proxy, over TLS if an authority is given; yield its port."""
    own = {"proxy": proxy, "answering": staticmethod(answering)}
    handler = _for_every_method(type("Handler", (_ProxyHandler,), own), _ProxyHandler.forward)
    server = _QuietServer(("127.0.0.1", 0), handler)
    if authority is not None:
        _tls(server, authority)
    with _serving(server):
        yield server.port
