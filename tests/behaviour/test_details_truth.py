"""What the history says of states and their details, compared with a journal of the simulated AWS.

AWS changes between syncs, and between the calls of a sync; a budget defers some of the lookups.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, cast

import pytest

from image_history.simulator import Exchange, VersionDetails, VirtualClock, World
from tests.behaviour.detailing import BRIEF, DAY_MS, NOON_MS, STORED, true_details
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

EVENTS = """
SELECT version, epoch_ms(last_modified_time), release_notes, aliases, epoch_ms(etl_described_at),
    epoch_ms(etl_aliases_at)
FROM image_version_events WHERE etl_change <> 'deleted' ORDER BY etl_observed_at, version
"""
AS_OF = """
SELECT version, epoch_ms(last_modified_time), image_version_status
FROM image_versions_as_of(make_timestamptz({0} * 1000)) WHERE epoch_ms(etl_certain_from) <= {0}
"""
GONE = "SELECT version, epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from) FROM image_version_history"
SEEN = "SELECT DISTINCT version, epoch_ms(last_modified_time) FROM image_version_events"
SECOND_MS = 1_000
_Event = tuple[int, int, str | None, list[str] | None, int | None, int | None]


class Told(NamedTuple):
    """One state of a version, as it is at the simulated AWS."""

    last_modified_ms: int
    status: str
    release_notes: str | None
    aliases: tuple[str, ...]


@dataclass(slots=True)
class Journal:
    """The states of all versions from each instant on, in epoch milliseconds, in order."""

    world: World
    states: list[tuple[int, dict[int, Told]]]

    def note(self) -> None:
        """Record the present states."""
        now = {
            row.version: Told(row.last_modified_ms, row.status, row.details.release_notes, tuple(row.aliases))
            for row in self.world.truth()
        }
        self.states.append((self.world.clock.now_ms(), now))

    def at(self, instant_ms: int) -> dict[int, Told]:
        """The states at an instant: those after the last change until then."""
        return next((states for at_ms, states in reversed(self.states) if at_ms <= instant_ms), {})

    def around(self, date_ms: int, version: int) -> Iterator[Told]:
        """The states in which the version may have been when an answer with this Date was made."""
        first, last = date_ms - SECOND_MS, date_ms + SECOND_MS
        yield from (states[version] for states in (self.at(first),) if version in states)
        for at_ms, states in self.states:
            if first < at_ms <= last and version in states:
                yield states[version]


def happen(world: World, rng: random.Random) -> None:
    """Make one random change: of the details of a version, of an alias, or of the set of versions."""
    alive = [row.version for row in world.truth()]
    kind = rng.choice(("update", "update", "update", "update", "update", "move", "drop", "create", "delete"))
    held = sorted({alias for row in world.truth() for alias in row.aliases})
    if kind == "update":
        notes = VersionDetails(release_notes=f"notes {rng.randrange(1_000)}")
        world.update_version("base", rng.choice(alive), details=notes)
    elif kind == "move":
        world.move_alias("base", rng.choice(("latest", "stable")), rng.choice(alive))
    elif kind == "drop" and held:
        world.delete_alias("base", rng.choice(held))
    elif kind == "create":
        world.create_version("base", aliases=rng.choice(([], ["latest"])))
    elif kind == "delete" and len(alive) > 2:
        world.delete_version("base", rng.choice(alive))


def change(site: Site, rng: random.Random, journal: Journal, longest_ms: int) -> None:
    """Let some time pass and something change at AWS."""
    site.simulator.clock.advance(rng.randrange(1, longest_ms))
    happen(site.world, rng)
    journal.note()


def lived_through(served: ServeWorld, rng: random.Random) -> tuple[Site, Journal]:
    """A site after syncs of a changing AWS, the last of which reads all details while nothing changes."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("base")
    for number in range(2):
        world.create_version("base", aliases=[] if number else ["latest"])
    site, journal = served(world), Journal(world, [])
    journal.note()

    async def meanwhile(_: object, exchange: Exchange) -> None:
        if exchange.image_name == "base" and rng.random() < 0.6:
            change(site, rng, journal, 900)

    for _ in range(8):
        for _ in range(rng.choice((0, 1, 3))):
            change(site, rng, journal, rng.choice((500, 30_000)))
        site.simulator.fault = meanwhile if rng.random() < 0.7 else None
        every = rng.choice((timedelta(0), timedelta(days=7)))
        site.sync(details=True, retry=BRIEF, details_every=every, details_budget=rng.choice((1, 3, None)))
    site.simulator.fault = None
    site.simulator.clock.advance(DAY_MS)
    site.sync(details=True, details_every=timedelta(0), details_budget=None)
    return site, journal


@pytest.mark.parametrize("_", range(2))
def test_details_of_a_state_are_what_aws_had_when_they_were_read(
    served: ServeWorld, rng: random.Random, _: int
) -> None:
    """Each event has the details of its own state, at the time that it names; else those of the event before."""
    site, journal = lived_through(served, rng)
    assert set(site.ask(STORED)) == true_details(site.world)
    before: dict[int, tuple[object, object]] = {}
    for row in cast("list[_Event]", site.ask(EVENTS)):
        version, modified_ms, notes, aliases, described_ms, aliases_ms = row
        names = None if aliases is None else tuple(aliases)
        known = before.get(version, (None, None))
        if described_ms is None:
            assert notes == known[0]
        else:
            told = [
                (one.last_modified_ms, one.release_notes) for one in journal.around(described_ms, version)
            ]
            assert (modified_ms, notes) in told, (version, described_ms, told)
        if aliases_ms is None:
            assert names == known[1]
        else:
            assert names in [one.aliases for one in journal.around(aliases_ms, version)]
        before[version] = (notes, names)


def test_state_is_certain_from_the_instant_that_it_names(served: ServeWorld, rng: random.Random) -> None:
    """From etl_certain_from on the listed attributes are those of AWS, but for the interval of a deletion.

    Of several changes between two listings only the last is seen: the states before it are not compared.
    """
    site, journal = lived_through(served, rng)
    gone = site.ask(f"{GONE} WHERE etl_change = 'deleted'")
    seen, compared = set(site.ask(SEEN)), 0
    instants = {at_ms + extra for at_ms, _ in journal.states for extra in (-1, 0, 300)}
    for instant_ms in rng.sample(sorted(instants), k=40):
        truth = journal.at(instant_ms)
        for version, modified_ms, status in site.ask(AS_OF.format(instant_ms)):
            if any(number == version and after <= instant_ms <= by for number, after, by in gone):  # type: ignore[operator]
                continue
            told = truth[int(str(version))]
            if (version, told.last_modified_ms) in seen:
                assert (modified_ms, status) == (told.last_modified_ms, told.status), (version, instant_ms)
                compared += 1
    assert compared
