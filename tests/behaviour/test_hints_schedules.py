"""Random schedules of lost, late, repeated and forged hints, of kills and of locked warehouses."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import duckdb
import msgspec
import pytest

from image_history.durable.effects import Effect
from image_history.errors import ConnectorError, WarehouseLockedError
from image_history.simulator import Behaviour
from tests.behaviour.harness import ServeWorld
from tests.behaviour.hinting import (
    HOUR_MS,
    JUNK,
    MINUTE_MS,
    Hinted,
    Killed,
    hinted_site,
    image_event,
    installed,
    version_event,
)

pytestmark = pytest.mark.duckdb

Key = tuple[str, int, int]
STEPS = 9
DELETED = (
    "SELECT image_name, version, epoch_ms(creation_time) FROM image_versions WHERE etl_deleted_at IS NOT NULL"
)
LIVE = "SELECT image_name, version, epoch_ms(creation_time) FROM image_versions WHERE etl_deleted_at IS NULL"
MARK_ONE_DELETED = (
    "UPDATE image_versions SET etl_deleted_at = last_modified_time WHERE image_name = $image AND version = 1"
)


@dataclass(slots=True)
class Told:
    """A true hint: the name of its file, its image, and that image's versions when the file was written."""

    name: str
    image: str
    versions: set[Key]


@dataclass(slots=True)
class Play:
    """One schedule. `late`: events that are not delivered yet; `gone`: every version that was ever deleted."""

    hinted: Hinted
    rng: random.Random
    told: list[Told] = field(default_factory=list)
    late: list[tuple[dict[str, object], str]] = field(default_factory=list)
    alive: set[Key] = field(default_factory=set)
    gone: set[Key] = field(default_factory=set)

    def truth(self, image: str | None = None) -> set[Key]:
        """The versions that exist at AWS, of all images or of one."""
        rows = self.hinted.site.world.truth()
        return {
            (row.image_name, row.version, row.creation_ms) for row in rows if image in {None, row.image_name}
        }

    def step(self) -> None:
        """Make some changes, deliver some hints, let time pass, and run a sync that may be disturbed."""
        for _ in range(self.rng.randint(0, 3)):
            self.change()
        if self.rng.random() < 0.4:
            self.forge()
        if self.late and self.rng.random() < 0.5:
            self.deliver(*self.late.pop(self.rng.randrange(len(self.late))))
        self.hinted.clock.advance(self.rng.choice([1000, 30_000, 2 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS]))
        self.sync()
        self.check()

    def change(self) -> None:
        """Make one change of an image, and deliver its event once, twice, later or never."""
        world, image = self.hinted.site.world, self.rng.choice(self.hinted.images)
        self.alive |= self.truth()
        numbers = sorted(version for _, version, _ in self.truth(image))
        kind = self.rng.choice(["create", "create", "touch", "delete", "delete_image"])
        event = version_event(self.hinted.arn(image), self.hinted.clock.now_ms())
        if kind == "touch":
            world.update_version(image, self.rng.choice(numbers))
        elif kind == "delete" and len(numbers) > 1:
            world.delete_version(image, self.rng.choice(numbers))
            event["detail"]["ImageVersionStatus"] = "DELETING"  # type: ignore[index]
        elif kind == "delete_image" and len(self.hinted.images) > 4:
            world.delete_image(image)
            event = image_event(self.hinted.arn(image), self.hinted.clock.now_ms(), "DELETING")
        else:
            world.create_version(image)
        self.alive |= self.truth()
        self.gone = self.alive - self.truth()
        fate = self.rng.choice(["told", "told", "doubled", "late", "lost"])
        if fate == "late":
            self.late.append((event, image))
        elif fate != "lost":
            for _ in range(2 if fate == "doubled" else 1):
                self.deliver(event, image)

    def deliver(self, event: dict[str, object], image: str) -> None:
        """Deliver an event, and record which versions its image has at this time."""
        self.told.append(Told(self.hinted.put(event).name, image, self.truth(image)))

    def forge(self) -> None:
        """Deliver events about changes that never happened, with past and future times, and junk."""
        image = self.rng.choice([*self.hinted.images, "no-such-image"])
        shift_ms = self.rng.choice([-400 * HOUR_MS, -5 * MINUTE_MS, 0, 100 * HOUR_MS])
        status = self.rng.choice(["CREATED", "DELETING"])
        now_ms = self.hinted.clock.now_ms()
        self.hinted.put(
            version_event(self.hinted.arn(image), now_ms + shift_ms, status),
            version_event("arn:aws:sagemaker:us-east-1:999999999999:image/x", now_ms),
            self.rng.choice([line for line in JUNK if line]),
        )

    def sync(self) -> None:
        """Run a sync undisturbed, killed at an effect, or with a warehouse that is locked whenever it is opened."""
        how = self.rng.choice(["plain", "plain", "killed", "locked"])
        hook = {"plain": ignore, "killed": dying(self.rng.randint(1, 60)), "locked": lock}[how]
        with installed(hook), contextlib.suppress(Killed, ConnectorError):
            self.hinted.site.sync()

    def check(self) -> None:
        """No live version is marked as deleted; a hint is acknowledged only after its image's versions are stored."""
        site, waiting = self.hinted.site, set(self.hinted.waiting())
        if not site.config.warehouse.exists():
            assert not (self.hinted.folder / "loaded").exists()
            return
        deleted = {(str(row[0]), row[1], row[2]) for row in site.ask(DELETED)}
        assert deleted <= self.gone, "a version that lives was marked deleted"
        known = deleted | set(site.ask(LIVE))
        for told in self.told:
            if told.name not in waiting:
                assert told.versions - self.gone <= known, f"{told.name} was acknowledged before its load"

    def end(self) -> None:
        """After the time of `trust`, an undisturbed sync stores the true state; a sync before it ends an open run."""
        self.hinted.site.sync(allow_mass_delete=True)
        self.hinted.clock.advance(25 * HOUR_MS)
        # An image has few versions: half of them may be deleted in one run.
        self.hinted.site.sync(allow_mass_delete=True)
        self.hinted.site.assert_true()
        self.check()


def ignore(_: Effect, __: str) -> None:
    """Do nothing at an effect."""


def dying(countdown: int) -> Callable[[Effect, str], None]:
    """A hook that kills the sync at the effect with that number."""
    left = [countdown]

    def hook(_: Effect, __: str) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed

    return hook


def lock(effect: Effect, _: str) -> None:
    """Fail to open the warehouse, as if another process held it, so that no transaction can begin."""
    if effect is Effect.CONNECT:
        raise WarehouseLockedError("held", holder="a test")


@pytest.mark.parametrize("number", range(6))
def test_random_schedules_lose_nothing_and_end_with_the_truth(
    served: ServeWorld, seed: int, number: int
) -> None:
    """Whatever happens to hints, syncs and locks: after `trust` the tables are true, and no hint was lost."""
    rng = random.Random(f"{seed}/{number}")
    hinted = hinted_site(served, images=7, versions=4, largest=9, seed=rng.randrange(1000))
    hinted.site.simulator.behaviour = Behaviour(tokens=rng.choice(["keyset", "offset"]))
    hinted.site.config = msgspec.structs.replace(hinted.site.config, page_size=3, lock_wait=timedelta(0))
    play = Play(hinted, rng)
    play.alive = play.truth()
    for _ in range(STEPS):
        play.step()
    play.end()


def test_check_of_a_schedule_can_fail(served: ServeWorld) -> None:
    """`Play.check` fails if a message is gone before its load, and if a version that lives is marked as deleted."""
    hinted = hinted_site(served, images=4)
    hinted.site.sync()
    play = Play(hinted, random.Random(1))
    play.check()
    image = hinted.images[0]
    hinted.site.world.create_version(image)
    play.deliver(version_event(hinted.arn(image), hinted.clock.now_ms()), image)
    (hinted.folder / play.told[0].name).unlink()
    with pytest.raises(AssertionError, match="before its load"):
        play.check()
    with duckdb.connect(hinted.site.config.warehouse) as connection:
        connection.execute(MARK_ONE_DELETED, {"image": image}).fetchall()
    with pytest.raises(AssertionError, match="a version that lives"):
        play.check()
