"""The verb `runs`: what the last syncs did, and what one of them could not read."""

from __future__ import annotations

import json

import pytest

from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import HOSTILE
from tests.behaviour.telling import HOUR_MS, TellWorld, Told, telling
from tests.behaviour.test_deletions import deny
from tests.behaviour.test_query_terminal import COLOUR, assert_fits, on_terminal

__all__ = ["telling"]

pytestmark = pytest.mark.duckdb

REGIONS = ["us-east-1", "eu-west-1"]
TWO_REGIONS = "accounts: [{regions: [us-east-1, eu-west-1]}]\n"


@pytest.fixture
def told(telling: TellWorld) -> Told:
    """Three syncs, see `synced`."""
    return telling.once("runs", lambda: synced(telling))


def synced(telling: TellWorld) -> Told:
    """Three syncs: the first of all, one after changes, and one that is denied ListImageVersions."""
    told = telling(images=3, versions=4)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    name = told.site.world.truth()[0].image_name
    told.site.world.create_version(name)
    told.site.world.set_status(name, 1, "CREATE_FAILED", failure_reason=HOSTILE)
    told.site.world.delete_version(name, 2)
    told.site.sync()
    told.clock.advance(HOUR_MS)
    told.site.simulator.fault = deny("ListImageVersions")
    assert told("sync").code == 3
    told.site.simulator.fault = None
    return told


def ids(told: Told) -> list[str]:
    """The run ids, the latest first."""
    return [str(row[0]) for row in told.site.ask("SELECT etl_run_id FROM runs ORDER BY finished_at DESC")]


def test_runs_tells_what_each_sync_did(told: Told) -> None:
    """Each run has its outcome, unread images, time, calls and changes; the latest run comes first."""
    answered = told("runs")
    assert (answered.code, answered.err) == (0, "")
    header, *lines = [line.split() for line in answered.lines]
    assert header == ["started", "(UTC)", "run", "outcome", "took", "calls", "new", "changed", "deleted"]
    ends = [run_id[-8:] for run_id in ids(told)]
    assert lines == [
        ["2026-09-21", "16:13", ends[0], "partial", "3", "0.0s", "4", "0", "0", "-"],
        ["2026-09-21", "15:13", ends[1], "complete", "0.0s", "5", "1", "1", "1"],
        ["2026-09-21", "14:13", ends[2], "complete", "0.0s", "4", "12", "0", "0"],
    ]


def test_runs_limits_their_number(told: Told) -> None:
    """--limit keeps the latest runs; --limit 0 exits with 2."""
    assert [row["etl_run_id"] for row in told.rows("runs", "--limit", "2")] == ids(told)[:2]
    assert told("runs", "--limit", "0").code == 2


def test_runs_gives_programs_every_column(told: Told) -> None:
    """JSON has all columns of the table `runs`, and the sums."""
    row = told.rows("runs")[0]
    stored = {column for (column, *_) in told.site.ask("DESCRIBE runs")}
    assert stored | {"seconds", "calls", "scopes", "incomplete_streams", "rested"} == set(row)
    assert (row["outcome"], row["incomplete_streams"], row["deleted"]) == ("partial", 3, None)
    assert len(told("runs", "--format", "csv").lines) == 4


@pytest.mark.parametrize(
    "part", [slice(None), slice(None, 28), slice(-8, None)], ids=["whole", "start", "end"]
)
def test_run_is_found_by_a_part_of_its_id(told: Told, part: slice) -> None:
    """A run is found by its id, and by the start or the end of its id."""
    run_id = ids(told)[1]
    answered = told("runs", run_id[part])
    assert answered.lines == [
        f"run {run_id}: complete, incremental",
        answered.lines[1],
        answered.lines[2],
        "inserted 1, updated 1, unchanged 10, reappeared 0, deleted 1",
        "All was read whole.",
    ]
    assert answered.lines[1].startswith("started 2026-09-21 15:13:20 UTC, took 0.0s, on ")
    assert "calls: 1 ListImages, 3 ListImageVersions, 1 DescribeImageVersion; 0 retries" in answered.lines[2]


def test_run_tells_what_it_could_not_read(told: Told) -> None:
    """Each denied image is listed with AWS's words; JSON has the images beside the run's record."""
    answered = told("runs", ids(told)[0])
    assert answered.lines[5].split() == ["image", "outcome", "why"]
    names = sorted({row.image_name for row in told.site.world.truth()})
    assert [line.split()[:2] for line in answered.lines[6:]] == [
        [f"111122223333/us-east-1/{name}", "denied"] for name in names
    ]
    assert all("not authorized" in line for line in answered.lines[6:])
    told_json = json.loads(told("runs", ids(told)[0], "--format", "json").out)
    assert [row["etl_run_id"] for row in told_json["run"]] == ids(told)[:1]
    assert [row["image_name"] for row in told_json["incomplete"]] == names
    assert len(told("runs", ids(told)[0], "--format", "jsonl").lines) == 3


def test_run_tells_of_a_scope_whose_images_were_denied(telling: TellWorld) -> None:
    """A list of images that could not be read is listed, although no image is."""
    from tests.behaviour.test_scopes import deny_images_in

    told = telling(images=2, versions=2, regions=REGIONS)
    (told.site.folder / "config.yaml").write_text(TWO_REGIONS)
    told.site.simulator.fault = deny_images_in("eu-west-1")
    assert told("sync").code == 4
    answered = told("runs", ids(told)[0])
    assert answered.lines[-1].startswith("111122223333/eu-west-1/(list of images)  denied")


@pytest.mark.parametrize("run_id", ["nosuch", ""])
def test_unknown_run_is_refused(told: Told, run_id: str) -> None:
    """An unknown run exits with 2, and one sentence names it and the verb that shows the runs."""
    answered = told("runs", run_id)
    assert (answered.code, answered.out) == (2, "")
    assert answered.err.splitlines() == [
        f"image-history: There is no run {run_id!r}; image-history runs shows those that there are."
    ]


def test_part_that_several_runs_share_is_refused(told: Told) -> None:
    """A part of an id that several runs share exits with 2, and the message names some of them."""
    answered = told("runs", "20260921")
    assert answered.code == 2
    assert "Several runs are called 20260921" in answered.err
    assert ids(told)[0] in answered.err


def test_runs_of_a_new_warehouse_says_how_to_begin(telling: TellWorld) -> None:
    """If there is no run yet, `runs` says how to start one; without a warehouse it exits with 2."""
    told = telling()
    assert told("runs").code == 2
    with WarehouseFile(told.site.config.warehouse).writing():
        pass
    assert told("runs").lines == ["There is no run yet: start one with image-history sync."]
    assert told.rows("runs") == []


def test_runs_fits_a_terminal(told: Told) -> None:
    """At 80 columns the table has one line for each run, and the reasons of one run are wrapped."""
    code, screen = on_terminal(told.site.config.warehouse, "runs")
    assert code == 0
    assert_fits(screen, 80)
    _, _, *lines = COLOUR.sub("", screen).splitlines()
    assert len(lines) == 3
    code, screen = on_terminal(told.site.config.warehouse, "runs", ids(told)[0])
    assert code == 0
    assert_fits(screen, 80)
