"""The data of a report: the rows of sql/report for one selection, and values computed from them.

Must not know HTML, nor how anything is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from image_history.counting import counted
from image_history.errors import ConfigError, WarehouseError
from image_history.warehouse.reports import Reports

Row = Mapping[str, Any]

# A page with more rows of one kind than this takes long to load, and is too long to read.
MOST_ROWS = 1_000
_MOST_LANES, _MOST_LIVES = 300, 3_000
_LEAST_EACH, _MOST_EACH = 4, 40
_WEEKS = 104
_STUCK_AFTER = timedelta(hours=24)
_WHOLE = frozenset({"complete", "gone", "resting"})
_HELD_BACK = "held_back"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the report is about: the scopes and images (globs), and how far back a change counts as new."""

    since: timedelta = timedelta(days=30)
    scope: str = "*"
    image: str = "*"

    @property
    def is_narrow(self) -> bool:
        """Whether it excludes any scopes or images."""
        return (self.scope, self.image) != ("*", "*")


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of one kind that are shown, and how many there are in all."""

    rows: Sequence[Row]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One account and region: the time up to which it was read whole (None: never), and what was not read."""

    name: str
    covered_until: datetime | None
    images: int
    versions: int
    unread: int
    held_back: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All data of a report. `now` is when its newest run ended: the report reads no clock. Instants are UTC."""

    selection: Selection
    now: datetime
    first_run: datetime
    run: Row
    totals: Row
    scopes: Sequence[Scope]
    unread: Found
    images: Found
    troubled: Found
    deleted: Found
    archived: Found
    changes: Found
    weeks: Sequence[Row]
    lives: Sequence[Row]

    @property
    def since(self) -> datetime:
        """The time from which on a change counts as new."""
        return self.now - self.selection.since

    @property
    def begin(self) -> datetime:
        """Where the pictures begin: a Monday."""
        return picture_begin(self.now)

    @property
    def without_good_version(self) -> Found:
        """The live images that have versions, but none that is CREATED; the rows are from those of `images`."""
        rows = [
            row for row in self.images.rows if row["deleted_at"] is None and row["live"] and not row["good"]
        ]
        return Found(rows, self.images.rows[0]["without_good"] if self.images.rows else 0)

    @property
    def live_images(self) -> int:
        """The number of live images."""
        return sum(scope.images for scope in self.scopes)


def picture_begin(now: datetime) -> datetime:
    """The Monday, two years before `now`."""
    monday = datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=now.weekday())
    return monday - timedelta(weeks=_WEEKS - 1)


def collect(reports: Reports, selection: Selection) -> Facts:
    """Read everything. WarehouseError if there is nothing to report yet, ConfigError if nothing is selected."""
    head = reports.rows("report/head")
    if not head:
        raise WarehouseError("There is nothing to report yet: run image-history sync first.")
    now = head[0]["finished_at"].astimezone(UTC)
    begin, since = picture_begin(now), now - selection.since
    chosen = {"scope": selection.scope, "image": selection.image}
    stuck = {**chosen, "stuck_since": _bound(now - _STUCK_AFTER)}
    recent = {**chosen, "since": _bound(since), "limit": MOST_ROWS}
    streams = _streams(reports, selection)
    images = _found(reports.rows("report/images", **chosen, limit=MOST_ROWS))
    if not streams and not images.total and selection.is_narrow:
        raise ConfigError(
            f"There is nothing to report of images like {selection.image} in scopes like {selection.scope}: "
            "image-history log lists the images that there are."
        )
    lanes = min(max(images.total, 1), _MOST_LANES)
    each = max(_LEAST_EACH, min(_MOST_EACH, _MOST_LIVES // lanes))
    return Facts(
        selection=selection,
        now=now,
        first_run=head[0]["first_finished_at"].astimezone(UTC),
        run=head[0],
        totals=reports.rows("report/totals", **stuck, since=_bound(since))[0],
        scopes=_scopes(streams),
        unread=_unread(streams),
        images=images,
        troubled=_found(reports.rows("report/troubled", **stuck, limit=MOST_ROWS)),
        deleted=_found(reports.rows("report/deleted", **recent)),
        archived=_found(reports.rows("report/archived", **chosen, limit=MOST_ROWS)),
        changes=_found(reports.rows("report/changes", **recent)),
        weeks=reports.rows("report/weeks", **chosen, begin=_bound(begin)),
        lives=reports.rows("report/lives", **chosen, begin=_bound(begin), lanes=lanes, each=each),
    )


def _bound(instant: datetime) -> str:
    return instant.isoformat()


def _found(rows: Sequence[Row]) -> Found:
    return Found(rows, rows[0]["total"] if rows else 0)


def _streams(reports: Reports, selection: Selection) -> list[Row]:
    return [
        row
        for row in reports.rows("reports/stream_freshness")
        if fnmatchcase(_name(row), selection.scope) and fnmatchcase(row["image_name"] or "*", selection.image)
    ]


def _name(row: Row) -> str:
    return f"{row['account_id']}/{row['region']}"


def _unread(streams: Iterable[Row]) -> Found:
    rows = [row for row in streams if row["outcome"] not in _WHOLE]
    return Found(rows[:MOST_ROWS], len(rows))


def _scopes(streams: Iterable[Row]) -> list[Scope]:
    by_name: dict[str, list[Row]] = {}
    for row in streams:
        by_name.setdefault(_name(row), []).append(row)
    return [_scope(name, rows) for name, rows in sorted(by_name.items())]


def _scope(name: str, rows: Sequence[Row]) -> Scope:
    dates = [row["covered_until"] for row in rows]
    unread = [row for row in rows if row["outcome"] not in _WHOLE]
    reasons = list(dict.fromkeys(row["error_message"] or row["outcome"] for row in unread))
    more = f" (and {counted(len(reasons) - 1, 'other reason')})" if len(reasons) > 1 else ""
    return Scope(
        name=name,
        covered_until=None if None in dates else min(dates).astimezone(UTC),
        images=sum(row["image_name"] is not None for row in rows),
        versions=sum(row["live_versions"] for row in rows),
        unread=len(unread),
        held_back=sum(row["outcome"] == _HELD_BACK for row in unread),
        why=f"{reasons[0]}{more}" if reasons else "",
    )
