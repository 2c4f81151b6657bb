"""How requests are sent: over reused connections, to trusted servers only, and through a proxy if one is set."""

from __future__ import annotations

import datetime as dt
import gc
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.aws.sessions import Logins
from image_history.aws.transport import Transport
from image_history.config import Config, Retry
from image_history.errors import ConfigError, CredentialsError, ServiceUnavailableError
from image_history.extract.calls import ScopeCalls
from image_history.extract.scopes import Target, scope_calls
from image_history.listing.request import ImageFilter
from image_history.model import Stop
from image_history.simulator import generate
from tests.behaviour.harness import FAST, ServeWorld
from tests.behaviour.scripted import Reply, Request, page_for, running

ONE = {"ImageName": "base"}
ATTEMPTS = 3


@dataclass(slots=True)
class Kept:
    """A server that keeps connections open; it records each request's first line and each connection.

    `accepted` also counts the connections on which no request came.
    """

    lines: list[str] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    accepted: int = 0
    hang_up: bool = False
    port: int = 0


@contextmanager
def serving(
    context: ssl.SSLContext | None = None,
    *,
    trickle: Callable[[Callable[[bytes], object]], None] | None = None,
) -> Iterator[Kept]:
    """Answer each request with a page; if `hang_up` is set, close the connection after the answer.

    `trickle`, if given, answers all requests but the first.
    """
    kept = Kept()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            kept.lines.append(self.requestline)
            kept.connections.add(self.client_address)
            how = "close" if kept.hang_up else None
            if trickle is not None and len(kept.lines) > 1:
                trickle(self.wfile.write)
                self.close_connection = True
                return
            page = page_for(Request({"authorization": self.headers["Authorization"]}, b""))
            self.wfile.write(Reply(body=page.body, headers={"Connection": how}).raw())
            self.close_connection = kept.hang_up

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        def get_request(self) -> Any:
            kept.accepted += 1
            return super().get_request()

    with Server(("127.0.0.1", 0), Handler) as server:
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
    """A client of the endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(pool))


def patient(monkeypatch: pytest.MonkeyPatch, url: str) -> ScopeCalls:
    """The calls of a scope at the endpoint; a call that may be tried again is made `ATTEMPTS` times."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    retry = Retry(attempts=ATTEMPTS, max_wait=dt.timedelta(milliseconds=1))
    return scope_calls(Target(Access(), "us-east-1", ImageFilter()), Config(retry=retry, rate=FAST), Stop())


def test_one_connection_serves_call_after_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five calls in a row use one connection."""
    with serving() as kept:
        api = client(monkeypatch, f"http://127.0.0.1:{kept.port}")
        for _ in range(5):
            api.call("ListImageVersions", ONE)
    assert kept.lines == ["POST / HTTP/1.1"] * 5
    assert len(kept.connections) == 1


def test_connection_that_the_server_closed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server closes the connection after each answer, each call opens a new one, and no call fails."""
    with serving() as kept:
        kept.hang_up = True
        api = client(monkeypatch, f"http://127.0.0.1:{kept.port}")
        for _ in range(3):
            assert len(api.call("ListImageVersions", ONE).body.ImageVersions) == 1
    assert len(kept.connections) == 3


def test_answer_that_trickles_on_a_connection_of_its_own_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without a length that trickles without end is cut off after `call_seconds`."""
    ended = threading.Event()

    def trickle(write: Callable[[bytes], object]) -> None:
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nx-amzn-RequestId: second\r\n\r\n"
        write(head)
        with suppress(OSError):
            while not ended.wait(0.05):
                write(b" ")

    with serving(trickle=trickle) as kept:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{kept.port}")
        timeouts = Timeouts(5, 5, call_seconds=0.3)
        api = ImageApi(Access(), "us-east-1", timeouts=timeouts, callers=Callers(1))
        api.call("ListImageVersions", ONE)
        with pytest.raises(ServiceUnavailableError, match=r"no whole answer within 0\.3 s"):
            api.call("ListImageVersions", ONE)
        ended.set()


@pytest.mark.parametrize("proxied", [False, True])
def test_header_that_would_be_two_is_not_sent(monkeypatch: pytest.MonkeyPatch, *, proxied: bool) -> None:
    """If the session token contains a line break, the call fails before a request, so that no header is injected."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token\nX-Evil: yes")
    with serving() as kept:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{kept.port}")
        with pytest.raises(CredentialsError, match=r"session token .* contains a line break"):
            client(monkeypatch, f"http://127.0.0.1:{kept.port}").call("ListImageVersions", ONE)
    assert kept.lines == []


@dataclass(frozen=True, slots=True)
class Authority:
    """A server's TLS settings, and the file that makes its certificate trusted."""

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
    """A certificate in AWS_CA_BUNDLE is trusted, and three calls use one TLS connection."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    with serving(authority.server) as kept:
        api = client(monkeypatch, f"https://127.0.0.1:{kept.port}")
        for _ in range(3):
            api.call("ListImageVersions", ONE)
    assert len(kept.connections) == 1


@pytest.mark.parametrize(
    ("host", "trusted"), [("127.0.0.1", False), ("localhost", True)], ids=["unknown-authority", "other-name"]
)
def test_certificate_that_is_not_trusted_is_refused(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, host: str, *, trusted: bool
) -> None:
    """A certificate of an unknown authority, or for another name, is a ConfigError after one connection: no retry."""
    if trusted:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    with serving(authority.server) as kept:
        calls = patient(monkeypatch, f"https://{host}:{kept.port}")
        with pytest.raises(ConfigError, match=r"certificate|hostname"):
            calls.list_image_versions_with(ONE)
    assert kept.lines == []
    assert kept.accepted == 1
    assert calls.meter.take().of("ListImageVersions") == 1


def test_proxy_is_asked_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """If HTTP_PROXY is set, requests go to the proxy, with the absolute URL in the request line."""
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        api = client(monkeypatch, "http://127.0.0.7:9")
        api.call("ListImageVersions", ONE)
    assert proxy.lines == ["POST http://127.0.0.7:9/ HTTP/1.1"]


def test_endpoint_that_cannot_be_reached_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is a ServiceUnavailableError after as many attempts as `retry.attempts` says."""
    calls = patient(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(ServiceUnavailableError):
        calls.list_image_versions_with(ONE)
    assert calls.meter.take().of("ListImageVersions") == ATTEMPTS


def profiles(monkeypatch: pytest.MonkeyPatch, folder: Path, accounts: int) -> None:
    """Write this many profiles, from p0 on."""
    keys = "aws_access_key_id = AKIAX\naws_secret_access_key = x"
    text = "".join(f"[profile p{n}]\n{keys}{n}\n" for n in range(accounts))
    (folder / "config").write_text(text, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


def test_connections_are_an_accounts_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each account has its own connection, which its clients of all regions share."""
    profiles(monkeypatch, tmp_path, 3)
    logins = Logins()
    with serving() as kept:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{kept.port}")
        for n in range(3):
            login = logins.of(Access(f"p{n}"))
            for region in ("us-east-1", "us-east-1", "eu-west-1"):
                api = ImageApi(login.access, region, timeouts=Timeouts(5, 5), callers=Callers(1), login=login)
                api.call("ListImageVersions", ONE)
    assert len(kept.lines) == 9
    assert len(kept.connections) == 3


def test_syncs_in_one_process_leave_nothing_open(served: ServeWorld) -> None:
    """Repeated syncs in one process, as in a scheduler, leave no transport and no thread behind."""
    site = served(generate(3, images=2, versions_per_image=2))
    gc.collect()
    before = set(threading.enumerate())
    others = sum(isinstance(each, Transport) for each in gc.get_objects())
    for _ in range(3):
        site.sync()
    gc.collect()
    assert sum(isinstance(each, Transport) for each in gc.get_objects()) == others
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), thread.name
