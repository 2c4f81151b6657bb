"""Rate limits of the service: token buckets per account, region and kind of operation, in real time.

Knows nothing of requests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Kind = Literal["list", "describe"]


class RateLimit:
    """Buckets that hold one second's worth of calls, at least one."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def admits(self, bucket: Hashable, per_second: float | None) -> bool:
        """Take one call from a bucket; False when it is empty. A rate of None admits everything."""
        if per_second is None:
            return True
        now, size = self._now(), max(1.0, per_second)
        level, since = self._levels.get(bucket, (size, now))
        level = min(size, level + (now - since) * per_second)
        admitted = level >= 1
        self._levels[bucket] = (level - 1 if admitted else level, now)
        return admitted
