"""`alias_moves` compared with every alias move at the simulated AWS, in random schedules of moves and syncs."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise
from typing import cast

import pytest

from image_history.simulator import FaultRule, VirtualClock, World
from tests.behaviour.detailing import DAY_MS, NOON_MS, STORED, detailed, true_details
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

# A little longer than `details_every`.
WEEK_MS = 7 * DAY_MS + 60_000
ALIASES = ("latest", "stable")
MOVES = """
SELECT alias, from_version, to_version, epoch_ms(moved_after), epoch_ms(moved_by)
FROM alias_moves WHERE image_name = 'base' ORDER BY alias, moved_by, learned_at, from_version NULLS LAST
"""
LAST = """
SELECT epoch_ms(moved_after), epoch_ms(moved_by) FROM alias_moves WHERE alias = 'latest'
ORDER BY learned_at DESC, moved_by DESC LIMIT 1
"""


class Journal:
    """For each alias, in order, the versions that it pointed to, each with its start in epoch milliseconds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: dict[str, list[tuple[int, int | None]]] = {alias: [] for alias in ALIASES}

    def note(self) -> None:
        """Record the aliases that have moved."""
        for alias, told in self.told.items():
            now = next((row.version for row in self.world.truth() if alias in row.aliases), None)
            if now != self.now(alias):
                told.append((self.world.clock.now_ms(), now))

    def now(self, alias: str) -> int | None:
        """The version that the alias points to now."""
        return self.told[alias][-1][1] if self.told[alias] else None

    def came(self, alias: str, version: int, after_ms: int, by_ms: int) -> bool:
        """Whether the alias moved to that version between the two instants."""
        return any(after_ms <= at <= by_ms and to == version for at, to in self.told[alias])

    def left(self, alias: str, version: int, after_ms: int, by_ms: int) -> bool:
        """Whether the alias left that version, for another or for none, between the two instants."""
        told = self.told[alias]
        return any(after_ms <= at <= by_ms and before == version for (_, before), (at, _) in pairwise(told))


def happen(world: World, rng: random.Random) -> None:
    """Make one random change, which may move an alias."""
    alive = [row.version for row in world.truth()]
    kind = rng.choice(("move", "move", "move", "create", "create with", "drop", "delete"))
    held = {alias for row in world.truth() for alias in row.aliases}
    if kind == "move":
        world.move_alias("base", rng.choice(ALIASES), rng.choice(alive))
    elif kind == "create":
        world.create_version("base")
    elif kind == "create with":
        world.create_version("base", aliases=[rng.choice(ALIASES)])
    elif kind == "drop" and held:
        world.delete_alias("base", rng.choice(sorted(held)))
    elif kind == "delete" and len(alive) > 2:
        world.delete_version("base", rng.choice(alive))


def assert_told(site: Site, journal: Journal) -> None:
    """Each row of alias_moves happened between its two instants; the rows form a chain to the current versions."""
    last: dict[str, tuple[int | None, int]] = dict.fromkeys(ALIASES, (None, 0))
    for row in site.ask(MOVES):
        alias, from_version, to_version, after_ms, by_ms = cast(
            "tuple[str, int | None, int | None, int, int]", row
        )
        told = (row, journal.told[alias])
        version, since_ms = last[alias]
        assert from_version == version, told
        if to_version is not None:
            assert journal.came(alias, to_version, after_ms, by_ms), told
        if from_version is not None:
            assert journal.left(alias, from_version, after_ms if to_version is None else since_ms, by_ms), (
                told
            )
        last[alias] = (to_version, after_ms)
    assert {alias: version for alias, (version, _) in last.items()} == {
        alias: journal.now(alias) for alias in ALIASES
    }


@pytest.mark.parametrize("_", range(2))
def test_alias_moves_hold_against_every_move(served: ServeWorld, rng: random.Random, _: int) -> None:
    """`alias_moves` is correct, also if calls fail, and if lookups are a week apart with several moves between."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("base")
    world.create_version("base", aliases=["latest"])
    world.create_version("base")
    site, journal = served(world), Journal(world)
    journal.note()
    for waited_ms in rng.choices((1, 400, 60_000, WEEK_MS), k=9):
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            site.simulator.clock.advance(rng.choice((1, 300, 700, 1_000, DAY_MS)))
            happen(world, rng)
            journal.note()
        if rng.random() < 0.3:
            site.simulator.faults = (
                FaultRule(kind="unavailable", operation="ListAliases", every=rng.choice((2, 3))),
            )
            detailed(site, details_every=timedelta(0))
            site.simulator.faults = ()
        elif rng.random() < 0.3:
            # Reads only the details that are due, so that the lookups of a version may be days apart.
            detailed(site)
        site.simulator.clock.advance(waited_ms)
        detailed(site, details_every=timedelta(days=7) if waited_ms == WEEK_MS else timedelta(0))
        assert set(site.ask(STORED)) == true_details(world)
        assert_told(site, journal)
    last_ms = world.clock.now_ms()
    other = next(row.version for row in world.truth() if "latest" not in row.aliases)
    world.move_alias("base", "latest", other)
    journal.note()
    site.simulator.clock.advance(WEEK_MS)
    detailed(site)
    assert_told(site, journal)
    ((after_ms, by_ms),) = site.ask(LAST)
    assert int(str(after_ms)) <= last_ms
    assert int(str(by_ms)) >= last_ms + WEEK_MS
