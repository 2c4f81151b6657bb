"""A small AWS: SageMaker's images, STS, IAM Identity Center, instance and container metadata, S3, on loopback.

It refuses a request whose signature it cannot compute itself. Must not know which program calls.
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
    """An access key: its secret, its account, its session token, and its role."""

    secret: str
    account: str
    token: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as AWS received it; an unsigned request has no region and no key."""

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
        """The part of a request that must be the same for two programs with the same configuration."""
        path = "/" if self.service not in _PATHS_MATTER else self.path
        return (self.scheme, self.host, path, self.region, self.key, self.token, self.proxy)


# The services whose path is compared; the path of another service, such as S3, depends on the request's content.
_PATHS_MATTER = {"sagemaker", "sts", "sso", "sso-oidc", "imds", "container"}
Serve = Callable[["Cloud", Received, Signed | None, Key | None], Answer]


@dataclass(slots=True)
class Cloud:
    """The state of the small AWS, and every request that it received; AWS refuses the keys in `expired`."""

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
        """Answer a request."""
        from tests.loopback.services import serve

        with self.lock:
            return serve(self, request, way)

    def mint(self, name: str, account: str, role: str | None = None) -> tuple[str, Key]:
        """Create temporary credentials, the same for the same name, so that two programs can be compared."""
        self.minted += 1
        safe = "".join(letter for letter in name.upper() if letter.isalnum())
        key = f"ASIA{safe}" if self.ends_after is None else f"ASIA{safe}{self.minted}"
        self.keys[key] = Key(f"secret of {name}", account, f"token of {name}", role)
        return key, self.keys[key]

    def places(self, service: str, *, but: str | None = None) -> set[tuple[object, ...]]:
        """The distinct requests to a service, by `place`, except those with the key `but`."""
        return {
            each.place for each in self.seen if each.service == service and (but is None or each.key != but)
        }

    def operations(self, service: str) -> list[str]:
        """The requested operations of a service, in order."""
        return [each.operation for each in self.seen if each.service == service]


def parameters(request: Received) -> Mapping[str, str]:
    """The form parameters of a request of the query protocol."""
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


def refusal(code: str, message: str, status: int = 400) -> Answer:
    """An error response in JSON."""
    return Answer(status, json.dumps({"__type": code, "message": message}).encode(), JSON)


def xml_refusal(code: str, message: str, status: int = 403) -> Answer:
    """An error response in XML, as STS sends; S3's elements differ a little."""
    inner = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, f"<ErrorResponse>{inner}<RequestId>r</RequestId></ErrorResponse>".encode(), XML)


def dated(answer: Answer) -> Answer:
    """A response with the headers of every AWS response added."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    common = {"Date": now, "x-amzn-RequestId": "11111111-2222-3333-4444-555555555555"}
    return Answer(answer.status, answer.body, {**common, **answer.headers})


def decoded(path: str) -> str:
    """The path without its escapes."""
    return unquote(path)
