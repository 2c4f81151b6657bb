"""Compares a mutant with the original code: by the model's promises, and by the rows of the warehouse at the end.

Must not know what a mutant is.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from image_history.errors import ConnectorError
from image_history.warehouse.warehouse import Connection, EngineError
from tests.properties.collection import Habits, Tokens
from tests.properties.scenarios import pairs
from tests.properties.schedules import (
    FULL,
    PLAIN,
    Backup,
    BrokenPromiseError,
    Restore,
    Run,
    Scenario,
    Schedule,
    play,
    shapes,
    some,
)

SEED = 1
_HOUR_MS = 3_600_000
_KINDS = ("create", "touch", "delete", "recreate", "drop", "kill", "expire")
_NAMES = (
    "out of order, offset tokens",
    "out of order, the later one left, offset tokens",
    "left, keyset tokens",
    "first late, offset tokens",
    "held back, offset tokens",
    "next life, offset tokens",
    "lagging, keyset tokens",
    "long lives, keyset tokens",
)
# All stored columns, except those that depend on the time, the run, the machine or the program's version.
STORED = """
SELECT COLUMNS(lambda name: NOT regexp_matches(name,
    'etl_run_id|etl_observed_at|etl_changed_at|etl_first_seen_at|loaded_at|started_at|finished_at|host|bytes|_version$'
))::VARCHAR FROM {table} ORDER BY ALL
"""
TABLES = (
    "image_versions",
    "image_version_events",
    "images",
    "streams",
    "absent_versions",
    "coverage",
    "runs",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a mutant: the first promise that it broke, or a hash of all stored rows."""

    broken: str | None = None
    stored: str = ""


def glance(folder: Path) -> Seen:
    """Run a few schedules, which kill most mutants; stop at the first broken promise."""
    return _played([some(long_schedules(), random.Random(SEED), 12)], folder)


def probe(folder: Path) -> Seen:
    """Run all schedules; stop at the first broken promise."""
    return _played(_schedules(), folder)


def _played(schedules: Iterable[list[tuple[Scenario, Schedule]]], folder: Path) -> Seen:
    digest = hashlib.sha256()

    def after(connection: Connection) -> None:
        for table in TABLES:
            for row in connection.duck.execute(STORED.format(table=table)).fetchall():
                digest.update(repr(row).encode())

    try:
        for chosen in schedules:
            play(chosen, folder, after=after)
    except (
        BrokenPromiseError,
        ConnectorError,
        EngineError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        return Seen(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
    return Seen(stored=digest.hexdigest())


def _schedules() -> Iterator[list[tuple[Scenario, Schedule]]]:
    rng = random.Random(SEED)
    yield some(long_schedules(), rng, 48)
    chosen = [scenario for scenario in pairs() if scenario.name in _NAMES]
    for group in shapes(chosen):
        yield some(group, rng, 24)


def long_schedules() -> list[Scenario]:
    """A scenario for each kind of token, with every kind of step around runs, in one sequence."""
    steps = (
        PLAIN,
        Backup(),
        Run(waits=True, clock_ms=2 * _HOUR_MS),
        Run(blind=True),
        FULL,
        Run(waits=True, left=True),
        Restore(),
        PLAIN,
        Run(full=True, late=True),
    )
    return [
        Scenario(f"long, {tokens} tokens", Habits(tokens=tokens), steps, _KINDS, 8)
        for tokens in get_args(Tokens)
    ]
