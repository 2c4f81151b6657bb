"""The rate of a scope's calls: steady, halved when AWS throttles, and raised again as calls are answered.

A schedule of instants on a clock that is passed in; must not know what is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_SLOWEST = 1 / 16
# After this many answered calls, the rate is back where AWS began to throttle: first it rises fast, then in small
# steps. If AWS does not allow that rate for long, one call in this many is throttled.
_BACK = 16
# Above that rate AWS's limit is unknown: the rate rises slowly, then faster once this many more calls are answered.
_BEYOND = 8


@dataclass(frozen=True, slots=True)
class Recovery:
    """How the rate recovers after AWS has throttled: shares of the configured rate, along a cubic curve.

    `ceiling` is the share at which AWS began to throttle, `lowest` the share right after that, `answered` how many
    calls were answered since. This is like TCP's CUBIC, but counts calls instead of time, since a scope makes few
    calls a second.
    """

    ceiling: float = 1.0
    lowest: float = 1.0
    answered: int = 0

    @property
    def factor(self) -> float:
        """The share of the configured rate that is in use, 1/16 to 1."""
        depth = self.ceiling - self.lowest
        if self.answered <= _BACK:
            return self.ceiling - depth * (1 - self.answered / _BACK) ** 3
        return min(1.0, self.ceiling + depth * ((self.answered - _BACK) / _BEYOND) ** 3)

    def throttled(self) -> Recovery:
        """Halve the rate. The ceiling is kept until a call is answered: repeated throttling has the same cause."""
        lowest = max(_SLOWEST, self.factor / 2)
        met = self.factor if self.answered or self.lowest == self.ceiling else self.ceiling
        return Recovery(max(met, 2 * _SLOWEST), lowest)

    def succeeded(self) -> Recovery:
        """The state after one more answered call."""
        return _WHOLE if self.factor >= 1 else Recovery(self.ceiling, self.lowest, self.answered + 1)


_WHOLE = Recovery()


class Pacer:
    """Hands out at most `per_second` start times a second, across threads.

    `clock` gives monotonic seconds and `sleep` waits that long; both are replaced in tests. After a throttled
    answer the rate is halved (to a sixteenth at the least), and recovers as `Recovery` describes.
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
        self._recovery = _WHOLE
        self._newest = float("-inf")
        self._turn = threading.Lock()
        self._lock = threading.Lock()

    @property
    def factor(self) -> float:
        """The share of the configured rate that is in use, 1/16 to 1."""
        return self._recovery.factor

    @property
    def per_second(self) -> float:
        """The rate that is in use, calls a second."""
        return self.factor / self._interval

    def wait(self) -> None:
        """Return when the next call may start.

        Threads get their start times one after the other, each by the rate at that moment, which may have changed.
        """
        with self._turn:
            now = self._clock()
            self._newest = max(now, self._newest + self._interval / self.factor)
            if self._newest > now:
                self._sleep(self._newest - now)

    def throttled(self) -> None:
        """Record a throttled call."""
        with self._lock:
            self._recovery = self._recovery.throttled()

    def succeeded(self) -> None:
        """Record an answered call."""
        with self._lock:
            self._recovery = self._recovery.succeeded()
