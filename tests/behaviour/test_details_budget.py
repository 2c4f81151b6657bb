"""Details with a budget of calls: they are spread over several syncs, and the newest versions come first."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from image_history.config import Account
from image_history.durable.effects import Effect
from image_history.forecast.estimate import Span, total_calls
from image_history.forecast.forecasting import forecast
from image_history.simulator import Exchange, VirtualClock, generate
from tests.behaviour.detailing import NOON_MS, asked, small_world
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.hinting import Killed, installed
from tests.behaviour.test_deletions import deny
from tests.behaviour.test_details import assert_detailed

if TYPE_CHECKING:
    from aiohttp import web

pytestmark = pytest.mark.duckdb


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """Four images of six versions without details, and a budget of ten calls."""
    site = served(small_world(images=4, versions=6))
    site.sync()
    site.simulator.clock.advance(60_000)
    site.config = msgspec.structs.replace(
        site.config, details=True, details_budget=10, details_every=timedelta(days=3650)
    )
    return site


def test_budget_spreads_details_over_syncs_the_newest_versions_first(site: Site) -> None:
    """Each sync makes as many calls as its budget and the plan say; the newest version of each image comes first."""
    newest = dict[Any, Any](
        list[Any](site.ask("SELECT image_name, max(version) FROM image_versions GROUP BY image_name"))
    )
    left = 48
    for turn in range(5):
        planned = {
            name: span for name, span in total_calls(forecast(site.config).scopes).items() if span.high
        }
        assert forecast(site.config).details_pending == Span.of(left)
        report = site.sync()
        made = report.calls.of("DescribeImageVersion") + report.calls.of("ListAliases")
        assert made == min(10, left)
        assert planned == {name: Span.of(count) for name, count in report.calls.by_operation.items()}
        left -= made
        assert report.details_left == left
        if turn == 0:
            known = site.ask(
                "SELECT image_name, version FROM image_versions WHERE etl_described_at IS NOT NULL"
            )
            assert {(image, newest[image]) for image in newest} <= set(known)
        site.simulator.clock.advance(60_000)
    assert left == 0
    assert_detailed(site)


def test_killed_sync_goes_on_with_what_its_budget_leaves(site: Site) -> None:
    """If a killed run is continued, the calls whose answers it had landed count towards the budget."""
    # One lookup for each file; the kill happens before the third file has its name.
    site.config = msgspec.structs.replace(site.config, checkpoint_rows=1, concurrency=1)
    seen: list[str] = []

    def kill(effect: Effect, file: str) -> None:
        if (effect, file) == (Effect.RENAME, "details"):
            seen.append(file)
            if len(seen) == 3:
                raise Killed

    with installed(kill), pytest.raises(Killed):
        site.sync()
    report = site.sync()
    assert report.resumed
    ((known,),) = site.ask("SELECT count(etl_described_at) + count(etl_aliases_at) FROM image_versions")
    # The answers of one lookup are lost.
    assert 8 <= int(str(known)) <= 10
    assert report.details_left == 48 - int(str(known))


def test_refused_versions_use_up_no_budget(site: Site) -> None:
    """If ListAliases is denied for one image, a sync calls it there once, and spends its budget on other details."""
    refuse = deny("ListAliases")

    async def fault(request: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        return await refuse(request, exchange) if exchange.image_name == first else None

    first = min(row.image_name for row in site.world.truth())
    site.simulator.fault = fault
    site.config = msgspec.structs.replace(site.config, concurrency=1)
    # 24 versions to describe and 18 lists of aliases that are not denied: four budgets would not do.
    for _ in range(5):
        site.sync()
        assert site.calls("ListAliases", first) == 1
        assert sum(asked(site)) <= 10
        site.simulator.clock.advance(60_000)
    assert site.ask("SELECT count(etl_described_at), count(etl_aliases_at) FROM image_versions") == [(24, 18)]
    site.sync()
    assert asked(site) == (0, 1)


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_smallest_budget_reads_something_in_each_sync(served: ServeWorld, budget: int) -> None:
    """A version needs two calls; if only one is left for it, its aliases follow in the next sync."""
    world = generate(17, images=1, versions_per_image=3, regions=2, clock=VirtualClock(frozen_at=NOON_MS))
    site = served(world)
    account = Account(regions=tuple(region for _, region in world.scopes))
    site.config = msgspec.structs.replace(
        site.config,
        accounts=(account,),
        details=True,
        details_every=timedelta(days=3650),
        details_budget=budget,
    )
    left = 12
    while left:
        site.simulator.clock.advance(60_000)
        syncs = forecast(site.config).details_syncs
        assert left == 12 or syncs == Span.of(-(-left // budget))
        report = site.sync()
        assert sum(asked(site)) == min(budget, left)
        left -= min(budget, left)
        assert report.details_left == left
    assert_detailed(site)


def test_status_counts_no_details_that_no_sync_will_read(site: Site) -> None:
    """Images that the configuration excludes have no pending details, in `status` as in `plan`."""
    name = min(row.image_name for row in site.world.truth())
    text = f"details: true\ndetails_every: 3650d\naccounts:\n- images: {{exclude: [{name}]}}\n"
    (site.folder / "config.yaml").write_text(text)
    assert site.run("sync").returncode == 0
    (scope,) = json.loads(site.run("status", "--json").stdout)["scopes"]
    assert scope["details_pending"] == 0
