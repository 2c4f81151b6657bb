"""botocore's sessions and clients, and what all of them have in common.

Every client is botocore's, made by a session of botocore's; accounts whose profiles say the same, but for their
credentials, share one. Must not know whose credentials sign, or which calls are made. botocore's own retries are off:
every request is one that we decided to make.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import botocore
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.configloader import load_config, raw_config_parse
from botocore.credentials import ConfigProvider, CredentialResolver, SharedCredentialProvider
from botocore.endpoint import EndpointCreator
from botocore.exceptions import BotoCoreError
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

# The first that is set wins, as in version 2 of the AWS CLI; botocore knows the second alone.
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
# As botocore sets them: small requests at once, and a server that is gone is noticed.
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]
# What profiles may differ in that share a client: whose keys it signs with is known at each call.
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
# botocore's sessions and loaders are not made for several threads.
_MAKING = threading.Lock()


class Common:
    """What all sessions have in common: what AWS's own files say, botocore's handlers, and its clients.

    Each took some milliseconds for each of hundreds of scopes. Safe to share between threads.
    """

    def __init__(self) -> None:
        self._handlers: HierarchicalEmitter | None = None
        self._files: Any = None
        self._parsed: dict[tuple[Callable[[str], Any], str], Any] = {}
        self._senders: dict[object, Sender] = {}
        self._lock = threading.RLock()

    def handlers(self) -> HierarchicalEmitter:
        """Botocore's own handlers, and ours that refuses what would be readable on its way.

        Each client has a copy of them, for what concerns it alone.
        """
        with self._lock:
            if self._handlers is None:
                self._handlers = HierarchicalEmitter()
                session = botocore.session.Session(event_hooks=self._handlers)
                session.register("provide-client-params", keep_parameters)
                session.register("before-send", keep_headers)
                session.register("before-send", _refuse_readable_request)
                Refreshes().register(self._handlers)
            return self._handlers

    def files(self) -> Any:
        """What AWS's files say, as botocore reads them."""
        with self._lock:
            if self._files is None:
                self._files = botocore.session.Session(include_builtin_handlers=False).full_config
            return self._files

    def parsed(self, parse: Callable[[str], Any], path: str) -> Any:
        """What a parser of botocore's makes of one of the files. ConfigNotFound if there is none."""
        with self._lock:
            if (parse, path) not in self._parsed:
                self._parsed[parse, path] = parse(path)
            return self._parsed[parse, path]

    def read_again(self) -> None:
        """Have the files read when they are needed next."""
        with self._lock:
            self._files = None
            self._parsed.clear()
            self._senders.clear()

    def sender(self, session: AccountSession, service: str, region: str, timeouts: Timeouts) -> Sender:
        """The one client of all sessions whose profiles say the same, but for their credentials."""
        key = (service, region, timeouts, session.settings)
        with self._lock:
            if key not in self._senders:
                self._senders[key] = _new_sender(session.profile, self, (service, region), timeouts)
            return self._senders[key]


class AccountSession(botocore.session.Session):
    """A session that has from all sessions what they have in common."""

    def __init__(self, profile: str | None, common: Common) -> None:
        # Before botocore's own constructor, which may ask for the files.
        self.common = common
        self._settings: frozenset[tuple[str, str]] | None = None
        super().__init__(
            session_vars={"region": ("region", set_region_variables(), None, None)},
            profile=profile,
            event_hooks=common.handlers(),
            include_builtin_handlers=False,
        )

    @property
    def full_config(self) -> Any:
        """What AWS's files say."""
        return self.common.files()

    @property
    def settings(self) -> frozenset[tuple[str, str]]:
        """What the profile says of clients, whoever signs."""
        if self._settings is None:
            profile = self.get_scoped_config()
            self._settings = frozenset(
                (name, repr(value)) for name, value in profile.items() if name not in _OF_CREDENTIALS
            )
        return self._settings


def set_region_variables() -> list[str]:
    """Those of the variables that name a region which are set, the first one counts."""
    return [name for name in _REGION_VARIABLES if os.environ.get(name)]


def open_session(profile: str | None, common: Common) -> AccountSession:
    """A session that sends nothing over plain http, and asks nobody who is not there.

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
    """Let the providers that read AWS's files share what is in them: each parses all profiles to find its own."""
    name = session.get_config_variable("profile") or "default"
    shared = SharedCredentialProvider(
        session.get_config_variable("credentials_file"), name, partial(common.parsed, raw_config_parse)
    )
    config = ConfigProvider(
        session.get_config_variable("config_file"), name, partial(common.parsed, load_config)
    )
    for provider in (shared, config):
        resolver.insert_after(provider.METHOD, provider)
        # The first one of that name.
        resolver.remove(provider.METHOD)


def _new_sender(profile: str | None, common: Common, where: tuple[str, str], timeouts: Timeouts) -> Sender:
    """A client of botocore that signs and sends for whatever account has an exchange under way.

    ConfigError for a bundle of authorities that is none, and for an endpoint that is none or plain http.
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
    """A client of botocore.

    ConfigError for an endpoint that is none, or that is plain http.
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
        # Given whole: botocore would put its own together from thirty parts, for each request anew.
        user_agent=f"image-history/{__version__} Botocore/{botocore.__version__}"
        + (f" app/{named}" if named else ""),
    )


def _refuse_readable_request(request: Any, **_: object) -> None:
    refuse_plain_http(request.url)


def refuse_plain_http(endpoint: str) -> None:
    """ConfigError for an endpoint whose requests somebody on the way could read."""
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"The endpoint {parts.scheme}://{parts.netloc} is plain http: requests would be readable on the way. "
            "Use https, or http on this machine's loopback only."
        )


def _is_loopback(host: str) -> bool:
    # S3 takes a bucket for a name below the endpoint's host.
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
