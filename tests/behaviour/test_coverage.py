"""Coverage by exception: a run stores rows only for streams with news, and reports are as if it stored all rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from image_history.config import Account, Hints, Images
from image_history.simulator import FaultRule
from image_history.warehouse.statements import statement
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour import covering
from tests.behaviour.covering import Past, ask
from tests.behaviour.detailing import BRIEF
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.hinting import HOUR_MS, MINUTE_MS, hinted_site

pytestmark = pytest.mark.duckdb

SAID = (
    "etl_run_id, account_id, region, image_name, listing, outcome, pages, rows, readings, phantoms, deleted, "
    "watermark, error_code, error_message, details, detailed, details_error"
)
LAST = "(SELECT arg_max(etl_run_id, finished_at) FROM runs)"
Answer = list[tuple[Any, ...]]


def report(name: str, *columns: str) -> str:
    """A query of these columns of a current report."""
    text = statement(f"reports/{name}").rstrip().rstrip(";")
    text = text.replace("$run", "''").replace("$limit", "1000000")
    return f"SELECT {', '.join(columns)} FROM ({text}) ORDER BY ALL"


FRESHNESS = report(
    "stream_freshness",
    *("account_id", "region", "image_name", "covered_until", "outcome", "error_message", "etl_run_id"),
    *("finished_at", "live_versions"),
)
BY_RUN = report("runs", "etl_run_id", "scopes", "incomplete_streams")


def answers_before(path: Path) -> dict[str, Answer]:
    """The results of the earlier reports, from the time when each stream had a row in each run."""
    return {
        "freshness": ask(path, f"SELECT * FROM ({covering.FRESHNESS}) ORDER BY ALL"),
        "scopes": ask(path, covering.SCOPES),
        "runs": ask(path, covering.BY_RUN),
        "incomplete": ask(path, f"SELECT {SAID} FROM ({covering.INCOMPLETE}) ORDER BY ALL"),
    }


def answers(path: Path) -> dict[str, Answer]:
    """The results of the current reports."""
    incomplete = statement("reports/incomplete_coverage").rstrip().rstrip(";")
    incomplete = incomplete.replace("etl_run_id = $run_id", "TRUE")
    return {
        "freshness": ask(path, FRESHNESS),
        "scopes": ask(path, "FROM scope_freshness ORDER BY ALL"),
        "runs": ask(path, BY_RUN),
        "incomplete": ask(path, f"SELECT {SAID} FROM ({incomplete}) ORDER BY ALL"),
    }


@pytest.mark.parametrize("number", range(12))
def test_migrated_coverage_answers_as_before(tmp_path: Path, seed: int, number: int) -> None:
    """After the migration of a random history, reports return the same rows, and each T0 is the same or earlier."""
    path = tmp_path / "warehouse.duckdb"
    covering.write(path, Past(random.Random(f"{seed}/{number}")))
    before = answers_before(path)
    in_full = ask(path, f"SELECT {SAID} FROM coverage ORDER BY ALL")
    instants: dict[Any, Any] = dict(ask(path, "SELECT (etl_run_id, image_name)::VARCHAR, t0 FROM coverage"))
    with WarehouseFile(path).writing():
        pass
    assert answers(path) == before
    assert ask(path, f"SELECT {SAID} FROM coverage_in_full ORDER BY ALL") == in_full
    now: dict[Any, Any] = dict(
        ask(path, "SELECT (etl_run_id, image_name)::VARCHAR, t0 FROM coverage_in_full")
    )
    assert now.keys() == instants.keys()
    assert all(now[key] == instants[key] or now[key] <= instants[key] for key in now)
    assert len(ask(path, "FROM coverage")) < len(in_full)


def test_million_rows_of_quiet_runs_become_few(tmp_path: Path) -> None:
    """For 5,000 quiet images and 200 runs, the migration keeps one row for each run and two rows for each image."""
    path = tmp_path / "warehouse.duckdb"
    covering.write_quiet(path, images=5000, runs=200)
    before = answers_before(path)
    assert ask(path, "SELECT count(*) FROM coverage") == [(1_000_200,)]
    with WarehouseFile(path).writing():
        pass
    assert ask(path, "SELECT count(*) FROM coverage") == [(10_200,)]
    assert ask(path, "SELECT count(*) FROM coverage_in_full") == [(1_000_200,)]
    assert answers(path) == before


def told(site: Site) -> list[tuple[object, ...]]:
    """The coverage of the last run: image, outcome, and the outcome of all images without a row."""
    return site.ask(
        f"SELECT image_name, outcome, others FROM coverage WHERE etl_run_id = {LAST} ORDER BY image_name NULLS FIRST"
    )


def read(site: Site) -> set[object]:
    """The images that the last run read, by coverage_in_full."""
    return {
        image
        for (image,) in site.ask(
            f"SELECT image_name FROM coverage_in_full WHERE image_name IS NOT NULL AND etl_run_id = {LAST}"
        )
    }


def asked(site: Site) -> set[object]:
    """The images whose versions the last sync listed."""
    names = {row.image_name for row in site.world.truth()}
    return {name for name in names if site.calls("ListImageVersions", name)}


def test_quiet_sync_writes_one_row_of_coverage(served: ServeWorld) -> None:
    """A sync in which nothing changed stores one row of coverage, for all images together."""
    hinted = hinted_site(served)
    site = hinted.site
    site.config = msgspec.structs.replace(site.config, hints=Hints())
    site.sync()
    for _ in range(2):
        hinted.clock.advance(HOUR_MS)
        site.sync()
        assert told(site) == [(None, "complete", "complete")]
        assert read(site) == asked(site) == set(hinted.images)


def test_image_that_changes_fails_or_is_left_out_has_its_row(served: ServeWorld) -> None:
    """An image has its own row if it changed or failed, was excluded or included again, or was synced alone."""
    hinted = hinted_site(served, images=4)
    site, (one, two, three, four) = hinted.site, hinted.images
    site.config = msgspec.structs.replace(site.config, hints=Hints())
    site.sync()
    hinted.clock.advance(MINUTE_MS)
    site.world.create_version(one)
    site.sync()
    assert told(site)[1:] == [(one, "complete", None)]
    hinted.clock.advance(MINUTE_MS)
    site.sync()
    hinted.clock.advance(MINUTE_MS)
    site.simulator.faults = (FaultRule(kind="unavailable", operation="ListImageVersions", image=two),)
    site.sync(retry=BRIEF)
    assert told(site) == [(None, "complete", "complete"), (two, "failed", None)]
    site.simulator.faults = ()
    site.sync()
    assert told(site)[1:] == [(two, "complete", None)]
    hinted.clock.advance(MINUTE_MS)
    whole = site.config
    site.config = msgspec.structs.replace(whole, accounts=(Account(images=Images(exclude=(two, three))),))
    site.sync()
    assert told(site)[1:] == [(two, "skipped", None), (three, "skipped", None)]
    assert read(site) == asked(site) == {one, four}
    site.sync()
    assert told(site)[1:] == []
    assert read(site) == {one, four}
    site.config = whole
    site.sync()
    assert told(site)[1:] == [(two, "complete", None), (three, "complete", None)]
    site.sync(images=(four,))
    assert told(site) == [(None, "complete", None), (four, "complete", None)]
    assert read(site) == {four}
    site.sync()
    assert told(site)[1:] == []
    assert len(read(site)) == 4


def test_sync_in_which_most_rest_tells_of_those_that_were_read(served: ServeWorld) -> None:
    """If most images rest, only the images that were read have rows; if few rest, only the resting ones have rows."""
    hinted = hinted_site(served, images=6)
    site, first = hinted.site, hinted.images[0]
    site.sync()
    hinted.clock.advance(HOUR_MS)
    hinted.hint(first)
    hinted.clock.advance(2 * MINUTE_MS)
    site.sync()
    assert told(site) == [(None, "complete", "rested"), (first, "complete", None)]
    assert read(site) == {first}
    hinted.clock.advance(24 * HOUR_MS - MINUTE_MS)
    site.sync()
    assert told(site) == [(None, "complete", "complete"), (first, "rested", None)]
    assert read(site) == asked(site) == set(hinted.images[1:])
