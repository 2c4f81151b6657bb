"""Checks a sync's access to AWS: credentials, accounts, each operation of each scope, and the clock.

Each check makes the cheapest real call that only reads. Must not know boto3, files, or SQL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

import msgspec

from image_history.aws.deadline import Callers
from image_history.aws.error_codes import CLOCK_CODES, EXPIRED_CODES
from image_history.aws.server_time import CLOCK_SENTENCE
from image_history.checking.results import Result, failed, ok, softened, warning
from image_history.config import Config
from image_history.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    ImageNotFoundError,
    MalformedResponseError,
    SourceError,
    TransientError,
)
from image_history.extract.calls import ScopeCalls
from image_history.extract.expand import find_targets
from image_history.extract.scopes import OpenScope, Target, open_scope, require_distinct, require_same_account
from image_history.extract.workers import together
from image_history.model import Stop
from image_history.warehouse.loader import Knowledge
from image_history.warehouse.warehouse import now_ms

Response = TypeVar("Response")

_THREADS = 16
_ATTEMPTS = 2
_WAIT = timedelta(seconds=2)
_WARN_SECONDS = 60
_FAIL_SECONDS = 240
# AWS gives its time in whole seconds, and the answer takes time to arrive.
_BLUR_SECONDS = 2
_CLOCK_FIX = (
    "Set this machine's clock, best by NTP (timedatectl set-ntp true): AWS refuses requests that are 5 minutes "
    "off."
)
_POLICY = "image-history check --emit-policy prints the whole policy."
_LONGEST_NAME = 63


@dataclass(slots=True)
class _Scope:
    """One scope under examination: what was found, and how far AWS's clock was from this machine's."""

    target: Target
    results: list[Result] = field(default_factory=list)
    readable: bool = False
    skew_seconds: float | None = None
    where: str = ""
    opened: OpenScope | None = None


def find_and_look(config: Config, knowledge: Knowledge) -> tuple[Result, ...]:
    """Find the scopes to read, and examine them, many at a time.

    If other scopes can be read, a scope that fails makes a sync partial, so its exit codes become 4.
    """
    brief = msgspec.structs.replace(
        config,
        retry=msgspec.structs.replace(
            config.retry,
            attempts=min(_ATTEMPTS, config.retry.attempts),
            max_wait=min(_WAIT, config.retry.max_wait),
        ),
    )
    try:
        wanted = find_targets(brief, Stop())
    except ConnectorError as error:
        return (_unfound(error),)
    callers = Callers(config.concurrency)
    jobs = [partial(_examine, target, brief, knowledge, callers) for target in wanted]
    scopes = together(jobs, min(_THREADS, len(jobs)), Stop())
    some = any(scope.readable for scope in scopes)
    results = [each for scope in scopes for each in (softened(scope.results) if some else scope.results)]
    return (*results, *_twice(scopes), *_clock(scopes))


def _unfound(error: ConnectorError, where: str = "accounts and regions") -> Result:
    """Why the scopes to read are unknown: a profile, a region, or an organization failed."""
    if isinstance(error, CredentialsError):
        fix = "Allow it to the credentials that list the accounts: see check --emit-policy=caller."
    elif isinstance(error, ConfigError):
        fix = "Correct that, and check again; image-history schema --config describes every setting."
    else:
        fix = _network_fix()
    return failed("configuration", where, error.message, fix=fix, exit_code=error.exit_code)


def _examine(target: Target, config: Config, knowledge: Knowledge, callers: Callers) -> _Scope:
    scope = _Scope(target, where=str(target))
    try:
        opened = scope.opened = open_scope(target, config, Stop(), callers=callers)
        scope.where = str(opened.scope)
        scope.results.append(ok("credentials", scope.where, f"accepted: {target.access}"))
        if target.region_from is not None:
            scope.results.append(ok("region", scope.where, f"{target.region}, from {target.region_from}"))
        require_same_account(opened, knowledge.accounts)
        if (target.identity, target.region) in knowledge.accounts:
            scope.results.append(ok("account", scope.where, "the same as before"))
    except ConnectorError as error:
        scope.results.append(_refused(scope, error))
        return scope
    _operations(scope, opened, knowledge, details=config.details)
    return scope


def _twice(scopes: Iterable[_Scope]) -> Iterable[Result]:
    """A failure if two entries lead to the same account and region: a sync then reads nothing."""
    try:
        require_distinct([scope.opened for scope in scopes if scope.opened is not None])
    except ConfigError as error:
        fix = "Remove one of the two entries of accounts, or let it read other regions."
        yield failed("account", "accounts", error.message, fix=fix, exit_code=error.exit_code)


def _refused(scope: _Scope, error: ConnectorError) -> Result:
    """Why the scope could not be opened at all."""
    if isinstance(scope.target.fault, ConfigError):
        return _unfound(error, scope.where)
    if scope.target.fault is not None:
        fix = "Follow the message, or name the account's regions in the configuration instead of all."
        return failed("regions", scope.where, error.message, fix=fix, exit_code=_fatal_code(error))
    if isinstance(error, CredentialsError):
        return _bad_credentials(scope, error)
    if isinstance(error, AccessDeniedError):
        fix = f"Allow sagemaker:ListImages to {scope.target.access}. {_POLICY}"
        return failed("permission", scope.where, error.message, fix=fix, exit_code=3)
    if isinstance(error, ConfigError):
        fix = "Correct the configuration, or the variable of the environment that it names."
        return failed("configuration", scope.where, error.message, fix=fix, exit_code=2)
    return _unreachable(scope, error)


def _fatal_code(error: ConnectorError) -> int:
    """The exit code of a sync that can read nothing because of this error."""
    return CredentialsError.exit_code if isinstance(error, AccessDeniedError) else error.exit_code


def _bad_credentials(scope: _Scope, error: CredentialsError) -> Result:
    code = error.context.get("code")
    if CLOCK_SENTENCE in error.message and code in CLOCK_CODES:
        return failed("clock", scope.where, error.message, fix=_CLOCK_FIX, exit_code=3)
    if "led to account" in error.message:
        fix = "Check the profile or role; if the new account is meant, run sync --accept-account once."
        return failed("account", scope.where, error.message, fix=fix, exit_code=3)
    if code in EXPIRED_CODES:
        fix = "Get new ones (aws sso login, or whatever made the old ones), and check again."
    elif scope.target.access.role_arn is not None:
        fix = (
            f"Allow sts:AssumeRole on {scope.target.access.role_arn} to the caller (check --emit-policy=caller), "
            "let the role's trust policy name the caller, and check external_id."
        )
    else:
        fix = "Set AWS_PROFILE, log in again, or name a profile or role under accounts in the configuration."
    return failed("credentials", scope.where, error.message, fix=fix, exit_code=3)


def _unreachable(scope: _Scope, error: ConnectorError) -> Result:
    code = SourceError.exit_code
    return failed("endpoint", scope.where, error.message, fix=_network_fix(), exit_code=code)


def _network_fix() -> str:
    variables = [
        name
        for name in sorted(os.environ)
        if name.upper() in {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "AWS_CA_BUNDLE"}
        or name.startswith("AWS_ENDPOINT_URL")
    ]
    named = f" Set here, check them too: {', '.join(variables)}." if variables else ""
    return (
        "Check the network, the name of the region, a proxy (HTTPS_PROXY) and its certificate authority "
        f"(AWS_CA_BUNDLE).{named}"
    )


def _operations(scope: _Scope, opened: OpenScope, knowledge: Knowledge, *, details: bool) -> None:
    """Make one call of each operation, on an image that exists, if there is one."""
    examined = _Operations(scope, opened.calls)
    name = examined.list_images(opened.target) or _known_image(opened, knowledge)
    made_up = name or _made_up(opened.target)
    number = examined.list_versions(made_up)
    examined.try_call("DescribeImage", partial(opened.calls.image_gone_ms, made_up))
    examined.try_call(
        "DescribeImageVersion", partial(opened.calls.describe_image_version, made_up, number or 1)
    )
    if details:
        list_aliases = partial(opened.calls.list_aliases, made_up, number or 1, None)
        examined.try_call("ListAliases", list_aliases)
    scope.readable = {"ListImages", "ListImageVersions"} <= examined.allowed
    if examined.answered:
        scope.results.append(ok("endpoint", scope.where, "answers"))
    if len(examined.allowed) == examined.tried:
        message = ", ".join(sorted(examined.allowed)) + ("" if name else " (no image there to try them on)")
        scope.results.append(ok("permission", scope.where, message))


def _known_image(opened: OpenScope, knowledge: Knowledge) -> str | None:
    names = (
        stream.image_name
        for stream, known in knowledge.streams.items()
        if stream.scope == opened.scope
        and known.image_live
        and opened.target.images.accepts(stream.image_name)
    )
    return next(names, None)


def _made_up(target: Target) -> str:
    """A name that matches the configured patterns, so that a policy limited to these allows it."""
    glob = target.images.include[0]
    name = "".join("x" if letter in "?[]!" else letter for letter in glob)
    return name.replace("*", "image-history-check")[:_LONGEST_NAME].strip("-.") or "image-history-check"


@dataclass(slots=True)
class _Operations:
    """The calls of one scope. The answer "not found" also proves that the call is allowed."""

    scope: _Scope
    calls: ScopeCalls
    allowed: set[str] = field(default_factory=set)
    tried: int = 0
    answered: bool = False

    def list_images(self, target: Target) -> str | None:
        """An image that is configured to be read, from the first page of the list."""
        answer = self.try_call("ListImages", partial(self.calls.list_images, None))
        if answer is None:
            return None
        self.scope.skew_seconds = (now_ms() - answer.date_ms) / 1000
        names = (image.ImageName for image in answer.body.Images)
        return next((name for name in names if target.images.accepts(name)), None)

    def list_versions(self, name: str) -> int | None:
        """The number of a version of the image."""
        parameters = {"ImageName": name, "MaxResults": 1}
        answer = self.try_call("ListImageVersions", partial(self.calls.list_image_versions_with, parameters))
        rows = () if answer is None else answer.body.ImageVersions
        return rows[0].Version if rows else None

    def try_call(self, operation: str, call: Callable[[], Response]) -> Response | None:
        """Make the call and return its answer; None if it failed or found nothing."""
        self.tried += 1
        answer: Response | None = None
        try:
            answer = call()
        except ImageNotFoundError:
            pass
        except ConnectorError as error:
            self.scope.results.append(self._problem(operation, error))
            self.answered = self.answered or not isinstance(error, TransientError | SourceError)
            return None
        self.answered = True
        self.allowed.add(operation)
        return answer

    def _problem(self, operation: str, error: ConnectorError) -> Result:
        where = self.scope.where
        if isinstance(error, CredentialsError):
            return _bad_credentials(self.scope, error)
        if isinstance(error, AccessDeniedError):
            fix = f"Allow sagemaker:{operation} to {self.scope.target.access}{_WITHOUT[operation]}. {_POLICY}"
            if operation in _NEEDED:
                return failed("permission", where, error.message, fix=fix, exit_code=3)
            return warning("permission", where, error.message, fix)
        if isinstance(error, MalformedResponseError):
            fix = "Check whether a proxy or a gateway answers instead of AWS."
            return failed("endpoint", where, error.message, fix=fix, exit_code=SourceError.exit_code)
        if isinstance(error, TransientError | SourceError):
            return _unreachable(self.scope, error)
        fix = "Please report this, with the message."
        return failed("permission", where, error.message, fix=fix, exit_code=4)


# The operations that a sync needs; if another one is denied, it goes on without it.
_NEEDED = frozenset({"ListImages", "ListImageVersions"})
_WITHOUT: Mapping[str, str] = {
    "ListImages": " in this region: without it nothing of it is read",
    "ListImageVersions": ": without it no version is read",
    "DescribeImage": ": without it an image that went is never confirmed as deleted",
    "DescribeImageVersion": ": without it a deleted version takes a second listing to prove",
    "ListAliases": ": without it no alias is known",
}


def _clock(scopes: Iterable[_Scope]) -> Iterable[Result]:
    """Compare this machine's clock with AWS's, by the answer that differs most."""
    skews = [scope.skew_seconds for scope in scopes if scope.skew_seconds is not None]
    if not skews:
        return
    skew = max(skews, key=abs)
    off = max(0.0, abs(skew) - _BLUR_SECONDS)
    message = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's"
    if off > _FAIL_SECONDS:
        message = f"{CLOCK_SENTENCE} {abs(skew) / 60:.0f} minutes {message.split(' s ')[1]}."
        yield failed("clock", "this machine", message, fix=_CLOCK_FIX, exit_code=3)
    elif off > _WARN_SECONDS:
        yield warning("clock", "this machine", f"{message}.", _CLOCK_FIX)
    else:
        yield ok("clock", "this machine", "right to a few seconds")
