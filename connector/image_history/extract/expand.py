"""Expands the configuration to everything to be read: accounts, an organization's accounts, their regions.

Makes calls only where the configuration says `all` or names an organization; must not know images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from image_history.aws.catalog import partition_of, sagemaker_regions
from image_history.aws.sessions import Access, Identity, Login, Logins
from image_history.config import Account, Config, Organization
from image_history.errors import ConfigError, CredentialsError, FatalError, SkippableError, TransientError
from image_history.extract.accounts import AccountCalls, Bounds, Member
from image_history.extract.scopes import ALL, EVERYWHERE, Target, access_of, bounds, filter_of, targets
from image_history.extract.workers import together
from image_history.model import Stop


def find_targets(config: Config, stop: Stop) -> tuple[Target, ...]:
    """All targets to be read: configured accounts in their order, then the organization's by id.

    An account whose regions cannot be determined becomes one target with that fault, which `open_scope` raises. If
    an organization cannot be read, this raises, since the missing accounts would be unknown: CredentialsError if
    access is denied, SourceError if AWS doesn't answer, else ConfigError.
    """
    logins, limits = Logins(), bounds(config, stop)
    found = organization_accounts(config.organization, logins, limits)
    accounts = [*config.own_accounts, *found.accounts]
    for account in accounts:
        _login(account, logins)
    jobs = [partial(_expanded, account, logins, limits) for account in accounts]
    expanded = together(jobs, min(config.concurrency, len(jobs)), stop) if jobs else []
    stop.check()
    return (*(target for each in expanded for target in each), *map(_lost, found.lost))


def _login(account: Account, logins: Logins) -> Login:
    named = account.regions if isinstance(account.regions, tuple) else ()
    return logins.of(access_of(account), *named)


def _expanded(account: Account, logins: Logins, limits: Bounds) -> Sequence[Target]:
    if account.regions != ALL:
        return targets([account], logins)
    login, images = _login(account, logins), filter_of(account)
    try:
        regions = _regions(AccountCalls(login, limits), login)
    except (ConfigError, TransientError, SkippableError, FatalError) as error:
        return (Target(login.access, EVERYWHERE, images, login, fault=error),)
    return targets([replace(account, regions=regions)], logins)


def _regions(calls: AccountCalls, login: Login) -> tuple[str, ...]:
    """The regions that have SageMaker and that the account has enabled: other regions are not tried."""
    identity = calls.identity()
    partition = identity.partition if identity is not None else partition_of(login.home_region)
    there = sagemaker_regions(partition) if partition is not None else ()
    if not there:
        raise ConfigError(
            f"No region of partition {partition} is known to have SageMaker: name the regions of {login.access} "
            "instead of all, or install a newer botocore."
        )
    enabled = calls.enabled_regions()
    regions = tuple(region for region in there if region in enabled)
    if not regions:
        raise CredentialsError(f"{login.access} has enabled no region that has SageMaker: name its regions.")
    return regions


@dataclass(frozen=True, slots=True)
class Found:
    """The organization's active accounts to be read, by id, and wanted accounts that are not active in it."""

    accounts: tuple[Account, ...] = ()
    lost: tuple[Account, ...] = ()


def _lost(account: Account) -> Target:
    fault = CredentialsError(
        f"{account.identity} cannot be assumed: organization.include.accounts names an account that is not "
        "active in the organization. Remove it there."
    )
    return Target(access_of(account), EVERYWHERE, filter_of(account), fault=fault)


def organization_accounts(wanted: Organization, logins: Logins, limits: Bounds) -> Found:
    """The organization's accounts; none without a role name. Raises as `find_targets` does for organizations."""
    if wanted.role_name is None:
        return Found()
    manager = logins.of(
        Access(wanted.profile), *(wanted.regions if isinstance(wanted.regions, tuple) else ())
    )
    calls = AccountCalls(manager, limits)
    identity = calls.identity()
    chosen, absent = _chosen(calls, wanted)
    if not chosen and not absent:
        raise ConfigError("organization.include and exclude leave no active account; check both.")
    partition = identity.partition if identity is not None else partition_of(manager.home_region)
    account = partial(_account, wanted=wanted, identity=identity, partition=partition or "aws")
    return Found(tuple(map(account, chosen)), tuple(map(account, absent)))


def _chosen(calls: AccountCalls, wanted: Organization) -> tuple[list[str], list[str]]:
    """The accounts to read, and those included by id that are not active accounts of the organization."""
    include, exclude = wanted.include, wanted.exclude
    named = set(include.accounts)
    active = _active(calls.members()) if named or not include.units else set()
    included = active if not named and not include.units else named & active
    included = included.union(*(_active(calls.members_of(unit)) for unit in include.units))
    excluded = set(exclude.accounts).union(*(_active(calls.members_of(unit)) for unit in exclude.units))
    return sorted(included - excluded), sorted(named - active - excluded)


def _active(members: Iterable[Member]) -> set[str]:
    return {member.account_id for member in members if member.active}


def _account(account_id: str, *, wanted: Organization, identity: Identity | None, partition: str) -> Account:
    """The account with the organization's role. The manager's own account is read without it: it rarely has one."""
    if identity is not None and identity.account_id == account_id:
        return Account(profile=wanted.profile, regions=wanted.regions, images=wanted.images)
    return Account(
        role_arn=f"arn:{partition}:iam::{account_id}:role/{wanted.role_name}",
        external_id=wanted.external_id,
        source_profile=wanted.profile,
        regions=wanted.regions,
        images=wanted.images,
    )
