"""What the tests of details share: the details of each version at the simulated AWS and in the warehouse.

Must not know what a test changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from image_history.config import Retry
from image_history.model import RunReport
from image_history.simulator import Exchange, VirtualClock, World, generate
from tests.behaviour.harness import Row, ServeWorld, Site

NOON_MS = 1_790_000_000_000
DAY_MS = 86_400_000
BRIEF = Retry(attempts=2, max_wait=timedelta(milliseconds=1))
CALLS = ("DescribeImageVersion", "ListAliases")
STORED = """
SELECT image_name, version, base_image, container_image, job_type, ml_framework, programming_lang, processor,
       horovod, vendor_guidance, release_notes, array_to_string(aliases, ' ')
FROM image_versions WHERE etl_deleted_at IS NULL
"""
EVENTS = """
SELECT version, etl_change, array_to_string(etl_changed_columns, ' '), array_to_string(aliases, ' ')
FROM image_version_events WHERE image_name = '{}' ORDER BY etl_observed_at, version
"""


def small_world(images: int = 3, versions: int = 3) -> World:
    """Images with this many versions each, with the aliases `latest` and `stable`; the clock is frozen."""
    return generate(17, images=images, versions_per_image=versions, clock=VirtualClock(frozen_at=NOON_MS))


def true_details(world: World) -> set[Row]:
    """The details of every version at the simulated AWS, with the columns in the order of STORED."""
    return {
        (
            row.image_name,
            row.version,
            row.details.base_image,
            None if row.status == "CREATING" else row.details.container_image,
            row.details.job_type,
            row.details.ml_framework,
            row.details.programming_lang,
            row.details.processor,
            row.details.horovod,
            row.details.vendor_guidance,
            row.details.release_notes,
            " ".join(row.aliases),
        )
        for row in world.truth()
    }


def detailed(site: Site, **changes: object) -> RunReport:
    """Run one sync with details, one second later on the clock, with retries that don't wait."""
    site.simulator.clock.advance(1_000)
    return site.sync(**{"details": True, "retry": BRIEF, **changes})


def asked(site: Site) -> tuple[int, ...]:
    """How often each of the two calls was made since the last sync began."""
    return tuple(site.calls(operation) for operation in CALLS)


def detailed_once(served: ServeWorld) -> Site:
    """A site of the small world, synced with its details."""

    def make() -> Site:
        site = served(small_world())
        detailed(site)
        return site

    return served.once("detailed", make)


def events(site: Site, image_name: str) -> list[Row]:
    """Version, change, changed columns, and aliases of each event of an image, ordered by observation time."""
    return site.ask(EVENTS.format(image_name))


@contextmanager
def meanwhile(site: Site, operation: str, act: Callable[[], object], *, nth: int = 1) -> Iterator[None]:
    """In this block, call `act` once: when the n-th answer of the operation is ready, before it is sent."""
    seen: list[str] = []

    async def before(_: object, exchange: Exchange) -> None:
        if exchange.operation == operation:
            seen.append(operation)
            if len(seen) == nth:
                act()

    site.simulator.fault = before
    yield
    site.simulator.fault = None
    assert len(seen) >= nth
