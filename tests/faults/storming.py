"""The fault storm: syncs under all kinds of faults at once, then a comparison of all rows and retry counts.

Must not know how a fault is made.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from image_history.config import Retry, Timeout
from image_history.simulator import KINDS, REPEATED, FaultRule, VersionRecord, VirtualClock, World, storm
from tests.behaviour.harness import ServeWorld
from tests.faults.trial import HOUR_MS, NOON_MS, Trial

_LIST = "ListImageVersions"
_THROTTLES = ("throttling", "too_many_requests", "status_429", "status_509")
# A session can be renewed once; a second expiry ends the sync, as unknown keys do.
_ONCE = "expired_credentials"
_ATTEMPTS = 40


@dataclass(frozen=True, slots=True)
class Storm:
    """How many pages are read, in which world, with which share of faults."""

    pages: int
    seed: int
    images: int = 100
    versions: int = 100
    rate: float = 0.05
    freed: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """A rule for each kind; faults that must not be retried hit only ListImageVersions, so the run goes on."""
        kinds = [kind for kind in KINDS if kind not in self.freed]
        return tuple(
            FaultRule(
                kind=rule.kind,
                operation=None if rule.kind in REPEATED else _LIST,
                rate=rule.rate,
                seed=rule.seed,
                times=1 if rule.kind == _ONCE else None,
            )
            for rule in storm(self.rate, self.seed, kinds)
        )


@dataclass(frozen=True, slots=True)
class Weathered:
    """The result of a storm."""

    syncs: int
    resumed: int
    pages: int
    injected: dict[str, int]
    repeatable: int
    throttled: int
    retries: int
    throttles: int
    rows: int

    @property
    def line(self) -> str:
        """The figures, in one line."""
        return (
            f"fault storm: {self.pages:,} pages in {self.syncs} syncs ({self.resumed} went on with another's run), "
            f"{sum(self.injected.values()):,} faults of {len(self.injected)} kinds, {self.retries:,} retries in runs "
            f"for {self.repeatable:,} faults to repeat, {self.rows:,} rows equal to the truth"
        )


def storm_world(images: int, versions: int) -> World:
    """A world of images whose versions are a minute apart; its clock is frozen."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    for image in range(images):
        world.create_image(f"image-{image}")
        for number in range(1, versions + 1):
            at_ms = NOON_MS - 400 * HOUR_MS + number * 60_000
            record = VersionRecord(version=number, creation_ms=at_ms, last_modified_ms=at_ms + 370)
            world.put_version(f"image-{image}", record)
    return world


def weather(served: ServeWorld, wanted: Storm) -> Weathered:
    """Sync under the storm until the wanted number of pages is requested, with changes in between; then compare.

    Raises AssertionError if a row is lost, doubled or falsely deleted, or if a figure of `runs` is not exact.
    """
    trial = Trial(served(storm_world(wanted.images, wanted.versions)))
    trial.set(
        page_size=10,
        concurrency=8,
        retry=Retry(attempts=_ATTEMPTS, max_wait=timedelta(milliseconds=1)),
        timeout=Timeout(connect=timedelta(seconds=2), read=timedelta(seconds=1)),
    )
    injected: dict[str, int] = {}
    trial.spoil(*wanted.rules)
    syncs = resumed = pages = 0
    for change in _changes(trial, random.Random(wanted.seed)):
        came = trial.sync(full=True)
        syncs += 1
        resumed += came.report is not None and came.report.resumed
        pages += trial.site.calls(_LIST)
        for kind, count in trial.injected().items():
            injected[kind] = injected.get(kind, 0) + count
        if pages >= wanted.pages:
            break
        if came.report is not None:
            change()
    trial.assert_converges()
    return _compared(trial, Weathered(syncs, resumed, pages, injected, *_expected(injected), 0, 0, 0))


def _expected(injected: dict[str, int]) -> tuple[int, int]:
    """The number of faults that a client must retry, and the number of throttles among them."""
    repeatable = sum(injected.get(kind, 0) for kind in (*REPEATED, _ONCE))
    return repeatable, sum(injected.get(kind, 0) for kind in _THROTTLES)


def _changes(trial: Trial, rng: random.Random) -> Iterator[_Change]:
    while True:
        yield _Change(trial, rng.choice(trial.site.world.truth()).image_name, rng.random())


@dataclass(frozen=True, slots=True)
class _Change:
    trial: Trial
    image: str
    what: float

    def __call__(self) -> None:
        """Let an hour pass, create a version of an image and update another, which half of the changes delete."""
        world = self.trial.site.world
        world.clock.advance(HOUR_MS)
        versions = [row.version for row in world.truth(image_name=self.image)]
        chosen = versions[int(self.what * len(versions))]
        world.create_version(self.image)
        world.update_version(self.image, chosen)
        if self.what > 0.5:
            world.delete_version(self.image, chosen)


def _compared(trial: Trial, found: Weathered) -> Weathered:
    ((retries, throttles),) = trial.site.ask("SELECT sum(retries)::BIGINT, sum(throttles)::BIGINT FROM runs")
    assert (retries, throttles) == (found.repeatable, found.throttled), found
    return Weathered(
        found.syncs,
        found.resumed,
        found.pages,
        found.injected,
        found.repeatable,
        found.throttled,
        int(str(retries)),
        int(str(throttles)),
        len(trial.site.stored()),
    )
