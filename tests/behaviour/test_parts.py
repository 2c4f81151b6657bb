"""Several machines share the scopes of one AWS, and publish into one lake table."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow.compute as pc
import pytest

from image_history.cli import Globals, run
from image_history.config import Account, Config
from image_history.errors import ConfigError
from image_history.model import Outcome, RunReport, Scope
from image_history.run.parts import Part, parse_part
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import VirtualClock, World
from tests.behaviour.cloud import key_of
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.lakes import KINDS, Shelf, alike, by_library
from tests.looking import looking

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
MACHINES = 3
ACCOUNTS = [f"{number:012}" for number in range(111122223333, 111122223343)]
REGIONS = ["us-east-1", "eu-west-1", "ap-south-1"]
TABLES = ("image_versions", "image_version_events", "images")


@pytest.fixture
def site(served: ServeWorld, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Thirty scopes with two images each, and a profile for each account."""
    world = World(accounts=ACCOUNTS, regions=REGIONS, clock=VirtualClock(frozen_at=NOON_MS))
    for scope in scopes():
        for name in ("base", "training"):
            world.create_image(name, scope=(scope.account_id, scope.region))
            for _ in range(4):
                world.create_version(name, scope=(scope.account_id, scope.region))
    site = served(world)
    profiles = "".join(
        f"[profile p{each}]\naws_access_key_id={key_of(each)}\naws_secret_access_key=x\n" for each in ACCOUNTS
    )
    (site.folder / "aws").write_text(profiles, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(site.folder / "aws"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    accounts = tuple(Account(profile=f"p{each}", regions=tuple(REGIONS)) for each in ACCOUNTS)
    site.config = msgspec.structs.replace(site.config, accounts=accounts)
    return site


def scopes() -> list[Scope]:
    """All scopes of the site."""
    return [Scope(account, region) for account in ACCOUNTS for region in REGIONS]


def machine(site: Site, number: int, **changes: object) -> Config:
    """The configuration of one machine, with a warehouse of its own."""
    own = {"warehouse": site.folder / f"machine-{number}.duckdb"}
    return msgspec.structs.replace(site.config, **own, **changes)


def read(site: Site, number: int, **changes: object) -> RunReport:
    """Sync the part of one machine."""
    return sync(machine(site, number, **changes), options=SyncOptions(part=Part(number, MACHINES)))


def change(site: Site, version: int) -> None:
    """Delete a version and create another in every scope, an hour later."""
    site.world.clock.advance(3_600_000)
    for scope in scopes():
        place = (scope.account_id, scope.region)
        site.world.delete_version("training", version, scope=place)
        site.world.create_version("training", scope=place)
    site.world.clock.advance(3_600_000)


def test_every_scope_is_in_one_part_on_every_machine() -> None:
    """Each scope is in exactly one part; parts are about equal, and depend only on account and region."""
    many = [Scope(f"{number:012}", region) for number in range(300) for region in REGIONS]
    taken = [number for scope in many for number in range(1, 4) if Part(number, 3).has(scope)]
    assert len(taken) == 900
    assert all(250 < taken.count(number) < 350 for number in range(1, 4))
    known = Scope("111122223333", "us-east-1")
    assert [Part(number, 4).has(known) for number in range(1, 5)] == [False, True, False, False]


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "a/b", "1/3/5", "-1/3"])
def test_part_that_is_none_is_refused(text: str) -> None:
    """A text that is not a part is refused with an example of one."""
    with pytest.raises(ConfigError, match="write 2/8 for the second of eight"):
        parse_part(text)


def test_parts_are_read_whole_and_once_at_full_rate(site: Site) -> None:
    """Each scope is listed by exactly one machine, with one call for each image."""
    seen: list[Scope] = []
    for number in range(1, MACHINES + 1):
        site.simulator.counters.reset()
        report = read(site, number)
        mine = [scope for scope in scopes() if Part(number, MACHINES).has(scope)]
        assert {scope.scope for scope in report.scopes} == set(mine)
        assert report.outcome is Outcome.COMPLETE
        assert site.simulator.counters.calls("ListImages") == len(mine)
        assert site.simulator.counters.calls("ListImageVersions") == 2 * len(mine)
        seen += mine
    assert sorted(seen) == sorted(scopes())


def test_part_without_a_scope_is_a_complete_run(site: Site) -> None:
    """A machine whose part has no scope completes its run without listing anything."""
    empty = next(n for n in range(1, 100) if not any(Part(n, 99).has(scope) for scope in scopes()))
    report = sync(machine(site, 1), options=SyncOptions(part=Part(empty, 99)))
    assert (report.outcome, report.scopes, report.rows.inserted) == (Outcome.COMPLETE, (), 0)
    assert site.simulator.counters.calls("ListImages") == 0


@pytest.mark.parametrize("verb", ["sync", "plan", "status"])
def test_part_without_a_scope_is_said_to_have_none(
    site: Site, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verbs print a sentence in place of an empty table."""
    empty = next(n for n in range(1, 100) if not any(Part(n, 99).has(scope) for scope in scopes()))
    sync(machine(site, 1), options=SyncOptions())
    monkeypatch.setattr(Globals, "config", lambda _: machine(site, 1))
    assert run([verb, "--part", f"{empty}/99"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Part {empty}/99 has none of the requested scopes.")
    assert "total" not in out


def configure(site: Site, shelf: Shelf) -> None:
    """One configuration for all machines, as docs/machines.md shows it."""
    entry: dict[str, object] = {"to": shelf.to, "tables": TABLES, "label": "part-${PART}"}
    document = {
        "warehouse": "machine-${PART}.duckdb",
        "accounts": [{"profile": f"p{each}", "regions": REGIONS} for each in ACCOUNTS],
        "publish": [entry | ({"properties": shelf.catalog} if shelf.catalog else {})],
    }
    (site.folder / "config.yaml").write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_parts_in_one_table_equal_one_sync(kind: str, site: Site, tmp_path: Path) -> None:
    """Three machines with labels, each killed once, publish the same rows as one machine that reads everything."""
    shelf = Shelf(kind, tmp_path)
    configure(site, shelf)
    for number, fault in enumerate(("commit.transaction", "write.table file", "committed.table"), start=1):
        part, variables = f"${{PART}}/{MACHINES}", {"PART": str(number)}
        killed = site.faulty(f"{fault}:kill:1", "sync", "--part", part, **variables)
        killed.communicate(timeout=60)
        assert killed.returncode == -9
        done = site.run("sync", "--part", part, **variables)
        assert done.returncode == 0, done.stderr
    sync(site.config)
    change(site, 2)
    for number in range(1, MACHINES + 1):
        done = site.run("sync", "--part", f"${{INDEX}}+1/{MACHINES}", PART=str(number), INDEX=str(number - 1))
        assert done.returncode == 0, done.stderr
    sync(site.config)
    with looking(site.config.warehouse) as connection:
        for table in TABLES:
            told = "etl_run_id|etl_observed_at|etl_first_seen_at|etl_changed_at"
            sql = f"SELECT COLUMNS(lambda name: NOT regexp_full_match(name, '{told}')) FROM {table}"
            stored = connection.sql(sql).to_arrow_table()
            read_back = by_library(shelf, table)
            assert set(pc.unique(read_back["source"]).to_pylist()) <= {f"part-{n}" for n in range(1, 4)}
            assert alike(read_back, stored), table


def test_status_and_plan_are_of_the_part(site: Site) -> None:
    """`status --part` and `plan --part` report the scopes of that part only, even if other parts are not synced."""
    accounts = [{"profile": f"p{each}", "regions": REGIONS} for each in ACCOUNTS]
    (site.folder / "config.yaml").write_text(json.dumps({"accounts": accounts}), encoding="utf-8")
    mine = [scope for scope in scopes() if Part(2, MACHINES).has(scope)]
    assert 0 < len(mine) < len(scopes())
    planned = json.loads(site.run("plan", "--part", "2/3", "--json").stdout)
    assert len(planned["scopes"]) == len(mine)
    done = site.run("sync", "--part", "2/3")
    assert done.returncode == 0, done.stderr
    assert site.run("status", "--max-age", "3650d").returncode == 8
    told = site.run("status", "--part", "2/3", "--max-age", "3650d", "--format", "json")
    assert told.returncode == 0, told.stderr
    assert {scope["scope"] for scope in json.loads(told.stdout)["scopes"]} == {str(scope) for scope in mine}
    assert site.run("status", "--part", "1/3", "--max-age", "3650d").returncode == 8


def test_role_of_another_part_is_not_assumed(site: Site) -> None:
    """A role's ARN names the account, so only the machine with that part assumes the role and reports its failure."""
    role = Account(
        role_arn="arn:aws:iam::999999999999:role/Reader",
        source_profile="p111122223333",
        regions=("us-east-1",),
    )
    accounts = (*site.config.accounts, role)
    unread = [
        bool(read(site, number, accounts=accounts).unreadable_scopes) for number in range(1, MACHINES + 1)
    ]
    assert unread == [
        Part(n, MACHINES).has(Scope("999999999999", "us-east-1")) for n in range(1, MACHINES + 1)
    ]


def test_scope_and_image_of_another_part_are_no_mistake(site: Site) -> None:
    """All machines accept the same --scope and --image; only the machine with that scope in its part reads it."""
    wanted = scopes()[0]
    done = [
        sync(
            machine(site, number),
            options=SyncOptions(part=Part(number, MACHINES), scopes=(str(wanted),), images=("base",)),
        )
        for number in range(1, MACHINES + 1)
    ]
    assert [len(report.scopes) for report in done].count(1) == 1
    with pytest.raises(ConfigError, match="No scope 999999999999/us-east-1 is configured"):
        sync(machine(site, 1), options=SyncOptions(scopes=("999999999999/us-east-1",)))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("sync", "--shard", "1/3"), "--shard is gone"),
        (("plan", "--shard", "1/3"), "--shard is gone"),
        (("sync", "--hand-over", "outbox"), "--hand-over is gone"),
        (("merge", "outbox"), "The verb merge is gone"),
    ],
    ids=["shard", "plan", "hand-over", "merge"],
)
def test_what_parts_took_the_place_of_says_what_to_do(
    site: Site, arguments: tuple[str, ...], named: str
) -> None:
    """Removed options, and a removed command, exit with 2 and name --part and a label."""
    ended = site.run(*arguments)
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "--part I/N" in ended.stderr
    assert "label" in ended.stderr
