"""A small fault storm, with all kinds of faults at once: `make soak` runs one with 10,000 pages."""

from __future__ import annotations

from tests.behaviour.harness import ServeWorld
from tests.faults.storming import Storm, weather


def test_storm_ends_with_the_truth_and_exact_figures(served: ServeWorld, seed: int) -> None:
    """Under all quick kinds of faults no row is lost or doubled, and `runs` counts every retry and throttle."""
    wanted = Storm(
        pages=200, seed=seed, images=8, versions=60, rate=0.15, freed=("drip", "stall", "stall_in_body")
    )
    weathered = weather(served, wanted)
    assert sum(weathered.injected.values()) > 10
    assert "rows equal to the truth" in weathered.line
