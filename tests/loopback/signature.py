"""Computes Signature Version 4 of a received request, as AWS's reference describes it.

It shares no code with botocore, so that it finds a wrong signature of botocore. Must not know whose keys they are.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

_ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,\s*"
    r"SignedHeaders=(?P<headers>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Received:
    """A received request: the path is without its query, the header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """The content of a signature: its key, day, region, service and signed headers, and the claimed signature."""

    key: str
    day: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str

    @classmethod
    def of(cls, request: Received) -> Signed | None:
        """Parse the Authorization header; None if it holds no signature of version 4."""
        found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            return None
        names = tuple(found["headers"].split(";"))
        return cls(found["key"], found["day"], found["region"], found["service"], names, found["signature"])

    def holds(self, request: Received, secret: str) -> bool:
        """Whether the signature was made with this secret for exactly this request."""
        scope = f"{self.day}/{self.region}/{self.service}/aws4_request"
        canonical = hashlib.sha256(self._canonical(request).encode()).hexdigest()
        moment = request.headers.get("x-amz-date", "")
        text = f"{_ALGORITHM}\n{moment}\n{scope}\n{canonical}"
        key = f"AWS4{secret}".encode()
        for part in (self.day, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = hmac.digest(key, text.encode(), "sha256").hex()
        return moment.startswith(self.day) and hmac.compare_digest(expected, self.signature)

    def _canonical(self, request: Received) -> str:
        headers = [f"{name}:{_trimmed(request.headers.get(name, ''))}\n" for name in self.headers]
        return "\n".join(
            [
                request.method,
                # Only S3 signs the path as it is sent; all other services encode the path a second time.
                request.path if self.service == "s3" else quote(request.path, safe="/~"),
                _sorted_query(request.query),
                "".join(headers),
                ";".join(self.headers),
                self._payload(request),
            ]
        )

    def _payload(self, request: Received) -> str:
        told = request.headers.get("x-amz-content-sha256", "")
        if told.startswith(("UNSIGNED-PAYLOAD", "STREAMING-")):
            return told
        return hashlib.sha256(request.body).hexdigest()


def _trimmed(value: str) -> str:
    return " ".join(value.split())


def _sorted_query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True)
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)
