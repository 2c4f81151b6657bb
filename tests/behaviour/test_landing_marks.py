"""The landing folder is ours by its mark: what is the user's, a stranger's or another warehouse's stays as it is."""

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
from image_history.landing.runs import Landing
from image_history.model import Outcome
from image_history.simulator import VirtualClock, generate
from tests.behaviour.belongings import fingerprint, furnish, small
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_crash import EACH_PAGE, kill_after, slow_site
from tests.behaviour.test_refusals import held

NOON_MS = 1_790_000_000_000
RUN = "20260101T000000.000Z-deadbeef"


def refused(site: Site, landing: Path, match: str) -> None:
    """A sync into that landing stops with exit code 2 before AWS is asked for anything, and check says so too."""
    with pytest.raises(LandingError, match=match) as caught:
        site.sync(landing=landing)
    assert caught.value.exit_code == 2
    assert site.simulator.counters.log == []
    told = site.run("check", IMAGE_HISTORY_LANDING=str(landing))
    assert told.returncode == 2, told.stdout


@pytest.mark.parametrize("more", ["files", "run", "lock", "snapshots"])
def test_folder_of_the_user_is_refused_and_left_alone(served: ServeWorld, more: str) -> None:
    """A landing that is a user's folder: exit 2, and every file, folder and link in it is as it was."""
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
    """A folder that only looks like a landing of the version before is none, and stays."""
    site = small(served)
    folder = site.folder / "lookalike"
    (folder / RUN).mkdir(parents=True)
    (folder / RUN / "thesis.tex").write_text("mine", encoding="utf-8")
    before = fingerprint(folder)
    refused(site, folder, "which is not ours")
    assert fingerprint(folder) == before


def test_users_files_in_a_landing_of_ours_survive_everything(served: ServeWorld) -> None:
    """Files, folders and links that a user puts into our landing, and into a run, outlive sweep, load and --fresh."""
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


def test_landing_of_the_version_before_is_adopted_once(served: ServeWorld) -> None:
    """Its runs are loaded: rows, without the proofs of plans that name no warehouse."""
    site = slow_site(served)
    kill_after(site, 9)
    landing = site.config.landing_folder
    (run,) = Landing(landing).runs()
    written = unsealed(run.folder / "plan.json", dict)
    for name in ("warehouse_id", "base_run"):
        written["plan"].pop(name)
    # It did not pack them either.
    document = json.dumps(written)
    sealed = f'{{"crc32": {zlib.crc32(document.encode())}, "document": {document}}}'
    (run.folder / "plan.json").write_text(sealed, encoding="utf-8")
    (landing / NAME).unlink()
    (landing / "known-streams.parquet").write_bytes(b"PAR1 of another time")
    site.sync()
    site.assert_true()
    assert (landing / NAME).exists()
    (landing / NAME).unlink()
    (landing / "notes.txt").write_text("mine", encoding="utf-8")
    refused(site, landing, "which is not ours")


def test_new_and_empty_folders_become_landings(served: ServeWorld) -> None:
    """A folder that is not there, an empty one, and a volume's root with nothing but lost+found."""
    site = small(served)
    volume = site.folder / "volume"
    (volume / "lost+found").mkdir(parents=True)
    site.sync(landing=volume)
    assert (volume / "lost+found").is_dir()
    empty = site.folder / "empty"
    empty.mkdir()
    site.sync(landing=empty)
    site.assert_true()


def test_two_warehouses_never_share_a_landing(served: ServeWorld) -> None:
    """One landing for two configurations: the second stops, and none of the first one's rows reach it."""
    site = slow_site(served)
    kill_after(site, 9)
    landing = site.config.landing_folder
    for other in ("other.duckdb", "elsewhere/image-history.duckdb"):
        (site.folder / other).parent.mkdir(exist_ok=True)
        with pytest.raises(LandingError, match="belongs to another warehouse"):
            site.sync(landing=landing, warehouse=site.folder / other)
        assert not (site.folder / other).exists()
    site.sync(warehouse=site.folder / "other.duckdb")
    with pytest.raises(LandingError, match="belongs to another warehouse"):
        site.sync(landing=landing, warehouse=site.folder / "other.duckdb")
    site.sync()
    site.assert_true()


def test_warehouses_that_differ_in_their_suffix_have_landings_of_their_own(served: ServeWorld) -> None:
    """images.duckdb beside images.db: neither meets the other's landing."""
    site = small(served)
    for name in ("images.duckdb", "images.db"):
        site.sync(warehouse=site.folder / name)
    assert (site.folder / "images.landing").is_dir()
    assert (site.folder / "images.db.landing").is_dir()


def test_warehouse_that_is_put_in_place_of_another_is_not_given_its_rows(served: ServeWorld) -> None:
    """While a run waits, another warehouse of the same name is refused; without one the landing follows."""
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
    """What was read against a warehouse that is no more proves nothing to the older one that took its place."""
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
    """Its tokens rest on a warehouse that is no more: the streams are listed anew."""
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
    """A run that was made for another warehouse, put into ours: exit 2, nothing is loaded, nothing is removed."""
    other = slow_site(served)
    kill_after(other, 9)
    (run,) = Landing(other.config.landing_folder).runs()
    site = msgspec.structs.replace(other.config, warehouse=other.folder / "mine.duckdb")
    other.sync(warehouse=site.warehouse)
    forged = site.landing_folder / run.folder.name
    shutil.copytree(run.folder, forged)
    before = fingerprint(forged)
    for fresh in (False, True):
        with pytest.raises(LandingError, match="was not made for the warehouse"):
            other.sync(warehouse=site.warehouse, fresh=fresh)
        assert fingerprint(forged) == before
    shutil.rmtree(forged)
    other.sync(warehouse=site.warehouse)


def test_default_credentials_that_lead_elsewhere_are_noticed(served: ServeWorld) -> None:
    """AWS's own chain leads to another account than before: exit 3, also while the warehouse is held."""
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
    """A plan names its accounts: other credentials stop, though the warehouse knows of no account yet."""
    accounts = ("111122223333", "444455556666")
    clock = VirtualClock(frozen_at=NOON_MS)
    site = served(generate(13, accounts=list(accounts), images=21, versions_per_image=20, clock=clock))
    second = site.simulator.environment(accounts[1])
    kill_after(site, 5)
    told = site.run("sync", **EACH_PAGE, **second)
    assert (told.returncode, "--accept-account" in told.stderr) == (3, True), told.stderr
    assert site.run("sync", **EACH_PAGE).returncode == 0
