"""Calls about an account rather than its images: its identity, its regions, its organization's accounts.

Bounded and retried like every call; must not know images, nor what the answers are for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from image_history.aws.caller import Caller
from image_history.aws.catalog import partition_of
from image_history.aws.deadline import Callers
from image_history.aws.error_codes import UNKNOWN_KEY_CODES
from image_history.aws.sessions import Identity, Login, Timeouts
from image_history.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    MalformedResponseError,
    RequestRejectedError,
    SkippableError,
    SourceError,
    TransientError,
)
from image_history.extract.retry import RetryPolicy
from image_history.listing.chain import Chain, chained
from image_history.model import Stop

logger = logging.getLogger(__name__)

_SERVICES = {
    "GetCallerIdentity": "sts",
    "ListRegions": "account",
    "DescribeRegions": "ec2",
    "ListAccounts": "organizations",
    "ListAccountsForParent": "organizations",
    "ListOrganizationalUnitsForParent": "organizations",
}
_ENABLED = ["ENABLED", "ENABLED_BY_DEFAULT"]
# Limits for calls that have a substitute: fewer attempts and shorter waits than for calls about images.
_FEW_ATTEMPTS = 3
_SHORT_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Member:
    """An account of an organization."""

    account_id: str
    active: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how often a call is tried, and the stop that ends the wait for another attempt."""

    policy: RetryPolicy
    timeouts: Timeouts
    callers: Callers
    stop: Stop

    @property
    def brief(self) -> RetryPolicy:
        """The retry policy for calls that have a substitute."""
        return RetryPolicy(
            min(self.policy.attempts, _FEW_ATTEMPTS), min(self.policy.max_wait_seconds, _SHORT_WAIT_SECONDS)
        )


class AccountCalls:
    """The calls of one login. Safe to share between threads.

    In addition to the errors named at each method, all raise ConfigError, CredentialsError, and what the bounds'
    stop raises.
    """

    def __init__(self, login: Login, bounds: Bounds) -> None:
        self._login = login
        self._bounds = bounds
        self._callers: dict[tuple[str, str], Caller] = {}

    def identity(self) -> Identity | None:
        """The account of the credentials, looked up once for all regions. CredentialsError if AWS doesn't know them.

        If STS is denied or out of reach, this is the account in the role's ARN, since assuming a role yields only
        credentials of its account; None without a role. The log says so once.
        """
        identity = self._login.remembered(self._ask_identity)
        access = self._login.access
        if identity is None and access.role_account is not None and access.role_partition is not None:
            return Identity(access.role_account, access.role_partition)
        if identity is not None and access.role_account not in {None, identity.account_id}:
            raise CredentialsError(
                f"{access} leads to account {identity.account_id} instead of its own: check the endpoint of STS."
            )
        return identity

    def _ask_identity(self) -> Identity | None:
        try:
            body = self._identity_somewhere()
        except (TransientError, SkippableError, SourceError) as error:
            reason = {"where": str(self._login.access), "reason": str(error)}
            logger.warning("account_not_told_by_sts", extra=reason)
            return None
        region = self._login.home_region
        # A substitute for STS may return no ARN.
        parts = str(body.get("Arn", "")).split(":")
        partition = parts[1] if len(parts) > 1 else partition_of(region) or "aws"
        return Identity(str(body["Account"]), partition)

    def _identity_somewhere(self) -> Mapping[str, Any]:
        """Call STS in the home region and, if the keys are unknown there, in other regions.

        STS does not know an account's keys in a region that the account has not enabled.
        """
        try:
            return self._call("GetCallerIdentity", {}, policy=self._bounds.brief)
        except CredentialsError as error:
            if error.context.get("code") not in UNKNOWN_KEY_CODES:
                raise
            for region in self._login.other_regions:
                try:
                    return self._call("GetCallerIdentity", {}, policy=self._bounds.brief, region=region)
                except CredentialsError:
                    continue
            raise

    def enabled_regions(self) -> frozenset[str]:
        """The regions that the account has enabled.

        From account:ListRegions or, if that is denied, out of reach or unknown, from ec2:DescribeRegions. Raises
        CredentialsError if neither is allowed, and a TransientError if neither answers.
        """
        try:
            return self._regions("ListRegions", {"RegionOptStatusContains": _ENABLED}, self._bounds.brief)
        except (TransientError, SkippableError, SourceError) as error:
            first = error
            logger.info("regions_not_listed", extra={"reason": str(first)})
        try:
            return self._regions("DescribeRegions", {}, self._bounds.policy)
        except SkippableError as second:
            raise _regions_unknown(self._login, first, second) from second

    def _regions(
        self, operation: str, parameters: Mapping[str, object], policy: RetryPolicy
    ) -> frozenset[str]:
        pages = self._pages(operation, parameters, "Regions", policy=policy)
        regions = frozenset(str(each.get("RegionName")) for each in pages)
        if not regions:
            raise MalformedResponseError(f"{operation} with {self._login.access} failed: it names no region.")
        return regions

    def members(self) -> tuple[Member, ...]:
        """All accounts of the organization; never empty. Raises what `members_of` raises."""
        found = self._organization("ListAccounts", {}, "Accounts")
        if not found:
            raise SourceError(f"ListAccounts with {self._login.access} names no account, not even its own.")
        return tuple(map(_member, found))

    def members_of(self, unit: str) -> tuple[Member, ...]:
        """All accounts of a root or organizational unit, including those of the units below it.

        Raises ConfigError if there is no such unit or no organization, CredentialsError if the call is
        denied, SourceError if AWS doesn't answer.
        """
        found: list[Member] = []
        waiting = [unit]
        while waiting:
            parent = {"ParentId": waiting.pop()}
            found.extend(map(_member, self._organization("ListAccountsForParent", parent, "Accounts")))
            below = self._organization("ListOrganizationalUnitsForParent", parent, "OrganizationalUnits")
            waiting.extend(str(each["Id"]) for each in below)
        return tuple(found)

    def _organization(
        self, operation: str, parameters: Mapping[str, object], member: str
    ) -> tuple[Mapping[str, Any], ...]:
        try:
            return tuple(self._pages(operation, parameters, member))
        except (SkippableError, TransientError) as error:
            raise _organization_unreadable(error, operation, parameters) from error

    def _pages(
        self,
        operation: str,
        parameters: Mapping[str, object],
        member: str,
        *,
        policy: RetryPolicy | None = None,
    ) -> Iterator[Mapping[str, Any]]:
        def ask(token: str | None) -> Mapping[str, Any]:
            given = {**parameters, **({} if token is None else {"NextToken": token})}
            return self._call(operation, given, member, policy=policy)

        chain = Chain(f"{operation} with {self._login.access}", "the list has no end.")
        for body in chained(chain, ask, lambda body: (not body[member], body.get("NextToken"))):
            yield from body[member]

    def _call(
        self,
        operation: str,
        parameters: Mapping[str, object],
        member: str | None = None,
        *,
        policy: RetryPolicy | None = None,
        region: str | None = None,
    ) -> Mapping[str, Any]:
        def attempt() -> Mapping[str, Any]:
            self._bounds.stop.check()
            return self._request(
                operation, parameters, member or "Account", region or self._login.home_region
            )

        def failed(error: TransientError) -> None:
            logger.warning("call_failed", extra={"operation": operation, "reason": str(error)})

        stop = self._bounds.stop
        try:
            return (policy or self._bounds.policy).run(attempt, stop=stop.event, failed=failed)
        except TransientError:
            # If the run is stopping, the call was not retried: its failure then says nothing about AWS.
            stop.check()
            raise

    def _request(
        self, operation: str, parameters: Mapping[str, object], member: str, region: str
    ) -> Mapping[str, Any]:
        place = f"{operation} with {self._login.access}"

        def judge(body: Mapping[str, Any], _: object) -> Mapping[str, Any]:
            if body.get(member) is None:
                raise MalformedResponseError(f"the answer has no {member}", operation=operation)
            return body

        return self._caller(operation, region).call(operation, parameters, judge, place)

    def _caller(self, operation: str, region: str) -> Caller:
        key = (_SERVICES[operation], region)
        if key not in self._callers:
            bounds = self._bounds
            self._callers[key] = Caller(self._login, *key, timeouts=bounds.timeouts, callers=bounds.callers)
        return self._callers[key]


def _member(account: Mapping[str, Any]) -> Member:
    # State replaces Status, which AWS has announced to remove.
    state = account.get("State") or account.get("Status")
    return Member(str(account["Id"]), active=state == "ACTIVE")


def _regions_unknown(login: Login, first: ConnectorError, second: ConnectorError) -> ConnectorError:
    return CredentialsError(
        f"Cannot tell which regions are enabled for {login.access}: allow account:ListRegions or "
        f"ec2:DescribeRegions, or name the regions instead of all. {first} {second}",
        **second.context,
    )


def _organization_unreadable(
    error: ConnectorError, operation: str, parameters: Mapping[str, object]
) -> ConnectorError:
    """The error for an organization that cannot be read. It ends the run, since the missing accounts are unknown."""
    code = error.context.get("code")
    if code == "AWSOrganizationsNotInUseException":
        return ConfigError(f"{error} The account of organization.profile is in no organization.")
    if code == "ParentNotFoundException":
        unit = parameters.get("ParentId")
        return ConfigError(f"{error} There is no root or organizational unit {unit}; check organization.")
    if isinstance(error, AccessDeniedError):
        return CredentialsError(
            f"{error} Allow organizations:{operation}, with credentials of the organization's management "
            "account or of a delegated administrator.",
            **error.context,
        )
    if isinstance(error, RequestRejectedError):
        return ConfigError(f"{error} Check organization in the configuration.")
    return SourceError(f"{error} The organization's accounts are not known; run it again later.")
