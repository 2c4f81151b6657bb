"""How instants, spans of time and proofs are written in a report.

Must not know HTML.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from image_history.model import Evidence

_PROOFS: dict[str, str] = {
    Evidence.DESCRIBE_NOT_FOUND: "AWS was asked for this version, and does not find it",
    Evidence.IMAGE_NOT_FOUND: "AWS does not find the whole image any more",
    Evidence.IMAGE_RECREATED: "it is older than its image, which was deleted and created again",
    Evidence.ABSENT_TWICE: "two complete lists in a row lack it (no permission to describe it)",
    Evidence.SINGLE_PAGE: "one complete list lacks it",
}
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def minute(instant: datetime | None) -> str:
    """An instant to the minute, in UTC."""
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


def span(length: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = max(round(length.total_seconds()), 0)
    if seconds >= _DAY:
        return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"
    if seconds >= _HOUR:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _MINUTE} min {seconds % _MINUTE} s" if seconds >= _MINUTE else f"{seconds} s"


def length(within: timedelta) -> str:
    """A length of time in words, if it is of whole days or hours."""
    seconds = round(within.total_seconds())
    for unit, name in ((_DAY, "day"), (_HOUR, "hour")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit:,} {name}{'' if seconds == unit else 's'}"
    return span(within)


def proof(evidence: str | None) -> str:
    """Why a deletion is certain, as a sentence without its full stop."""
    return _PROOFS.get(evidence or "", evidence or "")
