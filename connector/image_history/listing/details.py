"""Details of versions, beyond what a listing tells: whose are owed, and what one lookup of them brought.

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
class Owed:
    """A version whose details are to be read, in the state that is known of it; `describe`, `aliases`: by which call.

    Instants in UTC epoch milliseconds; `creation_ms` tells its incarnation.
    """

    stream: Stream
    version: int
    creation_ms: int
    last_modified_ms: int
    describe: bool
    aliases: bool


def shares(owed: Mapping[Scope, int], budget: int | None) -> Mapping[Scope, int]:
    """How many calls each scope may make: the same each, and what one does not need is for the others."""
    if budget is None:
        return dict(owed)
    left, found = max(0, budget), {}
    waiting = sorted(owed, key=lambda scope: (owed[scope], str(scope)))
    for place, scope in enumerate(waiting):
        found[scope] = min(owed[scope], left // (len(waiting) - place))
        left -= found[scope]
    return found


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why details of a stream could not be read: DENIED, or FAILED."""

    stream: Stream
    operation: str
    outcome: Outcome
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one lookup of an owed version brought; what was not answered is None, and stays owed.

    The times are the server's Date of the answers, UTC epoch milliseconds.
    """

    owed: Owed
    described: DescribedImageVersion | None = None
    described_ms: int | None = None
    aliases: tuple[str, ...] | None = None
    aliases_ms: int | None = None
    drift: tuple[Drift, ...] = ()
    troubles: tuple[Trouble, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether it brought anything."""
        return self.described is not None or self.aliases is not None


@dataclass(frozen=True, slots=True)
class StreamDetails:
    """What a run learned of one stream's details: how it ended, how many lookups were answered, and why not all."""

    outcome: Outcome = Outcome.COMPLETE
    detailed: int = 0
    troubles: Sequence[Trouble] = field(default_factory=tuple)

    @property
    def error(self) -> str | None:
        """Why details are missing, in a sentence; None if none are."""
        return " ".join(dict.fromkeys(trouble.message for trouble in self.troubles)) or None


def by_stream(answered: Mapping[Stream, int], troubles: Iterable[Trouble]) -> Mapping[Stream, StreamDetails]:
    """What a run learned of each stream of which details were due.

    FAILED goes before DENIED: what failed may well be read by the next sync.
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
