"""AWS's Signature Version 4 for requests as botocore makes them here: a body, and few headers.

botocore's own signer keeps headers as those of an e-mail, which costs more than all else that a request is made
of; a test holds what comes out here against what an unmodified client sends. Must not know services.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
from botocore.exceptions import NoCredentialsError
from botocore.utils import normalize_url_path

from image_history.aws.connections import Request, host_of

_STAMP = "%Y%m%dT%H%M%SZ"
# Whoever passes a request on may change the one; botocore adds the other after signing.
_NOT_SIGNED = {"user-agent", "content-length"}


def sign(request: Request, credentials: Any, *, region: str, service: str) -> None:
    """Add the headers that say who asks, and prove it for some minutes from now on.

    `credentials` are frozen ones of botocore's; NoCredentialsError if they are None.
    """
    if credentials is None:
        raise NoCredentialsError
    stamp = botocore.auth.get_current_datetime().strftime(_STAMP)
    request.headers["X-Amz-Date"] = stamp
    if credentials.token:
        request.headers["X-Amz-Security-Token"] = credentials.token
    values = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
    values["host"] = host_of(request.url)
    names = sorted(values.keys() - _NOT_SIGNED)
    listed = ";".join(names)
    headers = "".join(f"{name}:{values[name]}\n" for name in names)
    canonical = (
        f"{request.method}\n{_target(request.url)}\n{headers}\n{listed}\n{sha256(request.body).hexdigest()}"
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    said = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = _key_of_the_day(credentials.secret_key, stamp[:8], region, service)
    signature = hmac.digest(key, said.encode(), "sha256").hex()
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={listed}, Signature={signature}"
    )


@lru_cache(maxsize=1024)
def _target(url: str) -> str:
    """Path and query of a URL, a line each, as they are signed: every request of an endpoint has the same."""
    parts = urlsplit(url)
    path = quote(normalize_url_path(parts.path), safe="/~")
    return f"{path}\n{'&'.join(sorted(parts.query.split('&')))}"


@lru_cache(maxsize=1024)
def _key_of_the_day(secret: str, *scope: str) -> bytes:
    """The key that signs for a day, a region and a service."""
    key = f"AWS4{secret}".encode()
    for each in (*scope, "aws4_request"):
        key = hmac.digest(key, each.encode(), "sha256")
    return key
