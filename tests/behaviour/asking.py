"""What the tests of queries and exports share: one warehouse with a history, and the command line on it.

Must not know which queries a test runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_history.cli import run
from image_history.config import Config
from image_history.run.pipeline import sync
from image_history.simulator import Simulator, VirtualClock, World, generate
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.harness import FAST

NOON_MS = 1_790_000_000_123
# DuckDB 2 proves that some filters on range() match nothing and answers at once; no optimizer can end a recursion.
ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n % 7 + 1 FROM t) SELECT count(*) FROM t"
HOSTILE = "=cmd|' /C calc'!A0 \x1b[31mred\x1b]0;title\x07 \u202egnp.exe, \"quoted\"\nsecond | <b>line</b>"


@dataclass(frozen=True, slots=True)
class Answered:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass(frozen=True, slots=True)
class Desk:
    """A warehouse; calling the object runs a command that reads it. `image` has versions in every state."""

    warehouse: Path
    image: str
    world: World
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answered:
        self.capture.readouterr()
        code = run(["--warehouse", str(self.warehouse), *arguments])
        captured = self.capture.readouterr()
        return Answered(code, captured.out, captured.err)

    def fingerprint(self) -> str:
        """A hash of the warehouse's bytes."""
        return hashlib.sha256(self.warehouse.read_bytes()).hexdigest()


def build(folder: Path) -> tuple[Path, str, World]:
    """Make a warehouse by three syncs of a world that changes between the syncs; the clock is frozen."""
    clock = VirtualClock(frozen_at=NOON_MS)
    world = generate(5, images=6, versions_per_image=12, largest=130, clock=clock)
    image = world.truth()[0].image_name
    path = folder / "image-history.duckdb"
    with pytest.MonkeyPatch.context() as patch, Simulator(world) as simulator:
        for name, value in simulator.environment().items():
            patch.setenv(name, value)
        config = Config(warehouse=path, rate=FAST)
        sync(config)
        clock.advance(3_600_000)
        world.set_status(image, 2, "CREATE_FAILED", failure_reason=HOSTILE)
        world.create_version(image)
        sync(config)
        clock.advance(3_600_000)
        world.set_status(image, 2, "CREATED")
        world.set_status(image, 3, "CREATE_FAILED", failure_reason=HOSTILE)
        only_failed = next(row.image_name for row in world.truth() if row.image_name != image)
        for row in world.truth():
            if row.image_name == only_failed:
                world.set_status(only_failed, row.version, "CREATE_FAILED", failure_reason="no base image")
        sync(config)
    return path, image, world


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, World]:
    """One warehouse for all tests that only read."""
    return build(tmp_path_factory.mktemp("asked"))


@pytest.fixture
def ask(
    built: tuple[Path, str, World],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Desk]:
    """The command line on the warehouse, in an empty folder; fails if the test changes the warehouse."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    desk = Desk(built[0], built[1], built[2], capfd)
    fingerprint = desk.fingerprint()
    yield desk
    os.umask(before)
    assert desk.fingerprint() == fingerprint
    assert not Path(f"{desk.warehouse}.wal").exists()


def rows_of(warehouse: Path, sql: str) -> list[tuple[object, ...]]:
    """The rows that the warehouse's own connection returns; a query selects instants as epoch milliseconds."""
    with WarehouseFile(warehouse).reading() as connection:
        rows: list[tuple[object, ...]] = connection.duck.execute(sql).fetchall()
        return rows
