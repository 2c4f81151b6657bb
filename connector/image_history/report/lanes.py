"""The picture of lives: a lane for each image, a line for each version, from its creation to its deletion or now.

AWS does not say when a version was deleted, so the interval in which it was deleted is drawn pale. Must not know SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from image_history.report.svg import Box, Words, picture
from image_history.report.timeline import LEFT, RIGHT, WIDTH, Axis
from image_history.report.words import minute

if TYPE_CHECKING:
    from markupsafe import Markup

Row = Mapping[str, Any]
_LEAST_LANE, _LABEL_LETTERS, _SMALL_LETTERS = 32.0, 30, 38
_HEADING, _GAP = 26.0, 6.0
# A thinner line is invisible, and a thicker one makes a long picture longer.
_ROW, _LINE = 4.0, 2.6
_END = 2.0
_KINDS = {"CREATED": "created", "CREATE_FAILED": "failed", "DELETE_FAILED": "failed"}


@dataclass(frozen=True, slots=True)
class Lane:
    """One image: its name, the aliases that move, and the lives of its newest versions, the oldest first."""

    scope: str
    name: str
    aliases: str
    lives: Sequence[Row]
    left_out: int

    @property
    def height(self) -> float:
        """The height of a line for each life, and at least that of the names."""
        return max(_LEAST_LANE, len(self.lives) * _ROW + 4)


def lanes_picture(lanes: Sequence[Lane], axis: Axis) -> Markup:
    """The lanes below one another, scope by scope."""
    height = _height(lanes)
    return picture(
        _parts(lanes, axis, height), width=WIDTH, height=height + 20, label="Lives of versions by image"
    )


def _height(lanes: Sequence[Lane]) -> float:
    scopes = len({lane.scope for lane in lanes})
    return sum(lane.height + _GAP for lane in lanes) + scopes * _HEADING


def _parts(lanes: Sequence[Lane], axis: Axis, height: float) -> Iterator[Box | Words]:
    yield from axis.shade(0, height)
    yield from axis.months(0, height)
    y, scope = 0.0, ""
    for lane in lanes:
        if lane.scope != scope:
            scope = lane.scope
            yield Words(4, y + 17, scope, "ink", size=12, bold=True)
            y += _HEADING
        yield from _lane(lane, axis, y)
        y += lane.height + _GAP


def _lane(lane: Lane, axis: Axis, top: float) -> Iterator[Box | Words]:
    yield Box(0, top - _GAP / 2, RIGHT, 0.8, "grid")
    yield Words(LEFT - 10, top + 13, shortened(lane.name, _LABEL_LETTERS), "ink", "end", 12, tip=lane.name)
    older = f"{lane.left_out:,} older not drawn" if lane.left_out else ""
    small = " · ".join(part for part in (lane.aliases, older) if part)
    if small:
        yield Words(LEFT - 10, top + 26, shortened(small, _SMALL_LETTERS), "faint", "end", 10, tip=small)
    for number, life in enumerate(reversed(lane.lives)):
        yield from _life(life, axis, top + 2 + number * _ROW)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and its end where it is longer."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def _life(life: Row, axis: Axis, y: float) -> Iterator[Box]:
    kind = _KINDS.get(life["image_version_status"], "changed")
    gone, seen = life["gone_at"], life["last_seen_at"]
    begin = axis.x(life["creation_time"])
    tip = _tip(life)
    if gone is None:
        yield Box(begin, y, max(RIGHT - begin, _END), _LINE, kind, tip)
        return
    sure, end = axis.x(seen or life["creation_time"]), axis.x(gone)
    if sure > begin:
        yield Box(begin, y, sure - begin, _LINE, kind, tip)
    if end - sure > _END:
        yield Box(sure, y, end - sure, _LINE, "unsure", tip)
    yield Box(max(end - _END, begin), y - 0.7, _END, _LINE + 1.4, "deleted", tip)


def _tip(life: Row) -> str:
    text = (
        f"version {life['version']}: {life['image_version_status']}, created {minute(life['creation_time'])}"
    )
    if life["gone_at"] is None:
        return text
    seen = life["last_seen_at"]
    between = f"between {minute(seen)} and" if seen is not None else "by"
    return f"{text}, deleted {between} {minute(life['gone_at'])} UTC"


def axis_of(begin: datetime, now: datetime, first_run: datetime, lives: Sequence[Row]) -> Axis:
    """The axis: from three days before the first creation, but not before `begin`, and at least twelve weeks long."""
    first = min((life["creation_time"] for life in lives), default=now)
    start = max(begin, min(first - timedelta(days=3), now - timedelta(weeks=12)))
    return Axis(start, now, max(first_run, start))
