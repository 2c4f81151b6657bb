"""The model's store says what the warehouse says: the same schedules on both, findings and tables compared."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from image_history.warehouse.warehouse import WarehouseFile
from tests.properties.checked import CheckedStore
from tests.properties.scenarios import pairs
from tests.properties.schedules import Scenario, Schedule, longer, play, started

pytestmark = pytest.mark.duckdb

SCHEDULES = 6


def drawn(scenario: Scenario, rng: random.Random) -> Schedule:
    """A random schedule of the scenario, as deep as it goes."""
    start = started(scenario)
    schedule: Schedule = ()
    for _ in range(scenario.depth):
        states, _ = play(scenario, start, schedule)
        choices = list(longer(scenario, schedule, states))
        if not choices:
            break
        schedule = rng.choice(choices)
    return schedule


def test_model_and_warehouse_agree(tmp_path: Path, rng: random.Random) -> None:
    """Findings, versions, evidence, watermark and proved absences are the same in Python and in SQL."""
    checks = 0
    for number, scenario in enumerate(rng.sample(pairs(), SCHEDULES)):
        schedule = drawn(scenario, rng)
        folder = tmp_path / str(number)
        folder.mkdir()
        with WarehouseFile(folder / "history.duckdb").writing() as connection:
            store = CheckedStore(connection=connection, folder=folder)
            try:
                play(scenario, started(scenario, store), schedule)
            except AssertionError as error:
                error.add_note(f"{scenario.name}: {schedule}")
                raise
        checks += store.checks
    assert checks > 5 * SCHEDULES
