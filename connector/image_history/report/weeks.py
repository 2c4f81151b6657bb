"""The picture of changes a week: created and changed versions above the line, deleted ones below it.

Must not know where the figures come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from image_history.report.svg import Box, Words, picture
from image_history.report.timeline import LEFT, RIGHT, WIDTH, Axis

if TYPE_CHECKING:
    from markupsafe import Markup

_TOP, _HEIGHT = 26.0, 150.0
_UP = ("created", "changed", "failed")
_LEGEND = {
    "created": "created",
    "changed": "changed",
    "failed": "failed to be made",
    "deleted": "deleted",
}
# A week that towers over the others by more than this would make all of them invisible.
_TOWERING = 2.5
_LEAST_CAP = 10
_LINE = 12


def weeks_picture(weeks: Sequence[Mapping[str, Any]], axis: Axis) -> Markup:
    """The weeks as bars."""
    bottom = _TOP + _HEIGHT
    parts = _parts(weeks, axis, bottom)
    label = "Versions created, changed, failed and deleted each week"
    return picture(parts, width=WIDTH, height=bottom + 22, label=label)


def _parts(weeks: Sequence[Mapping[str, Any]], axis: Axis, bottom: float) -> Iterator[Box | Words]:
    yield from axis.shade(_TOP - 20, bottom)
    yield from axis.months(_TOP - 20, bottom)
    yield from axis.warning(_TOP - 8)
    highest = cap([sum(week[kind] for kind in _UP) for week in weeks])
    deepest = cap([week["deleted"] for week in weeks])
    scale = _HEIGHT / max(highest + deepest, 1)
    base = _TOP + highest * scale
    for week in weeks:
        yield from _week(week, axis, base, Scale(scale, highest, deepest))
    yield Box(LEFT, base - 0.5, RIGHT - LEFT, 1, "faint")
    for number, value in ((base - highest * scale, highest), (base, 0), (bottom, deepest)):
        # A figure closer than a line of text to that of the line would overlap it, and is left out.
        if number == base or (value and abs(number - base) >= _LINE):
            yield Words(LEFT - 8, number + 4, f"{value:,}", anchor="end")
    yield from _legend(weeks)


class Scale:
    """The height of one version, and the most versions that are shown above and below the line."""

    __slots__ = ("each", "high", "low")

    def __init__(self, each: float, high: int, low: int) -> None:
        self.each, self.high, self.low = each, high, low


def cap(totals: Sequence[int]) -> int:
    """The most versions that are shown of a week: the highest total, unless a few weeks tower over the rest."""
    heights = sorted(total for total in totals if total)
    if not heights:
        return 0
    usual = heights[(len(heights) - 1) * 9 // 10] if len(heights) > 1 else heights[0]
    if len(heights) > 1 and usual == heights[-1]:
        usual = heights[-2]
    bound = max(round(usual * _TOWERING), _LEAST_CAP)
    return min(heights[-1], bound)


def _week(week: Mapping[str, Any], axis: Axis, base: float, scale: Scale) -> Iterator[Box | Words]:
    begin = _instant(week["week"])
    left, right = axis.x(begin), axis.x(begin + timedelta(weeks=1))
    width = max((right - left) * 0.82, 1.0)
    tip = _tip(week)
    y, left_over = base, float(scale.high)
    for kind in _UP:
        height = min(week[kind], left_over) * scale.each
        left_over -= min(week[kind], left_over)
        if height:
            y -= height
            yield Box(left, y, width, height, kind, tip)
    total = sum(week[kind] for kind in _UP)
    if total > scale.high:
        yield Words(left + width / 2, y - 3, f"{total:,}", "ink", "middle", 10, bold=True, tip=tip)
    gone = min(week["deleted"], scale.low)
    if gone:
        yield Box(left, base, width, gone * scale.each, "deleted", tip)
    if week["deleted"] > scale.low:
        y = base + gone * scale.each - 4
        yield Words(left - 3, y, f"{week['deleted']:,}", "deleted", "end", 10, bold=True, tip=tip)


def _instant(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _tip(week: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{week[kind]:,} {kind}" for kind in _LEGEND if week[kind])
    return f"week of {week['week']:%Y-%m-%d}: {counts}"


def _legend(weeks: Sequence[Mapping[str, Any]]) -> Iterator[Box | Words]:
    for number, (kind, text) in enumerate(_LEGEND.items()):
        y = _TOP + 24 + number * 20
        yield Box(4, y - 9, 10, 10, kind)
        yield Words(20, y, f"{sum(week[kind] for week in weeks):,} {text}", "ink", size=12)
