"""How long the calls of a scope take, and how many threads that keeps busy.

Must not know what is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

# About how long the processor works on a page.
_PAGE_SECONDS = 0.001
_SHARE_OF_THE_NEWEST = 0.25
# The shortest time seen is raised by this factor with each call, so that old quick calls are forgotten.
_FORGOTTEN = 1.01
# A call that has taken this long may take any time.
_LONG_SECONDS = 2.0
# The duration of calls varies: this many times the threads needed on the average keep up the rate.
_SPARE = 2.0


class CallTimes:
    """A context manager around each call, for any number of threads at a time. `clock` gives seconds.

    The quickest of the recent calls shows how long AWS takes: the others also waited for each other, since Python
    runs one thread at a time. If all calls counted, more threads would make even more threads seem useful.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.late_seconds = 0.0
        self._least_seconds = float("inf")
        self._clock = clock
        self._begun: dict[int, float] = {}
        self._away: set[int] = set()

    def __enter__(self) -> None:
        self.back()
        self._begun[threading.get_ident()] = self._clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        began = self._begun.pop(threading.get_ident())
        if error is None:
            self.took(self._clock() - began)

    def away(self) -> None:
        """Mark this thread as waiting before a retry, until it calls `back` or begins a call."""
        self._away.add(threading.get_ident())

    def back(self) -> None:
        """Mark this thread as able to make calls."""
        self._away.discard(threading.get_ident())

    def took(self, seconds: float) -> None:
        """Record how long an answered call took."""
        share = _SHARE_OF_THE_NEWEST if self.late_seconds else 1.0
        self.late_seconds += share * (seconds - self.late_seconds)
        self._least_seconds = min(seconds, _FORGOTTEN * self._least_seconds)

    def threads_of_use(self, per_second: float) -> int:
        """How many threads are useful: as many as the rate and one processor allow.

        Threads whose call takes very long, and those that are away, are not counted: others are useful in their
        place. If `concurrency` is exhausted, the wait for a free slot counts as part of a call.
        """
        if not self.late_seconds:
            return 1 + self._absent()
        # One additional thread waits for its start time meanwhile.
        paced = 2 + _SPARE * self.late_seconds * per_second
        return max(1, int(min(paced, self._least_seconds / _PAGE_SECONDS))) + self._absent()

    def _absent(self) -> int:
        since = self._clock() - _LONG_SECONDS
        return len(self._away) + sum(begun < since for begun in list(self._begun.values()))
