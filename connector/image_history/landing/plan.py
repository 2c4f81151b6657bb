"""What a run is going to read, as written in plan.json, and the state of the warehouse that the plan rests on.

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

    `identity` names the configured profile or role, or AWS's default chain; None in a plan of the previous version.
    `rested` images need not be listed, and the oldest of their confirmations is of `confirmed_ms`; `hinted` images
    are listed because of hints.
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
    """A load of a run, or of a part of one. `loaded_ms` is UTC epoch milliseconds, and grows from load to load."""

    run_id: str
    loaded_ms: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is going to read, or a part of that: scopes that answer late must not delay the others.

    The first part is written before the first segment; `last` says that no more parts follow.
    `selection` identifies the options of the sync (mode, scopes, images): only a sync with the same options
    continues the run. `started_at_ms` is UTC epoch milliseconds of the local clock. `accept_account` lets a
    profile or role lead to another account from now on. `warehouse_id` is the warehouse that the run is for.
    `base_run` is the newest run that this warehouse held when the plan was made, None if it was empty;
    `base_loaded_ms` is when that run was loaded last (UTC epoch milliseconds; a plan of an earlier version lacks it).
    `narrowed` says that the run was limited to some of the configured images.
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
        """When the run began to read, by AWS's clock; runs are loaded in this order. 0 if it has no scope."""
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
        """Whether the warehouse still contains the state that this plan was made from.

        `newest_run` is the newest run without this plan's own; `loaded` has, by run, when it was loaded last. The
        answer is False after the file was replaced by a backup: then the plan and its proofs are void. The backup may
        also hold only the first parts of a run.
        """
        if self.warehouse_id is None:
            return False
        if self.base_run is None:
            return newest_run is None
        return self.base_run in loaded and loaded[self.base_run] >= (self.base_loaded_ms or 0)

    def has_rested_out(self, trust_ms: int, now_ms: int) -> bool:
        """Whether a resting image would rest for longer than `trust_ms` if the run was continued at `now_ms`.

        AWS's clock and the local clock are not compared with each other: each only measures elapsed time.
        """
        spent_ms = now_ms - self.started_at_ms
        return any(
            plan.confirmed_ms is not None and plan.t0_ms - plan.confirmed_ms + spent_ms > trust_ms
            for plan in self.scopes
        )

    def with_part(self, part: RunPlan) -> RunPlan:
        """This plan with another part added."""
        return replace(
            self,
            scopes=self.scopes + part.scopes,
            streams=self.streams + part.streams,
            unreadable=self.unreadable + part.unreadable,
            drift=self.drift + part.drift,
            last=part.last,
        )
