"""Instants and ages as people write and read them on the command line, all in UTC; and the local clock.

Must not know which verb asks.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from image_history.config import parse_duration
from image_history.errors import ConfigError

_LONGEST_SHOWN = 60
# What is wrong with such a text concerns a duration: its length, or the order of its units.
_LOOKS_LIKE_A_DURATION = re.compile(r"([0-9]{1,15}(d|h|m|s|ms))+")
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
# An age shows its two largest units at most: 3d4h.
_SHOWN_UNITS = 2
_MINUTE, _HOUR = 60, 3_600


def now() -> datetime:
    """The local clock; only for ages and for what is relative to now."""
    return datetime.now(UTC)


def parse_moment(text: str, now: datetime) -> datetime:
    """The instant of an ISO 8601 text, UTC where it names no zone, or of a duration before `now`.

    ConfigError says how to write one.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - _duration(text)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC)
    except OverflowError as error:
        raise ConfigError(
            f"'{text}' lies outside the years 1 to 9999 in UTC: write another instant."
        ) from error


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ConfigError as error:
        if _LOOKS_LIKE_A_DURATION.fullmatch(text):
            raise
        raise ConfigError(
            f"'{text[:_LONGEST_SHOWN]}' is no instant: write 2026-01-31, 2026-01-31T09:30:00, "
            "2026-01-31T09:30:00+02:00, or how long ago, as 7d or 26h."
        ) from error


def iso(moment: datetime) -> str:
    """The instant as statements take it, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def shown(moment: datetime) -> str:
    """The instant for people, to the second, without a zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def shown_minute(moment: datetime) -> str:
    """The instant for people where a column is narrow: to the minute, without a zone."""
    return shown(moment)[:-3]


def shown_age(age: timedelta) -> str:
    """The age in its two largest units, rounded down, as in 3d4h; 0s for what lies in the future."""
    rest = max(0, int(age.total_seconds()))
    parts: list[str] = []
    for name, seconds in _UNITS:
        amount, rest = divmod(rest, seconds)
        if amount or parts:
            parts.append(f"{amount}{name}" if amount else "")
    return "".join(parts[:_SHOWN_UNITS]) or "0s"


def took(seconds: float) -> str:
    """How long something takes: 4.2s, 3m07s or 2h05m."""
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f}m{seconds % _MINUTE:02.0f}s"
    return f"{seconds // _HOUR:.0f}h{seconds % _HOUR // _MINUTE:02.0f}m"
