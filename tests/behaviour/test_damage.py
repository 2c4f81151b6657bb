"""Damaged files on disk: a sync reports them with the fix, never loads a part of them, and can drop them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from image_history.durable.effects import Effect, install
from image_history.errors import ConnectorError, LandingError, WarehouseError
from image_history.landing.runs import Landing
from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site
from tests.faultpoints.faults import Action, Fault, Tripwire
from tests.faultpoints.table import NOTHING, fingerprint

pytestmark = pytest.mark.duckdb

Damage = Callable[[Path, random.Random], None]
HEADER_BYTES = 12_288


@contextmanager
def faulty(fault: Fault) -> Iterator[None]:
    """Install the fault in this process until the block ends."""
    remove = install(Tripwire(fault, lambda _: None))
    try:
        yield
    finally:
        remove()


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """A small site with one image of several pages."""
    return small(served)


@pytest.fixture
def broken_off(served: ServeWorld) -> Site:
    """The same site, after a first run that a full disk ended after two segments."""

    def make() -> Site:
        made = small(served)
        interrupted(made)
        return made

    return served.once("damage", make)


@pytest.fixture
def synced(served: ServeWorld) -> Site:
    """The same site, synced once."""

    def make() -> Site:
        made = small(served)
        made.sync()
        return made

    return served.once("damage-synced", make)


def small(served: ServeWorld) -> Site:
    """Make the site of the fixture `site`."""
    made = served(generate(17, images=3, versions_per_image=5, largest=30, clock=VirtualClock()))
    made.config = msgspec.structs.replace(made.config, page_size=5, checkpoint_rows=5, concurrency=1)
    return made


def interrupted(site: Site) -> Path:
    """Run a first sync that a full disk ends after two segments; returns the run's folder."""
    with (
        faulty(Fault("create", "segment", Action.ENOSPC, 3)),
        pytest.raises(LandingError, match="No space left"),
    ):
        site.sync()
    (folder,) = [path for path in site.config.landing_folder.iterdir() if path.is_dir()]
    assert len(list(folder.glob("segment-*"))) == 2
    return folder


def flip(path: Path, rng: random.Random) -> None:
    """Change one byte anywhere."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    """Cut off the end."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def empty(path: Path, _: random.Random) -> None:
    """Cut the file to zero bytes."""
    path.write_bytes(b"")


def become_folder(path: Path, _: random.Random) -> None:
    """Replace the file by a folder."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["segment-000001-*", "segment-000002-*", "plan.json", "images.parquet"])
def test_damaged_landing_file_is_named_and_dropped_by_fresh(
    broken_off: Site, rng: random.Random, name: str
) -> None:
    """If a file of an unfinished run is damaged, a sync names it and loads nothing; `sync --fresh` drops the run."""
    (path,) = broken_off.config.landing_folder.glob(f"*/{name}")
    good = path.read_bytes()
    # A folder of that name is not ours: the user has to move it away, also before sync --fresh.
    for damage in (become_folder, *rng.sample([flip, cut, empty], 3)):
        if path.is_dir():
            path.rmdir()
        path.write_bytes(good)
        damage(path, rng)
        with pytest.raises(LandingError) as refusal:
            broken_off.sync()
        assert str(path) in refusal.value.message
        assert "sync --fresh" in refusal.value.message
        assert fingerprint(broken_off.config.warehouse) == NOTHING
    broken_off.sync(fresh=True)
    broken_off.assert_true()
    assert not path.exists()


@pytest.mark.parametrize("number", [1, 2])
def test_closed_run_with_a_damaged_segment_is_dropped_by_fresh(
    site: Site, rng: random.Random, number: int
) -> None:
    """If a segment of a complete, pending run is damaged, a sync refuses the run, and `sync --fresh` drops it."""
    with (
        faulty(Fault("statement", "load/changed", Action.EIO)),
        pytest.raises(WarehouseError, match="Input/output"),
    ):
        site.sync()
    (path,) = site.config.landing_folder.glob(f"*/segment-{number:06d}-*")
    flip(path, rng)
    with pytest.raises(LandingError, match="damaged"):
        site.sync()
    site.sync(fresh=True)
    site.assert_true()


def test_missing_segment_is_told(site: Site) -> None:
    """If the first segment of a run is missing, a sync refuses the run, and `sync --fresh` drops it."""
    (path,) = interrupted(site).glob("segment-000001-*")
    path.unlink()
    with pytest.raises(LandingError, match="not segment 1"):
        site.sync()
    site.sync(fresh=True)
    site.assert_true()


def test_segment_of_another_run_is_told(site: Site) -> None:
    """A sync refuses a run with a segment that was copied from another run."""
    (path,) = interrupted(site).glob("segment-000002-*")
    site.config.landing_folder.rename(site.folder / "kept")
    (other,) = interrupted(site).glob("segment-000002-*")
    other.unlink()
    shutil.copy(site.folder / "kept" / path.parent.name / path.name, other.parent)
    with pytest.raises(LandingError, match="not segment 2"):
        site.sync()


@pytest.mark.parametrize("damage", [flip, cut, empty, become_folder])
def test_damaged_memory_of_streams_is_ignored(synced: Site, rng: random.Random, damage: Damage) -> None:
    """If the file of known streams is damaged, it is ignored, and the next sync stores the true rows."""
    path = synced.config.landing_folder / "known-streams.parquet"
    landing = Landing(synced.config.landing_folder)
    mark = landing.mark()
    assert mark is not None
    remembered = landing.remembered(mark)
    assert remembered is not None
    good = path.read_bytes()
    for _ in range(1 if damage is become_folder else 30):
        damage(path, rng)
        found = landing.remembered(mark)
        # A changed byte without a meaning, such as one in the writer's name, is harmless.
        assert found is None or (found[0].equals(remembered[0]) and found[1] == remembered[1])
        if path.is_file():
            path.write_bytes(good)
    synced.sync()
    synced.assert_true()


def test_lock_file_of_any_content_locks(site: Site, rng: random.Random) -> None:
    """The landing is locked whatever the lock file contains; its text only names the process that holds the lock."""
    site.sync()
    landing = Landing(site.config.landing_folder)
    lock = landing.folder / "lock"
    lock.write_bytes(rng.randbytes(100))
    with landing.locked():
        assert lock.read_text(encoding="ascii") == str(os.getpid())
        lock.write_bytes(b"\xff\x1b[31m")
        with pytest.raises(ConnectorError, match="process unknown"), landing.locked():
            pass
    site.sync()
    site.assert_true()


@pytest.mark.parametrize("place", ["headers", "blocks", "end"])
def test_damaged_warehouse_is_told_and_left_alone(synced: Site, rng: random.Random, place: str) -> None:
    """If the warehouse is damaged, a sync exits with 2 and writes nothing; without the file, syncs work again."""
    path = synced.config.warehouse
    good = path.read_bytes()
    synced.world.update_version(synced.world.truth()[0].image_name, 1)
    told = 0
    for _ in range(3):
        content = bytearray(good)
        if place == "end":
            content = content[: rng.randrange(HEADER_BYTES, len(good) // 2)]
        else:
            start, end = (8, 4096) if place == "headers" else (HEADER_BYTES, len(good))
            for _ in range(200 if place == "blocks" else 1):
                content[rng.randrange(start, end)] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(WarehouseError) as refusal:
            synced.sync()
        assert refusal.value.exit_code == 2
        told += "is damaged" in refusal.value.message
        assert path.read_bytes() == bytes(content)
    assert told == 3
    path.unlink()
    synced.sync()
    synced.sync()
    synced.assert_true()


def commit_without_checkpoint(site: Site) -> Path:
    """Leave a committed insert in DuckDB's log only, as a kill does; returns the log's path."""
    wal = site.config.warehouse.with_name(f"{site.config.warehouse.name}.wal")
    script = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); "
        "c.execute(\"INSERT INTO schema_drift SELECT 'o', 'm', 'v' || i, now(), 1, 'run' FROM range(500) t(i)\"); "
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(site.config.warehouse)], check=False)
    assert wal.stat().st_size > 1000
    return wal


def test_damaged_log_of_the_warehouse_is_told_or_cut_at_a_commit(synced: Site, rng: random.Random) -> None:
    """With a flipped byte in DuckDB's log, a sync finds all rows of the commit or none, or it exits with 2."""
    wal = commit_without_checkpoint(synced)
    good, logged = synced.config.warehouse.read_bytes(), wal.read_bytes()
    seen = set()
    for _ in range(4):
        synced.config.warehouse.write_bytes(good)
        wal.write_bytes(logged)
        flip(wal, rng)
        try:
            synced.sync()
        except WarehouseError as error:
            seen.add(error.exit_code)
            continue
        seen.add(0)
        assert synced.ask("SELECT count(*) FROM schema_drift WHERE etl_run_id = 'run'")[0][0] in {0, 500}
        synced.assert_true()
    assert seen <= {0, 2}


def test_kill_while_the_warehouse_is_made_leaves_none(site: Site) -> None:
    """A first sync that is killed between two migrations leaves no warehouse, and the next sync makes one."""
    process = site.faulty("statement.migrations/001_tables:kill:1", "sync")
    _, told = process.communicate(timeout=60)
    assert process.returncode == -9, told
    assert not site.config.warehouse.exists()
    assert [path.name for path in site.folder.glob(".*unborn*")] != []
    assert site.run("sync").returncode == 0
    site.assert_true()
    assert list(site.folder.glob(".*unborn*")) == []


def test_two_makers_of_one_warehouse_keep_the_first(site: Site) -> None:
    """A warehouse that appears while a sync makes its own is kept: this sync fails, and the next one uses it."""

    def appear(effect: Effect, subject: str) -> None:
        if (effect, subject) == (Effect.LINK, "warehouse"):
            shutil.copy(site.folder / "theirs.duckdb", site.config.warehouse)

    site.sync()
    site.config.warehouse.rename(site.folder / "theirs.duckdb")
    remove = install(appear)
    try:
        with pytest.raises(WarehouseError, match="exists"):
            site.sync()
    finally:
        remove()
    site.sync()
    assert site.ask("SELECT count(*) FROM runs")[0][0] in {2, 3}
    site.assert_true()
