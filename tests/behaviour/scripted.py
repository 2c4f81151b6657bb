"""A server that sends scripted answers byte by byte: answers that no real service should ever send.

Must not know which client asks, nor how a client uses an answer.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
DATE_MS = 1_795_435_200_000
JSON = "application/x-amz-json-1.1"
ARN = "arn:aws:sagemaker:us-east-1:111122223333:image/base"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. A header that is None is left out; `length` is what Content-Length claims to be."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    length: int | None = None
    reset: bool = False

    def raw(self) -> bytes:
        """The answer as the bytes that the server sends."""
        headers = {
            "x-amzn-RequestId": "11111111-2222-3333-4444-555555555555",
            "Content-Type": JSON,
            "Content-Length": str(len(self.body) if self.length is None else self.length),
            "Date": DATE,
            # Otherwise the client might reuse the connection just before the server closes it.
            "Connection": "close",
            **self.headers,
        }
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([f"HTTP/1.1 {self.status} Scripted", *lines, "", ""]).encode() + self.body


def answer(**members: object) -> Reply:
    """A success whose body is this JSON object."""
    return Reply(body=json.dumps(members).encode())


def error(code: str, status: int = 400, **headers: str) -> Reply:
    """An error response of AWS."""
    body = json.dumps({"__type": code, "message": "said by the script"}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def item(version: int = 1, **changes: object) -> dict[str, object]:
    """A well-formed item of ListImageVersions; a member that is set to None is left out."""
    members: dict[str, object] = {
        "Version": version,
        "ImageArn": ARN,
        "ImageVersionArn": f"{ARN.replace('image/', 'image-version/')}/{version}",
        "ImageVersionStatus": "CREATED",
        "CreationTime": 1_666_064_247.19,
        "LastModifiedTime": 1_666_064_247.561,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}


PAGE = answer(ImageVersions=[item()])


@dataclass(frozen=True, slots=True)
class Request:
    """One received request; its header names are in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def parameters(self) -> Any:
        """The body of a SageMaker request."""
        return json.loads(self.body)


def page_for(request: Request) -> Reply:
    """PAGE with the region that the request was signed for."""
    region = request.headers["authorization"].partition("Credential=")[2].split("/")[2]
    return Reply(body=PAGE.body.replace(b"us-east-1", region.encode()))


Answering = Callable[[Request], Reply | bytes | Iterator[bytes]]


@dataclass(slots=True)
class Scripted:
    """The server's address, and the requests that it received."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which boto3 uses this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIASCRIPTED00000000",
            "AWS_SECRET_ACCESS_KEY": "scripted",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def parts(reply: Reply | bytes | Iterator[bytes]) -> Iterable[bytes]:
    """The pieces of bytes to send, in order."""
    if isinstance(reply, Reply):
        return [reply.raw()]
    return [reply] if isinstance(reply, bytes) else reply


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Run a server on its own thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def scripted(answering: Answering) -> Iterator[Scripted]:
    """Serve on loopback. Each connection gets one answer and is then closed; bytes are sent unchanged."""
    state, lock = Scripted(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            request = Request(
                {name.lower(): value for name, value in self.headers.items()}, self.rfile.read(length)
            )
            with lock:
                state.requests.append(request)
                reply = answering(request)
            try:
                for part in parts(reply):
                    self.wfile.write(part)
            except OSError:
                # The client has closed the connection, which is allowed.
                return
            self.close_connection = True
            if isinstance(reply, Reply) and reply.reset:
                # Closing with a linger time of zero makes the kernel send a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.connection.close()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        with running(server):
            yield state


def in_turn(*replies: Reply | bytes) -> Answering:
    """Give these answers in order, then repeat the last one."""
    left = [*replies] or [Reply()]
    return lambda _: left.pop(0) if len(left) > 1 else left[0]
