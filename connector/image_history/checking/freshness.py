"""Decides how fresh each scope is: the time up to which every wanted image has been read whole.

Pure: decides from rows of the warehouse; must not know SQL, clocks, or how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from image_history.config import Account, Config, Organization
from image_history.listing.request import ImageFilter
from image_history.model import Outcome, Scope
from image_history.run.parts import WHOLE, Part

LedTo = Mapping[tuple[str, str], str]

_ALL = "all"
_WHOLE = frozenset({Outcome.COMPLETE.value, Outcome.GONE.value})


@dataclass(frozen=True, slots=True)
class StreamState:
    """One live image, or a scope's list of images (`image_name` is None), as the warehouse stores it.

    `covered_until` (aware, UTC, by AWS's clock; None for never) is the time up to which the stream was read whole.
    `outcome` and `error_message` come from the last run that read it, which ended at `finished_at`. Up to
    `hinted_until` there was no hint of a change.
    """

    scope: Scope
    image_name: str | None
    covered_until: datetime | None
    outcome: str
    error_message: str | None
    run_id: str
    finished_at: datetime
    live_versions: int = 0
    hinted_until: datetime | None = None

    @property
    def incomplete(self) -> bool:
        """Whether the last run failed to read the stream whole."""
        return self.outcome not in _WHOLE


def stream_state(row: Mapping[str, Any]) -> StreamState:
    """The stream of a row of sql/reports/stream_freshness.sql."""
    return StreamState(
        scope=Scope(row["account_id"], row["region"]),
        image_name=row["image_name"],
        covered_until=row["covered_until"],
        outcome=row["outcome"],
        error_message=row["error_message"],
        run_id=row["etl_run_id"],
        finished_at=row["finished_at"],
        live_versions=row["live_versions"],
        hinted_until=row["hinted_until"],
    )


@dataclass(frozen=True, slots=True)
class ScopeState:
    """One scope. For a configured scope that was never synced, `scope` is None and `streams` is empty.

    `wanted` says whether the scope is still configured. `likely` is set only for a scope that was never synced: the
    scope it will be, if its account is known.
    """

    name: str
    scope: Scope | None
    wanted: bool
    streams: tuple[StreamState, ...] = ()
    likely: Scope | None = None

    @property
    def behind(self) -> StreamState | None:
        """The stream with the earliest `covered_until`; a stream that was never covered comes first."""
        never = [stream for stream in self.streams if stream.covered_until is None]
        dated = [(stream.covered_until, stream) for stream in self.streams if stream.covered_until]
        return never[0] if never else min(dated, key=lambda pair: pair[0])[1] if dated else None

    @property
    def covered_until(self) -> datetime | None:
        """The time up to which every stream was read; None if a stream was never read."""
        return self.behind.covered_until if self.behind is not None else None

    @property
    def hinted_until(self) -> datetime | None:
        """The time up to which every stream was read or had no hint of a change; None if a stream was never read."""
        instants = [stream.hinted_until for stream in self.streams]
        return None if None in instants else min((at for at in instants if at is not None), default=None)

    @property
    def images(self) -> tuple[StreamState, ...]:
        """Its live images."""
        return tuple(stream for stream in self.streams if stream.image_name is not None)

    @property
    def newest(self) -> StreamState | None:
        """A stream that the newest run read."""
        return max(self.streams, key=lambda stream: stream.finished_at, default=None)

    def is_stale(self, now: datetime, max_age: timedelta) -> bool:
        """Whether the scope is wanted, and was not covered within `max_age` before `now`."""
        until = self.covered_until
        return self.wanted and (until is None or now - until > max_age)


def configured(config: Config, led_to: LedTo) -> tuple[Account, ...]:
    """The configured accounts, and the accounts of the organization that earlier syncs have read.

    Only AWS knows all accounts of an organization. `led_to` has those that were read with the organization's role;
    if there are none, one account that was never synced stands for them.
    """
    wanted = config.organization
    if wanted.role_name is None:
        return config.accounts
    named = {account.role_arn for account in config.own_accounts}
    met = {identity.removeprefix("role ") for identity, _ in led_to}
    roles = sorted(role for role in met - named if _is_members(role, wanted))
    nobody = () if roles else (Account(role_arn=f"arn:*:iam::*:role/{wanted.role_name}"),)
    manager = Account(profile=wanted.profile, regions=wanted.regions, images=wanted.images)
    own = (manager,) if wanted.profile is None or f"profile {wanted.profile}" in met else ()
    members = (
        Account(
            role_arn=role,
            external_id=wanted.external_id,
            source_profile=wanted.profile,
            regions=wanted.regions,
            images=wanted.images,
        )
        for role in roles
    )
    return (*config.own_accounts, *own, *members, *nobody)


def _is_members(role: str, wanted: Organization) -> bool:
    """Whether a role is the organization's, in an account that its lists of account ids allow."""
    if not role.endswith(f":role/{wanted.role_name}"):
        return False
    account_id, only = role.split(":")[4], wanted.include.accounts if not wanted.include.units else ()
    return account_id not in wanted.exclude.accounts and (not only or account_id in only)


def freshness(
    streams: Iterable[StreamState], accounts: Sequence[Account], led_to: LedTo
) -> tuple[ScopeState, ...]:
    """Every scope that is stored or configured, sorted by name; those never synced come last.

    `led_to` maps an identity and a region to the account that they led to. Images that the configuration excludes
    are not counted, and a scope that it no longer names is not `wanted`.
    """
    by_scope: dict[Scope, list[StreamState]] = {}
    for stream in streams:
        by_scope.setdefault(stream.scope, []).append(stream)
    stored = [_state(scope, by_scope[scope], _ways(scope, accounts, led_to)) for scope in sorted(by_scope)]
    return (*stored, *_never_synced(accounts, by_scope, led_to))


def _state(scope: Scope, streams: Sequence[StreamState], ways: Sequence[Account]) -> ScopeState:
    filters = [ImageFilter(account.images.include, account.images.exclude) for account in ways]
    counting = tuple(
        stream
        for stream in streams
        if stream.image_name is None
        or not filters
        or any(images.accepts(stream.image_name) for images in filters)
    )
    return ScopeState(str(scope), scope, bool(ways), counting)


def _ways(scope: Scope, accounts: Sequence[Account], led_to: LedTo) -> list[Account]:
    """The entries of the configuration that lead to a scope: the recorded ones, else the default credentials."""
    recorded = [
        account for account in accounts if led_to.get((account.identity, scope.region)) == scope.account_id
    ]
    named = [account for account in recorded if _covers(account, scope.region)]
    return named or [
        account for account in accounts if not _is_named(account) and _covers(account, scope.region)
    ]


def _is_named(account: Account) -> bool:
    return account.profile is not None or account.role_arn is not None


def _covers(account: Account, region: str) -> bool:
    return account.regions is None or account.regions == _ALL or region in account.regions


def _never_synced(
    accounts: Sequence[Account], scopes: Iterable[Scope], led_to: LedTo
) -> tuple[ScopeState, ...]:
    anyone = {scope.region for scope in scopes}
    missing: list[ScopeState] = []
    for account in accounts:
        reached = {region for identity, region in led_to if identity == account.identity}
        regions = reached if _is_named(account) else anyone
        named = account.regions if isinstance(account.regions, tuple) else ()
        if not named and not regions:
            missing.append(ScopeState(account.identity, None, wanted=True))
        account_id = _account_id(account, scopes, led_to)
        missing += [
            ScopeState(
                f"{account.identity} in {one}",
                None,
                wanted=True,
                likely=None if account_id is None else Scope(account_id, one),
            )
            for one in named
            if one not in regions
        ]
    return tuple(missing)


def _account_id(account: Account, scopes: Iterable[Scope], led_to: LedTo) -> str | None:
    """The account of an entry: of its role, of another region that it read, or the only known one; else None."""
    if account.role_arn is not None:
        return account.role_arn.split(":")[4]
    ids = {
        found
        for (identity, _), found in led_to.items()
        if account.profile is not None and identity == account.identity
    }
    if account.profile is None:
        ids = {scope.account_id for scope in scopes}
    return ids.pop() if len(ids) == 1 else None


def in_part(state: ScopeState, part: Part) -> bool | None:
    """Whether a scope belongs to a part; None if its account is not known."""
    scope = state.scope or state.likely
    return part.has(scope) if scope is not None else True if part == WHOLE else None
