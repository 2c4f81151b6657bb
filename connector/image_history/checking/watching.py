"""Observes what only a change shows: where a token continues in a list that has changed, and how far lists lag.

Tokens are taken before the change, which somebody else has to make, and used after it. Only reads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from image_history.checking.probe import NOT_TESTED, Observation
from image_history.checking.subject import MODIFIED, PAGE, Page, Question, Subject, numbers
from image_history.model import Stop

_POLL_SECONDS = 5.0
_NEWEST = Question("LAST_MODIFIED_TIME", "DESCENDING", 1)
_KIND, _LAG = "token after a change", "lag of the list"


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait for a change, and how often to look. `clock` gives monotonic seconds."""

    seconds: float
    stop: Stop
    poll_seconds: float = _POLL_SECONDS
    clock: Callable[[], float] = time.monotonic

    def moments(self) -> Iterator[None]:
        """Yield at each poll until the time is over or a stop is requested."""
        until = self.clock() + self.seconds
        while not self.stop.requested and self.clock() < until:
            yield
            self.stop.event.wait(self.poll_seconds)


@dataclass(frozen=True, slots=True)
class _Held:
    """Tokens that were taken before the change.

    `first` has the version that was changed last; its token continues after that version, newest change first.
    `oldest_first` is a token of the reverse order, requested with `size`, that continues before the end of the list.
    """

    first: Page
    oldest_first: str
    size: int


def watch(subject: Subject, wait: Wait) -> tuple[Observation, ...]:
    """Wait for a version to be created or updated, then report what the tokens from before return.

    Raises a TransientError or a FatalError of the calls.
    """
    loaded = subject.loaded()
    held = _hold(loaded)
    if held is None:
        why = "it takes an image of 2 to 1,000 versions"
        return (Observation(_KIND, NOT_TESTED, why), Observation(_LAG, NOT_TESTED, why))
    lag = _Lag(loaded)
    for _ in wait.moments():
        page = loaded.ask(_NEWEST)
        lag.look(page)
        if page.rows and page.rows != held.first.rows:
            return (_kind(loaded, held, page), lag.observation())
    why = f"nothing was created or updated within {wait.seconds:g} s"
    return (Observation(_KIND, NOT_TESTED, why), Observation(_LAG, NOT_TESTED, why))


def _hold(subject: Subject) -> _Held | None:
    count = len(subject.rows)
    first = subject.ask(_NEWEST)
    if first.token is None or not subject.whole:
        return None
    size = min(PAGE, count - 1)
    page = subject.ask(_oldest_first(size))
    seen = len(page.rows)
    while page.token is not None and seen + size < count:
        page = subject.ask(_oldest_first(size), page.token)
        seen += len(page.rows)
    return None if page.token is None else _Held(first, page.token, size)


def _oldest_first(size: int) -> Question:
    return replace(_NEWEST, sort_order="ASCENDING", page_size=size)


def _kind(subject: Subject, held: _Held, now: Page) -> Observation:
    """Whether the token is a number of rows, the key of the last row, or belongs to a copy of the list."""
    before, changed = held.first.rows[0], now.rows[0]
    if MODIFIED.ms(changed) < MODIFIED.ms(before) or changed.Version == before.Version:
        return Observation(_KIND, NOT_TESTED, "the version that was changed last went, or was changed again")
    following = subject.ask(_NEWEST, held.first.token)
    if following.refusal is not None:
        return Observation(_KIND, "refused", following.refusal)
    if before.Version in following.numbers:
        return Observation(_KIND, "counts rows (offset)", "a row came again that had come before the change")
    rest = subject.read(_oldest_first(held.size), held.oldest_first)
    if any(row == changed for row in rest):
        return Observation(_KIND, "knows its place (keyset)", "no row came again, and the change was seen")
    evidence = f"no row came again, and the change was not seen among {len(numbers(rest))}"
    return Observation(_KIND, "belongs to a copy (snapshot)", evidence)


@dataclass(slots=True)
class _Lag:
    """When Describe first found the next version, and when the list showed it, by the server's clock."""

    subject: Subject
    described_ms: int | None = None
    listed_ms: int | None = None
    number: int = field(init=False)

    def __post_init__(self) -> None:
        self.number = self.subject.rows[-1].Version + 1

    def look(self, page: Page) -> None:
        """Record when the list shows the version, and call Describe until it finds the version."""
        if self.number in page.numbers:
            self.listed_ms = page.date_ms
        if self.described_ms is None:
            calls, name = self.subject.calls, self.subject.image_name
            answer = self.subject.attempt(lambda: calls.describe_image_version(name, self.number))
            if not isinstance(answer, str):
                self.described_ms = answer.date_ms

    def observation(self) -> Observation:
        """How much later than Describe the list showed the version."""
        if self.described_ms is None or self.listed_ms is None:
            return Observation(_LAG, NOT_TESTED, "a version was changed, none was created")
        seconds = (self.listed_ms - self.described_ms) / 1000
        if seconds <= 0:
            return Observation(_LAG, "none seen", "the list had it as soon as Describe, or before")
        return Observation(_LAG, f"about {seconds:.0f} s", "Describe knew the new version so much earlier")
