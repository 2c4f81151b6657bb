"""How fast a scope is asked: a steady rate, halved when AWS throttles and slowly recovered.

A schedule of instants on a clock that is passed in; must not know what is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SLOWEST = 1 / 16
_RECOVERY = 1.05


class Pacer:
    """Hands out start times at most `per_second` a second, across threads, in the order of asking.

    `clock` gives monotonic seconds and `sleep` waits that long; both are replaced in tests. After a
    throttled answer the rate is halved (to a sixteenth at the least); each success wins back 5 %.
    """

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._factor = 1.0
        self._next = float("-inf")
        self._lock = threading.Lock()

    @property
    def factor(self) -> float:
        """The share of the configured rate that is in use, 1/16 to 1."""
        return self._factor

    @property
    def per_second(self) -> float:
        """The rate that is in use, calls a second."""
        return self._factor / self._interval

    def wait(self) -> None:
        """Return when the next call may start."""
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._interval / self._factor
        if start > now:
            self._sleep(start - now)

    def throttled(self) -> None:
        """AWS asked for a slower pace."""
        with self._lock:
            self._factor = max(_SLOWEST, self._factor / 2)

    def succeeded(self) -> None:
        """A call was answered."""
        with self._lock:
            self._factor = min(1.0, self._factor * _RECOVERY)
