"""After a sync is killed or interrupted, the next sync continues its run, and ends with the same table."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import boto3
import pytest

from image_history.landing.runs import LandedRun, Landing
from image_history.model import ListingKind
from image_history.simulator import Behaviour, VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.spawning import Spawned

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
EACH_PAGE = {"IMAGE_HISTORY_CHECKPOINT_ROWS": "1", "IMAGE_HISTORY_CONCURRENCY": "3"}
TABLE = "SELECT * EXCLUDE (etl_run_id, etl_first_seen_at, etl_changed_at) FROM image_versions ORDER BY ALL"


def slow_site(served: ServeWorld) -> Site:
    """A site whose first sync takes 32 calls of 15 ms: 20 images of one page and one of twelve."""
    clock = VirtualClock(frozen_at=NOON_MS)
    world = generate(13, images=21, versions_per_image=20, largest=1150, clock=clock)
    return served(world, Behaviour(latency_ms=15))


def kill_after(site: Site, calls: int, *arguments: str, number: int = signal.SIGKILL) -> Spawned:
    """Start a sync, send it the signal when AWS has answered this many calls of ListImageVersions, and wait."""
    reached = threading.Event()

    async def count(_: object, __: object) -> None:
        if site.calls("ListImageVersions") >= calls:
            reached.set()

    site.simulator.fault = count
    process = site.command("sync", *arguments, **EACH_PAGE)
    process.until(reached.is_set)
    process.send_signal(number)
    process.communicate(timeout=60)
    site.simulator.fault = None
    # The simulator answers this call after all requests that the dead process had sent.
    boto3.client("sagemaker").list_images(MaxResults=1)
    return process


def landed(site: Site) -> LandedRun | None:
    """The run that a killed sync left in the landing, if its plan was written."""
    runs = Landing(site.config.landing_folder).runs()
    return runs[0] if runs else None


def assert_nothing_read_twice(site: Site, run: LandedRun) -> None:
    """The sync since the last reset of the counters requested no page that the killed sync had landed."""
    for planned in run.plan.streams:
        name = planned.stream.image_name
        requests = [record for record in site.simulator.counters.log if record.image_name == name]
        checkpoint = run.checkpoints.get(planned.stream)
        if checkpoint is None:
            assert all("NextToken" not in record.parameters for record in requests[:1])
        elif not checkpoint.readable:
            assert not requests, f"{name} was finished and read again"
        else:
            assert requests[0].parameters.get("NextToken") == checkpoint.next_token


@pytest.mark.parametrize("calls", [0, 2, 9, 20, 31])
def test_killed_sync_is_continued_without_reading_a_landed_page_again(
    served: ServeWorld, tmp_path: Path, calls: int
) -> None:
    """After kill -9 at any page, the next sync ends with the undisturbed table and requests no landed page again."""
    site = slow_site(served)
    kill_after(site, calls)
    run = landed(site)
    site.simulator.counters.reset()
    outcome = site.run("sync", **EACH_PAGE)
    assert outcome.returncode == 0, outcome.stderr
    if run is not None and not run.finished:
        assert "continued an unfinished run" in outcome.stdout
        assert_nothing_read_twice(site, run)
        assert site.calls("ListImages") == 0
    site.assert_true()
    assert site.ask("SELECT count(*) FROM runs") == [(1,)]
    assert site.ask("SELECT count(*), count(DISTINCT (image_name, version)) FROM image_version_events") == [
        (1550, 1550)
    ]


def test_killed_syncs_in_a_row_end_with_the_undisturbed_table(served: ServeWorld, rng: random.Random) -> None:
    """If several syncs in a row are killed at random moments, no row and no change is lost or stored twice."""
    site = slow_site(served)
    for _ in range(4):
        process = site.command("sync", **EACH_PAGE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.05, 0.8))
        process.kill()
        process.communicate()
        site.simulator.clock.advance(60_000)
        name = rng.choice(sorted({row.image_name for row in site.world.truth()}))
        site.world.update_version(name, rng.randint(1, 20))
    for _ in range(2):
        assert site.run("sync").returncode == 0
    site.assert_true()
    assert (
        site.ask(
            "SELECT image_name, version, last_modified_time, count(*) FROM image_version_events "
            "GROUP BY ALL HAVING count(*) > 1"
        )
        == []
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_row_46_interrupted_sync_exits_with_its_code_and_is_continued(
    served: ServeWorld, number: int, code: int
) -> None:
    """On SIGTERM or Ctrl-C a sync lands what it has read and exits with 143 or 130; the next sync continues it."""
    site = slow_site(served)
    process = kill_after(site, 9, number=number)
    assert process.returncode == code
    run = landed(site)
    assert run is not None
    assert not run.finished
    assert run.segments
    site.simulator.counters.reset()
    assert "continued an unfinished run" in site.run("sync", **EACH_PAGE).stdout
    assert_nothing_read_twice(site, run)
    site.assert_true()


def test_interrupt_ends_a_sync_whose_call_hangs(served: ServeWorld) -> None:
    """An interrupted sync exits even if AWS never answers its call."""
    site = slow_site(served)
    asked = threading.Event()

    async def hang(_: object, __: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    site.simulator.fault = hang
    process = site.command("sync", IMAGE_HISTORY_TIMEOUT__READ="300s")
    process.until(asked.is_set)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_unfinished_run_of_another_selection_is_loaded_beside_the_new_one(served: ServeWorld) -> None:
    """A plain sync does not continue a killed full sync, but it loads the rows that the full sync had read."""
    site = slow_site(served)
    kill_after(site, 14, "--full")
    run = landed(site)
    assert run is not None
    outcome = site.run("sync")
    assert outcome.returncode == 0
    assert "also loaded 1 earlier run" in outcome.stdout
    site.assert_true()
    assert site.ask("SELECT outcome FROM runs ORDER BY started_at") == [("partial",), ("complete",)]
    assert ("partial",) in site.ask(
        f"SELECT DISTINCT outcome FROM coverage WHERE etl_run_id = '{run.plan.run_id}'"
    )


def test_fresh_sync_forgets_an_unfinished_run(served: ServeWorld) -> None:
    """`sync --fresh` uses nothing of a killed run."""
    site = slow_site(served)
    kill_after(site, 14)
    site.simulator.counters.reset()
    outcome = site.run("sync", "--fresh")
    assert outcome.returncode == 0
    assert site.calls("ListImageVersions") == 32
    assert site.ask("SELECT count(*) FROM runs") == [(1,)]
    site.assert_true()


def test_stale_run_keeps_its_rows_and_reads_unfinished_streams_from_their_start(served: ServeWorld) -> None:
    """If a run is older than resume_within, the next sync uses none of its tokens and rereads no finished stream."""
    site = slow_site(served)
    kill_after(site, 20)
    run = landed(site)
    assert run is not None
    site.simulator.counters.reset()
    outcome = site.run("sync", **EACH_PAGE, IMAGE_HISTORY_RESUME_WITHIN="0s")
    assert outcome.returncode == 0
    first_requests = {
        record.image_name: record
        for record in reversed(site.simulator.counters.log)
        if record.operation == "ListImageVersions"
    }
    assert all("NextToken" not in record.parameters for record in first_requests.values())
    finished = {stream.image_name for stream, mark in run.checkpoints.items() if not mark.readable}
    assert finished.isdisjoint(first_requests)
    site.assert_true()


def test_refused_token_makes_the_listing_start_over(served: ServeWorld) -> None:
    """If AWS refuses a checkpointed token, the next sync sends it once, starts over, and stores every row."""
    site = slow_site(served)
    # Twenty calls are for images of one page, so that some are for the large one.
    kill_after(site, 24)
    run = landed(site)
    assert run is not None
    tokens = {stream.image_name: mark.next_token for stream, mark in run.checkpoints.items() if mark.readable}
    (name,) = tokens
    site.simulator.clock.advance(25 * 3_600_000)
    site.simulator.counters.reset()
    outcome = site.run("sync", **EACH_PAGE)
    assert outcome.returncode == 0, outcome.stderr
    assert "continued an unfinished run" in outcome.stdout
    requests = [record for record in site.simulator.counters.log if record.image_name == name]
    sent = [record.parameters.get("NextToken") for record in requests]
    assert (requests[0].error_code, sent[:2]) == ("ValidationException", [tokens[name], None])
    assert [record.status for record in requests] == [400, *[200] * 12]
    assert sent.count(tokens[name]) == 1
    site.assert_true()


def test_loaded_run_that_was_not_removed_is_only_removed(served: ServeWorld) -> None:
    """If a loaded run's folder is left over, as after a kill, the next sync removes it and loads nothing twice."""
    site = slow_site(served)
    kill_after(site, 14)
    run = landed(site)
    assert run is not None
    kept = site.folder / "kept"
    shutil.copytree(run.folder, kept)
    assert site.run("sync").returncode == 0
    kept.rename(run.folder)
    site.simulator.clock.advance(1000)
    assert site.run("sync").returncode == 0
    assert landed(site) is None
    site.assert_true()
    assert site.ask("SELECT count(*) FROM image_version_events") == [(1550,)]


def test_unborn_run_is_swept_away(served: ServeWorld) -> None:
    """A sync removes the folder of a run without a plan, which a kill before writing the plan leaves."""
    site = slow_site(served)
    site.config.landing_folder.mkdir()
    (site.config.landing_folder / "20260101T000000.000Z-deadbeef").mkdir()
    site.sync()
    assert not (site.config.landing_folder / "20260101T000000.000Z-deadbeef").exists()


def test_first_plan_is_full(served: ServeWorld) -> None:
    """A first sync plans only full listings."""
    site = slow_site(served)
    kill_after(site, 5)
    run = landed(site)
    assert run is not None
    assert {planned.request.kind for planned in run.plan.streams} == {ListingKind.FULL}
