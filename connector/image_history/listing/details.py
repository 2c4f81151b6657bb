"""Details of versions, which only lookups return: for which versions they are pending, and the result of a lookup.

Plain values; must not know calls, files or SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from image_history.aws.bodies import DescribedImageVersion
from image_history.model import Drift, Outcome, Scope, Stream

DESCRIBE = "DescribeImageVersion"
ALIASES = "ListAliases"


@dataclass(frozen=True, slots=True)
class PendingVersion:
    """A version with pending details, in its known state. `describe` and `aliases` say which calls are due.

    Instants in UTC epoch milliseconds; `creation_ms` identifies its incarnation.
    """

    stream: Stream
    version: int
    creation_ms: int
    last_modified_ms: int
    describe: bool
    aliases: bool


@dataclass(frozen=True, slots=True)
class PendingCalls:
    """How many calls for details are pending: of each kind, and how many versions lack `both` kinds of details.

    `aliased` other versions have a stored alias. If one of the pending versions turns out to have it, they are looked
    up again: `unread` says that the aliases of at least one were never read.
    """

    descriptions: int = 0
    aliases: int = 0
    both: int = 0
    aliased: int = 0
    unread: bool = False

    @property
    def total(self) -> int:
        """The calls of both kinds."""
        return self.descriptions + self.aliases

    @property
    def again(self) -> int:
        """How many more calls for aliases there may be, because an alias has moved."""
        return self.aliased if self.unread else 0


def shares(pending: Mapping[Scope, int], budget: int | None) -> Mapping[Scope, int]:
    """How many calls each scope may make: equal shares of `budget`. Other scopes get what a scope does not need.

    Without a budget, each scope may make all of its pending calls.
    """
    if budget is None:
        return dict(pending)
    left, found = max(0, budget), {}
    waiting = sorted(pending, key=lambda scope: (pending[scope], str(scope)))
    for place, scope in enumerate(waiting):
        found[scope] = min(pending[scope], left // (len(waiting) - place))
        left -= found[scope]
    return found


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why details of a stream could not be read. `outcome` is DENIED or FAILED."""

    stream: Stream
    operation: str
    outcome: Outcome
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result of one lookup of a pending version. The result of an unanswered call is None, and stays pending.

    The times are the server's Date of the answers, UTC epoch milliseconds.
    """

    pending: PendingVersion
    described: DescribedImageVersion | None = None
    described_ms: int | None = None
    aliases: tuple[str, ...] | None = None
    aliases_ms: int | None = None
    drift: tuple[Drift, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether at least one call was answered."""
        return self.described is not None or self.aliases is not None


@dataclass(frozen=True, slots=True)
class StreamDetails:
    """What a run has read of one stream's details: the outcome, the number of answered lookups, and the errors."""

    outcome: Outcome = Outcome.COMPLETE
    detailed: int = 0
    troubles: Sequence[Trouble] = field(default_factory=tuple)

    @property
    def error(self) -> str | None:
        """Why details are missing, in sentences; None if no details are missing."""
        return " ".join(dict.fromkeys(trouble.message for trouble in self.troubles)) or None


def by_stream(answered: Mapping[Stream, int], troubles: Iterable[Trouble]) -> Mapping[Stream, StreamDetails]:
    """What a run has read of the details of each stream with lookups.

    FAILED has priority over DENIED, because the next sync may succeed with a call that failed.
    """
    met: dict[Stream, list[Trouble]] = {stream: [] for stream in answered}
    for trouble in troubles:
        met.setdefault(trouble.stream, []).append(trouble)
    return {
        stream: StreamDetails(_worst(found), answered.get(stream, 0), found) for stream, found in met.items()
    }


def _worst(troubles: Iterable[Trouble]) -> Outcome:
    outcomes = {trouble.outcome for trouble in troubles}
    ranked = (Outcome.FAILED, Outcome.DENIED)
    return next((outcome for outcome in ranked if outcome in outcomes), Outcome.COMPLETE)
