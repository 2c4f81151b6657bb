"""A mark shows that a landing folder is ours; a folder with other contents is refused and stays as it is."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import msgspec
import pytest

from image_history.errors import LandingError, WarehouseLockedError
from image_history.landing.files import unsealed
from image_history.landing.mark import NAME
from image_history.landing.runs import LandedRun, Landing
from image_history.model import Outcome
from image_history.simulator import VirtualClock, generate
from tests.behaviour.belongings import fingerprint, furnish, small
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_crash import EACH_PAGE, kill_after, slow_site
from tests.behaviour.test_refusals import held
from tests.behaviour.test_true_history import NAME as BASE
from tests.behaviour.test_true_history import synced, waiting

NOON_MS = 1_790_000_000_000
RUN = "20260101T000000.000Z-deadbeef"


def refused(site: Site, landing: Path, match: str) -> None:
    """Check that a sync into that landing exits with 2 before any request to AWS, and that `check` exits with 2."""
    with pytest.raises(LandingError, match=match) as caught:
        site.sync(landing=landing)
    assert caught.value.exit_code == 2
    assert site.simulator.counters.log == []
    told = site.run("check", IMAGE_HISTORY_LANDING=str(landing))
    assert told.returncode == 2, told.stdout


@pytest.mark.parametrize("more", ["files", "run", "lock", "snapshots"])
def test_folder_of_the_user_is_refused_and_left_alone(served: ServeWorld, more: str) -> None:
    """If the landing is a user's folder, a sync exits with 2 and changes no file, folder or link in it."""
    site = small(served)
    folder = site.folder / "mydata"
    folder.mkdir()
    furnish(folder)
    if more == "run":
        (folder / RUN).mkdir()
    if more == "lock":
        (folder / "lock").write_text("a user's own lock", encoding="utf-8")
    before = fingerprint(folder)
    refused(site, folder, "which is not ours")
    assert fingerprint(folder) == before
    assert not site.config.warehouse.exists()


def test_run_folder_with_a_users_file_in_it_is_refused(served: ServeWorld) -> None:
    """A folder that looks like a landing of the previous version but holds a user's file is refused and kept."""
    site = small(served)
    folder = site.folder / "lookalike"
    (folder / RUN).mkdir(parents=True)
    (folder / RUN / "thesis.tex").write_text("mine", encoding="utf-8")
    before = fingerprint(folder)
    refused(site, folder, "which is not ours")
    assert fingerprint(folder) == before


def test_users_files_in_a_landing_of_ours_survive_everything(served: ServeWorld) -> None:
    """A user's files, folders and links in our landing or in a run's folder survive clean-up, load and --fresh."""
    site = slow_site(served)
    kill_after(site, 9)
    landing = site.config.landing_folder
    (run,) = Landing(landing).runs()
    (landing / "mine").mkdir()
    furnish(landing / "mine")
    victim = site.folder / "victim"
    victim.mkdir()
    furnish(victim)
    (landing / "20250101T000000.000Z-00000001").symlink_to(victim)
    (landing / "20250101T000000.000Z-00000002").mkdir()
    (landing / "20250101T000000.000Z-00000002" / "segment-000001-0badcafe.parquet").symlink_to(
        victim / "outside"
    )
    (landing / "20250101T000000.000Z-00000002" / "notes").write_text("mine", encoding="utf-8")
    (run.folder / "notes").write_text("mine", encoding="utf-8")
    kept = [landing / "mine", victim, landing / "20250101T000000.000Z-00000002"]
    before = [fingerprint(each) for each in kept]
    site.sync()
    site.assert_true()
    assert [fingerprint(each) for each in kept] == before
    assert (landing / "20250101T000000.000Z-00000001").is_symlink()
    assert [path.name for path in run.folder.iterdir()] == ["notes"]
    site.sync(fresh=True)
    assert [fingerprint(each) for each in kept] == before


def as_of_the_version_before(run: LandedRun, folder: Path) -> None:
    """Write a run's plan as the previous version did: in place, or as that of a new run that has read nothing yet."""
    if folder != run.folder:
        shutil.copytree(run.folder, folder, ignore=shutil.ignore_patterns("segment-*"))
    written = unsealed(run.folder / "plan.json", dict)
    for name in ("warehouse_id", "base_run"):
        written["plan"].pop(name)
    written["plan"]["run_id"] = folder.name
    # The previous version did not compress the plan either.
    document = json.dumps(written)
    sealed = f'{{"crc32": {zlib.crc32(document.encode())}, "document": {document}}}'
    (folder / "plan.json").write_text(sealed, encoding="utf-8")


def test_landing_of_the_version_before_is_adopted_once(served: ServeWorld) -> None:
    """A landing of the previous version is marked and loaded without its proofs; a plan like its is then refused."""
    site = synced(served, 3)
    site.world.delete_version(BASE, 2)
    waiting(site)
    landing = site.config.landing_folder
    (run,) = Landing(landing).runs()
    assert [mark.outcome for mark in run.checkpoints.values()] == [Outcome.COMPLETE]
    later = site.folder / RUN
    as_of_the_version_before(run, later)
    as_of_the_version_before(run, run.folder)
    (landing / NAME).unlink()
    (landing / "known-streams.parquet").write_bytes(b"PAR1 of another time")
    report = site.sync()
    site.assert_true()
    assert (report.resumed, report.pending_runs) == (False, 1)
    told = f"SELECT image_name, outcome FROM coverage WHERE etl_run_id = '{run.plan.run_id}'"
    assert site.ask(f"{told} AND image_name IS NOT NULL") == [(BASE, "partial")]
    deleted_by = "SELECT etl_run_id FROM image_version_events WHERE etl_change = 'deleted'"
    assert site.ask(deleted_by) == [(report.run_id,)]
    assert (landing / NAME).exists()
    later.rename(landing / RUN)
    with pytest.raises(LandingError, match="was not made for the warehouse"):
        site.sync()


def test_unmarked_landing_with_a_users_file_is_refused(served: ServeWorld) -> None:
    """A landing of the previous version is not adopted if it holds a user's file."""
    site = small(served)
    site.sync()
    landing = site.config.landing_folder
    (landing / NAME).unlink()
    (landing / "notes.txt").write_text("mine", encoding="utf-8")
    before = fingerprint(landing)
    site.simulator.counters.reset()
    refused(site, landing, "which is not ours")
    assert fingerprint(landing) == before


def test_new_and_empty_folders_become_landings(served: ServeWorld) -> None:
    """A folder that does not exist, an empty one, and a volume's root with only lost+found become landings."""
    site = small(served)
    volume, empty, new = (site.folder / name for name in ("volume", "empty", "new"))
    (volume / "lost+found").mkdir(parents=True)
    empty.mkdir()
    for landing in (volume, empty, new):
        site.sync(landing=landing)
        assert Landing(landing).mark() is not None
    assert (volume / "lost+found").is_dir()
    site.assert_true()


def test_two_warehouses_never_share_a_landing(served: ServeWorld) -> None:
    """If two warehouses share a landing, the second one's sync stops, and no row of the first reaches it."""
    site = slow_site(served)
    kill_after(site, 9)
    landing = site.config.landing_folder
    (run,) = Landing(landing).runs()
    before = fingerprint(run.folder)
    for name in ("other.duckdb", "elsewhere/image-history.duckdb"):
        (site.folder / name).parent.mkdir(exist_ok=True)
        with pytest.raises(LandingError, match="belongs to another warehouse"):
            site.sync(landing=landing, warehouse=site.folder / name)
        assert not (site.folder / name).exists()
    other = site.folder / "other.duckdb"
    site.sync(warehouse=other)
    stored = other.read_bytes()
    with pytest.raises(LandingError, match="belongs to another warehouse"):
        site.sync(landing=landing, warehouse=other)
    assert (other.read_bytes(), fingerprint(run.folder)) == (stored, before)
    assert site.sync().resumed
    site.assert_true()


def test_warehouses_that_differ_in_their_suffix_have_landings_of_their_own(served: ServeWorld) -> None:
    """images.duckdb and images.db in one folder have different landings."""
    site = small(served)
    for name in ("images.duckdb", "images.db"):
        site.sync(warehouse=site.folder / name)
    assert (site.folder / "images.landing").is_dir()
    assert (site.folder / "images.db.landing").is_dir()


def test_warehouse_that_is_put_in_place_of_another_is_not_given_its_rows(served: ServeWorld) -> None:
    """While a run waits, a different warehouse at the same path is refused; with no run waiting, it is accepted."""
    site = small(served)
    site.sync(warehouse=site.folder / "other.duckdb")
    site.sync()
    with held(site.config.warehouse), pytest.raises(WarehouseLockedError):
        site.sync(lock_wait=site.config.lock_wait * 0)
    site.config.warehouse.rename(site.folder / "kept.duckdb")
    shutil.copy(site.folder / "other.duckdb", site.config.warehouse)
    with pytest.raises(LandingError, match="belongs to another warehouse"):
        site.sync()
    (site.folder / "kept.duckdb").replace(site.config.warehouse)
    site.sync()
    site.assert_true()
    shutil.copy(site.folder / "other.duckdb", site.config.warehouse)
    site.sync()
    site.assert_true()


def test_restored_backup_makes_a_waiting_run_an_observation(served: ServeWorld) -> None:
    """A waiting run that was read against a newer warehouse proves nothing to a restored backup."""
    site = small(served)
    name = site.world.truth()[0].image_name
    site.sync()
    shutil.copy(site.config.warehouse, site.folder / "backup.duckdb")
    for _ in range(2):
        site.simulator.clock.advance(60_000)
        site.world.create_version(name)
    site.sync()
    site.simulator.clock.advance(60_000)
    site.world.delete_version(name, 6)
    with held(site.config.warehouse), pytest.raises(WarehouseLockedError):
        site.sync(lock_wait=site.config.lock_wait * 0)
    shutil.copy(site.folder / "backup.duckdb", site.config.warehouse)
    assert site.sync().outcome is Outcome.COMPLETE
    site.assert_true()
    void = site.ask(
        "SELECT DISTINCT outcome FROM coverage WHERE etl_run_id = (SELECT min(etl_run_id) FROM runs "
        "WHERE etl_run_id > (SELECT min(etl_run_id) FROM runs)) AND image_name IS NOT NULL"
    )
    assert void == [("partial",)]


def test_unfinished_run_is_not_continued_by_a_restored_backup(served: ServeWorld) -> None:
    """An unfinished run is not continued on a restored backup; its streams are listed again."""
    site = slow_site(served)
    site.sync()
    shutil.copy(site.config.warehouse, site.folder / "backup.duckdb")
    site.simulator.clock.advance(60_000)
    site.world.create_version(site.world.truth()[0].image_name)
    site.sync()
    kill_after(site, 9)
    shutil.copy(site.folder / "backup.duckdb", site.config.warehouse)
    report = site.sync()
    assert not report.resumed
    assert report.outcome is Outcome.COMPLETE
    site.assert_true()


def test_forged_run_is_not_loaded(served: ServeWorld) -> None:
    """A run of another warehouse in our landing is neither loaded nor removed: a sync exits with 2, even --fresh."""
    site = slow_site(served)
    kill_after(site, 9)
    (run,) = Landing(site.config.landing_folder).runs()
    site.config = msgspec.structs.replace(site.config, warehouse=site.folder / "mine.duckdb")
    site.sync()
    forged = site.config.landing_folder / run.folder.name
    shutil.copytree(run.folder, forged)
    before, stored = fingerprint(forged), site.config.warehouse.read_bytes()
    for fresh in (False, True):
        with pytest.raises(LandingError, match="was not made for the warehouse") as caught:
            site.sync(fresh=fresh)
        assert caught.value.exit_code == 2
        assert site.simulator.counters.log == []
        assert (fingerprint(forged), site.config.warehouse.read_bytes()) == (before, stored)
    shutil.rmtree(forged)
    site.sync()
    site.assert_true()


def test_default_credentials_that_lead_elsewhere_are_noticed(served: ServeWorld) -> None:
    """If credentials lead to another account than before, a sync exits with 3, even if the warehouse is locked."""
    accounts = ("111122223333", "444455556666")
    site = small(served, accounts=accounts)
    first, second = (site.simulator.environment(each) for each in accounts)
    assert site.run("sync", **first).returncode == 0
    told = site.run("sync", **second)
    assert (told.returncode, "--accept-account" in told.stderr) == (3, True), told.stderr
    with held(site.config.warehouse):
        told = site.run("sync", IMAGE_HISTORY_LOCK_WAIT="0s", **second)
        assert (told.returncode, "--accept-account" in told.stderr) == (3, True), told.stderr
    assert site.ask("SELECT DISTINCT account_id FROM image_versions") == [(accounts[0],)]
    assert site.run("sync", "--accept-account", **second).returncode == 0
    assert len(site.ask("SELECT DISTINCT account_id FROM image_versions")) == 2


def test_interrupted_first_sync_is_not_continued_for_another_account(served: ServeWorld) -> None:
    """A plan names its accounts: other credentials do not continue an interrupted first sync, and exit with 3."""
    accounts = ("111122223333", "444455556666")
    clock = VirtualClock(frozen_at=NOON_MS)
    site = served(generate(13, accounts=list(accounts), images=21, versions_per_image=20, clock=clock))
    second = site.simulator.environment(accounts[1])
    kill_after(site, 5)
    told = site.run("sync", **EACH_PAGE, **second)
    assert (told.returncode, "--accept-account" in told.stderr) == (3, True), told.stderr
    assert site.run("sync", **EACH_PAGE).returncode == 0
