"""The verb `status`: how fresh each scope is, what was not read, what is pending; exit codes for monitoring."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from image_history.errors import LandingError, WarehouseLockedError
from image_history.landing.runs import LandedRun, Landing
from image_history.simulator import Behaviour, Exchange, Fault
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.harness import Site
from tests.behaviour.telling import DAY_MS, HOUR_MS, MINUTE_MS, TellWorld, Told, telling
from tests.behaviour.test_crash import kill_after
from tests.behaviour.test_query_terminal import assert_fits, on_terminal
from tests.behaviour.test_refusals import held
from tests.behaviour.test_scopes import deny_images_in

__all__ = ["telling"]

pytestmark = pytest.mark.duckdb

REGIONS = ("us-east-1", "eu-west-1")
EAST = "111122223333/us-east-1"
WEST = "111122223333/eu-west-1"


@pytest.fixture
def told(telling: TellWorld) -> Told:
    """Three images, synced five minutes ago."""

    def make() -> Told:
        told = telling(images=3, versions=4)
        told.site.sync()
        told.clock.advance(5 * MINUTE_MS)
        return told

    return telling.once("status", make)


def configure(site: Site, text: str) -> None:
    """Write the configuration of the command line."""
    (site.folder / "config.yaml").write_text(text, encoding="utf-8")


def names(told: Told) -> list[str]:
    """The names of the images, sorted."""
    return sorted({row.image_name for row in told.site.world.truth()})


def deny_image(name: str) -> Fault:
    """A fault that denies every call for one image."""

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.image_name != name:
            return None
        return web.Response(
            status=400,
            headers={"x-amzn-RequestId": str(uuid4()), "Content-Type": "application/x-amz-json-1.1"},
            body=b'{"__type":"AccessDeniedException","Message":"User is not authorized"}',
        )

    return fault


def as_json(told: Told, *arguments: str) -> dict[str, Any]:
    """The JSON output of `status`."""
    found: dict[str, Any] = json.loads(told("status", *arguments, "--format", "json").out)
    return found


def test_status_tells_the_age_of_each_scope(told: Told) -> None:
    """Each scope has the time up to which it was read by AWS's clock, its age and its counts; then the last run."""
    answered = told("status")
    assert (answered.code, answered.err) == (0, "")
    header, line, last = answered.lines
    assert header.split() == [
        *("scope", "read", "up", "to", "(UTC)"),
        *("age", "images", "versions", "unread"),
    ]
    assert line.split() == [EAST, "2026-09-21", "14:13", "5m1s", "3", "12", "-"]
    assert last.startswith("last run: 20260921T141320.000Z-")
    assert last.endswith(", loaded 2026-09-21 14:13:20 UTC, 4m59s ago")


def test_status_of_a_fresh_warehouse_is_0_and_of_a_stale_one_8(told: Told) -> None:
    """A scope older than --max-age, to the second, exits with 8 and one line on stderr that has its name and age."""
    assert told("status", "--max-age", "5m1s").code == 0
    answered = told("status", "--max-age", "5m")
    assert answered.code == 8
    assert answered.err == f"image-history: stale: {EAST} was read up to 2026-09-21 14:13:19 UTC, 5m1s ago.\n"
    assert len(answered.lines) == 3
    told.clock.advance(2 * DAY_MS)
    assert told("status", "--max-age", "26h").code == 8
    assert told("status").code == 0
    told.site.sync()
    assert told("status", "--max-age", "26h").code == 0


def test_status_takes_a_sync_of_one_image_for_what_it_is(told: Told) -> None:
    """A sync of some images makes only these fresh; the image that is behind is named."""
    one, two, three = names(told)
    told.clock.advance(2 * DAY_MS)
    told.site.sync(images=(one, three))
    answered = told("status", "--max-age", "26h")
    assert answered.code == 8
    assert f"14:13:19 UTC (image {two}), 2d" in answered.err
    told.site.sync(images=(two,))
    assert told("status", "--max-age", "26h").code == 0


def test_status_names_an_image_that_cannot_be_read(told: Told) -> None:
    """A denied image is listed with AWS's words, and becomes stale although its scope is synced every hour."""
    one = names(told)[0]
    told.site.simulator.fault = deny_image(one)
    for _ in range(3):
        told.clock.advance(HOUR_MS)
        assert told("sync").code == 4
    answered = told("status", "--max-age", "2h")
    assert answered.code == 8
    assert answered.lines[1].split()[-1] == "1"
    assert answered.lines[-1].startswith(f"denied: {EAST}/{one}: ")
    assert "not authorized" in answered.lines[-1]
    assert f"(image {one}), 3h" in answered.err
    (scope,) = as_json(told)["scopes"]
    assert (scope["behind_image"], scope["incomplete"], scope["stale"]) == (one, 1, None)


def test_status_leaves_out_what_the_configuration_leaves_out(told: Told) -> None:
    """An image that the configuration excludes now is not stale, however old it is."""
    one = names(told)[0]
    configure(told.site, f"accounts: [{{regions: [us-east-1], images: {{exclude: ['{one}']}}}}]\n")
    told.clock.advance(2 * DAY_MS)
    assert told("sync").code == 0
    answered = told("status", "--max-age", "26h")
    assert answered.code == 0
    assert answered.lines[1].split()[-3] == "2"


def test_status_of_an_image_that_is_gone_makes_no_alarm(told: Told) -> None:
    """A deleted image is not stale."""
    told.site.world.delete_image(names(told)[0])
    told.clock.advance(2 * DAY_MS)
    told.site.sync()
    told.clock.advance(DAY_MS)
    told.site.sync()
    answered = told("status", "--max-age", "26h")
    assert (answered.code, answered.lines[1].split()[-3:]) == (0, ["2", "8", "-"])


def test_status_misses_a_region_that_never_was_synced(told: Told) -> None:
    """A configured region that was never synced exits with 8, under the name that the configuration gives it."""
    configure(told.site, "accounts: [{regions: [us-east-1, eu-west-1]}]\n")
    answered = told("status", "--max-age", "26h")
    assert answered.code == 8
    assert answered.err == "image-history: stale: the default credentials in eu-west-1 was never synced.\n"
    assert " ".join(answered.lines[2].split()) == "the default credentials in eu-west-1 never - 0 0 -"
    assert [scope["stale"] for scope in as_json(told, "--max-age", "26h")["scopes"]] == [False, True]


def test_status_forgives_a_region_that_is_no_longer_configured(telling: TellWorld) -> None:
    """A region that is not configured any more is listed with a note, and is left out of --max-age."""
    told = telling(images=2, versions=2, regions=list(REGIONS))
    configure(told.site, "accounts: [{regions: [us-east-1, eu-west-1]}]\n")
    assert told("sync").code == 0
    configure(told.site, "accounts: [{regions: [us-east-1]}]\n")
    told.clock.advance(2 * DAY_MS)
    assert told("sync").code == 0
    answered = told("status", "--max-age", "26h")
    assert answered.code == 0
    assert f"not configured any more: {WEST}; it is left out of --max-age" in answered.lines


def test_status_tells_a_scope_whose_list_of_images_is_denied(telling: TellWorld) -> None:
    """If a scope's list of images is denied, that scope becomes stale, and other scopes do not."""
    told = telling(images=2, versions=2, regions=list(REGIONS))
    configure(told.site, "accounts: [{regions: [us-east-1, eu-west-1]}]\n")
    assert told("sync").code == 0
    told.clock.advance(2 * DAY_MS)
    told.site.simulator.fault = deny_images_in("eu-west-1")
    assert told("sync").code == 4
    answered = told("status", "--max-age", "26h")
    assert answered.code == 8
    assert WEST in answered.err
    assert EAST not in answered.err
    assert any(line.startswith(f"denied: {WEST}/(list of images): ") for line in answered.lines)


def test_status_tells_of_a_sync_that_was_killed(telling: TellWorld) -> None:
    """After a killed sync `status` shows how much it has read; after the next sync no run is unfinished."""
    told = telling(images=21, versions=20, largest=350)
    told.site.simulator.behaviour = Behaviour(latency_ms=15)
    with WarehouseFile(told.site.config.warehouse).writing():
        pass
    kill_after(told.site, 12, number=signal.SIGTERM)
    answered = told("status")
    assert answered.code == 0
    assert " ".join(answered.lines[1].split()) == "the default credentials never - 0 0 -"
    assert "has read " in answered.lines[2]
    assert "of 21 images; a sync that works now, or the next one, goes on" in answered.lines[2]
    (run,) = as_json(told)["unfinished_runs"]
    assert (run["finished"], run["images"]) == (False, 21)
    assert 0 < run["images_read"] < 21
    told.site.sync()
    assert as_json(told)["unfinished_runs"] == []


def test_status_tells_of_rows_that_wait_for_the_warehouse(told: Told) -> None:
    """Rows that a sync could not load into a locked warehouse are shown as read and not loaded yet."""
    told.site.world.create_version(names(told)[0])
    with held(told.site.config.warehouse), pytest.raises(WarehouseLockedError):
        told.site.sync(lock_wait=told.site.config.lookback * 0)
    answered = told("status")
    assert "is read and not loaded yet" in answered.lines[-1]
    assert as_json(told)["unfinished_runs"][0]["finished"] is True


def test_status_takes_no_lock_and_changes_nothing(told: Told) -> None:
    """`status` works while a sync holds the landing, and without a landing folder; it changes no file."""
    landing = Landing(told.site.config.landing_folder)

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in told.site.folder.rglob("*") if path.is_file()}

    with landing.locked():
        before = files()
        assert told("status").code == 0
        assert files() == before
    (landing.folder / "lock").unlink()
    (landing.folder / "known-streams.parquet").unlink()
    (landing.folder / "image-history-landing.json").unlink()
    landing.folder.rmdir()
    assert told("status").code == 0
    assert not landing.folder.exists()


def test_status_looks_again_when_a_sync_removes_what_it_looks_at(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a sync removes a run's folder meanwhile, `status` reads again; an unreadable landing is reported."""
    runs = Landing.runs
    looks: list[Path] = []

    def vanishing(landing: Landing) -> tuple[LandedRun, ...]:
        looks.append(landing.folder)
        if len(looks) == 1:
            raise LandingError("segment-000001.parquet is damaged")
        if len(looks) == 2:
            raise FileNotFoundError("plan.json")
        return runs(landing)

    monkeypatch.setattr(Landing, "runs", vanishing)
    assert len(told("status").lines) == 3

    def damaged(_: Landing) -> tuple[LandedRun, ...]:
        raise LandingError("segment-000001.parquet is damaged")

    monkeypatch.setattr(Landing, "runs", damaged)
    answered = told("status")
    assert answered.code == 0
    assert "cannot be read: segment-000001.parquet is damaged" in answered.lines[-1]


def test_status_without_a_warehouse_is_an_error_and_with_max_age_stale(telling: TellWorld) -> None:
    """Without a warehouse `status` exits with 2, with --max-age with 8, and makes no file."""
    told = telling()
    assert told("status").code == 2
    answered = told("status", "--max-age", "26h")
    assert (answered.code, answered.out) == (8, "")
    assert "stale: nothing was ever synced, there is no warehouse" in answered.err
    assert not told.site.config.warehouse.exists()
    told.site.config.warehouse.write_text("no database" * 1000)
    assert told("status", "--max-age", "26h").code == 2


def test_status_while_the_warehouse_is_locked_says_who_has_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another program holds the warehouse longer than the lock wait, `status` exits with 5 and names it."""
    monkeypatch.setenv("IMAGE_HISTORY_LOCK_WAIT", "0s")
    with held(told.site.config.warehouse) as holder:
        answered = told("status", "--max-age", "1h")
    assert answered.code == 5
    assert str(holder) in answered.err


@pytest.mark.parametrize("text", ["26", "soon", "-1h"])
def test_status_refuses_an_age_that_is_none(told: Told, text: str) -> None:
    """An invalid --max-age exits with 2 and the message names the option."""
    answered = told("status", "--max-age", text)
    assert answered.code == 2
    assert "--max-age" in answered.err


def test_status_gives_programs_what_it_knows_of_a_scope(told: Told) -> None:
    """JSON has the scopes and the unfinished runs; JSON lines have the same members of each scope."""
    found = as_json(told, "--max-age", "1m")
    (scope,) = found["scopes"]
    assert scope["covered_until"] == "2026-09-21T14:13:19.000Z"
    assert (scope["age_seconds"], scope["stale"], scope["configured"]) == (301, True, True)
    assert (scope["images"], scope["live_versions"], scope["behind_image"]) == (3, 12, None)
    assert found["unfinished_runs"] == []
    (line,) = told("status", "--max-age", "1m", "--format", "jsonl").lines
    assert json.loads(line) == scope


@pytest.mark.parametrize(
    ("how", "cells"),
    [
        pytest.param("jsonl", lambda line: [str(cell) for cell in json.loads(line).values()], id="jsonl"),
        pytest.param("csv", lambda line: next(csv.reader([line])), id="csv"),
        pytest.param("tsv", lambda line: line.split("\t"), id="tsv"),
        pytest.param(
            "markdown", lambda line: [cell.strip() for cell in line.strip("|").split("|")], id="markdown"
        ),
    ],
)
def test_status_gives_programs_one_row_a_scope(
    telling: TellWorld, how: str, cells: Callable[[str], list[str]]
) -> None:
    """JSON lines, CSV, TSV and Markdown have one row for each scope, below a header where the format has one."""
    told = telling.once("status of two scopes", lambda: two_scopes(telling))
    columns = list(as_json(told)["scopes"][0])
    lines = [cells(line) for line in told("status", "--format", how).lines]
    # Markdown has a line of dashes below its header.
    rows = lines[{"jsonl": 0, "markdown": 2}.get(how, 1) :]
    assert [line[0] for line in rows] == [WEST, EAST]
    assert how == "jsonl" or lines[0] == columns
    assert {len(line) for line in lines} == {len(columns)}


def two_scopes(telling: TellWorld) -> Told:
    """Two regions with two images each, synced."""
    told = telling(images=2, versions=2, regions=REGIONS)
    configure(told.site, f"accounts: [{{regions: [{', '.join(REGIONS)}]}}]\n")
    assert told("sync").code == 0
    return told


def test_status_fits_a_terminal(telling: TellWorld) -> None:
    """Scopes in regions with the longest names have one line each at 80 columns."""
    told = telling(images=2, versions=2, regions=["ap-southeast-2", "us-gov-west-1"])
    configure(told.site, "accounts: [{regions: [ap-southeast-2, us-gov-west-1]}]\n")
    assert told("sync").code == 0
    code, screen = on_terminal(told.site.config.warehouse, "status")
    assert code == 0
    assert_fits(screen, 80)
    assert sum(line.startswith("111122223333/") for line in screen.splitlines()) == 2
