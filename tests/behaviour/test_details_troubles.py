"""Details that are denied, throttled, failing or interrupted: stored details stay, and a later sync adds the rest."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from image_history.cli.sync import exit_code
from image_history.errors import LandingError
from image_history.forecast.estimate import Span, total_calls
from image_history.forecast.forecasting import forecast
from image_history.landing.runs import Landing
from image_history.model import Outcome
from image_history.simulator import FaultRule
from tests.behaviour.detailing import (
    CALLS,
    DAY_MS,
    STORED,
    asked,
    detailed,
    detailed_once,
    meanwhile,
    small_world,
    true_details,
)
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

OTHER = dict(zip(CALLS, reversed(CALLS), strict=True))
TOLD = {"DescribeImageVersion": "container_image", "ListAliases": "aliases"}
ONE_BY_ONE = {
    "IMAGE_HISTORY_DETAILS": "true",
    "IMAGE_HISTORY_CHECKPOINT_ROWS": "1",
    "IMAGE_HISTORY_CONCURRENCY": "1",
}


def assert_detailed(site: Site) -> None:
    """Every live version is stored with the details that AWS has, and all tables agree."""
    assert set(site.ask(STORED)) == true_details(site.world)
    site.assert_true()


@pytest.mark.parametrize("operation", CALLS)
def test_denied_call_leaves_nulls_and_says_so(served: ServeWorld, operation: str) -> None:
    """If one call is denied, the run completes and coverage has AWS's message; when allowed, the rest is added."""
    site = served(small_world(images=4, versions=2))
    site.simulator.faults = (FaultRule(kind="access_denied", operation=operation),)
    report = detailed(site, concurrency=1)
    assert (report.outcome, exit_code(report), report.rows.inserted) == (Outcome.COMPLETE, 0, 8)
    assert (site.calls(operation), site.calls(OTHER[operation])) == (3, 8)
    known, unknown = TOLD[OTHER[operation]], TOLD[operation]
    assert site.ask(f"SELECT count({known}), count({unknown}) FROM image_versions") == [(8, 0)]
    told = site.ask("SELECT image_name, details, details_error FROM coverage WHERE listing = 'full'")
    assert [row[1] for row in told] == ["denied"] * 4
    asked_for = [str(row[2]) for row in told if "not authorized" in str(row[2])]
    (stopped,) = [str(row[2]) for row in told if str(row[2]) not in asked_for]
    assert f"{operation} was not called for" in stopped
    assert "AccessDeniedException" in stopped
    names = {str(row[0]) for row in told}
    for name, _, error in told:
        assert [each for each in names - {str(name)} if f"/{each}" in str(error)] == []
    detailed(site, concurrency=1)
    assert (site.calls(operation), site.calls(OTHER[operation])) == (3, 0)
    site.simulator.faults = ()
    detailed(site)
    assert (site.calls(operation), site.calls(OTHER[operation])) == (8, 0)
    assert_detailed(site)


@pytest.mark.parametrize("operation", CALLS)
def test_denied_call_never_overwrites_what_is_known(served: ServeWorld, operation: str) -> None:
    """If a call is denied, a changed version keeps its stored details, and no event shows a loss of them."""
    site = detailed_once(served)
    before = set(site.ask(STORED))
    site.simulator.faults = (FaultRule(kind="access_denied", operation=operation),)
    site.world.set_status(site.world.truth()[0].image_name, 1, "CREATED")
    site.simulator.clock.advance(8 * DAY_MS)
    report = detailed(site)
    assert report.outcome is Outcome.COMPLETE
    assert set(site.ask(STORED)) == before
    changed = "SELECT etl_changed_columns FROM image_version_events WHERE etl_change = 'modified'"
    assert site.ask(changed) == [(["last_modified_time"],)]


def test_denied_image_keeps_no_other_from_being_asked(served: ServeWorld) -> None:
    """If a call is denied for some images, each of them costs one call, and all other images are looked up."""
    site = served(small_world(images=5))
    first, second, *_ = names = sorted({row.image_name for row in site.world.truth()})
    site.simulator.faults = tuple(
        FaultRule(kind="access_denied", operation="ListAliases", image=name) for name in (first, second)
    )
    detailed(site, concurrency=1)
    assert site.calls("ListAliases") == 9 + 2
    told = set(site.ask("SELECT image_name, details FROM coverage WHERE image_name IS NOT NULL"))
    assert told == {(name, "denied" if name in {first, second} else "complete") for name in names}


def test_throttled_details_are_retried(served: ServeWorld) -> None:
    """Throttled calls are counted and retried, and all details are stored."""
    site = served(small_world())
    site.simulator.faults = tuple(FaultRule(kind="throttling", operation=each, every=4) for each in CALLS)
    report = detailed(site, concurrency=1)
    assert report.calls.throttles == site.simulator.counters.injected("throttling") >= 4
    assert report.outcome is Outcome.COMPLETE
    assert_detailed(site)


def test_details_that_fail_are_read_by_the_next_sync(served: ServeWorld) -> None:
    """If Describe fails for one image, the run is partial but loads all rows; the next sync repeats failed calls."""
    site = served(small_world())
    name = site.world.truth()[0].image_name
    site.simulator.faults = (
        FaultRule(kind="internal_failure", operation="DescribeImageVersion", image=name),
    )
    report = detailed(site, concurrency=1)
    assert (report.outcome, exit_code(report), report.rows.inserted) == (Outcome.PARTIAL, 4, 9)
    assert name in {failure.image_name for failure in report.failures}
    assert all("InternalFailure" in failure.message for failure in report.failures)
    assert site.stored()
    site.simulator.faults = ()
    (missing,) = site.ask("SELECT count(*) FILTER (container_image IS NULL) FROM image_versions")[0]
    report = detailed(site)
    assert report.outcome is Outcome.COMPLETE
    assert missing in range(3, 7)
    assert site.calls("DescribeImageVersion") == missing
    assert_detailed(site)


def test_scope_that_stops_answering_is_loaded_as_far_as_it_came(served: ServeWorld) -> None:
    """After three failed calls in a row, a sync leaves the other details for the next sync and loads its rows."""
    site = served(small_world(images=5))
    site.simulator.faults = tuple(FaultRule(kind="unavailable", operation=each, start=3) for each in CALLS)
    report = detailed(site, concurrency=1)
    assert (report.outcome, report.rows.inserted) == (Outcome.PARTIAL, 15)
    assert sum(asked(site)) == 2 + 2 + 3 * 2
    assert {failure.image_name for failure in report.failures} <= {
        row.image_name for row in site.world.truth()
    }
    site.simulator.faults = ()
    assert detailed(site).outcome is Outcome.COMPLETE
    assert_detailed(site)


def test_lost_credentials_end_the_details_and_not_the_run(served: ServeWorld) -> None:
    """If credentials become invalid during the details, the rows are loaded; a later sync adds the details."""
    site = served(small_world())
    site.simulator.faults = (
        FaultRule(kind="unknown_credentials", operation="DescribeImageVersion", start=2),
    )
    report = detailed(site, concurrency=1)
    assert (report.outcome, report.rows.inserted) == (Outcome.PARTIAL, 9)
    assert asked(site) == (2, 1)
    site.simulator.faults = ()
    detailed(site)
    assert_detailed(site)


def landed_details(site: Site) -> int:
    """How many lookups are in the landing folder. The last file may hold none, but only counts of calls."""
    (run,) = Landing(site.config.landing_folder).runs()
    return sum(pq.read_metadata(path).num_rows for path in run.details.files)


def test_killed_sync_asks_for_no_landed_detail_again(served: ServeWorld) -> None:
    """After a kill, the next sync looks up only the details that are not landed; it refuses a damaged file."""
    site = served(small_world(images=4))
    assert killed(site, "fsync folder.details:kill:4") == -signal.SIGKILL
    assert landed_details(site) == 4
    file = min(site.config.landing_folder.rglob("details-*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(LandingError, match=file.name):
        detailed(site)
    file.write_bytes(whole)
    report = detailed(site)
    assert asked(site) == (8, 8)
    assert (report.resumed, report.pending_runs, report.outcome) == (True, 0, Outcome.COMPLETE)
    assert site.calls("ListImageVersions") == 0
    assert_detailed(site)
    assert site.ask("SELECT DISTINCT etl_change FROM image_version_events") == [("created",)]


def killed(site: Site, fault: str) -> int:
    """Run a sync with a fault in its own process; returns its exit code."""
    process = site.faulty(fault, "sync", **ONE_BY_ONE)
    process.communicate(timeout=60)
    assert process.returncode is not None
    return process.returncode


def test_interrupted_sync_keeps_the_details_that_it_has(served: ServeWorld) -> None:
    """On Ctrl-C between two lookups, the lookups so far stay in the landing folder, and none of them is repeated."""
    site = served(small_world(images=4))
    process: list[Any] = []
    with meanwhile(site, "ListAliases", lambda: process[0].send_signal(signal.SIGINT), nth=5):
        process.append(site.command("sync", **ONE_BY_ONE))
        _, errors = process[0].communicate(timeout=60)
    assert process[0].returncode == 130, errors
    kept = landed_details(site)
    assert kept >= 5
    detailed(site)
    assert asked(site) == (12 - kept, 12 - kept)
    assert_detailed(site)


def test_plan_counts_the_calls_for_details(served: ServeWorld) -> None:
    """The plan counts one call of each kind for each version with pending details, and none if details are off.

    For a new image, these calls have no upper bound.
    """
    site = served(small_world())
    site.sync()
    config = replace(site.config, details_every=timedelta(days=20_000), details_budget=None)
    assert "ListAliases" not in total_calls(forecast(config).scopes)
    calls = total_calls(forecast(replace(config, details=True)).scopes)
    assert (calls["DescribeImageVersion"], calls["ListAliases"]) == (Span.of(9), Span.of(9))
    detailed(site)
    calls = total_calls(forecast(replace(config, details=True)).scopes)
    assert calls["DescribeImageVersion"] == Span.of(0)
    assert "ListAliases" not in calls
    site.world.create_image("new")
    for _ in range(2):
        site.world.create_version("new")
    calls = total_calls(forecast(replace(config, details=True)).scopes)
    assert (calls["DescribeImageVersion"], calls["ListAliases"]) == (Span(0, None), Span(0, None))
    detailed(site)
    assert asked(site) == (2, 2)
