"""Many accounts and regions in one sync: each at its own pace, and with a result that no order changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest

from image_history.config import Account, Rate, Retry, Timeout
from image_history.model import Outcome, RunReport, Scope
from image_history.simulator import Exchange, FaultRule, VirtualClock, generate
from tests.behaviour.cloud import key_of
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

ACCOUNTS = tuple(f"{200_000_000_000 + number:012d}" for number in range(4))
REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
SCOPES = tuple(Scope(account_id, region) for account_id in ACCOUNTS for region in REGIONS)
THROTTLED, DENIED, UNREACHABLE = SCOPES[1], SCOPES[4], SCOPES[8]
IMAGES = 5
EVENTS = """
SELECT account_id, region, image_name, version, image_version_status, creation_time, last_modified_time,
    etl_valid_from, etl_change, etl_changed_columns
FROM image_version_events ORDER BY ALL
"""


@pytest.fixture
def site(served: ServeWorld, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Four accounts in three regions, with a profile for each account; one image of every scope has two pages."""
    clock = VirtualClock(frozen_at=1_790_000_000_000)
    world = generate(
        5, accounts=ACCOUNTS, regions=REGIONS, images=IMAGES, versions_per_image=3, largest=101, clock=clock
    )
    site = served(world)
    profiles = "".join(
        f"[profile p{each}]\naws_access_key_id={key_of(each)}\naws_secret_access_key=x\n" for each in ACCOUNTS
    )
    (site.folder / "aws").write_text(profiles, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(site.folder / "aws"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    accounts = tuple(Account(profile=f"p{each}", regions=REGIONS) for each in ACCOUNTS)
    site.config = msgspec.structs.replace(site.config, accounts=accounts)
    return site


def rule(kind: str, scope: Scope, **more: int) -> FaultRule:
    """A fault in one scope."""
    return FaultRule(kind=kind, account_id=scope.account_id, region=scope.region, **more)  # type: ignore[arg-type]


class Hanging:
    """A fault that delays one scope's list of images until all other scopes have been read."""

    def __init__(self) -> None:
        self.left = (len(SCOPES) - 1) * (IMAGES + 1)
        self.others_read = asyncio.Event()

    async def __call__(self, _: object, exchange: Exchange) -> None:
        if exchange.operation == "ListImageVersions":
            self.left -= 1
            if self.left == 0:
                self.others_read.set()
        elif exchange.operation == "ListImages" and exchange.scope == (
            UNREACHABLE.account_id,
            UNREACHABLE.region,
        ):
            await self.others_read.wait()


def sync_with_bad_scopes(site: Site) -> RunReport:
    """Run a sync with one scope that is throttled for a while, one that is denied, and one that never answers."""
    site.simulator.faults = (
        rule("throttling", THROTTLED, start=2, times=3),
        rule("access_denied", DENIED),
        rule("close", UNREACHABLE),
    )
    retry = Retry(attempts=6, max_wait=timedelta(milliseconds=200))
    return site.sync(retry=retry, rate=Rate(40, 40), concurrency=2)


def test_bad_scopes_are_named_and_spoil_no_other(site: Site) -> None:
    """The report and coverage name the denied and the unreachable scope; all others are read completely."""
    report = sync_with_bad_scopes(site)
    unread = {failure.scope: failure.outcome for failure in report.unreadable_scopes}
    assert unread == {DENIED: Outcome.DENIED, UNREACHABLE: Outcome.FAILED}
    assert {each.scope for each in report.scopes} == set(SCOPES) - unread.keys()
    throttles = {each.scope: each.calls.throttles for each in report.scopes}
    assert throttles == {scope: 3 * (scope == THROTTLED) for scope in throttles}
    assert site.ask(
        "SELECT account_id, region, outcome FROM coverage WHERE outcome <> 'complete' ORDER BY ALL"
    ) == [(each.account_id, each.region, unread[each].value) for each in (DENIED, UNREACHABLE)]
    site.simulator.faults = ()
    site.sync()
    site.assert_true()


def test_role_that_cannot_be_assumed_has_its_row_in_coverage(site: Site) -> None:
    """A role's ARN names the account, so coverage has a row for each region that could not be read."""
    role = Account(
        role_arn="arn:aws:iam::999999999999:role/Reader",
        source_profile=f"p{ACCOUNTS[0]}",
        regions=REGIONS[:2],
    )
    report = site.sync(accounts=(Account(profile=f"p{ACCOUNTS[1]}", regions=REGIONS[:1]), role))
    assert {str(each.scope) for each in report.unreadable_scopes} == {
        f"999999999999/{region}" for region in REGIONS[:2]
    }
    assert site.ask(
        "SELECT region, outcome FROM coverage WHERE account_id = '999999999999' ORDER BY ALL"
    ) == [
        ("eu-west-1", "denied"),
        ("us-east-1", "denied"),
    ]


def test_no_scope_waits_for_one_that_hangs(site: Site) -> None:
    """A scope that answers only after all others have been read delays none of them."""
    hanging = Hanging()
    site.simulator.fault = hanging
    report = site.sync(concurrency=2, timeout=Timeout(read=timedelta(seconds=60)))
    assert hanging.left == -(IMAGES + 1)
    assert report.outcome is Outcome.COMPLETE
    site.assert_true()


def test_concurrency_changes_no_row_and_no_event(site: Site) -> None:
    """With one call at a time or 32, rows and events are the same, before and after changes."""
    histories = []
    for concurrency in (1, 32):
        site.config = msgspec.structs.replace(
            site.config, warehouse=site.folder / f"{concurrency}.duckdb", concurrency=concurrency
        )
        site.sync()
        site.assert_true()
    for scope in SCOPES[::2]:
        where = (scope.account_id, scope.region)
        name = min(row.image_name for row in site.world.truth() if (row.account_id, row.region) == where)
        site.world.delete_version(name, 2, scope=where)
        site.world.create_version(name, scope=where)
    site.world.clock.advance(90_000_000)
    for concurrency in (1, 32):
        warehouse = site.folder / f"{concurrency}.duckdb"
        site.config = msgspec.structs.replace(site.config, warehouse=warehouse, concurrency=concurrency)
        site.sync()
        site.assert_true()
        histories.append(site.ask(EVENTS))
    assert histories[0] == histories[1]
    assert len(histories[0]) > len(SCOPES) * IMAGES * 3
