"""How long the calls of a scope take, and how many threads that keeps busy.

Must not know what is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

# The work that a page is, about.
_PAGE_SECONDS = 0.001
_SHARE_OF_THE_NEWEST = 0.25
# How fast it is forgotten that calls were quick once.
_FORGOTTEN = 1.01
# A call that has taken so long may take any time.
_LONG_SECONDS = 2.0
# Calls take longer and shorter; so many times as many threads as they need on the average keep up the rate.
_SPARE = 2.0


class CallTimes:
    """A context manager around each call, of as many threads at a time as there are. `clock` gives seconds.

    How long AWS takes is told by the quickest of the late calls: the others waited for each other as well, for
    Python runs one thread at a time. By all of them, threads would be a reason for more threads.
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
        """The thread waits before it makes its call again, for as long as `back` is not called or a call begun."""
        self._away.add(threading.get_ident())

    def back(self) -> None:
        """The thread can make calls."""
        self._away.discard(threading.get_ident())

    def took(self, seconds: float) -> None:
        """A call was answered after so many seconds."""
        share = _SHARE_OF_THE_NEWEST if self.late_seconds else 1.0
        self.late_seconds += share * (seconds - self.late_seconds)
        self._least_seconds = min(seconds, _FORGOTTEN * self._least_seconds)

    def threads_of_use(self, per_second: float) -> int:
        """How many threads make calls as fast as the rate, or one processor, lets them.

        Threads whose call takes very long, and those that are away, count for nothing: others are of use in their
        place. Waiting for a turn, where `concurrency` is exhausted, is part of a call here.
        """
        if not self.late_seconds:
            return 1 + self._absent()
        # One more, which waits for its turn meanwhile.
        paced = 2 + _SPARE * self.late_seconds * per_second
        return max(1, int(min(paced, self._least_seconds / _PAGE_SECONDS))) + self._absent()

    def _absent(self) -> int:
        since = self._clock() - _LONG_SECONDS
        return len(self._away) + sum(begun < since for begun in list(self._begun.values()))
