"""Collects the secrets in botocore's requests through its events, so that they are masked in all output.

This covers every client, including those that botocore makes to fetch credentials. Must not know what a request is
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from image_history.hiding import keep_hidden, keep_hidden_in_url

_PARAMETERS = frozenset(
    {"NextToken", "TokenCode", "WebIdentityToken", "accessToken", "clientSecret", "refreshToken"}
)
_HEADERS = ("X-Amz-Security-Token", "x-amz-sso_bearer_token")
_SIGNATURE = "Signature="


def keep_parameters(params: Mapping[str, Any], **_: object) -> None:
    """Handle botocore's `provide-client-params` event: hide tokens that are parameters."""
    keep_hidden(*(str(params[name]) for name in _PARAMETERS & params.keys()))


def keep_headers(request: Any, **_: object) -> None:
    """Handle botocore's `before-send` event: hide the signature, and tokens that are headers."""
    found = (_text(request.headers.get(name)) for name in _HEADERS)
    signature = _text(request.headers.get("Authorization")).rpartition(_SIGNATURE)[2]
    keep_hidden(signature, *found)


def keep_passwords(proxies: Mapping[str, str]) -> None:
    """Hide the passwords of proxies, in a URL and in a header."""
    for url in proxies.values():
        keep_hidden_in_url(url)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
