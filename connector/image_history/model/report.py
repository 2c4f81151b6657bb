"""What a run reports: calls, rows, failures, publications.

Frozen values, with the standard library only; must not know how a report is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from image_history.model.values import Drift, Outcome, Scope


@dataclass(frozen=True, slots=True)
class Calls:
    """What a scope's calls cost. `by_operation` counts HTTP requests, retries included; `bytes` are of bodies.

    `retries` counts the requests that failed with an error that may be retried; `throttles` counts those among them
    that AWS throttled. Each was sent again, unless it was the last attempt of its call.
    """

    by_operation: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    throttles: int = 0
    bytes: int = 0

    def __add__(self, other: Calls) -> Calls:
        names = {**self.by_operation, **other.by_operation}
        summed = {name: self.of(name) + other.of(name) for name in names}
        return Calls(
            by_operation=summed,
            retries=self.retries + other.retries,
            throttles=self.throttles + other.throttles,
            bytes=self.bytes + other.bytes,
        )

    def of(self, operation: str) -> int:
        """Number of requests of one operation."""
        return self.by_operation.get(operation, 0)

    @property
    def total(self) -> int:
        """Number of requests of all operations."""
        return sum(self.by_operation.values())


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What a load did to rows of `image_versions`. `deleted` is None where deletions were not evaluated."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    reappeared: int = 0
    deleted: int | None = None

    def __add__(self, other: RowCounts) -> RowCounts:
        evaluated = [count for count in (self.deleted, other.deleted) if count is not None]
        return RowCounts(
            inserted=self.inserted + other.inserted,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
            reappeared=self.reappeared + other.reappeared,
            deleted=sum(evaluated) if evaluated else None,
        )

    def by_change(self) -> Mapping[str, int]:
        """The counts by name; `deleted` is left out if deletions were not evaluated."""
        counts = {
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "reappeared": self.reappeared,
        }
        return counts if self.deleted is None else counts | {"deleted": self.deleted}


@dataclass(frozen=True, slots=True)
class Failure:
    """One stream, or one scope's list of images (`image_name` None), that a run could not read whole.

    `scope` is None if its account is unknown; `where` then names it as it is configured.
    """

    where: str
    scope: Scope | None
    image_name: str | None
    outcome: Outcome
    error_code: str
    message: str


@dataclass(frozen=True, slots=True)
class ScopeReport:
    """What one run did in one scope.

    `held_back` counts the deletions of this run or an earlier one that the mass-delete breaker holds back. `rested`
    images were not listed, since no hint was about them; `hinted` images were listed because of a hint.
    """

    scope: Scope
    streams: int
    calls: Calls
    rows: RowCounts
    failures: tuple[Failure, ...] = ()
    held_back: int = 0
    rested: int = 0
    hinted: int = 0


@dataclass(frozen=True, slots=True)
class HintsReport:
    """How one run used hints. With `by_image_time`, the images' LastModifiedTime was used instead of hints.

    `messages` were waiting, and `acknowledged` of them will not come again; `junk` counts messages, or lines of
    messages, that are no events of images. `rested` images were not listed; the oldest confirmation among them is of
    `confirmed_until` (aware, UTC). `hinted` images were listed first. `calls` counts requests to the queue. With a
    `problem`, hints were not relied on, and every image was listed.
    """

    messages: int = 0
    junk: int = 0
    acknowledged: int = 0
    rested: int = 0
    hinted: int = 0
    calls: int = 0
    confirmed_until: datetime | None = None
    problem: str | None = None
    by_image_time: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """The publication of one dataset or lake table: its rows and files, and how many files were written.

    For a lake table, `table` is its name, `partitions` counts the partitions that the commit changed, `files` the
    files that it added, and `version` is its snapshot or version. With an `error`, readers still see the previous
    publication, and the next sync publishes again.
    """

    to: str
    rows: int = 0
    files: int = 0
    written: int = 0
    written_bytes: int = 0
    duration_seconds: float = 0.0
    error: str | None = None
    table: str | None = None
    partitions: int = 0
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification of one receiver about `news` changes; with an `error`, it failed and the next sync retries."""

    receiver: str
    news: int = 0
    duration_seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunReport:
    """One `sync`, as printed and as `--json` gives it. Instants are aware, UTC.

    `lock_seconds` is how long the warehouse was open for writing; `resumed` says that an unfinished run was
    continued; `pending_runs` counts earlier runs whose landed rows this sync loaded too; `drift` lists members and
    values that AWS sent for the first time and that this version doesn't know; `details_left` counts calls for
    details that the budget leaves to later syncs.
    """

    run_id: str
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    mode: str
    scopes: tuple[ScopeReport, ...]
    duration_seconds: float
    lock_seconds: float
    resumed: bool = False
    pending_runs: int = 0
    unreadable_scopes: tuple[Failure, ...] = ()
    drift: tuple[Drift, ...] = ()
    publications: tuple[Publication, ...] = ()
    hints: HintsReport | None = None
    details_left: int = 0
    notifications: tuple[Notification, ...] = ()

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Every stream and every scope that was not read whole."""
        return (*self.unreadable_scopes, *(failure for scope in self.scopes for failure in scope.failures))

    @property
    def rows(self) -> RowCounts:
        """The counts of all scopes together."""
        return sum((scope.rows for scope in self.scopes), start=RowCounts())

    @property
    def calls(self) -> Calls:
        """The calls of all scopes together."""
        return sum((scope.calls for scope in self.scopes), start=Calls())
