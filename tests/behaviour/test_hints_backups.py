"""Hints that were acknowledged, and changes that were lost again: backups, and scopes that were not read meanwhile.

No hint is lost in these schedules, so a sync that is not disturbed must find every change, long before `trust` ends.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest

from image_history.config import Account, Hints, Images
from image_history.durable.effects import Effect, File
from image_history.errors import ConnectorError
from image_history.forecast.estimate import Span, total_calls
from image_history.forecast.forecasting import forecast
from image_history.run.pipeline import SyncOptions, sync
from tests.behaviour.harness import ServeWorld
from tests.behaviour.hinting import (
    HOUR_MS,
    MINUTE_MS,
    Hinted,
    Killed,
    hinted_site,
    image_event,
    installed,
    killing,
    version_event,
)
from tests.behaviour.test_hints import listed, quiet, rested
from tests.behaviour.test_hints_schedules import dying, ignore, lock

pytestmark = pytest.mark.duckdb

STEPS = 12


def changed_and_acknowledged(hinted: Hinted) -> bytes:
    """Make a version, whose hint a sync acknowledges; returns the warehouse as it was before."""
    backup = hinted.site.config.warehouse.read_bytes()
    image = hinted.images[1]
    hinted.site.world.create_version(image)
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert hinted.waiting() == []
    return backup


def acknowledged_while_excluded(hinted: Hinted) -> None:
    """Make a version of an excluded image, whose hint a sync acknowledges; then the image is configured again."""
    config, image = hinted.site.config, hinted.images[0]
    account = Account(images=Images(exclude=(image,)))
    hinted.site.config = msgspec.structs.replace(config, accounts=(account,))
    hinted.site.world.create_version(image)
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.site.sync()
    assert hinted.waiting() == []
    hinted.site.config = config


def assert_listed_once(hinted: Hinted) -> None:
    """The plan says that the next sync lists every image; it does; after that all images rest."""
    planned = total_calls(forecast(hinted.site.config).scopes)
    report = hinted.site.sync()
    assert listed(hinted) == set(hinted.images)
    assert {name: span for name, span in planned.items() if span.high} == {
        name: Span.of(made) for name, made in report.calls.by_operation.items()
    }
    hinted.site.assert_true()
    hinted.clock.advance(2 * MINUTE_MS)
    assert rested(hinted.site.sync()) == len(hinted.images)


def test_nothing_rests_on_a_backup_beside_an_unfinished_run(served: ServeWorld) -> None:
    """The sync that finds the backup first loads a run of the kept landing, and lists all images all the same."""
    hinted = quiet(served)
    backup = changed_and_acknowledged(hinted)
    with pytest.raises(Killed), installed(killing(Effect.RENAME, File.CLOSED)):
        hinted.site.sync()
    hinted.site.config.warehouse.write_bytes(backup)
    assert_listed_once(hinted)


def test_narrowed_sync_does_not_hide_that_a_backup_was_restored(served: ServeWorld) -> None:
    """Images that the first sync on a backup was not to read do not rest in the next one."""
    hinted = quiet(served)
    backup = changed_and_acknowledged(hinted)
    hinted.site.config.warehouse.write_bytes(backup)
    hinted.site.sync(images=(hinted.images[0],))
    assert_listed_once(hinted)


def test_nothing_rests_without_a_landing_that_remembers(served: ServeWorld) -> None:
    """If the landing is lost too, nothing shows what was acknowledged: every image is listed once."""
    hinted = quiet(served)
    backup = changed_and_acknowledged(hinted)
    hinted.site.config.warehouse.write_bytes(backup)
    shutil.rmtree(hinted.site.config.landing_folder)
    assert_listed_once(hinted)


def test_earlier_landing_does_not_know_what_was_acknowledged(served: ServeWorld) -> None:
    """If only the landing folder is replaced by an earlier one, every image is listed once."""
    hinted = quiet(served)
    landing = hinted.site.config.landing_folder
    shutil.copytree(landing, landing.with_name("copy"))
    acknowledged_while_excluded(hinted)
    shutil.rmtree(landing)
    landing.with_name("copy").rename(landing)
    assert_listed_once(hinted)


def test_hint_is_kept_if_the_landing_cannot_remember_its_load(served: ServeWorld) -> None:
    """Without that memory, a restored backup would go unnoticed: then the hint has to be there still."""
    hinted = quiet(served)
    image = hinted.images[1]
    hinted.site.world.create_version(image)
    path = hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)

    def full(effect: Effect, file: str) -> None:
        if (effect, file) == (Effect.RENAME, File.KNOWN):
            raise OSError("no space")

    with installed(full):
        hinted.site.sync()
    hinted.site.assert_true()
    assert hinted.waiting() == [path.name]


def test_image_that_was_excluded_does_not_rest_on_an_earlier_listing(served: ServeWorld) -> None:
    """Its hints were acknowledged while it was not read, so it is listed once it is configured again."""
    hinted = quiet(served)
    acknowledged_while_excluded(hinted)
    assert_listed_once(hinted)


def test_another_mailbox_may_have_lacked_a_hint(served: ServeWorld) -> None:
    """After the folder of hints is changed, every image is listed once."""
    hinted = quiet(served)
    folder = hinted.folder.with_name("others")
    folder.mkdir()
    hinted.site.config = msgspec.structs.replace(hinted.site.config, hints=Hints(folder=folder))
    assert_listed_once(hinted)


def test_hints_of_a_folder_that_was_missing_were_lost(served: ServeWorld) -> None:
    """Nobody could write a hint meanwhile, so every image is listed once when the folder is there again."""
    hinted = quiet(served)
    hinted.folder.rename(hinted.folder.with_name("moved"))
    assert rested(hinted.site.sync()) == 0
    hinted.site.world.create_version(hinted.images[1])
    hinted.clock.advance(2 * MINUTE_MS)
    hinted.folder.mkdir()
    assert_listed_once(hinted)


@pytest.mark.parametrize("swapped", [True, False])
def test_run_that_began_before_its_mailbox_lets_no_image_rest(served: ServeWorld, swapped: bool) -> None:
    """The listings of a resumed run may be older than the hints of a folder that was configured meanwhile."""
    hinted = quiet(served)
    # Every image is listed, since `trust` is over.
    hinted.clock.advance(25 * HOUR_MS)
    effects = [0]

    def kill_at_the_sixth(effect: Effect, file: str) -> None:
        effects[0] += (effect, file) == (Effect.RENAME, File.SEGMENT)
        if effects[0] == 6:
            raise Killed

    with pytest.raises(Killed), installed(kill_at_the_sixth):
        hinted.site.sync(checkpoint_rows=1, concurrency=1)
    hinted.clock.advance(5 * MINUTE_MS)
    for image in hinted.images:
        hinted.site.world.create_version(image)
    hinted.hint(*hinted.images)
    hinted.clock.advance(5 * MINUTE_MS)
    if swapped:
        # A folder that has lacked the hints until now.
        folder = hinted.folder.with_name("others")
        folder.mkdir()
        hinted.site.config = msgspec.structs.replace(hinted.site.config, hints=Hints(folder=folder))
    assert hinted.site.sync().resumed
    hinted.clock.advance(5 * MINUTE_MS)
    hinted.site.sync()
    hinted.site.assert_true()


@dataclass(slots=True)
class Play:
    """One schedule over two regions. `backups` are earlier states of the warehouse."""

    hinted: Hinted
    rng: random.Random
    regions: tuple[str, ...]
    backups: list[bytes] = field(default_factory=list)

    def step(self) -> None:
        """Make some changes, let time pass, and run a sync: of all, of a part, of a changed configuration."""
        for _ in range(self.rng.randint(0, 3)):
            self.change()
        self.hinted.clock.advance(self.rng.choice([1000, 30_000, 2 * MINUTE_MS, HOUR_MS // 2]))
        self.restore()
        self.configure()
        self.sync()

    def change(self) -> None:
        """Change an image, and deliver the event."""
        world, scope = self.hinted.site.world, self.rng.choice(self.hinted.site.world.scopes)
        rows = [row for row in world.truth() if (row.account_id, row.region) == scope]
        image = self.rng.choice(sorted({row.image_name for row in rows}))
        numbers = sorted(row.version for row in rows if row.image_name == image)
        kind = self.rng.choice(["create", "create", "touch", "delete", "delete_image"])
        arn = f"arn:aws:sagemaker:{scope[1]}:{scope[0]}:image/{image}"
        event = version_event(arn, self.hinted.clock.now_ms())
        if kind == "touch":
            world.update_version(image, self.rng.choice(numbers), scope=scope)
        elif kind == "delete" and len(numbers) > 1:
            world.delete_version(image, self.rng.choice(numbers), scope=scope)
        elif kind == "delete_image" and len({row.image_name for row in rows}) > 3:
            world.delete_image(image, scope=scope)
            event = image_event(arn, self.hinted.clock.now_ms(), "DELETING")
        else:
            world.create_version(image, scope=scope)
        self.hinted.put(event)

    def restore(self) -> None:
        """Sometimes put an earlier warehouse back, with or without the landing; sometimes keep a backup."""
        config = self.hinted.site.config
        if config.warehouse.exists() and self.rng.random() < 0.5:
            self.backups.append(config.warehouse.read_bytes())
        if self.backups and self.rng.random() < 0.3:
            config.warehouse.write_bytes(self.rng.choice(self.backups))
            if self.rng.random() < 0.3:
                shutil.rmtree(config.landing_folder, ignore_errors=True)

    def configure(self) -> None:
        """Read all, or leave a region or an image out."""
        kind = self.rng.choice(["all", "all", "region", "image"])
        if kind == "region":
            self.use((self.rng.choice(self.regions),))
        else:
            self.use(self.regions, (self.rng.choice(self.hinted.images),) if kind == "image" else ())

    def use(self, regions: tuple[str, ...], exclude: tuple[str, ...] = ()) -> None:
        """Configure the regions and the images that are left out."""
        account = Account(regions=regions, images=Images(exclude=exclude))
        self.hinted.site.config = msgspec.structs.replace(self.hinted.site.config, accounts=(account,))

    def sync(self) -> None:
        """Run a sync: of all, of a scope or an image; undisturbed, killed, or with a locked warehouse."""
        how = self.rng.choice(["plain", "plain", "plain", "killed", "locked"])
        hook: Callable[[Effect, str], None] = {
            "plain": ignore,
            "killed": dying(self.rng.randint(1, 60)),
            "locked": lock,
        }[how]
        options = SyncOptions(
            scopes=("/".join(self.rng.choice(self.hinted.site.world.scopes)),)
            if self.rng.random() < 0.2
            else (),
            images=(self.rng.choice(self.hinted.images),) if self.rng.random() < 0.2 else (),
            allow_mass_delete=True,
        )
        with installed(hook), contextlib.suppress(Killed, ConnectorError):
            sync(self.hinted.site.config, options=options)

    def end(self) -> None:
        """Undisturbed syncs of everything store the true state; the first ones may only end an open run."""
        self.use(self.regions)
        for _ in range(3):
            self.hinted.clock.advance(2 * MINUTE_MS)
            self.hinted.site.sync(allow_mass_delete=True)
        self.hinted.site.assert_true()


@pytest.mark.parametrize("number", range(6))
def test_random_schedules_with_backups_find_every_change_at_once(
    served: ServeWorld, seed: int, number: int
) -> None:
    """Whatever is restored, narrowed, reconfigured or killed: the next undisturbed syncs store what AWS has."""
    rng = random.Random(f"{seed}/{number}")
    hinted = hinted_site(served, images=4, versions=3, regions=2, seed=rng.randrange(1000))
    hinted.site.config = msgspec.structs.replace(hinted.site.config, lock_wait=timedelta(0))
    play = Play(hinted, rng, tuple(region for _, region in hinted.site.world.scopes))
    play.use(play.regions)
    for _ in range(STEPS):
        play.step()
    play.end()
