"""The values that travel between the stages: scope, stream, listing request, checkpoint.

All frozen except `Stop`, with the standard library only; must not know AWS's wire, files, or SQL.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum

from image_history.errors import InterruptedRunError

# AWS is still at work and sets another status by itself.
PASSING_STATUSES = frozenset({"CREATING", "DELETING"})
HIGHEST_NUMBER = 2**31 - 1


class ListingKind(StrEnum):
    """What a listing can prove. IMAGES is the list of a scope's images, the others are of versions."""

    IMAGES = "images"
    FULL = "full"
    INCREMENTAL = "incremental"


class Outcome(StrEnum):
    """What a run proved about one stream.

    READING: pages are left to read. READ: the listing was read to its end. MISSING: AWS has no such image. These
    three are not settled against the stored data yet, and a later sync continues them. Only a COMPLETE listing
    moves a watermark; COMPLETE and GONE prove absences. HELD_BACK: the listing lacks so many versions that the
    mass-delete breaker does not accept it.
    """

    READING = "reading"
    READ = "read"
    MISSING = "missing"
    COMPLETE = "complete"
    DENIED = "denied"
    GONE = "gone"
    FAILED = "failed"
    UNSTABLE = "unstable"
    HELD_BACK = "held_back"
    PARTIAL = "partial"


class Evidence(StrEnum):
    """How it was proved that a version number has no version.

    SINGLE_PAGE is for numbers that never were seen: the single page with the whole listing lacked them. The others
    are also for versions that existed; IMAGE_RECREATED is for versions that are older than their image.
    """

    DESCRIBE_NOT_FOUND = "describe_not_found"
    IMAGE_NOT_FOUND = "image_not_found"
    IMAGE_RECREATED = "image_recreated"
    ABSENT_TWICE = "absent_twice"
    SINGLE_PAGE = "single_page"


# How soon a waiting thread notices that the run was asked to end.
_NOTICED_SECONDS = 0.25
_UNSETTLED = frozenset({Outcome.READING, Outcome.READ, Outcome.MISSING})


@dataclass(slots=True)
class Stop:
    """Whether the run was asked to end, and by which signal. Shared by all threads of a run."""

    event: threading.Event = field(default_factory=threading.Event)
    signal_number: int = signal.SIGINT

    def request(self, signal_number: int) -> None:
        """Ask the run to end: no new call is made, and everything that was read is written."""
        self.signal_number = signal_number
        self.event.set()

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or soon after the run was asked to end.

        Does not wait for the event: that would take a lock which hundreds of threads share, for every call.
        """
        until = time.monotonic() + seconds
        while not self.requested and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _NOTICED_SECONDS))

    @property
    def requested(self) -> bool:
        """Whether the run was asked to end."""
        return self.event.is_set()

    def check(self) -> None:
        """Raise InterruptedRunError if the run was asked to end."""
        if self.requested:
            name = signal.Signals(self.signal_number).name
            raise InterruptedRunError(
                f"Interrupted by {name}: what was read is kept, run sync again to go on.",
                signal_number=self.signal_number,
            )


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One AWS account in one region: credentials, rate limits and permissions belong to it."""

    account_id: str
    region: str

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}"


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """One image of a scope: the unit of listing, of watermark and of coverage."""

    scope: Scope
    image_name: str

    def __str__(self) -> str:
        return f"{self.scope}/{self.image_name}"


@dataclass(frozen=True, slots=True)
class ListingRequest:
    """Everything that a ListImageVersions chain must repeat unchanged with each token.

    `since_ms` (UTC epoch milliseconds, whole seconds) is where an incremental listing, which reads newest
    first, may stop; it is not sent to AWS (ARCHITECTURE, decision 3).
    """

    kind: ListingKind
    page_size: int
    since_ms: int | None = None

    @property
    def sort_by(self) -> str:
        """AWS's SortBy: the immutable number for a full listing, the change time for an incremental one."""
        return "VERSION" if self.kind is ListingKind.FULL else "LAST_MODIFIED_TIME"

    @property
    def sort_order(self) -> str:
        """AWS's SortOrder."""
        return "ASCENDING" if self.kind is ListingKind.FULL else "DESCENDING"

    def fingerprint(self, stream: Stream) -> str:
        """Identifies the request that a token belongs to; a token is never sent with another request."""
        parts = (str(stream), self.sort_by, self.sort_order, str(self.page_size))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class StreamKnowledge:
    """What the warehouse knows of a stream before a run. Instants in UTC epoch milliseconds.

    `image_created_ms` is the image's CreationTime when it was last listed whole; if it differs now, the image was
    deleted and created again.
    `held_back` counts the deletions that the mass-delete breaker holds back.
    """

    live_versions: int
    watermark_ms: int | None = None
    last_full_at_ms: int | None = None
    highest_version: int | None = None
    first_version_seen: int | None = None
    image_live: bool = True
    image_created_ms: int | None = None
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class PlannedStream:
    """One stream with the request that a run will make for it."""

    stream: Stream
    request: ListingRequest


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far one stream of a run has been read. Written to the same file as the rows that it covers.

    `reading` counts the times that the listing was begun; pages and rows are of the current reading.
    Instants in UTC epoch milliseconds; `t0_ms` is the server's Date of the reading's first response minus
    one second (a lower bound), `t1_ms` that of its last response plus one second (an upper bound);
    `held_ms` is the LastModifiedTime of the oldest version still in a passing status, `oldest_ms` the CreationTime of
    the oldest version that the reading shows;
    `t0_before_ms` is the T0 of the reading before, if that was read to its end without a contradiction;
    `empty_tail` says that the last page was empty although pages before it were not; `phantoms` counts
    versions that the listing lacked and Describe found; `held_back` counts the deletions that the mass-delete
    breaker did not accept.
    """

    stream: Stream
    request: ListingRequest
    outcome: Outcome = Outcome.READING
    reading: int = 1
    next_token: str | None = None
    pages: int = 0
    rows: int = 0
    t0_ms: int | None = None
    t1_ms: int | None = None
    t0_before_ms: int | None = None
    newest_ms: int | None = None
    held_ms: int | None = None
    last_version: int | None = None
    last_modified_ms: int | None = None
    highest_version: int | None = None
    lowest_version: int | None = None
    oldest_ms: int | None = None
    empty_tail: bool = False
    phantoms: int = 0
    held_back: int = 0
    error_code: str | None = None
    error_message: str | None = None

    @property
    def readable(self) -> bool:
        """Whether pages of this stream are left to read."""
        return self.outcome is Outcome.READING

    @property
    def finished(self) -> bool:
        """Whether this stream needs no more work in this run."""
        return self.outcome not in _UNSETTLED


@dataclass(frozen=True, slots=True)
class Drift:
    """A member (`value` None) or a value of an answer that this version doesn't know, and how often it occurred."""

    operation: str
    member: str
    value: str | None
    occurrences: int


Numbers = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Absence:
    """Proof that the version numbers `first` to `last` of a stream have no version.

    `t0_ms` is the T0 of the listing that lacked them; by `t1_ms` they were gone. With `created_until_ms`, the proof
    ends versions that were created no later than that, of which `lives` were known; without, it is about numbers that
    never were seen. Instants in UTC epoch milliseconds.
    """

    stream: Stream
    first: int
    last: int
    evidence: Evidence
    t0_ms: int
    t1_ms: int
    created_until_ms: int | None = None
    lives: int = 0
