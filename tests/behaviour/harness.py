"""What the tests of whole syncs share: a simulated AWS, a warehouse in a folder, and the comparison of both.

Must not know what a test changes.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import botocore.loaders
import msgspec
import pytest

from image_history.config import Config, Rate, Retry
from image_history.durable import effects
from image_history.model import RunReport
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import Behaviour, Simulator, World
from image_history.warehouse import warehouse
from image_history.warehouse.statements import names, statement
from tests.behaviour.spawning import Spawned, spawn
from tests.looking import looking

Row = tuple[object, ...]

STORED = """
SELECT account_id, region, image_name, version, image_arn, image_version_arn, image_version_status,
       failure_reason, epoch_ms(creation_time), epoch_ms(last_modified_time)
FROM image_versions WHERE etl_deleted_at IS NULL
"""
FAST = Rate(list_per_second=10_000, describe_per_second=10_000)


def true_rows(world: World) -> set[Row]:
    """Every version that the simulated AWS has, as the warehouse should hold it."""
    return {
        (
            row.account_id,
            row.region,
            row.image_name,
            row.version,
            row.image_arn,
            row.image_version_arn,
            row.status,
            row.failure_reason,
            row.creation_ms,
            row.last_modified_ms,
        )
        for row in world.truth()
    }


@dataclass(slots=True)
class Site:
    """A folder with a configuration and a warehouse, and the simulated AWS that it is synced from."""

    folder: Path
    simulator: Simulator
    config: Config
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.simulator.world

    def sync(self, **changes: object) -> RunReport:
        """One sync in this process; the simulator's counters start at zero."""
        options = {
            name: changes.pop(name)
            for name in ("full", "images", "fresh", "allow_mass_delete", "part")
            if name in changes
        }
        self.simulator.counters.reset()
        config = msgspec.structs.replace(self.config, **changes)
        return sync(config, options=SyncOptions(**options))  # type: ignore[arg-type]  # a test's own options

    def ask(self, sql: str) -> list[Row]:
        """The rows of a query on the warehouse, read through Arrow: DuckDB's own instants would need pytz."""
        with looking(self.config.warehouse) as connection:
            columns = connection.sql(sql).to_arrow_table().columns
            return list(zip(*(column.to_pylist() for column in columns), strict=True))

    def stored(self) -> set[Row]:
        """Every live version that the warehouse holds."""
        rows = self.ask(STORED)
        assert len(rows) == len(set(rows)), "a version is stored twice"
        return set(rows)

    def assert_true(self) -> None:
        """The warehouse holds exactly what the simulated AWS has, and its tables agree with each other."""
        assert self.stored() == true_rows(self.world)
        for name in names("audit"):
            assert self.ask(statement(name)) == [], name

    def calls(self, operation: str, image: str | None = None) -> int:
        """Requests that the simulator answered since the last sync began."""
        return self.simulator.counters.calls(operation, image)

    def command(self, *arguments: str, **variables: str) -> Spawned:
        """Start `image-history` with these arguments as its own process in the folder."""
        environment = {**os.environ, **self.environment, **variables}
        return spawn(arguments, folder=self.folder, environment=environment)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `image-history` with these arguments to its end."""
        process = self.command(*arguments, **variables)
        output, errors = process.communicate(timeout=120)
        assert process.returncode is not None
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def faulty(self, fault: str, *arguments: str, **variables: str) -> Spawned:
        """Start `image-history` as `command` does, with a fault such as `rename.segment:kill:2` in it."""
        environment = {**os.environ, **self.environment, **variables}
        return spawn(arguments, folder=self.folder, environment=environment, fault=fault)

    def interpret(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start `image-history` as `command` does, in an interpreter that has nothing imported yet."""
        return subprocess.Popen(
            [sys.executable, "-m", "image_history", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session", autouse=True)
def shared_models() -> Iterator[None]:
    """Make botocore read its service models once for all sessions: reading them is a quarter of a small sync."""
    loader = botocore.loaders.create_loader()

    def shared(*_: object) -> botocore.loaders.Loader:
        # Each session of boto3 adds its own folder again.
        loader.search_paths[:] = dict.fromkeys(loader.search_paths)
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.loaders, "create_loader", shared)
        yield


@pytest.fixture(scope="session", autouse=True)
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make an empty warehouse once and copy it from then on: making one is a third of a small first sync.

    A test that installs a hook for effects, or replaces statements, gets a warehouse that is made for it.
    """
    empty = tmp_path_factory.mktemp("empty") / "warehouse.duckdb"
    make, ours = warehouse.WarehouseFile._make, statements_of_warehouses()

    def copy_or_make(file: warehouse.WarehouseFile) -> None:
        if effects._hooks or statements_of_warehouses() != ours:
            make(file)
            return
        if not empty.exists():
            make(warehouse.WarehouseFile(empty))
        shutil.copy(empty, file.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warehouse.WarehouseFile, "_make", copy_or_make)
        yield


def statements_of_warehouses() -> tuple[object, ...]:
    """The functions and the version that decide which statements make a warehouse."""
    return tuple(vars(warehouse)[name] for name in ("statement", "names", "SCHEMA_VERSION"))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A site at one moment, with a copy of its files; sites that are made from it share nothing."""

    folder: Path
    world: World
    behaviour: Behaviour
    config: Config

    @classmethod
    def of(cls, site: Site, folder: Path) -> Snapshot:
        """Copy a site as it is now."""
        shutil.copytree(site.folder, folder)
        return cls(folder, copied(site.world), site.simulator.behaviour, site.config)


def copied(world: World) -> World:
    """A deep copy of a world, with its own clock. The world may have no pending changes."""
    assert not world._due, "a pending change would happen in the original world only"
    fresh = {id(world.lock): threading.RLock(), id(world.clock._lock): threading.Lock()}
    return copy.deepcopy(world, fresh)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The sites that tests begin with, each under its name; the first test that needs a site makes it."""

    folder: Path
    snapshots: dict[str, Snapshot] = field(default_factory=dict)

    def keep(self, name: str, site: Site) -> None:
        """Copy a site as it is now."""
        self.snapshots[name] = Snapshot.of(site, self.folder / name)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """One shelf for the test session."""
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> Iterator[ServeWorld]:
    """Serves worlds until the test ends."""
    serving = ServeWorld(tmp_path, monkeypatch, shelf)
    yield serving
    serving.close()


@dataclass(slots=True)
class ServeWorld:
    """Starts simulators and makes sites of them."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    shelf: Shelf | None = None
    running: list[Simulator] = field(default_factory=list)

    def __call__(self, world: World, behaviour: Behaviour | None = None) -> Site:
        simulator = Simulator(world, behaviour=behaviour or Behaviour())
        simulator.__enter__()
        self.running.append(simulator)
        environment = simulator.environment()
        for name, value in environment.items():
            self.monkeypatch.setenv(name, value)
        config = Config(warehouse=self.folder / "image-history.duckdb", rate=FAST, retry=Retry(attempts=3))
        fast = {
            "IMAGE_HISTORY_RATE__LIST_PER_SECOND": "10000",
            "IMAGE_HISTORY_RATE__DESCRIBE_PER_SECOND": "10000",
        }
        path = f"{Path(__file__).parents[2]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        return Site(self.folder, simulator, config, {**environment, **fast, "PYTHONPATH": path})

    def once(self, name: str, make: Callable[[], Site]) -> Site:
        """A site as `make` makes it. `make` runs once a session, and no other site may have this `name`."""
        assert self.shelf is not None
        if name not in self.shelf.snapshots:
            site = make()
            self.shelf.keep(name, site)
            # A copy begins with its counters at zero, so the original must too.
            site.simulator.counters.reset()
            return site
        kept = self.shelf.snapshots[name]
        shutil.copytree(kept.folder, self.folder, dirs_exist_ok=True)
        site = self(copied(kept.world), kept.behaviour)
        site.config = msgspec.structs.replace(kept.config, warehouse=site.config.warehouse)
        return site

    def close(self) -> None:
        for simulator in self.running:
            simulator.__exit__(None, None, None)
