"""Instants as people write them for AWS's time filters: ISO 8601, an epoch, or how long ago.

Pure; must not know which filter an instant is for, nor read a clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import Enum

from image_history.config import parse_duration
from image_history.errors import ConfigError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")
_DURATION = re.compile(r"([0-9]+(d|h|m|s|ms))+")
_FRACTION = re.compile(r"[.,][0-9]*[1-9]")
_SECOND = timedelta(seconds=1)
# A smaller number is probably a date without hyphens (20260101), a larger one in milliseconds.
_LEAST_EPOCH = 100_000_000
_GREATEST_EPOCH = 253_402_300_799
_MOST_DIGITS = 15
_LONGEST_SHOWN = 60


class Bound(Enum):
    """Which end of a time filter an instant is; decides how `7d` is rounded to whole seconds."""

    AFTER = "after"
    BEFORE = "before"


def parse_instant(text: str, bound: Bound, *, now: datetime) -> int:
    """The instant as whole UTC epoch seconds; AWS's filters have no finer unit.

    A time without a zone is UTC, as botocore takes it. `7d` is that long before `now` (aware), rounded so
    that the filter admits more rather than less. ConfigError for anything else, and for a fraction of a
    second, which botocore would drop silently.
    """
    if _DURATION.fullmatch(text):
        return _ago(text, bound, now)
    if _FRACTION.search(text):
        raise ConfigError(
            f"'{text[:_LONGEST_SHOWN]}' has a fraction of a second, and AWS filters by whole seconds only; "
            "write the whole second before or after it."
        )
    return _epoch(text) if _NUMBER.fullmatch(text) else _iso(text)


def _ago(text: str, bound: Bound, now: datetime) -> int:
    since_epoch = now - parse_duration(text) - _EPOCH
    return since_epoch // _SECOND if bound is Bound.AFTER else -(-since_epoch // _SECOND)


def _epoch(text: str) -> int:
    whole = text.partition(".")[0]
    # Python's int refuses thousands of digits.
    seconds = int(whole) if len(whole) <= _MOST_DIGITS else _GREATEST_EPOCH + 1
    if seconds != 0 and not _LEAST_EPOCH <= seconds <= _GREATEST_EPOCH:
        raise ConfigError(
            f"'{text[:_LONGEST_SHOWN]}' is read as seconds since 1970, and is no time that AWS could know; "
            "write a date as 2026-01-31, and an epoch in seconds."
        )
    return seconds


def _iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"'{text[:_LONGEST_SHOWN]}' is no instant; write it as 2026-01-31, 2026-01-31T09:30:00, "
            "2026-01-31T09:30:00+02:00, as seconds since 1970, or as a time ago such as 7d or 26h."
        ) from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since_epoch = aware - _EPOCH
    if since_epoch < timedelta(0):
        raise ConfigError(f"'{text[:_LONGEST_SHOWN]}' is before 1970; AWS knows no time before that.")
    if since_epoch // _SECOND > _GREATEST_EPOCH:
        raise ConfigError(f"'{text[:_LONGEST_SHOWN]}' is after the year 9999 in UTC: write an earlier time.")
    return since_epoch // _SECOND
