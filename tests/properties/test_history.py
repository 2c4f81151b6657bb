"""The views of what was true and what was known at a time, compared with a recorded trace of a changing AWS."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from image_history.simulator import Behaviour, Simulator, VirtualClock, World
from image_history.simulator.behaviour import TokenKind
from tests.conftest import SEED
from tests.looking import looking
from tests.properties.syncing import START_MS, Warehouse

pytestmark = pytest.mark.duckdb

NAMES = ("alpha", "beta", "gamma")
HOUR_MS = 3_600_000
CHANGES = 12
INSTANTS = 200

Key = tuple[str, int]
# The times of creation and last modification, the status and the failure reason.
State = tuple[int, int, str, str | None]
Versions = dict[Key, State]

AS_OF = """
SELECT image_name, version, epoch_ms(creation_time), epoch_ms(last_modified_time), image_version_status,
    failure_reason, epoch_ms(etl_certain_from)
FROM image_versions_as_of(make_timestamptz(? * 1000))
"""
KNOWN_AT = """
SELECT image_name, version, epoch_ms(creation_time), epoch_ms(last_modified_time), image_version_status,
    failure_reason
FROM image_versions_known_at(make_timestamptz(? * 1000))
"""
KNOWN_BYTES = """
SELECT COLUMNS(*)::VARCHAR FROM image_versions_known_at(make_timestamptz(? * 1000)) ORDER BY ALL
"""
WINDOWS = """
SELECT image_name, version, epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from)
FROM image_version_events WHERE etl_change = 'deleted'
"""


@dataclass(slots=True)
class Trace:
    """What was true from which time on, by AWS's clock, and what was known from which time on, by the local clock."""

    true_from: list[int] = field(default_factory=list)
    truths: list[Versions] = field(default_factory=list)
    known_from: list[int] = field(default_factory=list)
    knowns: list[Versions] = field(default_factory=list)
    answers: list[tuple[int, list[tuple[Any, ...]]]] = field(default_factory=list)

    def true_at(self, instant_ms: int) -> Versions:
        """The versions that existed at an instant."""
        return self.truths[bisect_right(self.true_from, instant_ms) - 1]

    def known_at(self, instant_ms: int) -> Versions:
        """The versions that the warehouse knew at an instant."""
        index = bisect_right(self.known_from, instant_ms) - 1
        return self.knowns[index] if index >= 0 else {}


class Recorder:
    """A simulated AWS that is changed and synced in turns, with its trace."""

    def __init__(self, folder: Path, simulator: Simulator, rng: random.Random) -> None:
        self.folder = folder
        self.simulator = simulator
        self.rng = rng
        self.warehouse = Warehouse(folder, simulator)
        self.trace = Trace()

    def record(self) -> None:
        """Make changes, each followed by a sync that covers it; random times pass between them."""
        for name in NAMES:
            self.simulator.world.create_image(name)
        for _ in range(CHANGES):
            self._pass(HOUR_MS)
            self._change()
            self._note_truth()
            self._pass(self.rng.choice([3_000, 60_000, HOUR_MS]))
            self._sync()

    def _pass(self, most_ms: int) -> None:
        # A deletion is dated by the listing's T0, which lies up to two seconds before the listing's answer.
        self.simulator.clock.advance(self.rng.randrange(2_000, most_ms + 1))

    def _change(self) -> None:
        world, rng = self.simulator.world, self.rng
        name = rng.choice(NAMES)
        rows = world.truth(image_name=name)
        kind = rng.choice(["create", "create", "touch", "fail", "delete", "delete", "delete image"])
        if not world.image_truth(image_name=name):
            world.create_image(name)
            kind = "create"
        if kind == "create" or not rows:
            for _ in range(rng.randint(1, 6)):
                world.create_version(name, failure_reason=rng.choice([None, "no such layer"]))
        elif kind == "touch":
            world.update_version(name, rng.choice(rows).version)
        elif kind == "fail":
            world.set_status(name, rng.choice(rows).version, "DELETE_FAILED", failure_reason="in use")
        elif kind == "delete":
            for row in rng.sample(rows, min(len(rows), rng.randint(1, 3))):
                world.delete_version(name, row.version)
        else:
            world.delete_image(name)

    def _truth(self) -> Versions:
        return {
            (row.image_name, row.version): (
                row.creation_ms,
                row.last_modified_ms,
                row.status,
                row.failure_reason,
            )
            for row in self.simulator.world.truth()
        }

    def _note_truth(self) -> None:
        self.trace.true_from.append(self.simulator.clock.now_ms())
        self.trace.truths.append(self._truth())

    def _sync(self) -> None:
        done = self.warehouse.sync(full=True)
        assert done.whole
        finished_ms = round(done.report.finished_at.timestamp() * 1000)
        self.trace.known_from.append(finished_ms)
        self.trace.knowns.append(self._truth())
        self.trace.answers.append((finished_ms, self.ask(KNOWN_BYTES, finished_ms)[0]))

    def ask(self, query: str, *instants_ms: int) -> list[list[tuple[Any, ...]]]:
        """The rows of a query on the warehouse, for each instant."""
        with looking(self.folder / "image-history.duckdb") as connection:
            return [connection.execute(query, [instant]).fetchall() for instant in instants_ms]

    def windows(self) -> dict[Key, list[tuple[int, int]]]:
        """The times when each deleted version was last seen and when it was found deleted."""
        found: dict[Key, list[tuple[int, int]]] = {}
        with looking(self.folder / "image-history.duckdb") as connection:
            for name, version, seen_ms, gone_ms in connection.execute(WINDOWS).fetchall():
                found.setdefault((name, version), []).append((seen_ms, gone_ms))
        return found


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """One recorded history, made from the random seed of the session."""
    rng = random.Random(f"{request.config.stash[SEED]} history")
    clock = VirtualClock(frozen_at=START_MS)
    with Simulator(World(clock=clock)) as simulator, pytest.MonkeyPatch.context() as patch:
        simulator.behaviour = Behaviour(tokens=rng.choice(get_args(TokenKind)))
        for name, value in simulator.environment().items():
            patch.setenv(name, value)
        recorder = Recorder(tmp_path_factory.mktemp("history"), simulator, rng)
        recorder.record()
        yield recorder


def test_as_of_equals_the_trace_at_random_instants(recorded: Recorder) -> None:
    """The view as of an instant equals the truth then, except within the interval of a deletion."""
    trace, windows, compared = recorded.trace, recorded.windows(), 0
    span = range(trace.true_from[0], recorded.simulator.clock.now_ms())
    instants = [recorded.rng.choice(span) for _ in range(INSTANTS)]
    for instant_ms, rows in zip(instants, recorded.ask(AS_OF, *instants), strict=True):
        truth = trace.true_at(instant_ms)
        answers = {(row[0], row[1]): row[2:] for row in rows}
        unsure = {key for key, spans in windows.items() if any(a <= instant_ms <= b for a, b in spans)}
        assert answers.keys() ^ truth.keys() <= unsure, f"at {instant_ms}"
        for key in answers.keys() & truth.keys():
            *state, certain_from_ms = answers[key]
            if instant_ms >= certain_from_ms:
                assert tuple(state) == truth[key], f"{key} at {instant_ms}"
                compared += 1
    assert compared > INSTANTS


def test_deletions_lie_in_their_intervals(recorded: Recorder) -> None:
    """Each deletion happened after the version was last seen and before it was found deleted."""
    truths = list(zip(recorded.trace.true_from, recorded.trace.truths, strict=True))
    windows = recorded.windows()
    assert windows
    for key, spans in windows.items():
        happened = [
            at_ms for (_, before), (at_ms, after) in pairwise(truths) if key in before and key not in after
        ]
        assert len(happened) == len(spans)
        for at_ms, (seen_ms, gone_ms) in zip(happened, sorted(spans), strict=True):
            assert seen_ms <= at_ms <= gone_ms, key


def test_known_at_equals_the_trace_at_random_instants(recorded: Recorder) -> None:
    """What the warehouse knew after each sync is what the view shows today for the time until the next sync."""
    trace = recorded.trace
    # In the last millisecond of a run, its rows are known and its deletions are not.
    halves = {finished_ms - 1 for finished_ms in trace.known_from}
    span = range(trace.known_from[0] - 1000, trace.known_from[-1] + 1000)
    instants = [recorded.rng.choice(span) for _ in range(INSTANTS + len(halves))]
    chosen = [instant for instant in instants if instant not in halves][:INSTANTS]
    assert len(chosen) == INSTANTS
    for instant_ms, rows in zip(chosen, recorded.ask(KNOWN_AT, *chosen), strict=True):
        answers = {(row[0], row[1]): row[2:] for row in rows}
        assert answers == trace.known_at(instant_ms), f"at {instant_ms}"


def test_earlier_answers_of_known_at_are_the_same_bytes(recorded: Recorder) -> None:
    """No later run changes an earlier answer about an instant, in any column."""
    answers = recorded.trace.answers
    assert len(answers) == CHANGES
    again = recorded.ask(KNOWN_BYTES, *(finished_ms for finished_ms, _ in answers))
    assert again == [answer for _, answer in answers]
