"""Syncs beside other processes and on a full disk: the error names the other process, and no row is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image_history.landing.runs import Landing
from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.spawning import spawn
from tests.faultpoints.table import fingerprint

pytestmark = pytest.mark.duckdb


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """A small site that was synced once, and has changed since."""

    def make() -> Site:
        made = served(generate(17, images=3, versions_per_image=5, clock=VirtualClock()))
        made.sync()
        made.simulator.clock.advance(60_000)
        made.world.create_version(made.world.truth()[0].image_name)
        return made

    return served.once("beside", make)


@contextmanager
def shell(path: Path, *, read_only: bool) -> Iterator[int]:
    """Keep a DuckDB shell open on the warehouse during the block; yields the shell's process id."""
    opening = f"import duckdb; c = duckdb.connect({str(path)!r}, read_only={read_only})"
    script = f"{opening}; print('open', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        yield holder.pid
    finally:
        holder.communicate("\n", timeout=60)


@pytest.mark.parametrize("read_only", [True, False], ids=["reader", "writer"])
def test_shell_left_open_delays_the_load_and_loses_nothing(site: Site, *, read_only: bool) -> None:
    """While a shell has the warehouse open, a sync exits with 5 and names it; a later sync loads all runs."""
    with shell(site.config.warehouse, read_only=read_only) as holder:
        for waiting in (1, 2):
            outcome = site.run("sync", IMAGE_HISTORY_LOCK_WAIT="200ms")
            assert outcome.returncode == 5, outcome.stderr
            assert f"process {holder}" in outcome.stderr.splitlines()[-1]
            assert "Traceback" not in outcome.stderr
            assert len(Landing(site.config.landing_folder).runs()) == waiting
    outcome = site.run("sync")
    assert outcome.returncode == 0, outcome.stderr
    assert "also loaded 2 earlier runs" in outcome.stdout
    site.assert_true()
    assert site.ask("SELECT sum(inserted) FROM runs") == [(16,)]


def test_second_of_two_syncs_leaves_at_once_however_the_first_stands(site: Site) -> None:
    """While one sync hangs, a second exits with 7 and names it; after a kill of the first, a third continues it."""
    first = site.faulty("rename.segment:pause:1", "sync")
    try:
        first.until(lambda: any(site.config.landing_folder.glob("*/.segment-*.part")))
        outcome = site.run("sync")
        assert outcome.returncode == 7, outcome.stderr
        assert f"process {first.pid}" in outcome.stderr
    finally:
        first.kill()
        first.communicate(timeout=60)
    outcome = site.run("sync")
    assert outcome.returncode == 0, outcome.stderr
    assert "continued an unfinished run" in outcome.stdout
    site.assert_true()


@pytest.mark.parametrize("limit", [2_000, 16_000, 48_000, 96_000])
def test_load_on_a_full_disk_is_undone_whole(site: Site, limit: int) -> None:
    """If a file cannot grow, as on a full disk, a sync exits with 2 and keeps the rows; the next sync succeeds."""
    for _ in range(300):
        site.world.create_version(site.world.truth()[0].image_name)
    before = fingerprint(site.config.warehouse)

    environment = {**os.environ, **site.environment}
    process = spawn(["sync"], folder=site.folder, environment=environment, largest_file_bytes=limit)
    _, told = process.communicate(timeout=60)
    after = fingerprint(site.config.warehouse)
    assert process.returncode == 2, told
    assert told.splitlines()[-1].startswith("image-history: Cannot ")
    assert "File too large" in told
    assert "Traceback" not in told
    assert after == before
    assert site.run("sync").returncode == 0
    site.assert_true()
