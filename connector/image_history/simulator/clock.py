"""The clock of a simulated world: real time by default, or frozen, advanced and set by the user.

Knows nothing of what happens at any time.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from image_history.errors import ConfigError


def to_ms(instant: datetime | int) -> int:
    """Epoch milliseconds of an aware datetime or of epoch milliseconds; ConfigError for a naive datetime."""
    if isinstance(instant, int):
        return instant
    if instant.tzinfo is None:
        raise ConfigError(f"the time {instant.isoformat()} has no time zone; use an aware datetime")
    # Floats would be exact here too, but with integers that is obvious.
    delta = instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


class VirtualClock:
    """Thread-safe virtual time in epoch milliseconds, UTC."""

    def __init__(self, *, frozen_at: datetime | int | None = None) -> None:
        self._lock = threading.Lock()
        self._offset_ms = 0
        self._frozen_ms: int | None = None if frozen_at is None else to_ms(frozen_at)

    @property
    def frozen(self) -> bool:
        """Whether time stands still."""
        return self._frozen_ms is not None

    def now_ms(self) -> int:
        """The virtual time in epoch milliseconds."""
        frozen = self._frozen_ms
        return _real_ms() + self._offset_ms if frozen is None else frozen

    def now(self) -> datetime:
        """The virtual time, aware, UTC."""
        return datetime.fromtimestamp(self.now_ms() / 1000, UTC)

    def freeze(self, at: datetime | int | None = None) -> None:
        """Stop time, at the given instant or now."""
        with self._lock:
            self._frozen_ms = self.now_ms() if at is None else to_ms(at)

    def resume(self) -> None:
        """Let time run on from where it stands."""
        with self._lock:
            self._offset_ms = self.now_ms() - _real_ms()
            self._frozen_ms = None

    def advance(self, milliseconds: int) -> None:
        """Move time on by so many milliseconds, whether frozen or running."""
        with self._lock:
            if self._frozen_ms is None:
                self._offset_ms += milliseconds
            else:
                self._frozen_ms += milliseconds

    def set(self, to: datetime | int) -> None:
        """Move time to an instant; going back in time undoes no change."""
        with self._lock:
            if self._frozen_ms is None:
                self._offset_ms = to_ms(to) - _real_ms()
            else:
                self._frozen_ms = to_ms(to)


def _real_ms() -> int:
    return time.time_ns() // 1_000_000
