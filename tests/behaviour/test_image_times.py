"""Image times in place of hints: if a new version provably changes its image's time, an image may rest."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from image_history.checking.hinting import look_at_hints
from image_history.checking.local import look_here
from image_history.checking.results import Level
from image_history.config import Hints, load_config
from image_history.errors import ConfigError
from image_history.forecast.estimate import Span, total_calls
from image_history.forecast.forecasting import forecast
from image_history.simulator import Behaviour, VirtualClock, World
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.hinting import HOUR_MS, MINUTE_MS, NOON_MS

pytestmark = pytest.mark.duckdb

IMAGES = [f"image-{number}" for number in range(5)]


def site_of(served: ServeWorld, *, moves: bool = True, hints: Hints | None = None, lag_ms: int = 0) -> Site:
    """Five images with two versions each, the second an hour younger than the image."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    site = served(world, Behaviour(versions_move_image=moves, list_lag_ms=lag_ms))
    for image in IMAGES:
        world.create_image(image)
        world.create_version(image)
    world.clock.advance(HOUR_MS)
    for image in IMAGES:
        world.create_version(image)
    world.clock.advance(HOUR_MS)
    site.config = msgspec.structs.replace(site.config, hints=hints or Hints(trust_image_time=True))
    return site


def rested(site: Site) -> int:
    """Run a sync, and count the images that rest in it."""
    return sum(scope.rested for scope in site.sync().scopes)


def test_images_rest_where_it_is_proved(served: ServeWorld) -> None:
    """A quiet sync only lists images; a changed image is listed and forecast as one call."""
    site = site_of(served)
    assert rested(site) == 0
    report = site.sync()
    assert report.calls.by_operation == {"ListImages": 1}
    assert report.hints is not None
    assert (report.hints.rested, report.hints.by_image_time) == (5, True)
    site.world.create_version(IMAGES[3])
    site.world.clock.advance(2 * MINUTE_MS)
    planned = total_calls(forecast(site.config).scopes)
    report = site.sync()
    assert report.calls.by_operation == {"ListImages": 1, "ListImageVersions": 1}
    assert planned["ListImageVersions"] == Span(1, 1)
    site.assert_true()


def test_images_do_not_rest_by_default(served: ServeWorld) -> None:
    """Without the setting, every image is listed in every sync, even if nothing changed."""
    site = site_of(served, hints=Hints())
    assert [rested(site), rested(site)] == [0, 0]
    assert site.sync().hints is None


def test_images_do_not_rest_where_it_is_disproved(served: ServeWorld) -> None:
    """If a new version does not change its image's time, every image is listed in every sync."""
    site = site_of(served, moves=False)
    assert [rested(site), rested(site)] == [0, 0]
    site.world.create_version(IMAGES[0])
    assert rested(site) == 0
    site.assert_true()


def test_one_contradiction_ends_it(served: ServeWorld) -> None:
    """A version that did not change its image's time is found after `trust`; from then on no image rests."""
    site = site_of(served)
    site.sync()
    assert rested(site) == 5
    site.world.rules = Behaviour().rules()
    site.world.create_version(IMAGES[1])
    site.world.clock.advance(HOUR_MS)
    assert rested(site) == 5
    site.world.clock.advance(24 * HOUR_MS)
    assert rested(site) == 0
    site.assert_true()
    assert [rested(site), rested(site)] == [0, 0]


def test_two_images_prove_nothing(served: ServeWorld) -> None:
    """Two images that agree are not enough for a proof, since that may be chance."""
    site = site_of(served)
    for image in IMAGES[2:]:
        site.world.delete_image(image)
    assert [rested(site), rested(site)] == [0, 0]


def test_image_that_moved_just_before_its_listing_does_not_rest(served: ServeWorld) -> None:
    """An image that changed less than a minute before its listing is listed again: the list of versions may lag."""
    site = site_of(served)
    site.sync()
    site.world.create_version(IMAGES[2])
    site.world.clock.advance(MINUTE_MS // 2)
    site.sync()
    assert rested(site) == 4
    site.world.clock.advance(MINUTE_MS)
    assert rested(site) == 4
    assert rested(site) == 5


@pytest.mark.parametrize("seed", range(2))
def test_random_changes_are_known_after_trust(served: ServeWorld, seed: int) -> None:
    """Whatever changes, and whether or not it changes an image's time: after `trust` the table is true."""
    rng = random.Random(seed)
    site = site_of(served, moves=rng.random() < 0.7)
    world = site.world
    for _ in range(8):
        image = rng.choice(IMAGES)
        numbers = [row.version for row in world.truth() if row.image_name == image]
        kind = rng.choice(["create", "touch", "delete", "describe"])
        if kind == "create" or len(numbers) < 2:
            world.create_version(image)
        elif kind == "touch":
            world.update_version(image, rng.choice(numbers))
        elif kind == "delete":
            world.delete_version(image, rng.choice(numbers))
        else:
            world.update_image(image, description=str(rng.random()))
        world.clock.advance(rng.choice([1000, 30_000, 2 * MINUTE_MS, 5 * HOUR_MS]))
        site.sync(allow_mass_delete=True)
    world.clock.advance(25 * HOUR_MS)
    site.sync(allow_mass_delete=True)
    site.assert_true()


def test_check_says_what_is_proved(served: ServeWorld) -> None:
    """`check` warns if no list of images is stored; else it counts the images for and against the proof."""
    site = site_of(served)

    def found() -> tuple[Level, str]:
        (result,) = look_at_hints(site.config, look_here(site.config).knowledge)
        return result.level, result.message

    assert found() == (
        Level.WARNING,
        "No list of images is stored yet, so that nothing is proved: every image is listed.",
    )
    site.sync()
    about = "that a new version moves its image's LastModifiedTime"
    assert found() == (Level.OK, f"the images prove {about}: 5 for, 0 against")
    site.world.rules = Behaviour().rules()
    site.world.create_version(IMAGES[1])
    site.world.clock.advance(HOUR_MS)
    site.sync(full=True)
    assert found() == (Level.WARNING, f"The images do not prove {about}: 4 for, 1 against.")


@pytest.mark.parametrize(
    "source", ["queue: https://sqs.us-east-1.amazonaws.com/111122223333/q", "folder: hints"]
)
def test_image_times_are_refused_beside_hints(tmp_path: Path, source: str) -> None:
    """The configuration may not contain both hints and trust_image_time."""
    path = tmp_path / "c.yaml"
    path.write_text(f"hints:\n  {source}\n  trust_image_time: true\n")
    with pytest.raises(ConfigError, match=r"c.yaml:3: hints.trust_image_time is only for use without hints"):
        load_config(path)


def test_rest_is_bounded_by_trust(served: ServeWorld) -> None:
    """The setting `trust` limits how long images rest by their times, as it does with hints."""
    site = site_of(served, hints=Hints(trust_image_time=True, trust=timedelta(hours=2)))
    site.sync()
    site.world.clock.advance(HOUR_MS)
    assert rested(site) == 5
    site.world.clock.advance(HOUR_MS)
    assert rested(site) == 0
