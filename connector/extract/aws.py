"""Sessions, clients and single calls: the only module that knows boto3 and botocore.

Makes one HTTP request for one call and translates what can go wrong; must not know retry, pages or streams.
botocore's own retries are off, so that every request is one that we decided to make.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config as BotoConfig
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, SSLError
from botocore.parsers import ResponseParserError

from connector import __version__
from connector.errors import (
    ConfigError,
    ConnectorError,
    CredentialsError,
    MalformedResponseError,
    ServiceUnavailableError,
    SkippableError,
    SourceError,
    TransientError,
)
from connector.extract.answers import ANSWER, decode_answer, require_subject
from connector.extract.deadline import within
from connector.extract.faults import CLOCK_CODES, EXCEPTIONS, EXPIRED_CODES, error_class
from connector.extract.headers import clock_hint, retry_after_seconds
from connector.wire import BODIES, Answer

logger = logging.getLogger(__name__)

Session: TypeAlias = boto3.Session

_METHODS = {
    "ListImageVersions": "list_image_versions",
    "ListImages": "list_images",
    "DescribeImage": "describe_image",
    "DescribeImageVersion": "describe_image_version",
}
_ASKED_OPERATIONS = frozenset({*BODIES, "GetCallerIdentity"})
# What botocore raises beside ClientError; ResponseParserError is for XML of STS that is none.
_FAULTS = (BotoCoreError, ResponseParserError, ValueError)
# So many characters of a token are no other word.
_QUOTED_CHARACTERS = 8
# A certificate that is not trusted now will not be a minute later; other faults of TLS may pass.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_TRUST_HINT = " If a proxy of yours signs certificates, name its authority in AWS_CA_BUNDLE."


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


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, seconds between two reads of a socket, and seconds for one whole call."""

    connect_seconds: float = 5
    read_seconds: float = 30
    call_seconds: float = 120


class _RoleProvider(CredentialProvider):
    """Credentials of an assumed role, renewed by botocore before they expire."""

    METHOD = "image-history-assume-role"

    def __init__(self, source: botocore.session.Session, access: Access, region: str | None) -> None:
        super().__init__()
        self._source = source
        self._access = access
        self._region = region

    def load(self) -> DeferredRefreshableCredentials:
        source_credentials = self._source.get_credentials()
        if source_credentials is None:
            raise NoCredentialsError
        extra = {"RoleSessionName": "image-history"}
        if self._access.external_id is not None:
            extra["ExternalId"] = self._access.external_id
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=self._client,
            source_credentials=source_credentials,
            role_arn=self._access.role_arn,
            extra_args=extra,
        )
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=fetcher.fetch_credentials)

    def _client(self, service: str, **credentials: Any) -> Any:
        """The client of STS; without a region it would need one of the environment's."""
        config = _client_config(Timeouts(), pool=1)
        return self._source.create_client(service, region_name=self._region, config=config, **credentials)


def open_session(access: Access, region: str | None = None) -> boto3.Session:
    """A boto3 session; a role is assumed at the STS of `region`, None for the profile's or environment's.

    Raises ConfigError for an unknown profile. No request is made; any that one of its clients, STS's too,
    would send over plain http is refused with ConfigError.
    """
    try:
        return boto3.Session(botocore_session=_botocore_session(access, region))
    except BotoCoreError as error:
        raise translate(error, str(access)) from error


def _botocore_session(access: Access, region: str | None) -> botocore.session.Session:
    profile = access.source_profile if access.role_arn is not None else access.profile
    session = _guarded_session(profile)
    if access.role_arn is None:
        return session
    assumed = _guarded_session(profile)
    provider = _RoleProvider(session, access, region)
    # In place of botocore's chain: its order depends on whether a profile is named.
    assumed.register_component("credential_provider", CredentialResolver([provider]))
    return assumed


def _guarded_session(profile: str | None) -> botocore.session.Session:
    session = botocore.session.Session(profile=profile)
    session.register("before-send", _refuse_readable_request)
    return session


def _refuse_readable_request(request: Any, **_: object) -> None:
    _refuse_plain_http(request.url)


def _new_client(session: boto3.Session, service: str, region: str, config: BotoConfig) -> Any:
    try:
        return session.client(service, region_name=region, config=config)
    except BotoCoreError as error:
        raise translate(error, f"A client of {service} in {region}") from error
    except ValueError as error:
        raise ConfigError(
            f"{_sentence(error)} Check AWS_ENDPOINT_URL and endpoint_url in AWS's own config files."
        ) from error


def default_region(session: boto3.Session, access: Access) -> str:
    """The region of the profile or the environment; ConfigError if there is none."""
    region = session.region_name
    if region is None:
        raise ConfigError(
            f"No region is configured for {access}: name one under accounts[].regions, "
            "in AWS_DEFAULT_REGION, or in the profile."
        )
    return str(region)


def caller_account(session: boto3.Session, region: str, timeouts: Timeouts) -> str | None:
    """The account that the credentials belong to, from STS; None where STS is denied or out of reach.

    Raises CredentialsError if there are no credentials or AWS doesn't know them.
    """
    client = _new_client(session, "sts", region, _client_config(timeouts, pool=1))
    try:
        return str(client.get_caller_identity()["Account"])
    except (ClientError, *_FAULTS) as error:
        translated = translate(error, f"sts GetCallerIdentity in {region}")
        if isinstance(translated, CredentialsError | ConfigError):
            raise translated from error
        logger.warning("account_not_told_by_sts", extra={"region": region, "reason": str(translated)})
        return None


def _client_config(timeouts: Timeouts, *, pool: int) -> BotoConfig:
    return BotoConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=timeouts.connect_seconds,
        read_timeout=timeouts.read_seconds,
        tcp_keepalive=True,
        max_pool_connections=pool,
        parameter_validation=True,
        user_agent_extra=f"image-history/{__version__}",
    )


def _nobody(_: str) -> None:
    """Count nothing."""


class ImageApi:
    """SageMaker's image operations in one region, one request a call. Safe to share between threads.

    `where` names the scope in messages. `session` is one of `open_session` that is at hand, for the next
    client of a session costs a tenth of the first. Expired credentials are rebuilt once, and the call is then
    made again: `repeated` hears of that, so that every request is counted.
    """

    def __init__(
        self,
        access: Access,
        region: str,
        *,
        timeouts: Timeouts,
        pool: int,
        session: boto3.Session | None = None,
    ) -> None:
        self.region = region
        self.where = f"{access} in {region}"
        self._access = access
        self._timeouts = timeouts
        self._pool = pool
        self.repeated: Callable[[str], object] = _nobody
        self._lock = threading.Lock()
        self._reopened = False
        self._client = self._open(open_session(access, region) if session is None else session)

    def _open(self, session: boto3.Session) -> Any:
        config = _client_config(self._timeouts, pool=self._pool)
        client = _new_client(session, "sagemaker", self.region, config)
        _refuse_plain_http(client.meta.endpoint_url)
        for operation in BODIES:
            client.meta.events.register(f"before-parse.sagemaker.{operation}", decode_answer)
        return client

    def call(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        """Make one request and return its validated answer.

        Raises a TransientError that another attempt may cure, a SkippableError for this resource, or a
        FatalError for the scope.
        """
        client = self._client
        try:
            return self._request(client, operation, parameters)
        except ClientError as error:
            if _code(error) in EXPIRED_CODES and self._reopen(client):
                self.repeated(operation)
                return self._retry_once(operation, parameters)
            raise self._translated(error, operation, parameters) from error
        except _FAULTS as error:
            raise self._translated(error, operation, parameters) from error

    def _retry_once(self, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        try:
            return self._request(self._client, operation, parameters)
        except (ClientError, *_FAULTS) as error:
            raise self._translated(error, operation, parameters) from error

    def _reopen(self, stale: object) -> bool:
        """Rebuild the session once; True if `stale` is no longer the client to use."""
        with self._lock:
            if self._client is not stale:
                return True
            if self._reopened:
                return False
            logger.warning("credentials_expired", extra={"where": self.where, "action": "session rebuilt"})
            try:
                self._client = self._open(open_session(self._access, self.region))
            except TransientError as error:
                raise CredentialsError(
                    f"The credentials of {self.where} have expired, and there are no new ones: {error}",
                    **error.context,
                ) from error
            self._reopened = True
            return True

    def _request(self, client: Any, operation: str, parameters: Mapping[str, object]) -> Answer[Any]:
        method, limit = getattr(client, _METHODS[operation]), self._timeouts.call_seconds
        try:
            response = within(limit, lambda: method(**parameters))
            require_subject(operation, parameters, response[ANSWER])
        except TimeoutError:
            place = self._place(operation, parameters)
            raise ServiceUnavailableError(f"{place} failed: no whole answer within {limit:g} s.") from None
        except MalformedResponseError as error:
            place = self._place(operation, parameters)
            raise MalformedResponseError(
                f"{place} failed: {error.message}.",
                operation=operation,
                request_id=error.context.get("request_id"),
            ) from error
        answer: Answer[Any] = response[ANSWER]
        return answer

    def _translated(
        self, error: Exception, operation: str, parameters: Mapping[str, object]
    ) -> ConnectorError:
        return translate(error, self._place(operation, parameters), parameters.get("NextToken"))

    def _place(self, operation: str, parameters: Mapping[str, object]) -> str:
        image = parameters.get("ImageName")
        return (
            f"{operation} of image {image} with {self.where}" if image else f"{operation} with {self.where}"
        )


def _refuse_plain_http(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"The endpoint {parts.scheme}://{parts.netloc} is plain http: requests would be readable on the way. "
            "Use https, or http on this machine's loopback only."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def translate(error: Exception, place: str, token: object = None) -> ConnectorError:
    """Our error for one of botocore's; its message says what happened, where, and what to do.

    `token` is the pagination token of the request, which AWS may quote, and the message must not.
    """
    if isinstance(error, ClientError):
        return _translate_answer(error, place, str(token or ""))
    if isinstance(error, ResponseParserError):
        return MalformedResponseError(f"{place} failed: {_sentence(error)}")
    if not isinstance(error, BotoCoreError):
        return SourceError(f"{place} failed inside botocore: {_sentence(error)}")
    if isinstance(error, SSLError) and _UNTRUSTED in str(error):
        return SourceError(f"{place} failed: {_sentence(error)}{_TRUST_HINT}", code=type(error).__name__)
    kind = next(
        (EXCEPTIONS[base.__name__] for base in type(error).__mro__ if base.__name__ in EXCEPTIONS),
        SourceError,
    )
    return kind(f"{place} failed: {_sentence(error)}{_hint(kind)}", code=type(error).__name__)


def _translate_answer(error: ClientError, place: str, token: str) -> ConnectorError:
    code = _code(error)
    metadata = error.response.get("ResponseMetadata", {})
    status, headers = metadata.get("HTTPStatusCode", 0), metadata.get("HTTPHeaders", {})
    kind = error_class(code, status)
    if issubclass(kind, SkippableError) and error.operation_name not in _ASKED_OPERATIONS:
        # A role that cannot be assumed says nothing about an image.
        kind = CredentialsError
    said = _without_token(str(error.response.get("Error", {}).get("Message") or ""), token)
    message = f"{place} failed: {code}{f': {said}' if said else ''} (HTTP {status})".rstrip(".")
    if issubclass(kind, TransientError):
        asked = retry_after_seconds(headers, now=datetime.now(UTC))
        return kind(f"{message}.", retry_after_seconds=asked, code=code)
    skewed = clock_hint(headers.get("date"), now=datetime.now(UTC)) if code in CLOCK_CODES else None
    return kind(f"{message}.{skewed or _hint(kind)}", code=code)


def _without_token(text: str, token: str) -> str:
    """The text without the token or its beginning."""
    lengths = range(len(token), _QUOTED_CHARACTERS - 1, -1)
    quoted = next((token[:length] for length in lengths if token[:length] in text), None)
    return text if quoted is None else text.replace(quoted, "(hidden)")


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text}."


def _hint(kind: type[ConnectorError]) -> str:
    hints: dict[type[ConnectorError], str] = {
        CredentialsError: " Set AWS_PROFILE, log in again, or name a profile or role under accounts in the "
        "configuration.",
        ConfigError: " Check the profile and region in the configuration and in AWS's own config files.",
    }
    return hints.get(kind, "")
