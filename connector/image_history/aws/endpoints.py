"""One request to AWS, put together from botocore's own parts, but for its signature; and the answer, read by them.

botocore's clients put the same parts together with hooks between them, which costs more than the rest of a page,
and each region of each account would need one, at 3 ms and half a megabyte. Here a client is made once for each
endpoint, and asked where it would send a request and how it would sign it. Must not know retry, or what an
answer means.
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import botocore
import botocore.session
from botocore.awsrequest import prepare_request_dict
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError
from botocore.parsers import ResponseParserError, create_parser
from botocore.serialize import create_serializer

from image_history.aws.connections import Reply, Request, Way, way_to
from image_history.aws.signing import sign
from image_history.aws.translation import sentence
from image_history.errors import ConfigError

if TYPE_CHECKING:
    from botocore.config import Config as BotoConfig

# A request without parameters of each service: all its requests go to the same place, signed in the same way.
_PROBES = {
    "sagemaker": "ListImages",
    "sts": "GetCallerIdentity",
    "account": "ListRegions",
    "ec2": "DescribeRegions",
    "organizations": "ListAccounts",
}
# What a profile says of credentials: two profiles that differ in nothing else have the same endpoints.
_OF_CREDENTIALS = ("aws_", "role_", "sso_", "mfa_", "source_", "credential_", "web_identity_", "login_")
_OF_NEITHER = frozenset({"region", "output", "external_id", "duration_seconds", "cli_pager"})
# Stands in where a client is asked and sends nothing.
_NOBODY = "nobody"
# botocore's sessions and loaders are not made for several threads.
_MAKING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service is asked, and how requests to it are made: botocore's parts. Safe to share between threads."""

    url: str
    signing_name: str
    signing_region: str
    user_agent: str
    model: Any
    way: Way
    serializer: Any
    parser: Any

    def send(self, operation: str, parameters: Mapping[str, object], credentials: Any) -> Reply:
        """Make one request, signed by what the credentials are now, and return whatever is answered.

        Raises botocore's own exceptions: for parameters and credentials before anything is sent, else for the
        network.
        """
        request = self.request(operation, parameters)
        sign(request, _frozen(credentials), region=self.signing_region, service=self.signing_name)
        return self.way.send(request)

    def request(self, operation: str, parameters: Mapping[str, object]) -> Request:
        """The request before it is signed."""
        made = self.serializer.serialize_to_request(parameters, self.model.operation_model(operation))
        prepare_request_dict(made, endpoint_url=self.url, user_agent=self.user_agent)
        body = made["body"]
        content = urlencode(body, doseq=True).encode() if isinstance(body, dict) else bytes(body)
        return Request(
            made["method"], made["url"], {**made["headers"], "Content-Length": str(len(content))}, content
        )

    def read(self, operation: str, reply: Reply) -> Mapping[str, Any]:
        """A success as botocore reads it. ResponseParserError or ValueError for what is none."""
        return self._parsed(reply, self.model.operation_model(operation).output_shape)

    def failure(self, operation: str, reply: Reply) -> ClientError:
        """What a client of botocore would raise for an answer that is no success."""
        return ClientError(self._parsed(reply, None), operation)

    def _parsed(self, reply: Reply, shape: Any) -> Mapping[str, Any]:
        told = {"headers": reply.headers, "status_code": reply.status, "body": reply.body, "context": {}}
        try:
            parsed: Mapping[str, Any] = self.parser.parse(told, shape)
        except (AttributeError, LookupError, TypeError) as error:
            # What a proxy answers in a service's place is not always of a form that botocore has thought of.
            raise ResponseParserError(
                f"The answer is none of this service ({type(error).__name__})"
            ) from error
        return parsed


class Endpoints:
    """The endpoints of a run, each made once however many accounts use it. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Endpoint] = {}
        self._shared: dict[tuple[object, ...], Any] = {}
        self._ways: dict[tuple[str, int], Way] = {}
        self._asking = threading.Lock()

    def of(
        self, session: botocore.session.Session, service: str, region: str, config: BotoConfig
    ) -> Endpoint:
        """The endpoint of a service as the session's profile and the environment have it.

        ConfigError for an endpoint that is none, or that is plain http; botocore's exceptions for settings
        that it doesn't understand.
        """
        bounds = (config.connect_timeout, config.read_timeout, config.max_pool_connections)
        key = (service, region, bounds, _settings(session))
        with self._asking:
            if key not in self._known:
                self._known[key] = self._asked(session, service, region, config)
            return self._known[key]

    def _asked(
        self, session: botocore.session.Session, service: str, region: str, config: BotoConfig
    ) -> Endpoint:
        nobody = {"aws_access_key_id": _NOBODY, "aws_secret_access_key": _NOBODY}
        api = self.joined_by(new_client(session, service, region, config, **nobody), session)
        model, operation = api.meta.service_model, _PROBES[service]
        told = _ask(api, operation)
        refuse_plain_http(told.request.url)
        _require_version_4(told.signing["version"])
        url = _without_path(told.request.url, str(model.operation_model(operation).http["requestUri"]))
        return Endpoint(
            url=url,
            signing_name=told.signing["signing_name"],
            signing_region=told.signing["region"],
            user_agent=told.request.headers["User-Agent"],
            model=model,
            way=self._way(url, api._endpoint.http_session),  # noqa: SLF001 - botocore has no other way to it
            serializer=create_serializer(model.resolved_protocol),
            parser=create_parser(model.resolved_protocol),
        )

    def _way(self, url: str, http: Any) -> Way:
        """One for all who share an HTTP session, which `joined_by` keeps: so do its connections."""
        key = (url, id(http))
        if key not in self._ways:
            self._ways[key] = way_to(url, http)
        return self._ways[key]

    def joined_by(self, api: Any, session: botocore.session.Session) -> Any:
        """The client itself, now with the connections of all clients of the same endpoint and bounds.

        Without that each has its own trust store, of 0.7 MB and 30 ms, and its own handshakes with AWS. It
        signs with its own credentials as before: connections know none.
        """
        config = api.meta.config
        key = (
            api.meta.endpoint_url,
            session.get_config_variable("ca_bundle"),
            config.connect_timeout,
            config.read_timeout,
            config.max_pool_connections,
        )
        endpoint = api._endpoint  # noqa: SLF001 - nor to share them
        endpoint.http_session = self._shared.setdefault(key, endpoint.http_session)
        return api


def _frozen(credentials: Any) -> Any:
    """The credentials as they are now, renewed if they end soon; None if there are none.

    A program or file that they come from can fail in ways of its own, which concern this account only.
    """
    try:
        return None if credentials is None else credentials.get_frozen_credentials()
    except (BotoCoreError, ClientError):
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise CredentialRetrievalError(provider=credentials.method, error_msg=str(error)) from error


class _Told(Exception):  # noqa: N818 - no error: what a client would have done
    def __init__(self, request: Any, signing: Mapping[str, str]) -> None:
        super().__init__()
        self.request = request
        self.signing = signing


def _ask(api: Any, operation: str) -> _Told:
    """The request that a client would send for an operation without parameters, and how it would sign it."""

    def before_sign(request: Any, **signing: Any) -> None:
        own = {name: value for name, value in request.context.get("signing", {}).items() if value}
        told = {"signing_name": signing["signing_name"], "region": signing["region_name"]}
        raise _Told(request, {**told, **own, "version": str(signing["signature_version"])})

    api.meta.events.register_first("before-sign", before_sign)
    try:
        getattr(api, botocore.xform_name(operation))()
    except _Told as told:
        return told
    raise AssertionError(operation)


def _without_path(url: str, path: str) -> str:
    """An endpoint's own URL, of that of a request to it."""
    parts = urlsplit(url)
    return parts._replace(path=parts.path.removesuffix("" if path == "/" else path)).geturl()


def _require_version_4(version: str) -> None:
    if version != "v4":
        raise ConfigError(
            f"AWS's configuration asks for signatures {version}; there are only those of version 4."
        )


def _settings(session: botocore.session.Session) -> str:
    """What a profile says that may concern an endpoint; the environment says the same to all."""
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services", ""), {})
    said = {
        name: value
        for name, value in profile.items()
        if name not in _OF_NEITHER and not name.startswith(_OF_CREDENTIALS)
    }
    return json.dumps([said, services], sort_keys=True, default=str)


def new_client(
    session: botocore.session.Session, service: str, region: str, config: BotoConfig, **credentials: Any
) -> Any:
    """A client of botocore, with the session's own credentials unless others are given.

    ConfigError for an endpoint that is none, or that is plain http.
    """
    try:
        with _MAKING:
            api = session.create_client(service, region_name=region, config=config, **credentials)
    except ValueError as error:
        raise ConfigError(
            f"{sentence(error)} Check AWS_ENDPOINT_URL and endpoint_url in AWS's own config files."
        ) from error
    refuse_plain_http(api.meta.endpoint_url)
    return api


def refuse_plain_http(endpoint: str) -> None:
    """ConfigError for an endpoint whose requests somebody on the way could read."""
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
