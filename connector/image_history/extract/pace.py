"""How fast a scope is asked: a steady rate, halved when AWS throttles and won back by calls that are answered.

A schedule of instants on a clock that is passed in; must not know what is called.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_SLOWEST = 1 / 16
# So many answered calls lead back to the rate at which AWS began to throttle: most of the way in the first few, the
# last of it in small steps. At a rate that AWS does not allow for long, one call in so many is throttled.
_BACK = 16
# Beyond that rate nothing is known: it is felt for, and left behind if so many more calls are answered.
_BEYOND = 8


@dataclass(frozen=True, slots=True)
class Recovery:
    """How the rate is won back after AWS has throttled: shares of the configured one, along a cubic curve.

    `ceiling` is the share at which AWS began to throttle, `lowest` what was left of it, `answered` how many calls
    were answered since. In the manner of TCP's CUBIC, but by calls: a scope makes few a second.
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
        """Half the rate. Until a call is answered it is the same trouble: the rate before it stays the ceiling."""
        lowest = max(_SLOWEST, self.factor / 2)
        met = self.factor if self.answered or self.lowest == self.ceiling else self.ceiling
        return Recovery(max(met, 2 * _SLOWEST), lowest)

    def succeeded(self) -> Recovery:
        """One more call was answered."""
        return _WHOLE if self.factor >= 1 else Recovery(self.ceiling, self.lowest, self.answered + 1)


_WHOLE = Recovery()


class Pacer:
    """Hands out start times at most `per_second` a second, across threads.

    `clock` gives monotonic seconds and `sleep` waits that long; both are replaced in tests. After a throttled answer
    the rate is halved (to a sixteenth at the least), and won back as `Recovery` says.
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

        One thread at a time has a start time: those behind it get theirs by the rate of then, which may be another.
        """
        with self._turn:
            now = self._clock()
            self._newest = max(now, self._newest + self._interval / self.factor)
            if self._newest > now:
                self._sleep(self._newest - now)

    def throttled(self) -> None:
        """AWS asked for a slower pace."""
        with self._lock:
            self._recovery = self._recovery.throttled()

    def succeeded(self) -> None:
        """A call was answered."""
        with self._lock:
            self._recovery = self._recovery.succeeded()
