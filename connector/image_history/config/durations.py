"""Durations as people write them: `parse_duration("1h30m")` and `format_duration(...)`.

Must not know which settings are durations.
"""

from __future__ import annotations

import re
from datetime import timedelta

from image_history.config.wording import shorten
from image_history.errors import ConfigError

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
# Valid in any dialect of regular expressions, including JSON Schema's.
PATTERN = "(?=.)" + "".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _UNITS)
_BARE_NUMBER = re.compile(r"[+-]?[0-9][0-9_]*(\.[0-9]*)?")
# The start of a listing is an instant minus a duration; with ten years at most, it stays far from year 1.
LONGEST = timedelta(days=3650)


def parse_duration(text: str) -> timedelta:
    """The duration written as `15m`, `26h`, `7d`, `500ms` or, largest unit first, `1h30m`.

    ConfigError for anything else: a number without a unit, a fraction, a sign, more than ten years.
    """
    written = re.fullmatch(PATTERN, text)
    if written is None:
        raise ConfigError(_complaint(text))
    amounts = zip(written.groups(), _UNITS.items(), strict=True)
    milliseconds = sum(int(amount or 0) * (unit // _UNITS["ms"]) for amount, (_, unit) in amounts)
    if milliseconds > LONGEST // _UNITS["ms"]:
        raise ConfigError(f"'{text}' is longer than ten years; the longest duration is {LONGEST.days}d.")
    return timedelta(milliseconds=milliseconds)


def _complaint(text: str) -> str:
    shown = shorten(text)
    if _BARE_NUMBER.fullmatch(text):
        number = text if re.fullmatch("[0-9]{1,5}", text) else "15"
        right = "0s" if int(number) == 0 else f"{number}s, {number}m or {number}h"
        return f"'{shown}' has no unit; write for example {right}."
    return (
        f"'{shown}' is not a duration; write whole numbers with the units d, h, m, s or ms, "
        "such as 7d, 26h, 15m, 500ms or 1h30m."
    )


def format_duration(duration: timedelta) -> str:
    """Write a `duration` as `parse_duration` reads it. It must not be negative; milliseconds are whole.

    Days are used from two days on, since 26h is clearer than 1d2h.
    """
    if duration < timedelta(0):
        raise ValueError(f"a duration cannot be negative: {duration!r}")
    rest = duration
    written = ""
    for name, unit in _UNITS.items():
        if name == "d" and rest < 2 * unit:
            continue
        amount, rest = divmod(rest, unit)
        written += f"{amount}{name}" if amount else ""
    return written or "0s"
