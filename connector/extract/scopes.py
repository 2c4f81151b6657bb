"""From configuration to open scopes: which account and region to read, with which calls.

Must not know what the warehouse holds, or what will be listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connector.config import Account, Config
from connector.errors import ConfigError, CredentialsError
from connector.extract.aws import (
    Access,
    ImageApi,
    Session,
    Timeouts,
    caller_account,
    default_region,
    open_session,
)
from connector.extract.calls import Pace, ScopeCalls
from connector.extract.discover import Discovery, discover
from connector.extract.pace import Pacer
from connector.extract.plan import ImageFilter
from connector.extract.retry import RetryPolicy
from connector.model import Scope, Stop

# How often a server may use its time to read up before a call is given up; a page is a few reads long.
_READS_PER_CALL = 4


@dataclass(frozen=True, slots=True)
class Target:
    """One region of one configured account, before it is known which account that is."""

    access: Access
    region: str
    images: ImageFilter

    def __str__(self) -> str:
        return f"{self.access} in {self.region}"

    @property
    def identity(self) -> str | None:
        """What the configuration names: a profile or a role; None for AWS's default chain."""
        named = self.access.profile is not None or self.access.role_arn is not None
        return str(self.access) if named else None


@dataclass(frozen=True, slots=True)
class OpenScope:
    """A target with its calls and its account; `discovery` is there if it was needed to tell the account."""

    target: Target
    scope: Scope
    calls: ScopeCalls
    discovery: Discovery | None = None

    def images(self) -> Discovery:
        """The scope's list of images, read now unless it was read already. Raises as `discover` does."""
        return self.discovery if self.discovery is not None else discover(self.calls, self.target.images)


def targets(accounts: Iterable[Account]) -> tuple[Target, ...]:
    """Every region of every configured account. ConfigError for an unknown profile or a missing region."""
    return tuple(
        Target(_access(account), region, ImageFilter(account.images.include, account.images.exclude))
        for account in accounts
        for region in _regions(account)
    )


def _access(account: Account) -> Access:
    return Access(account.profile, account.role_arn, account.external_id, account.source_profile)


def _regions(account: Account) -> Sequence[str]:
    if account.regions is not None:
        return account.regions
    access = _access(account)
    return (default_region(open_session(access), access),)


def timeouts(config: Config) -> Timeouts:
    """The network's bounds as the client takes them."""
    connect, read = config.timeout.connect.total_seconds(), config.timeout.read.total_seconds()
    return Timeouts(connect, read, call_seconds=connect + _READS_PER_CALL * read)


def scope_calls(target: Target, config: Config, stop: Stop, *, session: Session | None = None) -> ScopeCalls:
    """The calls of one target: its own client, pace and counters. No request is made."""
    source = ImageApi(
        target.access, target.region, timeouts=timeouts(config), pool=config.concurrency, session=session
    )
    policy = RetryPolicy(config.retry.attempts, config.retry.max_wait.total_seconds(), config.retry.budget)
    pace = Pace(
        lists=Pacer(config.rate.list_per_second, sleep=stop.event.wait),
        describes=Pacer(config.rate.describe_per_second, sleep=stop.event.wait),
    )
    return ScopeCalls(source, policy=policy, pace=pace, stop=stop)


def open_scope(target: Target, config: Config, stop: Stop) -> OpenScope:
    """Find out which account the target is: from STS, else from the ARNs of its images.

    Raises CredentialsError if neither tells, and what discovery raises.
    """
    session = open_session(target.access, target.region)
    calls = scope_calls(target, config, stop, session=session)
    account_id = caller_account(session, target.region, timeouts(config))
    if account_id is not None:
        return OpenScope(target, Scope(account_id, target.region), calls)
    discovery = discover(calls, target.images)
    if discovery.account_id is None:
        raise CredentialsError(
            f"Cannot tell which account {target} is: STS did not answer, and there is no image whose ARN "
            "names it. Allow sts:GetCallerIdentity, or check the endpoint."
        )
    return OpenScope(target, Scope(discovery.account_id, target.region), calls, discovery)


def require_distinct(scopes: Sequence[OpenScope]) -> None:
    """ConfigError if two entries of the configuration turn out to be the same account and region."""
    seen: dict[Scope, Target] = {}
    for opened in scopes:
        if opened.scope in seen:
            raise ConfigError(
                f"{seen[opened.scope]} and {opened.target} are both account {opened.scope.account_id} in "
                f"{opened.scope.region}: keep one of the two under accounts in the configuration."
            )
        seen[opened.scope] = opened.target


def require_same_account(opened: OpenScope, accounts: Mapping[tuple[str, str], str]) -> None:
    """CredentialsError if a configured profile or role leads to another account than it did before.

    `accounts` holds, by identity and region, where they led. Nothing has been written when it is raised.
    """
    identity, scope = opened.target.identity, opened.scope
    before = accounts.get((identity, scope.region)) if identity is not None else None
    if before is not None and before != scope.account_id:
        raise CredentialsError(
            f"{opened.target} led to account {before} so far, and now leads to {scope.account_id}: nothing of "
            "it was read. If that is meant, run sync --accept-account."
        )
