"""From configuration to open scopes: which account and region to read, with which calls.

Must not know what the warehouse holds, or what will be listed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from image_history.aws.catalog import partition_of
from image_history.aws.deadline import Callers
from image_history.aws.error_codes import UNKNOWN_KEY_CODES
from image_history.aws.image_api import Access, ImageApi, Login, Timeouts
from image_history.aws.sessions import Logins
from image_history.config import Account, Config
from image_history.errors import ConfigError, ConnectorError, CredentialsError
from image_history.extract.accounts import AccountCalls, Bounds
from image_history.extract.calls import Pace, ScopeCalls
from image_history.extract.discovery import Discovery, discover
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryPolicy
from image_history.listing.request import ImageFilter
from image_history.model import Scope, Stop

# ALL is the configuration's word for every enabled region; the others stand in a target for its region's name.
ALL = "all"
EVERYWHERE = "all regions"
NOWHERE = "an unknown region"

# A call is given up after this many read timeouts altogether; a page takes a few reads.
_READS_PER_CALL = 4


@dataclass(frozen=True, slots=True)
class Target:
    """One region of one configured account whose account id is not known yet.

    `region_from` says where the region comes from if the configuration names none. `login` is shared by all
    regions of the account. `fault` is why nothing can be read: `open_scope` raises it.
    """

    access: Access
    region: str
    images: ImageFilter
    login: Login | None = field(default=None, repr=False, compare=False)
    fault: ConnectorError | None = field(default=None, repr=False, compare=False)
    region_from: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.access} in {self.region}"

    def require_sound(self) -> None:
        """Raise the fault, if there is one."""
        if self.fault is not None:
            raise self.fault

    @property
    def identity(self) -> str:
        """What the configuration names: a profile, a role, or AWS's default chain."""
        return str(self.access)


@dataclass(frozen=True, slots=True)
class OpenScope:
    """A target with its calls and its account; `discovery` is set if it was needed to find the account."""

    target: Target
    scope: Scope
    calls: ScopeCalls
    discovery: Discovery | None = None

    def images(self) -> Discovery:
        """The scope's list of images, read now unless it was read already. Raises as `discover` does."""
        if self.discovery is not None:
            return self.discovery
        try:
            return discover(self.calls, self.target.images)
        except CredentialsError as error:
            if error.context.get("code") not in UNKNOWN_KEY_CODES:
                raise
            # STS usually accepted these keys; it did not if the account is known from the role's ARN only.
            raise CredentialsError(
                f"{error} If these credentials work in another region: is the region {self.scope.region} enabled "
                f"in account {self.scope.account_id}?",
                **error.context,
            ) from error


# AWS rarely takes longer than this for a list call.
_CALL_SECONDS = 0.5


def targets(accounts: Iterable[Account], logins: Logins | None = None) -> tuple[Target, ...]:
    """Every region of every configured account. No request is made.

    If an account's region cannot be determined, the error becomes the fault of its one target, so that no other
    account is affected. ConfigError for a region of another partition than the role's, and for `regions: all`,
    which only `expand.find_targets` can resolve.
    """
    shared = Logins() if logins is None else logins
    return tuple(target for account in accounts for target in _of_account(account, shared))


def _of_account(account: Account, logins: Logins) -> Iterator[Target]:
    access, images = access_of(account), filter_of(account)
    if account.regions == ALL:
        raise ConfigError(f"{access} is read in all its regions: choose one with --region.")
    named = account.regions if isinstance(account.regions, tuple) else ()
    login = logins.of(access, *named)
    try:
        regions = named or (login.require_region(),)
    except ConnectorError as error:
        yield Target(access, NOWHERE, images, login, fault=error)
        return
    for region in regions:
        _require_partition(access, region)
        yield Target(access, region, images, login, region_from=None if named else login.region_source)


def _require_partition(access: Access, region: str) -> None:
    ours, theirs = access.role_partition, partition_of(region) if access.role_partition is not None else None
    if theirs is not None and theirs != ours:
        raise ConfigError(
            f"{access} is of partition {ours}, and region {region} of partition {theirs}: credentials of the one "
            "are of no use in the other. Name regions of the role's partition under accounts[].regions."
        )


def access_of(account: Account) -> Access:
    """The account's credentials."""
    return Access(account.profile, account.role_arn, account.external_id, account.source_profile)


def filter_of(account: Account) -> ImageFilter:
    """The account's images."""
    return ImageFilter(account.images.include, account.images.exclude)


def timeouts(config: Config) -> Timeouts:
    """The network's bounds as the client takes them."""
    connect, read = config.timeout.connect.total_seconds(), config.timeout.read.total_seconds()
    return Timeouts(connect, read, call_seconds=connect + _READS_PER_CALL * read)


def threads_of_a_scope(config: Config, scopes: int) -> int:
    """How many streams of each scope are read at the same time, given the number of scopes.

    All scopes together get as many as calls may be in progress, but each scope gets as many as its rate needs.
    """
    keep_pace = math.ceil(config.rate.list_per_second * _CALL_SECONDS)
    return min(config.concurrency, max(keep_pace, math.ceil(config.concurrency / max(1, scopes))))


def bounds(config: Config, stop: Stop, *, callers: Callers | None = None) -> Bounds:
    """The limits of calls about a whole account; `callers` limits all calls together."""
    shared = Callers(config.concurrency) if callers is None else callers
    return Bounds(_policy(config), timeouts(config), shared, stop)


def _policy(config: Config) -> RetryPolicy:
    return RetryPolicy(config.retry.attempts, config.retry.max_wait.total_seconds(), config.retry.budget)


def scope_calls(target: Target, config: Config, stop: Stop, *, callers: Callers | None = None) -> ScopeCalls:
    """The calls of one target: its own client, pace and counters. No request is made."""
    source = ImageApi(
        target.access,
        target.region,
        timeouts=timeouts(config),
        callers=Callers(config.concurrency) if callers is None else callers,
        login=target.login,
    )
    pace = Pace(
        lists=Pacer(config.rate.list_per_second, sleep=stop.sleep),
        describes=Pacer(config.rate.describe_per_second, sleep=stop.sleep),
    )
    return ScopeCalls(source, policy=_policy(config), pace=pace, stop=stop)


def open_scope(target: Target, config: Config, stop: Stop, *, callers: Callers | None = None) -> OpenScope:
    """Find the account of the target: from STS, else from its role or the ARNs of its images.

    STS is called once for all regions of the account. `callers` limits the calls of all scopes together; without it
    the scope has a limit of its own. Raises the target's fault if it has one, CredentialsError if the account
    cannot be found, and what discovery raises.
    """
    target.require_sound()
    if target.login is None:
        return open_scope(
            replace(target, login=Login(target.access, target.region)), config, stop, callers=callers
        )
    identity = AccountCalls(target.login, bounds(config, stop, callers=callers)).identity()
    calls = scope_calls(target, config, stop, callers=callers)
    if identity is not None:
        calls.hold_to(identity.account_id)
        return OpenScope(target, Scope(identity.account_id, target.region), calls)
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
                f"{opened.scope.region}: keep one of the two under accounts in the configuration, or "
                "exclude the account from the organization."
            )
        seen[opened.scope] = opened.target


def require_same_account(opened: OpenScope, accounts: Mapping[tuple[str, str], str]) -> None:
    """CredentialsError if a profile, a role or the default credentials lead to another account than before.

    `accounts` holds the earlier account for each identity and region. Nothing has been written when it is raised.
    """
    identity, scope = opened.target.identity, opened.scope
    before = accounts.get((identity, scope.region))
    if before is not None and before != scope.account_id:
        raise CredentialsError(
            f"{opened.target} led to account {before} so far, and now leads to account {scope.account_id}. Nothing "
            "was read there. If the new account is intended, run sync --accept-account."
        )
