"""Recognises faults of this machine: a request cannot be sent, or something other than AWS answers it.

The errors name the setting at fault, since a second attempt would not help. Must not know retry, or what a call is
for.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.credentials import CredentialProvider, RefreshableCredentials
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    ProxyConnectionError,
    SSLError,
)

from image_history.aws.catalog import known_regions, nearest_regions
from image_history.errors import ConfigError, ConnectorError, CredentialsError

if TYPE_CHECKING:
    import botocore.session

# AWS's keys and tokens are printable ASCII: a line break or a typographic quote was copied by mistake.
_UNCLEAN = re.compile(r"[^\x20-\x7e]")
_PROXY_STATUS = re.compile(r"Tunnel connection failed: (?P<status>\d{3})")
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "doesn't match")
_OTHER_NAME = ("Hostname mismatch", "IP address mismatch", "doesn't match")
_REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id")
_PAGES = frozenset({401, 403, 407})
# By botocore's provider of credentials: where the user configures them.
_SETTINGS: Mapping[str, str] = {
    "assume-role": "role_arn and source_profile or credential_source of the profile",
    "assume-role-with-web-identity": "AWS_WEB_IDENTITY_TOKEN_FILE, or web_identity_token_file of the profile",
    "config-file": "aws_access_key_id and what follows it in AWS's config file",
    "container-role": "AWS_CONTAINER_CREDENTIALS_FULL_URI or AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "custom-process": "credential_process of the profile",
    "env": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
    "iam-role": "the instance's role, or AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "shared-credentials-file": "aws_access_key_id and what follows it in AWS's credentials file",
    "sso": "sso_session or sso_start_url of the profile",
}
_PARTS = {"access_key": "access key id", "secret_key": "secret access key", "token": "session token"}


def setting_of(provider: str | None) -> str:
    """A sentence on where a provider's credentials are configured; empty if the provider is unknown."""
    setting = _SETTINGS.get(provider or "")
    return f" Check {setting}." if setting else ""


def require_clean(credentials: Any, where: str) -> None:
    """Raise CredentialsError for keys with a character that no key of AWS has, and that would break the request.

    Refreshable credentials come from AWS itself. They are not checked, and not fetched for this.
    """
    if credentials is None or isinstance(credentials, RefreshableCredentials):
        return
    frozen = credentials.get_frozen_credentials()
    for part, name in _PARTS.items():
        found = _UNCLEAN.search(getattr(frozen, part) or "")
        if found is not None:
            what = "a line break" if found[0] in "\r\n" else f"the character {found[0]!a}"
            raise CredentialsError(
                f"The {name} of {where} (provider {credentials.method}) contains {what}, which no key of AWS has: "
                f"write it again.{setting_of(credentials.method)}"
            )


def require_bundle(session: botocore.session.Session) -> None:
    """Raise ConfigError if the configured file of certificate authorities is not a usable one."""
    path, setting = _bundle(session)
    if path is None:
        return
    try:
        if Path(path).is_dir():
            raise ConfigError(f"{setting} names the folder {path}: name one file of PEM certificates.")
        _read_bundle(path, Path(path).stat().st_mtime_ns)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{setting} names {path}, which holds no certificate in PEM form: name a file of PEM certificates, or "
            "convert it (openssl x509 -inform der)."
        ) from error
    except OSError as error:
        raise ConfigError(f"{setting} names {path}, which cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=8)
def _read_bundle(path: str, _modified_ns: int) -> None:
    """Read the file once for all clients: a hundred authorities take 20 ms."""
    ssl.create_default_context(cafile=path)


def _bundle(session: botocore.session.Session) -> tuple[str | None, str]:
    """The path of the file, and the setting that names it."""
    path = session.get_config_variable("ca_bundle")
    if path is None:
        return os.environ.get("REQUESTS_CA_BUNDLE") or None, "REQUESTS_CA_BUNDLE"
    if "AWS_CA_BUNDLE" in os.environ:
        return str(path), "AWS_CA_BUNDLE"
    return str(path), f"ca_bundle of profile {session.profile or 'default'}"


def fault_of(error: Exception, place: str, region: str) -> ConnectorError | None:
    """The fault of this machine behind a botocore exception; None if it has another cause."""
    if isinstance(error, ProxyConnectionError):
        return _of_proxy(error, place)
    if isinstance(error, SSLError):
        return _of_certificate(str(error), place, type(error).__name__)
    if isinstance(error, ClientError):
        return _of_page(error, place)
    if isinstance(error, EndpointConnectionError):
        return _of_region(place, region)
    return None


def _of_proxy(error: ProxyConnectionError, place: str) -> ConnectorError | None:
    said = f"{error} {error.kwargs.get('error', '')}"
    found = _PROXY_STATUS.search(said)
    if found is None:
        return _of_certificate(said, place, type(error).__name__)
    proxy = error.kwargs.get("proxy_url")
    if found["status"] == "407":
        fix = "write its user and password into the variable, as in http://USER:PASSWORD@HOST:PORT"
    else:
        fix = "let it allow AWS's hosts, or except them with NO_PROXY"
    return ConfigError(
        f"{place} failed: the proxy {proxy} ({proxy_setting()}) answers {found['status']}; {fix}.",
        code=type(error).__name__,
    )


def proxy_setting() -> str:
    """The variables of the environment that name a proxy."""
    names = [
        name for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy") if os.environ.get(name)
    ]
    return ", ".join(names) or "of the system"


def _of_certificate(text: str, place: str, code: str) -> ConnectorError | None:
    said = " ".join(text.split()).rstrip(".")
    if not any(words in said for words in _UNTRUSTED):
        return None
    if any(words in said for words in _OTHER_NAME):
        fix = (
            "The certificate is for another host: check AWS_ENDPOINT_URL and whatever answers in AWS's place."
        )
    else:
        fix = "If a proxy of yours signs certificates, name its authority in AWS_CA_BUNDLE."
    return ConfigError(f"{place} failed: {said}. {fix}", code=code)


def _of_page(error: ClientError, place: str) -> ConnectorError | None:
    """An answer without a request id and an AWS error code is not from AWS: most likely it is a proxy's page."""
    metadata = error.response.get("ResponseMetadata", {})
    status, headers = metadata.get("HTTPStatusCode"), metadata.get("HTTPHeaders", {})
    code = str(error.response.get("Error", {}).get("Code", ""))
    if status not in _PAGES or code not in {"", str(status)} or any(name in headers for name in _REQUEST_IDS):
        return None
    return ConfigError(
        f"{place} failed: the answer is not AWS's (HTTP {status}, without a request id), but that of a proxy or "
        f"firewall on the way. Check the proxy ({proxy_setting()}) and AWS_ENDPOINT_URL.",
        code=f"HTTP{status}",
    )


def _of_region(place: str, region: str) -> ConnectorError | None:
    """A host that cannot be reached, in an unknown region: the region's name is probably misspelled."""
    if region in known_regions():
        return None
    near = nearest_regions(region)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    source = _region_setting(region)
    return ConfigError(f"{place} failed: there is no host of region {region} ({source}){hint}", code="region")


def _region_setting(region: str) -> str:
    names = [name for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if os.environ.get(name) == region]
    return names[0] if names else "of the configuration or profile"


def require_endpoint(endpoint: str) -> None:
    """Raise ConfigError for an endpoint with an invalid port."""
    try:
        found = urlsplit(endpoint).port != 0
    except ValueError:
        found = False
    if not found:
        raise ConfigError(
            f"The endpoint {endpoint} has no port of 1 to 65535: correct AWS_ENDPOINT_URL, or endpoint_url in AWS's "
            "own config files."
        )


class NoTerminal(CredentialProvider):
    """Runs before botocore's provider of assumed roles: refuses a role that needs a code if there is no terminal."""

    METHOD = "no-terminal"

    def __init__(self, session: botocore.session.Session) -> None:
        super().__init__()
        self._session = session

    def load(self) -> None:
        """Return no credentials. CredentialsError if a profile of the chain needs a code and there is no terminal."""
        name = profile_with_code(self._session)
        if name is not None and not is_terminal():
            raise CredentialsError(
                f"Profile {name} needs an MFA code and there is no terminal: run this in one, or name a profile "
                "without mfa_serial."
            )


def is_terminal() -> bool:
    """Whether standard input is a terminal, so that the user can be prompted."""
    return sys.stdin is not None and sys.stdin.isatty()


def profile_with_code(session: botocore.session.Session) -> str | None:
    """The first profile that assumes a role with an MFA device, along the chain of sources; None if there is none."""
    profiles = session.full_config.get("profiles", {})
    name = session.profile or "default"
    seen: set[str] = set()
    while name in profiles and name not in seen:
        seen.add(name)
        profile = profiles[name]
        if "role_arn" in profile and "mfa_serial" in profile:
            return name
        name = profile.get("source_profile", "")
    return None
