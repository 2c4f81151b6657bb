"""What the tests of log, diff, runs and status share: a site and the command line, both on the simulated clock.

Must not know what a command prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from image_history.cli import run
from image_history.simulator import VirtualClock, generate
from tests.behaviour.asking import Answered
from tests.behaviour.harness import ServeWorld, Site

NOON_MS = 1_790_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
IMAGE = "churn-training"


@dataclass(frozen=True, slots=True)
class Told:
    """A site whose syncs, loads and ages all use the simulated clock; calling the object runs a command."""

    site: Site
    capture: pytest.CaptureFixture[str]

    @property
    def clock(self) -> VirtualClock:
        return self.site.simulator.clock

    def __call__(self, *arguments: str) -> Answered:
        self.capture.readouterr()
        code = run(["--warehouse", str(self.site.config.warehouse), *arguments])
        captured = self.capture.readouterr()
        return Answered(code, captured.out, captured.err)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """The rows that a command prints as JSON."""
        answered = self(*arguments, "--format", "json")
        assert (answered.code, answered.err) == (0, "")
        rows: list[dict[str, Any]] = json.loads(answered.out)
        return rows


@dataclass(frozen=True, slots=True)
class TellWorld:
    """Makes sites whose clock is frozen at noon."""

    served: ServeWorld
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(
        self,
        *,
        images: int = 0,
        versions: int = 0,
        largest: int | None = None,
        regions: Sequence[str] | int = 1,
    ) -> Told:
        clock = VirtualClock(frozen_at=NOON_MS)
        world = generate(
            31, images=images, versions_per_image=versions, largest=largest, regions=regions, clock=clock
        )
        return self._told(self.served(world))

    def once(self, name: str, make: Callable[[], Told]) -> Told:
        """A site as `make` makes it. `make` runs once a session, and no other site may have this `name`."""
        return self._told(self.served.once(name, lambda: make().site))

    def _told(self, site: Site) -> Told:
        told, clock = Told(site, self.capture), site.simulator.clock
        self.patch.chdir(told.site.folder)
        for name in ("image_history.run.pipeline.now_ms", "image_history.warehouse.loader.now_ms"):
            self.patch.setattr(name, clock.now_ms)
        self.patch.setattr("image_history.cli.moments.now", clock.now)
        return told


@pytest.fixture
def telling(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> TellWorld:
    """Makes sites that last until the test ends."""
    return TellWorld(served, monkeypatch, capfd)
