"""How requests go out: over connections that are kept, trusted, and led around by a proxy where there is one."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import botocore.httpsession
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from image_history.aws.connections import Around, Request, Straight
from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.aws.sessions import Login, Logins
from image_history.errors import ServiceUnavailableError, SourceError
from tests.behaviour.scripted import PAGE, Reply, running

ONE = {"ImageName": "base"}


@dataclass(slots=True)
class Kept:
    """A server that keeps connections open: the first line of each request, and the connections that came."""

    lines: list[str] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    hang_up: bool = False
    together: threading.Barrier | None = None
    port: int = 0


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Kept]:
    """Answer each request with a page; after one during which `hang_up` was set, close without a word."""
    kept = Kept()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            kept.lines.append(self.requestline)
            kept.connections.add(self.client_address)
            if kept.together is not None:
                kept.together.wait(20)
            self.wfile.write(Reply(body=PAGE.body, headers={"Connection": None}).raw())
            self.close_connection = kept.hang_up

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads, server.block_on_close = True, False
        kept.port = server.server_address[1]
        with running(server):
            yield kept


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(name, value)


def client(monkeypatch: pytest.MonkeyPatch, url: str, *, pool: int = 1) -> ImageApi:
    """The client of an endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(pool))


def way(api: ImageApi) -> object:
    """How its requests go out."""
    return api._sender.endpoint.way


def test_one_connection_serves_call_after_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake is not paid twice."""
    with serving() as kept:
        api = client(monkeypatch, f"http://127.0.0.1:{kept.port}")
        for _ in range(5):
            api.call("ListImageVersions", ONE)
        assert isinstance(way(api), Straight)
    assert kept.lines == ["POST / HTTP/1.1"] * 5
    assert len(kept.connections) == 1


def test_connection_that_the_server_closed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs up after each answer costs a connection for each, and no failed call."""
    with serving() as kept:
        kept.hang_up = True
        api = client(monkeypatch, f"http://127.0.0.1:{kept.port}")
        for _ in range(3):
            answered = api.call("ListImageVersions", ONE)
            assert len(answered.body.ImageVersions) == 1
            straight = way(api)
            assert isinstance(straight, Straight)
            closed = [each for each in straight._free if each.sock.recv(1) == b""]
            assert len(closed) == 1
    assert len(kept.connections) == 3


def test_no_more_connections_are_kept_than_calls_may_be_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came for a moment is closed after it."""
    with serving() as kept:
        kept.together = threading.Barrier(3)
        straight = way(client(monkeypatch, f"http://127.0.0.1:{kept.port}", pool=2))
        assert isinstance(straight, Straight)
        request = Request("POST", f"http://127.0.0.1:{kept.port}", {"Content-Length": "2"}, b"{}")
        with ThreadPoolExecutor(3) as three:
            assert [reply.status for reply in three.map(straight.send, [request] * 3)] == [200] * 3
        assert len(straight._free) == 2
    assert len(kept.connections) == 3


@pytest.mark.parametrize("proxied", [False, True])
def test_header_that_would_be_two_is_not_sent(monkeypatch: pytest.MonkeyPatch, *, proxied: bool) -> None:
    """A line break in a session token, as a file may end with one, adds no header of its own."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token\nX-Evil: yes")
    with serving() as kept:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{kept.port}")
        api = client(monkeypatch, f"http://127.0.0.1:{kept.port}")
        with pytest.raises(ServiceUnavailableError, match="Invalid header value"):
            api.call("ListImageVersions", ONE)
    assert kept.lines == []


@dataclass(frozen=True, slots=True)
class Authority:
    """Certificates of a server, and the file that makes them trusted."""

    server: ssl.SSLContext
    bundle: Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = tmp_path / "server.pem"
    both.write_bytes(private + bundle.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return Authority(context, bundle)


def test_trusted_certificate_is_taken(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """AWS_CA_BUNDLE is heeded, and a connection over TLS is kept as any other."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    with serving(authority.server) as kept:
        api = client(monkeypatch, f"https://127.0.0.1:{kept.port}")
        for _ in range(3):
            api.call("ListImageVersions", ONE)
        assert isinstance(way(api), Straight)
    assert len(kept.connections) == 1


@pytest.mark.parametrize(
    ("host", "trusted"), [("127.0.0.1", False), ("localhost", True)], ids=["unknown-authority", "other-name"]
)
def test_certificate_that_is_not_trusted_is_refused(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, host: str, *, trusted: bool
) -> None:
    """Of an unknown authority, or for another name: no request goes out, and it is not tried again."""
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    with serving(authority.server) as kept:
        api = client(monkeypatch, f"https://{host}:{kept.port}")
        with pytest.raises(SourceError, match="certificate"):
            api.call("ListImageVersions", ONE)
    assert kept.lines == []


def test_proxy_is_asked_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go around by it, in the form that it expects."""
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        api = client(monkeypatch, "http://127.0.0.7:9")
        api.call("ListImageVersions", ONE)
        assert isinstance(way(api), Around)
    assert proxy.lines == ["POST http://127.0.0.7:9/ HTTP/1.1"]


def test_libraries_that_are_made_otherwise_are_asked_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the libraries lack what the short way is made of, botocore's own way works."""
    monkeypatch.delattr("urllib3.connection.HTTPConnection.is_connected")
    monkeypatch.setattr("urllib3.connectionpool.is_connection_dropped", lambda _: False)
    with serving() as kept:
        api = client(monkeypatch, f"http://127.0.0.1:{kept.port}")
        api.call("ListImageVersions", ONE)
        assert isinstance(way(api), Around)
    assert kept.lines == ["POST / HTTP/1.1"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "https://127.0.0.1:99999"])
def test_endpoint_that_cannot_be_reached_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Neither a refused connection nor a port that is none ends anything but its scope."""
    with pytest.raises((ServiceUnavailableError, SourceError)):
        client(monkeypatch, url).call("ListImageVersions", ONE)


@pytest.mark.parametrize(
    ("path", "line"), [("/a b/é", "/a%20b/%C3%A9"), ("/a%2Fb", "/a%2Fb"), ("/{x}|", "/%7Bx%7D%7C")]
)
def test_path_of_an_endpoint_is_encoded(monkeypatch: pytest.MonkeyPatch, path: str, line: str) -> None:
    """Straight as around by a proxy, whatever stands in it."""
    with serving() as kept:
        client(monkeypatch, f"http://127.0.0.1:{kept.port}{path}").call("ListImageVersions", ONE)
        straight, kept.lines = kept.lines, []
        around = Around(botocore.httpsession.URLLib3Session())
        around.send(Request("POST", f"http://127.0.0.1:{kept.port}{path}", {"Content-Length": "2"}, b"{}"))
    assert straight == kept.lines == [f"POST {line} HTTP/1.1"]


def test_profiles_that_differ_share_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hundreds of accounts keep no connections of their own, whatever else their profiles say."""
    keys = "aws_access_key_id = AKIAX\naws_secret_access_key = x"
    profiles = "".join(f"[profile p{n}]\n{keys}\naccount_id = {n}\n" for n in range(5))
    (tmp_path / "config").write_text(profiles, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    logins = Logins()
    with serving() as kept:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{kept.port}")
        for n in range(5):
            login = Login(Access(f"p{n}"), "us-east-1", among=logins)
            api = ImageApi(
                Access(f"p{n}"), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(1), login=login
            )
            api.call("ListImageVersions", ONE)
    assert len(kept.lines) == 5
    assert len(kept.connections) == 1
