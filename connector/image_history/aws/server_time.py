"""What an answer's headers say about time: when it was made, when to retry, and whether our clock is wrong.

Must not know botocore, nor what the answer was to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

_SKEW_SECONDS = 300
# The beginning of `clock_hint`'s sentence. It identifies a refusal that was caused by a wrong clock.
CLOCK_SENTENCE = "This machine's clock is"


# Hundreds of answers can arrive in one second, all with the same date.
@lru_cache(maxsize=16)
def http_date(text: str | None) -> datetime | None:
    """Parse an HTTP date into an aware datetime; one without a zone is UTC. None if it is missing or invalid."""
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """How long the server asks to wait, by x-amz-retry-after (ms) or Retry-After (seconds or a date).

    Never negative; None if neither header is there and readable. `now` is aware.
    """
    readers: tuple[tuple[str, Callable[[str], float | None]], ...] = (
        ("x-amz-retry-after", _milliseconds),
        ("retry-after", lambda text: _seconds(text, now)),
    )
    requested = (read(headers[name].strip()) for name, read in readers if name in headers)
    return next((max(0.0, seconds) for seconds in requested if seconds is not None), None)


def _milliseconds(text: str) -> float | None:
    return int(text) / 1000 if _is_whole(text) else None


def _seconds(text: str, now: datetime) -> float | None:
    if _is_whole(text):
        return float(text)
    moment = http_date(text)
    return (moment - now).total_seconds() if moment is not None else None


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()


def clock_hint(date: str | None, *, now: datetime) -> str | None:
    """A sentence if `now`, this machine's clock, is 5 minutes or more away from the server's Date; else None."""
    server = http_date(date)
    if server is None:
        return None
    skew = (now - server).total_seconds()
    if abs(skew) < _SKEW_SECONDS:
        return None
    side = "ahead of" if skew > 0 else "behind"
    return f" {CLOCK_SENTENCE} {abs(skew) / 60:.0f} minutes {side} AWS's: set it."
