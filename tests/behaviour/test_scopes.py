"""Several accounts and regions in one sync: they are independent, and a failed one does not affect the others."""

from __future__ import annotations

from uuid import uuid4

import pytest
from aiohttp import web

from image_history.simulator import Exchange, Fault, generate
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

REGIONS = ["us-east-1", "eu-west-1"]


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """One account in two regions."""
    site = served(generate(23, regions=REGIONS, images=3, versions_per_image=4))
    text = f"accounts: [{{regions: [{', '.join(REGIONS)}]}}]\n"
    (site.folder / "config.yaml").write_text(text, encoding="utf-8")
    return site


def deny_images_in(region: str) -> Fault:
    """A fault that denies ListImages in one region."""

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "ListImages" or exchange.scope is None or exchange.scope.region != region:
            return None
        return web.Response(
            status=400,
            headers={"x-amzn-RequestId": str(uuid4()), "Content-Type": "application/x-amz-json-1.1"},
            body=b'{"__type":"AccessDeniedException","Message":"User is not authorized"}',
        )

    return fault


def test_regions_are_synced_side_by_side(site: Site) -> None:
    """The same image name in two regions is two streams; the summary has a line for each scope."""
    outcome = site.run("sync")
    assert outcome.returncode == 0, outcome.stderr
    site.assert_true()
    assert "111122223333/us-east-1" in outcome.stdout
    assert "111122223333/eu-west-1" in outcome.stdout
    assert site.ask("SELECT count(*) FROM scope_freshness") == [(2,)]


def test_denied_region_is_recorded_and_spoils_no_other(site: Site) -> None:
    """If one region's images may not be listed, sync exits with 4, records that and loads the other region."""
    site.simulator.fault = deny_images_in("eu-west-1")
    outcome = site.run("sync")
    assert outcome.returncode == 4, outcome.stderr
    assert "denied: 111122223333/eu-west-1" in outcome.stdout
    assert site.ask(
        "SELECT region, outcome, error_code FROM coverage WHERE image_name IS NULL ORDER BY ALL"
    ) == [
        ("eu-west-1", "denied", "AccessDeniedException"),
        ("us-east-1", "complete", None),
    ]
    assert site.ask("SELECT DISTINCT region FROM image_versions") == [("us-east-1",)]
    site.simulator.fault = None
    assert site.run("sync").returncode == 0
    site.assert_true()


def test_chosen_scope_is_the_only_one_that_counts(site: Site) -> None:
    """With --scope the other scopes are neither loaded nor counted as missing."""
    site.simulator.fault = deny_images_in("eu-west-1")
    outcome = site.run("sync", "--scope", "111122223333/us-east-1")
    assert outcome.returncode == 0, outcome.stderr
    assert site.ask("SELECT DISTINCT region FROM image_versions") == [("us-east-1",)]


def test_chosen_scope_that_is_denied_says_so(site: Site) -> None:
    """A configured scope that is denied exits with 3 and names the permission; an unknown scope exits with 2."""
    site.simulator.fault = deny_images_in("eu-west-1")
    outcome = site.run("sync", "--scope", "111122223333/eu-west-1")
    assert outcome.returncode == 3
    assert "allow sagemaker:ListImages" in outcome.stderr
    unknown = site.run("sync", "--scope", "111122223333/eu-west-9")
    assert unknown.returncode == 2
    assert "there are: 111122223333/eu-west-1, 111122223333/us-east-1" in unknown.stderr


def test_region_that_vanishes_deletes_nothing(site: Site) -> None:
    """If a region could not be read, its stored rows stay as they were."""
    site.run("sync")
    before = site.stored()
    site.simulator.fault = deny_images_in("us-east-1")
    assert site.run("sync").returncode == 4
    assert site.stored() == before
