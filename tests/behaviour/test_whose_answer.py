"""Answers that are not those to the request: none is believed, and their connection is not used again."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from image_history.aws.bodies import Answer
from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.aws.sessions import Logins
from image_history.aws.transport import MOST_BODY_BYTES
from image_history.errors import (
    ImageNotFoundError,
    MalformedResponseError,
    ServiceUnavailableError,
    ThrottledError,
    TransientError,
)
from tests.behaviour.scripted import DATE, JSON, item, running

ACCOUNTS = ("111122223333", "444455556666")
REAL = "HTTP/1.1 200 OK"


def page(account: str, image: str) -> bytes:
    """One page of an image of an account, as it goes over the wire."""
    arn = f"arn:aws:sagemaker:us-east-1:{account}:image/{image}"
    row = item(7, ImageArn=arn, ImageVersionArn=f"{arn.replace('image/', 'image-version/')}/7")
    return whole(json.dumps({"ImageVersions": [row]}).encode())


def whole(body: bytes) -> bytes:
    """A successful response with this body."""
    lines = [REAL, "x-amzn-RequestId: r-1", f"Content-Type: {JSON}", f"Date: {DATE}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def other(account: str) -> str:
    """The other of the two accounts."""
    return ACCOUNTS[account == ACCOUNTS[0]]


def mischief(kind: str, account: str, image: str) -> Iterator[bytes]:
    """The bytes that are sent instead of one page."""
    right = page(account, image)
    if kind.isdigit():
        yield f"HTTP/1.1 {kind} Interim\r\nLink: x\r\n\r\n".encode() + right
    elif kind == "doubled":
        yield right * 2
    elif kind == "late":
        yield right
        time.sleep(0.01)  # a server that is late
        yield right
    elif kind == "swapped":
        yield page(other(account), image)
    elif kind == "trailing":
        yield right + page(other(account), image)
    else:
        yield right[:-20]


@dataclass(slots=True)
class Odd:
    """A server that keeps connections open and sends a wrong answer to every `every`th request."""

    kind: str
    every: int = 3
    port: int = 0
    used: list[tuple[str, tuple[str, int]]] = field(default_factory=list)


def read_request(source: Any) -> tuple[str, str] | None:
    """The account and the image of a request; None if the client has closed the connection."""
    head = b"".join(iter(source.readline, b"\r\n")).decode() if source.peek(1) else ""
    length = re.search(r"(?i)content-length: (\d+)", head)
    if length is None:
        return None
    return ACCOUNTS["Credential=AKIAB" in head], json.loads(source.read(int(length[1])))["ImageName"]


@contextmanager
def serving(odd: Odd) -> Iterator[Odd]:
    """Serve until the block ends."""

    class Handler(socketserver.StreamRequestHandler):
        timeout = 20

        def handle(self) -> None:
            while (asked := read_request(self.rfile)) is not None:
                account, image = asked
                odd.used.append((account, self.client_address))
                if len(odd.used) % odd.every:
                    self.wfile.write(page(account, image))
                    continue
                for part in mischief(odd.kind, account, image):
                    self.wfile.write(part)
                if odd.kind == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Ignore it: the client may close the connection."""

    with Server(("127.0.0.1", 0), Handler) as server:
        odd.port = server.server_address[1]
        with running(server):
            yield odd


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile for each of the two accounts."""
    text = "".join(f"[profile {n}]\naws_access_key_id = AKIA{n}\naws_secret_access_key = x\n" for n in "AB")
    (tmp_path / "config").write_text(text, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def apis() -> dict[str, ImageApi]:
    """A client for each account."""
    logins = Logins()
    made = {}
    for name, account in zip("AB", ACCOUNTS, strict=True):
        login = logins.of(Access(name))
        made[account] = ImageApi(
            Access(name), "us-east-1", timeouts=Timeouts(5, 2), callers=Callers(2), login=login
        )
        made[account].account_id = account
    return made


def asked(api: ImageApi, image: str) -> Answer[object] | None:
    """A page; None if the answer was refused with an error that is retried."""
    try:
        return api.call("ListImageVersions", {"ImageName": image})
    except TransientError:
        return None


@pytest.mark.parametrize("kind", ["100", "102", "103", "doubled", "late", "swapped", "trailing", "cut"])
def test_no_foreign_answer_is_believed(monkeypatch: pytest.MonkeyPatch, profiles: None, kind: str) -> None:
    """Two accounts have images of the same names: each gets only its own rows, whatever wrong answers it gets."""
    with serving(Odd(kind)) as odd:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{odd.port}")
        made = apis()
        believed = []
        for turn in range(24):
            for account, api in made.items():
                answered = asked(api, f"image-{turn % 5}")
                if answered is not None:
                    believed.append((account, turn % 5, answered.body.ImageVersions[0].ImageArn))  # type: ignore[attr-defined]
    assert len(believed) >= 24
    for account, number, arn in believed:
        assert arn == f"arn:aws:sagemaker:us-east-1:{account}:image/image-{number}"
    # No connection served two accounts.
    assert len({address for _, address in odd.used}) == len(set(odd.used))


@pytest.mark.parametrize("kind", ["102", "103", "swapped"])
def test_connection_of_a_wrong_answer_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch, profiles: None, kind: str
) -> None:
    """After a wrong answer, the account's next request uses another connection."""
    with serving(Odd(kind, every=2)) as odd:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{odd.port}")
        api = apis()[ACCOUNTS[0]]
        assert asked(api, "base") is not None
        with pytest.raises(MalformedResponseError, match="request id"):
            api.call("ListImageVersions", {"ImageName": "base"})
        assert asked(api, "base") is not None
    addresses = [address for _, address in odd.used]
    assert addresses[0] == addresses[1] != addresses[2]


def refused(code: str) -> bytes:
    """An error of AWS, as it goes over the wire."""
    return whole(json.dumps({"__type": code}).encode()).replace(REAL.encode(), b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("code", ["ThrottlingException", "ResourceNotFound"])
def test_error_costs_no_connection(monkeypatch: pytest.MonkeyPatch, profiles: None, code: str) -> None:
    """After an error from AWS the connection is used again."""
    monkeypatch.setattr("tests.behaviour.test_whose_answer.mischief", lambda *_: iter([refused(code)]))
    with serving(Odd(code, every=2)) as odd:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{odd.port}")
        api = apis()[ACCOUNTS[0]]
        for _ in range(2):
            assert asked(api, "base") is not None
            with pytest.raises((ThrottledError, ImageNotFoundError, MalformedResponseError)):
                api.call("ListImageVersions", {"ImageName": "base"})
    assert odd.used[0] == odd.used[1]


def test_error_that_comes_twice_is_no_proof(monkeypatch: pytest.MonkeyPatch, profiles: None) -> None:
    """A late copy of "not found" is no answer to the next request; one with a request id of its own is."""
    gone, again = refused("ResourceNotFound"), threading.Event()

    def twice(*_: str) -> Iterator[bytes]:
        if again.is_set():
            yield gone.replace(b"r-1", b"r-3")
            return
        again.set()
        yield gone.replace(b"r-1", b"r-2")
        heard.wait(0.2)
        yield gone.replace(b"r-1", b"r-2")

    heard = threading.Event()
    monkeypatch.setattr("tests.behaviour.test_whose_answer.mischief", twice)
    with serving(Odd("twice", every=1)) as odd:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{odd.port}")
        api = apis()[ACCOUNTS[0]]
        for kind in (ImageNotFoundError, MalformedResponseError, ImageNotFoundError):
            with pytest.raises(kind):
                api.call("DescribeImageVersion", {"ImageName": "base", "Version": 3})
    assert odd.used[0] == odd.used[1] != odd.used[2]


@dataclass(slots=True)
class Endless:
    """What a server sends without end, and whether the client has closed the socket."""

    first: bytes
    again: bytes
    pause: float = 0.0
    closed: threading.Event = field(default_factory=threading.Event)
    port: int = 0


@contextmanager
def endless(sent: Endless) -> Iterator[Endless]:
    """Serve until the block ends; each answer is endless."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(20)
            self.request.recv(65536)
            try:
                self.request.sendall(sent.first)
                while True:
                    self.request.sendall(sent.again)
                    time.sleep(sent.pause)  # a server that drips
            except OSError:
                sent.closed.set()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sent.port = server.server_address[1]
        with running(server):
            yield sent


CHUNKED = f"{REAL}\r\nTransfer-Encoding: chunked\r\nDate: {DATE}\r\n\r\n".encode()
WITHOUT_END = {
    "chunks": Endless(CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"),
    "dripping chunks": Endless(CHUNKED, b"1\r\n \r\n", 0.02),
    "continue": Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.001),
    "headers": Endless(f"{REAL}\r\n".encode(), b"X: " + b"x" * 60_000 + b"\r\n"),
    "dripping headers": Endless(f"{REAL}\r\nX: ".encode(), b"x", 0.02),
    "a body that drips": Endless(f"{REAL}\r\nContent-Length: 99999\r\n\r\n".encode(), b" ", 0.02),
}


@pytest.mark.parametrize("name", WITHOUT_END)
def test_answer_without_end_ends(monkeypatch: pytest.MonkeyPatch, profiles: None, name: str) -> None:
    """An endless answer is given up at its size limit or deadline, within 100 MB, and its socket is closed."""
    with endless(WITHOUT_END[name]) as sent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{sent.port}")
        timeouts = Timeouts(2, 2, call_seconds=5 if name in {"chunks", "headers"} else 0.5)
        api = ImageApi(Access("A"), "us-east-1", timeouts=timeouts, callers=Callers(1))
        reasons = f"{MOST_BODY_BYTES:,}|no whole answer|Connection was closed"
        tracemalloc.start()
        try:
            with pytest.raises((MalformedResponseError, ServiceUnavailableError), match=reasons):
                api.call("ListImageVersions", {"ImageName": "base"})
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()
        assert sent.closed.wait(5)
