"""botocore's sessions and clients, and the state that all of them share.

Every client is a botocore client made by a botocore session. Accounts whose profiles differ only in their
credentials share a client. Must not know whose credentials sign, or which calls are made. botocore's own retries
are off: no request is sent without our own decision.
"""

from __future__ import annotations

import copy
import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.configloader import load_config, raw_config_parse
from botocore.credentials import ConfigProvider, CredentialResolver, SharedCredentialProvider
from botocore.endpoint import EndpointCreator
from botocore.exceptions import BotoCoreError, UnknownCredentialError
from botocore.hooks import HierarchicalEmitter
from botocore.utils import get_environ_proxies

from image_history.aws.access import Access, Timeouts
from image_history.aws.catalog import shared_loader
from image_history.aws.decoding import decode_answer
from image_history.aws.machine import NoTerminal, require_bundle, require_endpoint
from image_history.aws.quiet import keep_headers, keep_parameters, keep_passwords
from image_history.aws.refreshing import Refreshes
from image_history.aws.translation import sentence, translate
from image_history.aws.transport import CredentialsOfExchange, Sender, send
from image_history.errors import UNFORESEEN, ConfigError
from image_history.version import __version__

# The first that is set wins, as in version 2 of the AWS CLI; botocore reads only the second one.
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
# As botocore sets them: small requests are sent at once, and a lost server is noticed.
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]
# The settings in which profiles that share a client may differ: the keys that sign are chosen at each call.
_OF_CREDENTIALS = frozenset(
    {
        *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_account_id", "region"),
        *(
            "role_arn",
            "role_session_name",
            "source_profile",
            "credential_source",
            "external_id",
            "mfa_serial",
        ),
        *("duration_seconds", "web_identity_token_file", "credential_process"),
        *("sso_session", "sso_start_url", "sso_region", "sso_account_id", "sso_role_name"),
    }
)
# botocore's sessions and loaders are not thread-safe.
_MAKING = threading.Lock()


class Common:
    """What all sessions share: the contents of AWS's own files, botocore's handlers, and its clients.

    Without sharing, each takes some milliseconds for each of hundreds of scopes. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._handlers: HierarchicalEmitter | None = None
        self._files: tuple[object, Any] = (None, None)
        self._parsed: dict[tuple[Callable[[str], Any], str], tuple[object, Any]] = {}
        self._senders: dict[object, Sender] = {}
        self._lock = threading.RLock()

    def handlers(self) -> HierarchicalEmitter:
        """A copy of botocore's own handlers, and of ours, which collect secrets to mask and refuse plain http.

        A copy for each session: an initializer of botocore's may register more of them for each.
        """
        with self._lock:
            if self._handlers is None:
                self._handlers = HierarchicalEmitter()
                session = botocore.session.Session(event_hooks=self._handlers)
                session.register("provide-client-params", keep_parameters)
                session.register("before-send", keep_headers)
                session.register("before-send", _refuse_readable_request)
                Refreshes().register(self._handlers)
            return copy.copy(self._handlers)

    def files(self) -> Any:
        """The contents of AWS's files as botocore reads them, cached until one of the files changes."""
        with self._lock:
            state = tuple(map(_state, self._paths))
            if self._files[0] != state:
                self._files = state, botocore.session.Session(include_builtin_handlers=False).full_config
            return self._files[1]

    @cached_property
    def _paths(self) -> tuple[str, ...]:
        session = botocore.session.Session(include_builtin_handlers=False)
        return tuple(session.get_config_variable(name) for name in ("config_file", "credentials_file"))

    def parsed(self, parse: Callable[[str], Any], path: str) -> Any:
        """The result of a botocore parser for one of the files, cached until the file changes.

        ConfigNotFound if there is no such file.
        """
        state = _state(path)
        if state is None:
            return parse(path)
        with self._lock:
            before, content = self._parsed.get((parse, path), (None, None))
            if before != state:
                content = parse(path)
                self._parsed[parse, path] = state, content
            return content

    def read_again(self) -> None:
        """Forget the files and the clients made with them; the files are read again when needed."""
        with self._lock:
            self._files = None, None
            self._parsed.clear()
            self._senders.clear()

    def sender(self, session: AccountSession, service: str, region: str, timeouts: Timeouts) -> Sender:
        """The client shared by all sessions whose profiles differ only in their credentials."""
        key = (service, region, timeouts, session.settings)
        with self._lock:
            if key not in self._senders:
                self._senders[key] = _new_sender(session.profile, self, (service, region), timeouts)
            return self._senders[key]


def _state(path: str) -> tuple[int, int, int] | None:
    """What changes with a file's contents; None if there is no such file, or if it cannot be looked at."""
    try:
        found = Path(os.path.expandvars(path)).expanduser().stat()
    except (OSError, RuntimeError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class AccountSession(botocore.session.Session):
    """A session that uses the state shared by all sessions."""

    def __init__(self, profile: str | None, common: Common) -> None:
        # Set before botocore's own constructor runs, which may read the files.
        self.common = common
        super().__init__(
            session_vars={"region": ("region", set_region_variables(), None, None)},
            profile=profile,
            event_hooks=common.handlers(),
            include_builtin_handlers=False,
        )

    @property
    def full_config(self) -> Any:
        """The contents of AWS's files."""
        return self.common.files()

    @cached_property
    def settings(self) -> frozenset[tuple[str, str]]:
        """The profile's settings for clients, without those for credentials."""
        profile = self.get_scoped_config()
        return frozenset(
            (name, repr(value)) for name, value in profile.items() if name not in _OF_CREDENTIALS
        )


def set_region_variables() -> list[str]:
    """The region variables that are set; the first one counts."""
    return [name for name in _REGION_VARIABLES if os.environ.get(name)]


def open_session(profile: str | None, common: Common) -> AccountSession:
    """Open a session that refuses plain http, and does not prompt for a code where there is no terminal.

    ConfigError for an unknown profile.
    """
    try:
        session = AccountSession(profile, common)
        paths = tuple(session.get_component("data_loader").search_paths)
        session.register_component("data_loader", shared_loader(paths))
        resolver = session.get_component("credential_provider")
    except BotoCoreError as error:
        raise translate(error, str(Access(profile))) from error
    except UNFORESEEN as error:
        raise ConfigError(
            f"{Access(profile)} cannot be read: {sentence(error)} Check AWS's config files."
        ) from error
    resolver.insert_before("assume-role", NoTerminal(session))
    _read_files_once(resolver, session, common)
    return session


def _read_files_once(resolver: CredentialResolver, session: botocore.session.Session, common: Common) -> None:
    """Let the providers share the parsed files: otherwise each would parse all profiles to find its own."""
    name = session.get_config_variable("profile") or "default"
    shared = SharedCredentialProvider(
        session.get_config_variable("credentials_file"), name, partial(common.parsed, raw_config_parse)
    )
    config = ConfigProvider(
        session.get_config_variable("config_file"), name, partial(common.parsed, load_config)
    )
    for provider in (shared, config):
        with suppress(UnknownCredentialError):
            # An initializer of botocore's may have removed the provider, or put another one in its place.
            if type(resolver.get_provider(provider.METHOD)) is type(provider):
                resolver.insert_after(provider.METHOD, provider)
                # Removes the first provider of that name, botocore's own.
                resolver.remove(provider.METHOD)


def _new_sender(profile: str | None, common: Common, where: tuple[str, str], timeouts: Timeouts) -> Sender:
    """Make a botocore client that signs and sends for the account of its thread's current exchange.

    ConfigError for an invalid file of certificate authorities, and for an endpoint that is invalid or plain http.
    """
    session = open_session(profile, common)
    session.register_component("credential_provider", CredentialResolver([CredentialsOfExchange()]))
    require_bundle(session)
    api = new_client(session, *where, _client_config(session, timeouts))
    api.meta.events.register_last("before-send", send)
    if where[0] == "sagemaker":
        api.meta.events.register_last("before-parse.sagemaker", decode_answer)
    config, bundle = api.meta.config, session.get_config_variable("ca_bundle")
    proxies = config.proxies or get_environ_proxies(api.meta.endpoint_url)
    keep_passwords(proxies)

    def make() -> Any:
        endpoint = EndpointCreator(api.meta.events).create_endpoint(
            api.meta.service_model,
            region_name=api.meta.region_name,
            endpoint_url=api.meta.endpoint_url,
            verify=bundle,
            timeout=(config.connect_timeout, config.read_timeout),
            max_pool_connections=1,
            proxies=proxies,
            socket_options=_SOCKET_OPTIONS,
            client_cert=config.client_cert,
            proxies_config=config.proxies_config,
        )
        return endpoint.http_session

    return Sender(
        api, api.meta.endpoint_url, make, (bundle, tuple(sorted(proxies.items())), config.read_timeout)
    )


def new_client(
    session: botocore.session.Session, service: str, region: str | None, config: BotoConfig
) -> Any:
    """Make a botocore client.

    ConfigError for an endpoint that is invalid or plain http.
    """
    try:
        with _MAKING:
            api = session.create_client(service, region_name=region, config=config)
    except BotoCoreError as error:
        raise translate(error, f"An endpoint of {service} in {region}") from error
    except UNFORESEEN as error:
        raise ConfigError(
            f"A client of {service} cannot be made with {Access(session.profile)}: {sentence(error)} Check "
            f"AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_{service.upper()}, and endpoint_url and services in AWS's own "
            "config files."
        ) from error
    require_endpoint(api.meta.endpoint_url)
    refuse_plain_http(api.meta.endpoint_url)
    return api


def _client_config(session: botocore.session.Session, timeouts: Timeouts) -> BotoConfig:
    named = session.get_config_variable("user_agent_appid")
    return BotoConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=timeouts.connect_seconds,
        read_timeout=timeouts.read_seconds,
        tcp_keepalive=True,
        # Set as a whole: botocore would assemble its own from thirty parts for each request.
        user_agent=f"image-history/{__version__} Botocore/{botocore.__version__}"
        + (f" app/{named}" if named else ""),
    )


def _refuse_readable_request(request: Any, **_: object) -> None:
    refuse_plain_http(request.url)


def refuse_plain_http(endpoint: str) -> None:
    """Raise ConfigError for a plain http endpoint, unless it is on this machine's loopback."""
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"The endpoint {parts.scheme}://{parts.netloc} is plain http: requests would be readable on the way. "
            "Use https, or http on this machine's loopback only."
        )


def _is_loopback(host: str) -> bool:
    # For S3, botocore puts the bucket's name before the endpoint's host.
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
