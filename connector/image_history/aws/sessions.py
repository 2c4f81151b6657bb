"""Logins: which credentials sign requests, in which partition, and when they are renewed.

Must not know which calls are made.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from image_history.asking import terminal_alone
from image_history.aws.access import Access, Identity, Timeouts, named_profile
from image_history.aws.catalog import central_region, is_always_enabled, partition_of
from image_history.aws.clients import AccountSession, Common, new_client, open_session, set_region_variables
from image_history.aws.machine import fault_of, profile_with_code, require_bundle, require_clean, setting_of
from image_history.aws.translation import sentence, translate
from image_history.aws.transport import Exchange, Sender, Transport
from image_history.errors import UNFORESEEN, ConfigError, ConnectorError, CredentialsError, TransientError
from image_history.hiding import keep_hidden

if TYPE_CHECKING:
    from botocore.config import Config as BotoConfig
    from botocore.credentials import Credentials

__all__ = ["Access", "Client", "Identity", "Login", "Logins", "Timeouts"]

logger = logging.getLogger(__name__)

_REGION = re.compile(r"[a-z0-9]{2,12}(-[a-z0-9]{1,16}){1,5}")
# Errors that `aws sso login` fixes.
_NOT_LOGGED_IN = (NoAuthTokenError, SSOError, TokenRetrievalError)


@dataclass(frozen=True, slots=True)
class Client:
    """A botocore client with one login's connections and credentials; `generation` counts their renewals."""

    sender: Sender
    transport: Transport
    credentials: Credentials | None
    generation: int

    @property
    def api(self) -> Any:
        """The client itself."""
        return self.sender.api

    def begin(self) -> Exchange:
        """Begin an exchange of this login. Its request is sent inside `under_way`."""
        return self.transport.begin(self.sender, self.credentials)

    @contextmanager
    def under_way(self, made: Exchange) -> Iterator[Any]:
        """Yield the botocore client. The one request sent inside is that exchange."""
        with self.transport.under_way(self.sender, made):
            yield self.api


class Login:
    """One way into one account, shared by the clients of all its regions: one session, one assumed role.

    Safe to share between threads. No request is sent before a client's first one. A request over plain http is
    refused with ConfigError, also one for credentials. `regions` are the regions in which the account is read, as
    far as they are known yet. `among` are the logins with which it shares its source, if there are others. Each
    account has its own connections and trust store.
    """

    def __init__(self, access: Access, *regions: str, among: Logins | None = None) -> None:
        self.access = access
        self._regions = regions
        logins = Logins() if among is None else among
        self._common = logins.common
        self._transport = Transport()
        self._source = None if access.role_arn is None else logins.of(Access(access.source_profile))
        self._lock = threading.RLock()
        self._session: AccountSession | None = None
        self._source_generation = 0
        self._generation = 0
        self._credentials: Credentials | None = None
        self._found_for = -1
        self._answered = False
        self._asking = threading.Lock()
        self._identity: Identity | ConnectorError | None = None
        self._provider: str | None = None
        self._looked_up = False

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
        """The region for STS and other calls about the whole account. ConfigError if it is unknown.

        For a role, this is the default region of its source, if that is in the role's partition. Otherwise it is
        one of the regions to read, preferably one that is enabled in every account.
        """
        wanted = self.access.role_partition
        certain = next(filter(is_always_enabled, self._regions), None)
        first = next(iter(self._regions), None)
        if wanted is None:
            return certain or first or self.require_region()
        own = self.default_region
        near = own if own is not None and partition_of(own) == wanted else None
        return near or certain or central_region(wanted) or first or self.require_region()

    @property
    def other_regions(self) -> tuple[str, ...]:
        """Further regions for calls about the whole account, needed if it may not have enabled its home region."""
        home = self.home_region
        if is_always_enabled(home):
            return ()
        wanted = dict.fromkeys(
            (*self._regions, self.default_region, central_region(partition_of(home) or ""))
        )
        return tuple(region for region in wanted if region not in {None, home})

    @property
    def region_source(self) -> str:
        """Where the default region comes from, in the user's words."""
        profile = self._opened().profile or "default"
        return next(iter(set_region_variables()), f"profile {profile} of AWS's files")

    def require_region(self) -> str:
        """The region of the profile or of the environment; ConfigError if there is none."""
        region = self.default_region
        if region is None:
            raise ConfigError(
                f"No region is configured for {self.access}: name one under accounts[].regions, "
                "in AWS_REGION, or in the profile."
            )
        if not _REGION.fullmatch(region):
            raise ConfigError(f"{region!a} is no region of AWS: correct it ({self.region_source}).")
        return region

    def client(self, service: str, region: str, *, timeouts: Timeouts) -> Client:
        """A client with the current session. Raises the errors of reading AWS's own configuration."""
        with self._lock:
            session = self._opened()
            # This may start a program or call a metadata service, so no other account waits for it. It is done once
            # per generation, not per client: a missing metadata service is noticed only after its timeout.
            if self._generation != self._found_for:
                self._credentials = self._found(session)
                self._found_for = self._generation
            sender = self._common.sender(session, service, region, timeouts)
            return Client(sender, self._transport, self._credentials, self._generation)

    def plain_client(self, service: str, config: BotoConfig, region: str | None = None) -> Any:
        """A plain botocore client, with connections of its own. Without `region`, it uses the configured region."""
        session = self._opened()
        self._found(session)
        require_bundle(session)
        return new_client(session, service, region, config)

    def frozen(self) -> Any:
        """The current credentials, for a library that signs requests itself, or None. From now on they are masked."""
        credentials = self._found(self._opened())
        if credentials is None:
            return None
        frozen = credentials.get_frozen_credentials()
        keep_hidden(frozen.access_key, frozen.secret_key, frozen.token)
        return frozen

    def _found(self, session: AccountSession) -> Any:
        """The session's credentials, None if there are none. CredentialsError if their source is broken."""
        try:
            credentials = session.get_credentials()
            require_clean(credentials, str(self.access))
            if self._source is None and credentials is not None and profile_with_code(session) is not None:
                # Otherwise botocore would prompt at the first signature, in any thread, in the middle of other
                # output.
                with terminal_alone():
                    credentials.get_frozen_credentials()
        except (BotoCoreError, ConnectorError):
            raise
        except UNFORESEEN as error:
            raise CredentialsError(
                f"The credentials of {self.access} cannot be obtained: {sentence(error)} Check their "
                "credential_process or other source."
            ) from error
        self._provider = None if credentials is None else credentials.method
        return credentials

    def translated_error(self, error: Exception, place: str, region: str) -> ConnectorError:
        """Our own error for a botocore error: a fault of this machine or the credentials, or that of `translate`."""
        fault = fault_of(error, place, region)
        return fault or self._explained(error, translate(error, place), place)

    def _explained(self, error: Exception, translated: ConnectorError, place: str) -> ConnectorError:
        """A CredentialsError, which is not retried, if the credentials could not be obtained; else `translated`.

        If AWS has already accepted this login's credentials, their source may recover: a failed renewal is left as
        `translated`.
        """
        if isinstance(error, _NOT_LOGGED_IN):
            name = self.access.profile or self.access.source_profile or named_profile()
            profile = f" --profile {name}" if name else ""
            return CredentialsError(
                f"{place} failed: {sentence(error)} Run: aws sso login{profile}.", code=type(error).__name__
            )
        if isinstance(error, CredentialRetrievalError | MetadataRetrievalError) and not self._answered:
            return CredentialsError(
                f"{place} failed: the credentials of {self.access} cannot be obtained: {sentence(error)}"
                f"{setting_of(self._provider or error.kwargs.get('provider'))}",
                code=type(error).__name__,
            )
        return translated

    def answered(self, generation: int) -> None:
        """Record that AWS accepted the credentials of this generation: they may be renewed when they expire."""
        if not self._answered and generation == self._generation:
            self._answered = True
            if self._source is not None:
                self._source.answered(self._source_generation)

    def renew(self, stale: int) -> bool:
        """Replace the session of `stale`, an expired generation; True if there is a newer one now.

        The first caller does this for all. False if AWS never accepted the newest session: another one would be
        rejected too. CredentialsError if there are no credentials any more.
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
            # The new credentials may be in AWS's files.
            self._common.read_again()
            self._session, self._answered = None, False
            self._generation += 1
            self._require_credentials()
            return True

    def remembered(self, ask: Callable[[], Identity | None]) -> Identity | None:
        """The result of the first call of `ask`. A ConfigError or CredentialsError is remembered and raised again."""
        with self._asking:
            if not self._looked_up:
                try:
                    self._identity = ask()
                except (ConfigError, CredentialsError) as error:
                    self._identity = error
                self._looked_up = True
            if isinstance(self._identity, ConnectorError):
                raise type(self._identity)(
                    self._identity.message, **self._identity.context
                ) from self._identity
            return self._identity

    def _opened(self) -> AccountSession:
        session = self._session
        if session is not None:
            # Without our lock, to avoid a deadlock: botocore holds a lock of its own while it assumes a role.
            return session
        with self._lock:
            if self._session is None:
                self._session = self._open()
            return self._session

    def _open(self) -> AccountSession:
        if self._source is None:
            return open_session(self.access.profile, self._common)
        session = open_session(self.access.source_profile, self._common)
        self._source_generation = self._source.generation
        # Replaces botocore's chain, whose order depends on whether a profile is named.
        session.register_component("credential_provider", CredentialResolver([_RoleProvider(self)]))
        return session

    def _renew_source(self) -> None:
        """Renew the source too: AWS does not say whether its credentials or the role's have expired."""
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
        """A botocore fetcher that assumes the role with the source's current credentials."""
        assert self._source is not None  # noqa: S101 - only a role's provider calls this
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

    def _sts(self, service: str, **_: object) -> _Assuming:
        """The STS client for the fetcher. The source's client has the credentials, so arguments are ignored."""
        assert self._source is not None  # noqa: S101 - only a role is assumed
        return _Assuming(self._source.client(service, self.home_region, timeouts=Timeouts()))


class _Assuming:
    """The part of an STS client that botocore's fetcher needs, over the connections of the role's source."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def assume_role(self, **parameters: object) -> Any:
        """Send one request. Raises what botocore's client raises."""
        made = self._client.begin()
        with self._client.under_way(made) as api:
            answer = api.assume_role(**parameters)
            made.believed = True
            return answer


class Logins:
    """One login for each access, shared by all its regions. Roles with the same source share the source's login."""

    def __init__(self) -> None:
        self.common = Common()
        self._logins: dict[Access, Login] = {}

    def of(self, access: Access, *regions: str) -> Login:
        """The login of an access; `regions` are the regions in which it is read, if any is known."""
        if access not in self._logins:
            self._logins[access] = Login(access, *regions, among=self)
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
