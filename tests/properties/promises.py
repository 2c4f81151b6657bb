"""Checks what is stored of one image, whatever happened to the image, against the journal of its changes.

Must not know schedules, nor how anything is read or loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from image_history.aws.bodies import epoch_ms
from image_history.model import Checkpoint, ListingKind, Outcome, Scope
from image_history.warehouse.statements import names, statement
from image_history.warehouse.warehouse import Connection
from tests.properties.collection import IMAGE, OTHER, Collection, Incarnation, incarnation
from tests.properties.syncing import DOUBLED, OUT_OF_STEP

VERSIONS = """
SELECT account_id, region, version, epoch_ms(creation_time), epoch_ms(last_modified_time), image_version_status,
    etl_deleted_at IS NULL
FROM image_versions
WHERE image_name = $image
"""
EVENTS = """
SELECT account_id, region, version, epoch_ms(creation_time), epoch_ms(last_modified_time), image_version_status,
    etl_change, epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from), etl_delete_evidence
FROM image_version_events
WHERE image_name = $image AND etl_run_id = $run_id
"""
STREAMS = """
SELECT account_id, region, epoch_ms(watermark), first_version_seen, highest_version FROM streams
WHERE image_name = $image
"""
# A stream that was not listed has a row only to record that.
COVERAGE = """
SELECT account_id, region, outcome FROM coverage
WHERE image_name = $image AND etl_run_id = $run_id AND outcome NOT IN ('rested', 'skipped')
"""
ABSENT = (
    "SELECT account_id, region, first_version, last_version FROM absent_versions WHERE image_name = $image"
)
# The image that never changes must be stored as these rows, once it is read completely.
DISTURBED = """
SELECT account_id, region, list({
    'version': version, 'live': etl_deleted_at IS NULL, 'times': etl_valid_from = creation_time
} ORDER BY version) AS stored
FROM image_versions WHERE image_name = $other GROUP BY ALL
HAVING stored <> [{'version': number, 'live': TRUE, 'times': TRUE} FOR number IN [1, 3, 6]]
UNION ALL
SELECT account_id, region, list(etl_change) FROM image_version_events WHERE image_name = $other
GROUP BY ALL HAVING count(*) <> 3
UNION ALL
SELECT account_id, region, list(first_version) FROM absent_versions WHERE image_name = $other
GROUP BY ALL HAVING list(first_version ORDER BY first_version) <> [2, 4]
"""
# The number of live versions in the image that never changes.
_OTHERS = 3
# Runs whose record has other counts than the events of the run.
MISCOUNTED = """
SELECT 'all', 'all', runs.etl_run_id, runs.inserted, runs.updated, runs.reappeared, runs.deleted
FROM runs
LEFT JOIN (
    SELECT
        etl_run_id,
        count(*) FILTER (etl_change IN ('created', 'recreated')) AS inserted,
        count(*) FILTER (etl_change = 'modified') AS updated,
        count(*) FILTER (etl_change = 'reappeared') AS reappeared,
        count(*) FILTER (etl_change = 'deleted') AS deleted
    FROM image_version_events GROUP BY ALL
) AS events USING (etl_run_id)
WHERE
    (runs.inserted, runs.updated, runs.reappeared, coalesce(runs.deleted, 0))
    IS DISTINCT FROM (
        coalesce(events.inserted, 0), coalesce(events.updated, 0), coalesce(events.reappeared, 0),
        coalesce(events.deleted, 0)
    )
"""


class Version(NamedTuple):
    """One row of image_versions."""

    number: int
    created_ms: int
    modified_ms: int
    status: str
    live: bool

    @property
    def incarnation(self) -> Incarnation:
        return self.number, self.created_ms


class Event(NamedTuple):
    """One row of image_version_events."""

    number: int
    created_ms: int
    modified_ms: int
    status: str
    change: str
    seen_ms: int | None
    valid_ms: int
    evidence: str | None

    @property
    def incarnation(self) -> Incarnation:
        return self.number, self.created_ms


@dataclass(slots=True)
class Stored:
    """What the warehouse holds of one stream after a load; `events` and `outcome` are those of that load."""

    versions: list[Version] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    absent: list[tuple[int, int]] = field(default_factory=list)
    watermark_ms: int | None = None
    first: int | None = None
    highest: int | None = None
    outcome: Outcome | None = None

    def live(self) -> set[tuple[int, int, int, str]]:
        """The number, creation, last modification and status of each version that is not marked deleted."""
        return {each[:4] for each in self.versions if each.live}

    def unexplained(self) -> set[int]:
        """The numbers, from the first one seen to the highest, about which the warehouse knows nothing."""
        if self.first is None or self.highest is None:
            return set()
        known = {each.number for each in self.versions}
        absent = {number for first, last in self.absent for number in range(first, last + 1)}
        return set(range(self.first, self.highest + 1)) - known - absent


def look(connection: Connection, run_id: str) -> Mapping[Scope, Stored]:
    """What is stored of the image in each scope, after a run was loaded."""
    found: dict[Scope, Stored] = {}

    def rows(query: str, **parameters: str) -> Iterator[tuple[Stored, list[Any]]]:
        for account_id, region, *row in connection.duck.execute(
            query, {"image": IMAGE, **parameters}
        ).fetchall():
            yield found.setdefault(Scope(account_id, region), Stored()), row

    for stored, row in rows(VERSIONS):
        stored.versions.append(Version(*row))
    for stored, row in rows(EVENTS, run_id=run_id):
        stored.events.append(Event(*row))
    for stored, row in rows(ABSENT):
        stored.absent.append((row[0], row[1]))
    for stored, row in rows(STREAMS):
        stored.watermark_ms, stored.first, stored.highest = row
    for stored, row in rows(COVERAGE, run_id=run_id):
        stored.outcome = Outcome(row[0])
    return found


def contradictions(connection: Connection) -> Iterator[tuple[Scope, str]]:
    """The contradictions between tables and views, each with its scope."""
    for query in (DOUBLED, OUT_OF_STEP, MISCOUNTED, *map(statement, names("audit"))):
        for account_id, region, *row in connection.duck.execute(query).fetchall():
            yield Scope(account_id, region), f"{query.strip().splitlines()[0]}: {row}"
    for account_id, region, *row in connection.duck.execute(DISTURBED, {"other": OTHER}).fetchall():
        yield Scope(account_id, region), f"an image that never changed is stored as {row}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A load of one stream: its checkpoint, if the run had one, and what is stored after the load.

    `images_t0_ms`: T0 of the list of images. `lagged`: lists were wrong while the run was read.
    `overtaken`: a listing that was read later is already accepted. `allowed`: the run may delete any number.
    """

    mark: Checkpoint | None
    stored: Stored
    images_t0_ms: int
    lagged: bool = False
    overtaken: bool = False
    allowed: bool = False

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the stream as the load stored it: a load may accept less than the run proved."""
        return (
            self.stored.outcome if self.stored.outcome is not None or self.mark is None else self.mark.outcome
        )


@dataclass(slots=True)
class Judge:
    """Checks load after load against the journal of a collection."""

    collection: Collection
    stored: Stored = field(default_factory=Stored)
    watermark_ms: int | None = None
    unsettled: bool = False

    def restored(self) -> None:
        """Forget earlier checks after a backup was restored, because it may know less than before."""
        self.watermark_ms = None
        self.unsettled = False
        self.stored = Stored()

    def broken(self, judged: Judged) -> str | None:
        """The first promise that the load broke."""
        checks = (
            self._deletions,
            self._breaker,
            self._history,
            self._watermark,
            self._earlier_life,
            self._surplus,
            self._lacking,
            self._gaps,
        )
        broken = next((found for check in checks if (found := check(judged)) is not None), None)
        self.stored = judged.stored
        return broken

    def different(self) -> str | None:
        """The differences between what is stored and the truth, after quiet runs."""
        truth = {
            (row.Version, epoch_ms(row.CreationTime), epoch_ms(row.LastModifiedTime), row.ImageVersionStatus)
            for row in self.collection.versions.values()
        }
        wrong = sorted(truth ^ self.stored.live())
        return f"stored or true, and not both: {wrong}" if wrong else None

    def _deletions(self, judged: Judged) -> str | None:
        """A version that is marked deleted is gone, and was deleted within the stored interval."""
        for event in judged.stored.events:
            if event.change != "deleted":
                continue
            gone_ms = self.collection.gone.get(event.incarnation)
            if gone_ms is None:
                return f"version {event.number} is marked deleted and exists"
            if event.seen_ms is None or not event.seen_ms <= gone_ms <= event.valid_ms:
                return (
                    f"version {event.number} went at {gone_ms}, which is told to be between {event.seen_ms} "
                    f"and {event.valid_ms}"
                )
        return None

    def _breaker(self, judged: Judged) -> str | None:
        """Unless it is allowed, a load deletes few versions of a scope; the end of an earlier life does not count."""
        live = len(self.stored.live()) + _OTHERS
        ends = [each for each in judged.stored.events if each.change == "deleted"]
        lost = sum(each.evidence != "image_recreated" for each in ends)
        if judged.allowed or not self.stored.versions or lost <= max(10, live * 30 // 100):
            return None
        return f"{lost} of {live} versions were deleted at once, and nobody had allowed it"

    def _history(self, judged: Judged) -> str | None:
        """Every event holds a state that existed and is not older than the stored state; no version reappears."""
        before = {each.incarnation: each.modified_ms for each in self.stored.versions}
        for event in judged.stored.events:
            states = {
                (epoch_ms(row.LastModifiedTime), row.ImageVersionStatus)
                for row in self.collection.states.get(event.incarnation, ())
            }
            if (event.modified_ms, event.status) not in states:
                return f"an event tells a state that version {event.number} never had"
            if event.change == "reappeared":
                return f"version {event.number} is told to have reappeared"
            if event.modified_ms < before.get(event.incarnation, 0):
                return f"an event tells a state that version {event.number} had before the one that is stored"
        return None

    def _watermark(self, judged: Judged) -> str | None:
        before_ms, after_ms = self.watermark_ms, judged.stored.watermark_ms
        self.watermark_ms = after_ms
        if before_ms is not None and (after_ms is None or after_ms < before_ms):
            return "the watermark went back"
        t0_ms = judged.mark.t0_ms if judged.mark is not None else None
        if after_ms is None or before_ms is None or after_ms == before_ms:
            return None
        return "the watermark went beyond T0" if t0_ms is None or after_ms > t0_ms else None

    def _earlier_life(self, judged: Judged) -> str | None:
        """Once the list of images showed a new image, no version of the old image is live, held back or not."""
        made_ms = self.collection.made_ms
        accepted = judged.outcome is Outcome.COMPLETE
        if not accepted or judged.overtaken or not self.collection.exists or made_ms > judged.images_t0_ms:
            return None
        left = [each.number for each in judged.stored.versions if each.live and each.created_ms < made_ms]
        return f"versions {left} of an image that was deleted are stored as live" if left else None

    def _surplus(self, judged: Judged) -> str | None:
        """After an accepted full listing, no version is stored as live that was deleted before the listing began.

        Until a held-back deletion is settled, every run must report it, whatever the run lists.
        """
        mark = judged.mark
        if mark is None or mark.t0_ms is None or judged.overtaken:
            return None
        if judged.outcome is Outcome.HELD_BACK:
            self.unsettled = True
            return None
        full = judged.outcome is Outcome.COMPLETE and mark.request.kind is ListingKind.FULL
        told = judged.outcome not in {Outcome.COMPLETE, Outcome.GONE}
        if told or not (full or judged.outcome is Outcome.GONE or self.unsettled):
            return None
        for each in judged.stored.versions:
            gone_ms = self.collection.gone.get(each.incarnation)
            if each.live and gone_ms is not None and gone_ms <= mark.t0_ms:
                return f"version {each.number} is stored as live, and went before T0"
        self.unsettled = False
        return None

    def _lacking(self, judged: Judged) -> str | None:
        """After an accepted listing, every change from before it began is stored, unless lists were wrong."""
        mark = judged.mark
        if mark is None or mark.t0_ms is None or judged.outcome is not Outcome.COMPLETE or judged.lagged:
            return None
        stored = {each.incarnation: each for each in judged.stored.versions}
        for row in self.collection.versions.values():
            modified_ms = epoch_ms(row.LastModifiedTime)
            if modified_ms > mark.t0_ms:
                continue
            each = stored.get(incarnation(row))
            if each is None or not each.live:
                return f"version {row.Version} exists since before T0, and is not stored as live"
            if each.modified_ms != modified_ms:
                return f"version {row.Version} changed before T0, and is stored as it was"
        return None

    def _gaps(self, judged: Judged) -> str | None:
        """After an accepted listing, the warehouse knows something about every number."""
        if judged.outcome is not Outcome.COMPLETE or judged.lagged:
            return None
        unexplained = judged.stored.unexplained()
        return f"nothing is known of the numbers {sorted(unexplained)}" if unexplained else None
