"""Several machines read one AWS between them, and one warehouse takes what they read, each run once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from image_history.config import Config
from image_history.durable.effects import Effect, install
from image_history.errors import ConfigError, HeldBackError, LandingError
from image_history.model import RunReport, Scope, Stream
from image_history.run.merging import Merged, merge
from image_history.run.pipeline import SyncOptions, sync
from image_history.run.planning import SyncOptions as Asked
from image_history.run.shards import Shard, parse_shard
from image_history.simulator import VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
MACHINES = 3


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """The central machine, before a simulated AWS of some images, one of several pages."""
    return central(served)


@pytest.fixture
def read_site(served: ServeWorld) -> Site:
    """The same, after every machine has read its share."""

    def make() -> Site:
        made = central(served)
        read_all(made)
        return made

    return served.once("shards-read", make)


@pytest.fixture
def merged_site(served: ServeWorld) -> Site:
    """The same, after the central machine has merged what they read."""

    def make() -> Site:
        made = central(served)
        read_all(made)
        merged(made)
        return made

    return served.once("shards-merged", make)


def central(served: ServeWorld) -> Site:
    """See `site`."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return served(generate(23, images=9, versions_per_image=12, largest=130, clock=clock))


def outbox(site: Site) -> Path:
    """Where the machines put what is to be merged."""
    return site.folder / "outbox"


def machine(site: Site, number: int) -> Config:
    """One of the machines: a warehouse of its own."""
    return msgspec.structs.replace(site.config, warehouse=site.folder / f"machine-{number}.duckdb")


def read(site: Site, number: int, **asked: object) -> RunReport:
    """A sync of one machine's share, handed over."""
    options = SyncOptions(shard=Shard(number, MACHINES), hand_over=outbox(site))
    return sync(machine(site, number), options=replace(options, **asked))  # type: ignore[arg-type]  # a test's own


def read_all(site: Site) -> list[RunReport]:
    """Every machine reads its share."""
    return [read(site, number) for number in range(1, MACHINES + 1)]


def merged(site: Site, **asked: bool) -> Merged:
    """The central warehouse takes what was handed over."""
    return merge(site.config, [outbox(site)], **asked)


def change(site: Site) -> None:
    """Later, something new, something gone, in images of several machines."""
    site.world.clock.advance(3_600_000)
    names = sorted({row.image_name for row in site.world.truth()})
    for name in names[:4]:
        versions = [row.version for row in site.world.truth() if row.image_name == name]
        site.world.delete_version(name, versions[1])
        site.world.create_version(name)
    site.world.clock.advance(3_600_000)


def test_every_stream_is_in_one_share_on_every_machine() -> None:
    """Shares are disjoint, leave nothing out, are about equal, and depend on the name alone."""
    streams = [Stream(Scope("111122223333", "us-east-1"), f"image-{number}") for number in range(900)]
    taken = [number for stream in streams for number in range(1, 4) if Shard(number, 3).has(stream)]
    assert len(taken) == 900
    assert all(250 < taken.count(number) < 350 for number in range(1, 4))
    assert [Shard(number, 4).has(streams[0]) for number in range(1, 5)] == [False, True, False, False]


@pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "a/b", "1/3/5", "-1/3"])
def test_share_that_is_none_is_refused(text: str) -> None:
    """What is no share is refused with one that is."""
    with pytest.raises(ConfigError, match="write 2/8 for the second of eight"):
        parse_shard(text)


def test_machines_keep_to_the_rate_together() -> None:
    """Each machine asks an account and region at its share of the rate."""
    config = Asked(shard=Shard(2, 4)).paced(Config())
    assert (config.rate.list_per_second, config.rate.describe_per_second) == (0.5, 1.25)


def test_merged_shares_are_the_truth(site: Site) -> None:
    """Read in shares and merged, then again after changes, one warehouse holds it all, deletions too."""
    reports = read_all(site)
    assert all(report.rows.inserted for report in reports)
    assert len(merged(site).runs) == MACHINES
    site.assert_true()
    change(site)
    deleted = sum(report.rows.deleted or 0 for report in read_all(site))
    done = merged(site)
    assert deleted == sum(report.rows.deleted or 0 for report in done.runs) == 4
    site.assert_true()
    assert list(outbox(site).glob("*/plan.json")) == []


def test_merge_is_exactly_once(read_site: Site) -> None:
    """A merge that is cut off between commit and clean-up is finished by the next, and nothing comes twice."""

    def cut(effect: Effect, subject: str) -> None:
        if effect is Effect.UNLINK and subject == "plan":
            raise KeyboardInterrupt

    remove = install(cut)
    with pytest.raises(KeyboardInterrupt):
        merged(read_site)
    remove()
    done = merged(read_site)
    assert (len(done.runs), done.again) == (MACHINES - 1, 1)
    assert merged(read_site) == Merged((), 0, 0)
    read_site.assert_true()


def test_run_that_was_loaded_and_not_handed_over_is_handed_over_next(site: Site) -> None:
    """A kill between the load and the hand-over leaves the run to the next sync of that machine."""

    def cut(effect: Effect, subject: str) -> None:
        if effect is Effect.RENAME and subject == "handed over":
            raise KeyboardInterrupt

    remove = install(cut)
    with pytest.raises(KeyboardInterrupt):
        read(site, 1)
    remove()
    read_all(site)
    assert len(merged(site).runs) == MACHINES + 1
    site.assert_true()


def test_run_that_rests_on_another_is_refused_without_it(read_site: Site) -> None:
    """What a machine read later says nothing of what it had read before; nothing of it is stored."""
    lost = next(outbox(read_site).glob("*/plan.json")).parent
    lost.rename(read_site.folder / "lost")
    change(read_site)
    read_all(read_site)
    with pytest.raises(LandingError, match=f"rests on run {lost.name}, which this warehouse does not hold"):
        merged(read_site)
    (read_site.folder / "lost").rename(lost)
    merged(read_site)
    read_site.assert_true()


def test_machine_that_begins_anew_is_refused(merged_site: Site) -> None:
    """The first run of a warehouse knows no deletions, so it cannot speak of images that are known already."""
    machine(merged_site, 2).warehouse.unlink()
    read(merged_site, 2)
    with pytest.raises(LandingError, match="known here from elsewhere"):
        merged(merged_site)
    merged_site.assert_true()


def test_machine_that_begins_with_a_copy_goes_on(merged_site: Site) -> None:
    """A copy of the central warehouse is as good a beginning as an empty one."""
    machine(merged_site, 2).warehouse.write_bytes(merged_site.config.warehouse.read_bytes())
    change(merged_site)
    read_all(merged_site)
    merged(merged_site)
    merged_site.assert_true()


def test_mass_deletion_is_held_back_and_can_be_allowed(merged_site: Site) -> None:
    """A run that would delete very much is left in the folder as it is until it is allowed."""
    for name in sorted({row.image_name for row in merged_site.world.truth()}):
        merged_site.world.delete_image(name)
    merged_site.world.clock.advance(3_600_000)
    for number in range(1, MACHINES + 1):
        read(merged_site, number, allow_mass_delete=True)
    with pytest.raises(HeldBackError, match="--allow-mass-delete"):
        merged(merged_site)
    merged(merged_site, allow_mass_delete=True)
    assert merged_site.stored() == set()


def test_merge_tells_what_it_did(site: Site) -> None:
    """The command prints a line a run and a total; a folder that is not there is a plain mistake."""
    sharing = ("--warehouse", str(site.folder / "machine-1.duckdb"), "sync", "--shard", "1/1")
    assert site.run(*sharing, "--hand-over", str(outbox(site))).returncode == 0
    told = site.run("merge", str(outbox(site)))
    assert told.returncode == 0, told.stderr
    first, total = told.stdout.splitlines()
    assert first.endswith(": 9 images, inserted 226 updated 0 deleted 0")
    assert total == "Merged 1 run"
    site.assert_true()
    missing = site.run("merge", "nowhere")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "There is no folder nowhere" in missing.stderr
