"""Logins and sessions: whose credentials sign, in which partition, and what all our requests have in common.

Must not know which calls are made, nor how a request is sent. botocore's own retries are off: every request is
one that we decided to make.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import botocore
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.hooks import HierarchicalEmitter

from image_history.aws.catalog import central_region, partition_of, shared_loader
from image_history.aws.connections import Reply
from image_history.aws.endpoints import Endpoint, Endpoints, new_client, refuse_plain_http
from image_history.aws.translation import sentence, translate
from image_history.errors import ConfigError, CredentialsError, TransientError
from image_history.version import __version__

logger = logging.getLogger(__name__)

_LENDING_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at one account: a profile, or a role assumed from a profile; neither means AWS's default chain."""

    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    source_profile: str | None = None

    def __str__(self) -> str:
        if self.role_arn is not None:
            return f"role {self.role_arn}"
        return f"profile {self.profile}" if self.profile is not None else "the default credentials"

    @property
    def role_partition(self) -> str | None:
        """The partition of the role; None without a role."""
        return None if self.role_arn is None else self.role_arn.split(":")[1]

    @property
    def role_account(self) -> str | None:
        """The account that the role is of; None without a role."""
        return None if self.role_arn is None else self.role_arn.split(":")[4]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, seconds between two reads of a socket, and seconds for one whole call."""

    connect_seconds: float = 5
    read_seconds: float = 30
    call_seconds: float = 120


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose credentials they are, as STS tells."""

    account_id: str
    partition: str


@dataclass(frozen=True, slots=True)
class Sender:
    """An endpoint with the credentials that sign for it, and which of the login's sessions they are of."""

    endpoint: Endpoint
    credentials: Any
    generation: int

    def send(self, operation: str, parameters: Mapping[str, object]) -> Reply:
        """Make one request; see `Endpoint.send`."""
        return self.endpoint.send(operation, parameters, self.credentials)


class Login:
    """One way into one account, shared by the senders of all its regions: one session, one assumed role.

    Safe to share between threads. No request is made before a sender's first one; any that would go over
    plain http, those for credentials too, is refused with ConfigError. `region` is one that the
    account is read in, None where that is not known yet. `among` are the logins that it shares its source
    and its connections with, if there are others.
    """

    def __init__(self, access: Access, region: str | None = None, *, among: Logins | None = None) -> None:
        self.access = access
        self._region = region
        logins = Logins() if among is None else among
        self._endpoints = logins.endpoints
        self._common = logins.common
        self._source = None if access.role_arn is None else logins.of(Access(access.source_profile))
        self._lock = threading.RLock()
        self._session: botocore.session.Session | None = None
        self._source_generation = 0
        self._generation = 0
        self._answered = False
        self._asking = threading.Lock()
        self._told: Identity | CredentialsError | None = None
        self._asked = False

    @property
    def generation(self) -> int:
        """How often the session was renewed."""
        return self._generation

    @property
    def default_region(self) -> str | None:
        """The region of the profile or of the environment. ConfigError for an unknown profile."""
        region = self._opened().get_config_variable("region")
        return None if region is None else str(region)

    @property
    def home_region(self) -> str:
        """Where STS and whatever else concerns the account as a whole is asked. ConfigError if unknown.

        A role is assumed where its source is at home, if that is the role's partition: the source's account
        may not have enabled the region that the role is for.
        """
        wanted = self.access.role_partition
        own = self.default_region
        if wanted is None:
            return self._region or own or self.require_region()
        near = own if own is not None and partition_of(own) == wanted else None
        return near or self._region or central_region(wanted) or self.require_region()

    def require_region(self) -> str:
        """The region of the profile or of the environment; ConfigError if there is none."""
        region = self.default_region
        if region is None:
            raise ConfigError(
                f"No region is configured for {self.access}: name one under accounts[].regions, "
                "in AWS_DEFAULT_REGION, or in the profile."
            )
        return region

    def sender(self, service: str, region: str, *, timeouts: Timeouts, pool: int) -> Sender:
        """Who makes requests, with the session that is in use now. Raises what reading AWS's own configuration can.

        `pool` connections to a service and region are kept, by all logins together.
        """
        with self._lock:
            session = self._opened()
            try:
                # May start a program or ask a metadata service: not while other accounts wait.
                credentials = self._found(session)
                endpoint = self._endpoints.of(session, service, region, _client_config(timeouts, pool=pool))
            except BotoCoreError as error:
                raise translate(error, f"An endpoint of {service} in {region}") from error
            return Sender(endpoint, credentials, self._generation)

    def _found(self, session: botocore.session.Session) -> Any:
        """The session's credentials, None if there are none. CredentialsError where their source is broken."""
        try:
            return session.get_credentials()
        except BotoCoreError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise CredentialsError(
                f"The credentials of {self.access} cannot be had: {sentence(error)} Check their credential_process "
                "and what else they come from."
            ) from error

    def answered(self, generation: int) -> None:
        """AWS took the credentials of this generation, so they may be renewed again when they expire."""
        if not self._answered and generation == self._generation:
            self._answered = True
            if self._source is not None:
                self._source.answered(self._source_generation)

    def renew(self, stale: int) -> bool:
        """Open another session in place of `stale`, an expired generation; True if there is a newer one now.

        Whoever comes first does it for all. False if the newest was never accepted by AWS: one more would
        not be either. CredentialsError if there are no credentials any more.
        """
        with self._lock:
            if self._generation != stale:
                return True
            if self._generation > 0 and not self._answered:
                return False
            logger.warning(
                "credentials_expired", extra={"where": str(self.access), "action": "session rebuilt"}
            )
            self._renew_source()
            # They may be what was renewed.
            self._common.files.clear()
            self._session, self._answered = None, False
            self._generation += 1
            self._require_credentials()
            return True

    def remembered(self, ask: Callable[[], Identity | None]) -> Identity | None:
        """What `ask` tells, and told whoever came first; so is a CredentialsError that it raised."""
        with self._asking:
            if not self._asked:
                try:
                    self._told = ask()
                except CredentialsError as error:
                    self._told = error
                self._asked = True
            if isinstance(self._told, CredentialsError):
                raise CredentialsError(self._told.message, **self._told.context) from self._told
            return self._told

    def _opened(self) -> botocore.session.Session:
        session = self._session
        if session is not None:
            # Without the lock: botocore assumes a role while it holds a lock of its own.
            return session
        with self._lock:
            if self._session is None:
                self._session = self._open()
            return self._session

    def _open(self) -> botocore.session.Session:
        if self._source is None:
            return _open_session(self.access.profile, self._common)
        session = _open_session(self.access.source_profile, self._common)
        self._source_generation = self._source.generation
        # In place of botocore's chain: its order depends on whether a profile is named.
        session.register_component("credential_provider", CredentialResolver([_RoleProvider(self)]))
        return session

    def _renew_source(self) -> None:
        """Whether the role's own credentials or its source's expired cannot be told apart."""
        if self._source is not None:
            self._source.renew(self._source_generation)

    def _require_credentials(self) -> None:
        try:
            self._found(self._opened())
        except BotoCoreError as error:
            translated = translate(error, f"Renewing the credentials of {self.access}")
            if isinstance(translated, TransientError):
                raise CredentialsError(
                    f"The credentials of {self.access} have expired, and there are no new ones: {translated}",
                    **translated.context,
                ) from error
            raise translated from error

    def fetcher(self) -> AssumeRoleCredentialFetcher:
        """What assumes the role, with the credentials that the source has then."""
        assert self._source is not None  # noqa: S101 - only a role has a provider that asks
        source = self._source.credentials()
        extra = {"RoleSessionName": "image-history"}
        if self.access.external_id is not None:
            extra["ExternalId"] = self.access.external_id
        return AssumeRoleCredentialFetcher(
            client_creator=self._sts,
            source_credentials=source,
            role_arn=self.access.role_arn,
            extra_args=extra,
        )

    def credentials(self) -> Any:
        """The session's credentials as botocore has them; NoCredentialsError if there are none."""
        with self._lock:
            credentials = self._found(self._opened())
        if credentials is None:
            raise NoCredentialsError
        return credentials

    def _sts(self, service: str, **credentials: Any) -> Any:
        """The client that assumes the role: botocore hands it the source's credentials of that moment."""
        config = _client_config(Timeouts(), pool=_LENDING_AT_ONCE)
        session = self._opened()
        api = new_client(session, service, self.home_region, config, **credentials)
        return self._endpoints.joined_by(api, session)


class Logins:
    """One login for each way into an account, however many regions it is for; roles share their source's."""

    def __init__(self) -> None:
        self.endpoints = Endpoints()
        self.common = Common()
        self._logins: dict[Access, Login] = {}

    def of(self, access: Access, region: str | None = None) -> Login:
        """The login of an access; `region` is one that it is read in, if any is known."""
        if access not in self._logins:
            self._logins[access] = Login(access, region, among=self)
        return self._logins[access]


class _RoleProvider(CredentialProvider):
    """Credentials of an assumed role, renewed by botocore before they expire, for all senders at once."""

    METHOD = "image-history-assume-role"

    def __init__(self, login: Login) -> None:
        super().__init__()
        self._login = login

    def load(self) -> DeferredRefreshableCredentials:
        fetcher = self._login.fetcher()
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)


class Common:
    """What all sessions have in common: what AWS's own files say, by their paths, and botocore's handlers.

    Both took some milliseconds for each of hundreds of accounts. Safe to share between threads.
    """

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], Any] = {}
        self._handlers: HierarchicalEmitter | None = None
        self._lock = threading.Lock()

    def handlers(self) -> HierarchicalEmitter:
        """The handlers of botocore, and ours that refuses what would be readable on its way."""
        with self._lock:
            if self._handlers is None:
                self._handlers = HierarchicalEmitter()
                session = botocore.session.Session(event_hooks=self._handlers)
                session.register("before-send", _refuse_readable_request)
            return self._handlers


class _Session(botocore.session.Session):
    """A session that has what is common to all from there."""

    def __init__(self, profile: str | None, common: Common) -> None:
        super().__init__(profile=profile, event_hooks=common.handlers(), include_builtin_handlers=False)
        self._common = common

    @property
    def full_config(self) -> Any:
        names = (self.get_config_variable("config_file"), self.get_config_variable("credentials_file"))
        found = self._common.files.get(names)
        if found is None:
            self._config = None
            found = self._common.files[names] = super().full_config
        return found


def _open_session(profile: str | None, common: Common) -> botocore.session.Session:
    """A session that sends nothing over plain http. ConfigError for an unknown profile."""
    try:
        session = _Session(profile, common)
        paths = tuple(session.get_component("data_loader").search_paths)
    except BotoCoreError as error:
        raise translate(error, str(Access(profile))) from error
    session.register_component("data_loader", shared_loader(paths))
    return session


def _client_config(timeouts: Timeouts, *, pool: int) -> BotoConfig:
    return BotoConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=timeouts.connect_seconds,
        read_timeout=timeouts.read_seconds,
        tcp_keepalive=True,
        max_pool_connections=pool,
        parameter_validation=True,
        # Given whole: botocore would put its own together from thirty parts, twice for each request.
        user_agent=f"image-history/{__version__} Botocore/{botocore.__version__}",
    )


def _refuse_readable_request(request: Any, **_: object) -> None:
    refuse_plain_http(request.url)
