"""What a run is going to read, as its plan.json says it, and what that rests on.

Pure values; must not know how they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from image_history.model import Calls, Drift, Failure, ListingKind, PlannedStream, Scope

FORMAT = 2


@dataclass(frozen=True, slots=True)
class ScopePlan:
    """What discovery found in one scope. Instants in UTC epoch milliseconds.

    `identity` names the configured profile or role, or AWS's default chain; the version before left that out.
    `rested` images need not be listed, the oldest confirmation of them is of `confirmed_ms`; hints are about
    `hinted` images.
    """

    scope: Scope
    identity: str | None
    pages: int
    images: int
    t0_ms: int
    calls: Calls
    rested: int = 0
    hinted: int = 0
    confirmed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """A load of a run, or of a part of it. `loaded_ms` is UTC epoch milliseconds, and grows from load to load."""

    run_id: str
    loaded_ms: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is going to read; or a part of it, for scopes that answer late must not delay the others.

    The first part is written before the first segment, and `last` says that no more will come.
    `selection` identifies what was asked for (mode, scopes, images): only a sync that asks for the same
    continues the run. `started_at_ms` is UTC epoch milliseconds of the local clock. `accept_account` lets a
    profile or role lead to another account from now on. `warehouse_id` is the warehouse that it is for, and
    `base_run` the newest run that this one held when the plan was made, by its last load at `base_loaded_ms` (UTC
    epoch milliseconds; a plan of an earlier version lacks that): None for an empty one. `narrowed` says that not all
    configured images were asked for.
    """

    run_id: str
    started_at_ms: int
    mode: ListingKind
    selection: str
    scopes: tuple[ScopePlan, ...]
    streams: tuple[PlannedStream, ...]
    unreadable: tuple[Failure, ...] = ()
    drift: tuple[Drift, ...] = ()
    accept_account: bool = False
    details: bool = False
    last: bool = True
    warehouse_id: str | None = None
    base_run: str | None = None
    base_loaded_ms: int | None = None
    narrowed: bool = False
    format: int = FORMAT

    @property
    def t0_ms(self) -> int:
        """When it began to read by AWS's clock; runs are loaded in this order. Of one that read nothing, 0."""
        return min((scope.t0_ms for scope in self.scopes), default=0)

    @property
    def accounts(self) -> Mapping[tuple[str, str], str]:
        """The account of each profile, role or chain of credentials and region that the run reads."""
        return {
            (plan.identity, plan.scope.region): plan.scope.account_id
            for plan in self.scopes
            if plan.identity is not None
        }

    def rests_on(self, newest_run: str | None, loaded: Mapping[str, int]) -> bool:
        """Whether the warehouse went on from what this plan was made of.

        `newest_run` is the newest one but for this plan's own, `loaded` when each was loaded last. After a backup
        was put back it did not, and what was planned, or proved against it, means nothing: the backup may also have
        only the first parts of a run.
        """
        if self.warehouse_id is None:
            return False
        if self.base_run is None:
            return newest_run is None
        return self.base_run in loaded and loaded[self.base_run] >= (self.base_loaded_ms or 0)

    def has_rested_out(self, trust_ms: int, now_ms: int) -> bool:
        """Whether an image that rests in it would, if the run went on at `now_ms`, rest for longer than `trust_ms`.

        AWS's clock and the local one are not compared: each tells how much time went by.
        """
        spent_ms = now_ms - self.started_at_ms
        return any(
            plan.confirmed_ms is not None and plan.t0_ms - plan.confirmed_ms + spent_ms > trust_ms
            for plan in self.scopes
        )

    def with_part(self, part: RunPlan) -> RunPlan:
        """This plan and what another part adds to it."""
        return replace(
            self,
            scopes=self.scopes + part.scopes,
            streams=self.streams + part.streams,
            unreadable=self.unreadable + part.unreadable,
            drift=self.drift + part.drift,
            last=part.last,
        )
