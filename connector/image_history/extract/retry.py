"""How often a failed call is retried, and after which wait: a policy as a value, executed by tenacity.

Must not know what is called, nor read a clock of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from image_history.begun import Begun
from image_history.errors import TransientError

if TYPE_CHECKING:
    import tenacity

Result = TypeVar("Result")
Observer = Callable[[TransientError], None]

_FIRST_WAIT_SECONDS = 0.5
_LONGEST_RETRY_AFTER_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` limits the requests of one call, the first included; `budget` the failed attempts of all calls.

    Waits are full jitter (uniform between zero and a doubling bound), never longer than
    `max_wait_seconds` unless the server asks for more by Retry-After, which is honoured up to 5 minutes.
    """

    attempts: int = 8
    max_wait_seconds: float = 60.0
    budget: int = 200

    def run(self, call: Callable[[], Result], *, stop: threading.Event, failed: Observer) -> Result:
        """Make the call until it succeeds, fails for good, or the attempts are used up.

        `failed` is called for each transient failure. Once `stop` is set, there is no further wait. Raises the last
        TransientError; any other exception of the call is raised at once.
        """
        try:
            return call()
        except TransientError as error:
            begun = Begun(call, error)
        # Imported only now: setting it up costs as much as decoding a page.
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=tenacity.stop_after_attempt(self.attempts) | tenacity.stop_when_event_set(stop),
            wait=self._wait_seconds,
            sleep=tenacity.sleep_using_event(stop),
            after=lambda state: _report(state, failed),
            reraise=True,
        )
        return retrying(begun)

    def _wait_seconds(self, state: tenacity.RetryCallState) -> float:
        import tenacity

        jitter = tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=self.max_wait_seconds)(
            state
        )
        return max(jitter, min(_requested_seconds(state), _LONGEST_RETRY_AFTER_SECONDS))


class RetryBudget:
    """A limit on the failed attempts of all calls together: `allowed`, or the number of answered calls if larger.

    Safe to share between threads. A limit for each call alone does not limit a run: if a service answers only the
    last attempt of each call, thousands of calls each take all their waits.
    """

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._failed = self._answered = 0
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"{self._failed} attempts failed and {self._answered} were answered"

    def earn(self) -> None:
        """Count an answered call."""
        with self._lock:
            self._answered += 1

    def spent(self) -> bool:
        """Count a failed attempt; True if it was one too many."""
        with self._lock:
            self._failed += 1
            return self._failed > max(self._allowed, self._answered)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _requested_seconds(state: tenacity.RetryCallState) -> float:
    error = _error(state)
    requested = error.retry_after_seconds if isinstance(error, TransientError) else None
    return requested if requested is not None else 0.0


def _report(state: tenacity.RetryCallState, failed: Observer) -> None:
    error = _error(state)
    if isinstance(error, TransientError):
        failed(error)
