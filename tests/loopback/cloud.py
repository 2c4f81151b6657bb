"""A small AWS: SageMaker's images, STS, IAM Identity Center, instance and container metadata, S3, on loopback.

Believes no request whose signature it cannot work out itself. Must not know who asks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote

from tests.loopback.signature import Received, Signed
from tests.loopback.wire import Answer, Way

NEVER = "2099-01-01T00:00:00Z"
JSON = {"Content-Type": "application/x-amz-json-1.1"}
XML = {"Content-Type": "text/xml"}
IMAGE = "base"


@dataclass(frozen=True, slots=True)
class Key:
    """An access key: its secret, its account, the token that must come with it, and the role that it is of."""

    secret: str
    account: str
    token: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as AWS's side of the wire saw it. What nobody signed has no region and no key."""

    service: str
    operation: str
    scheme: str
    host: str
    path: str
    region: str | None = None
    key: str | None = None
    token: str | None = None
    proxy: str | None = None
    valid: bool = True

    @property
    def place(self) -> tuple[object, ...]:
        """Everything that two programs with the same configuration must agree on."""
        path = "/" if self.service not in _PATHS_MATTER else self.path
        return (self.scheme, self.host, path, self.region, self.key, self.token, self.proxy)


# Of a signed service the path is the operation's; of all others, and below an endpoint with a path, it is told.
_PATHS_MATTER = {"sagemaker", "sts", "sso", "sso-oidc", "imds", "container"}
Serve = Callable[["Cloud", Received, Signed | None, Key | None], Answer]


@dataclass(slots=True)
class Cloud:
    """What it knows, and every request that it saw. `expired` are keys that AWS takes no longer."""

    keys: dict[str, Key] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    disabled_regions: set[tuple[str, str]] = field(default_factory=set)
    web_tokens: dict[str, str] = field(default_factory=dict)
    access_tokens: dict[str, str] = field(default_factory=dict)
    refresh_tokens: set[str] = field(default_factory=set)
    container_tokens: dict[str, str] = field(default_factory=dict)
    mfa_code: str = "123456"
    external_ids: dict[str, str] = field(default_factory=dict)
    expiry: str = NEVER
    objects: dict[str, bytes] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    minted: int = 0
    ends_after: int | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __call__(self, request: Received, way: Way) -> Answer:
        """Answer one request."""
        from tests.loopback.services import serve

        with self.lock:
            return serve(self, request, way)

    def mint(self, name: str, account: str, role: str | None = None) -> tuple[str, Key]:
        """Temporary credentials: the same for the same asker, so that two programs can be compared."""
        self.minted += 1
        safe = "".join(letter for letter in name.upper() if letter.isalnum())
        key = f"ASIA{safe}" if self.ends_after is None else f"ASIA{safe}{self.minted}"
        self.keys[key] = Key(f"secret of {name}", account, f"token of {name}", role)
        return key, self.keys[key]

    def places(self, service: str, *, but: str | None = None) -> set[tuple[object, ...]]:
        """Where and how a service was asked, with other keys than `but`."""
        return {
            each.place for each in self.seen if each.service == service and (but is None or each.key != but)
        }

    def operations(self, service: str) -> list[str]:
        """What was asked of a service, in order."""
        return [each.operation for each in self.seen if each.service == service]


def parameters(request: Received) -> Mapping[str, str]:
    """The form of a request of the query protocol."""
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def refusal(code: str, message: str, status: int = 400) -> Answer:
    """An error in JSON."""
    return Answer(status, json.dumps({"__type": code, "message": message}).encode(), JSON)


def xml_refusal(code: str, message: str, status: int = 403) -> Answer:
    """An error of STS, or of S3, whose elements differ a little."""
    inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, f"<ErrorResponse>{inner}<RequestId>r</RequestId></ErrorResponse>".encode(), XML)


def dated(answer: Answer) -> Answer:
    """With the headers that every answer of AWS has."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    common = {"Date": now, "x-amzn-RequestId": "11111111-2222-3333-4444-555555555555"}
    return Answer(answer.status, answer.body, {**common, **answer.headers})


def decoded(path: str) -> str:
    """The path without its escapes."""
    return unquote(path)
