"""Wrong input and wrong circumstances: the right exit code, one clear sentence, and no incomplete file or table."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from image_history.landing.runs import Landing
from image_history.simulator import Behaviour, generate
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """A small site."""
    return served(generate(17, images=3, versions_per_image=5))


@pytest.fixture
def synced(served: ServeWorld) -> Site:
    """The same site after one sync."""

    def make() -> Site:
        made = served(generate(17, images=3, versions_per_image=5))
        made.sync()
        return made

    return served.once("refusals", make)


def assert_refused(outcome: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The process exited with that code and one sentence that has all the words, without a traceback."""
    assert outcome.returncode == code, outcome.stderr
    assert outcome.stdout == ""
    last = outcome.stderr.strip().splitlines()[-1]
    assert last.startswith(("image-history: ", "Error: ")), outcome.stderr
    for word in words:
        assert word in last
    assert "Traceback" not in outcome.stderr


@contextmanager
def held(path: Path, *, read_only: bool = False) -> Iterator[int]:
    """Another process that has the warehouse open, like a DuckDB shell; yields its process id."""
    opened = f"duckdb.connect({str(path)!r}, read_only={read_only})"
    script = f"import duckdb; c = {opened}; print('open', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        yield holder.pid
    finally:
        holder.communicate("\n", timeout=60)


def test_sync_without_credentials_says_so(site: Site) -> None:
    """Without credentials sync exits with 3 and names a source of credentials."""
    outcome = site.run("sync", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert_refused(outcome, 3, "credentials", "AWS_PROFILE")
    assert not site.config.warehouse.exists()


def test_sync_with_an_unknown_key_says_so(site: Site) -> None:
    """With credentials that AWS does not know, sync exits with 3."""
    assert_refused(site.run("sync", AWS_ACCESS_KEY_ID="AKIANOBODYNOBODYNOBO"), 3, "InvalidClientTokenId")


def test_sync_with_an_unknown_profile_names_it(site: Site) -> None:
    """With a profile that does not exist, sync exits with 2 and names the profile."""
    assert_refused(site.run("sync", AWS_PROFILE="no-such-profile"), 2, "no-such-profile")


def test_sync_with_an_unreachable_endpoint_is_resumable(site: Site) -> None:
    """If no server listens at the endpoint, sync exits with 6 after its last attempt and says to run it again."""
    outcome = site.run(
        "sync",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        IMAGE_HISTORY_RETRY__ATTEMPTS="2",
        IMAGE_HISTORY_RETRY__MAX_WAIT="10ms",
    )
    assert_refused(outcome, 6, "127.0.0.1:9", "run sync again")
    assert not site.config.warehouse.exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        pytest.param("lookbak: 1h", ("config.yaml:1", "lookbak", "lookback"), id="unknown-key"),
        pytest.param("lookback: 15", ("config.yaml:1", "lookback", "15m"), id="duration-without-unit"),
        pytest.param("page_size: 101", ("config.yaml:1", "page_size", "100"), id="out-of-range"),
    ],
)
def test_sync_with_a_wrong_configuration_names_the_line(
    site: Site, setting: str, words: tuple[str, ...]
) -> None:
    """With a wrong configuration sync exits with 2 and names the file, the line and a correct value."""
    (site.folder / "config.yaml").write_text(setting + "\n", encoding="utf-8")
    assert_refused(site.run("sync"), 2, *words)


def test_sync_of_unknown_images_says_so(site: Site) -> None:
    """If an image pattern matches nothing, sync exits with 2 and makes no warehouse."""
    assert_refused(site.run("sync", "--image", "no-such-image"), 2, "no-such-image")
    assert not site.config.warehouse.exists()


def test_sync_into_a_missing_folder_says_so(site: Site) -> None:
    """If the warehouse's folder does not exist, sync exits with 2 and does not create it."""
    missing = site.folder / "missing"
    assert_refused(site.run("sync", "--warehouse", str(missing / "w.duckdb")), 2, str(missing))
    assert not missing.exists()


def test_sync_into_a_folder_says_so(site: Site) -> None:
    """If the warehouse's path is a folder, sync exits with 2."""
    assert_refused(site.run("sync", "--warehouse", str(site.folder)), 2, "folder")


def test_sync_into_a_file_that_is_not_duckdb_leaves_it_alone(site: Site) -> None:
    """If the warehouse's file is not a DuckDB file, sync exits with 2, leaves it unchanged and lists no image."""
    site.config.warehouse.write_text("not a database\n" * 500, encoding="utf-8")
    before = site.config.warehouse.read_bytes()
    assert_refused(site.run("sync"), 2, "not a DuckDB database")
    assert not site.config.landing_folder.exists()
    assert site.config.warehouse.read_bytes() == before
    assert site.calls("ListImages") == 0


def test_sync_into_another_programs_database_leaves_it_alone(site: Site) -> None:
    """If the file is another program's DuckDB database, sync exits with 2 and adds no table."""
    with duckdb.connect(site.config.warehouse) as connection:
        connection.execute("CREATE TABLE theirs (i INTEGER)").fetchall()
    assert_refused(site.run("sync"), 2, "another program")
    assert not site.config.landing_folder.exists()
    assert site.ask("SELECT table_name FROM duckdb_tables()") == [("theirs",)]


def test_sync_into_a_newer_schema_leaves_it_alone(synced: Site) -> None:
    """If a later version made the warehouse, sync exits with 2, suggests an upgrade and changes nothing."""
    with duckdb.connect(synced.config.warehouse) as connection:
        connection.execute(
            "INSERT INTO schema_migrations SELECT 999, 'future', applied_at, '9.0' FROM schema_migrations LIMIT 1"
        ).fetchall()
    before = synced.config.warehouse.read_bytes()
    synced.simulator.counters.reset()
    assert_refused(synced.run("sync"), 2, "999", "upgrade")
    assert synced.config.warehouse.read_bytes() == before
    assert synced.calls("ListImages") == 0


def test_row_45_locked_warehouse_keeps_the_rows_for_the_next_sync(synced: Site) -> None:
    """If another process holds the warehouse, sync exits with 5, names it and keeps its rows for the next sync."""
    synced.simulator.clock.advance(60_000)
    synced.world.create_version(synced.world.truth()[0].image_name)
    with held(synced.config.warehouse) as holder:
        outcome = synced.run("sync", IMAGE_HISTORY_LOCK_WAIT="200ms")
        assert_refused(outcome, 5, str(holder), "next sync")
        assert synced.calls("ListImageVersions") == 3, "planning from memory needs one call an image"
    assert len(Landing(synced.config.landing_folder).runs()) == 1
    outcome = synced.run("sync")
    assert outcome.returncode == 0
    assert "also loaded 1 earlier run" in outcome.stdout
    synced.assert_true()
    assert synced.ask("SELECT count(*) FROM runs") == [(3,)]
    assert synced.ask("SELECT inserted FROM runs ORDER BY started_at") == [(15,), (1,), (0,)]


def test_locked_warehouse_that_is_freed_in_time_is_waited_for(synced: Site) -> None:
    """A lock that ends within the lock wait delays the load; the sync exits with 0."""
    with held(synced.config.warehouse):
        process = synced.command("sync", IMAGE_HISTORY_LOCK_WAIT="60s")
        process.until(lambda: synced.calls("ListImageVersions") >= 3)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_row_44_second_sync_beside_the_first_leaves_at_once(served: ServeWorld) -> None:
    """Of two syncs on one landing folder the second exits with 7 and names the process of the first."""
    site = served(generate(17, images=10, versions_per_image=5), Behaviour(latency_ms=400))
    first = site.command("sync", IMAGE_HISTORY_CONCURRENCY="1")
    first.until(lambda: site.calls("ListImages") > 0)
    assert_refused(site.run("sync"), 7, str(first.pid))
    first.communicate(timeout=60)
    assert first.returncode == 0
    site.assert_true()


def test_unknown_verb_and_option_name_the_nearest(site: Site) -> None:
    """A misspelt verb or option exits with 2 and the message has the right name."""
    assert_refused(site.run("snyc"), 2, "sync")
    assert_refused(site.run("sync", "--ful"), 2, "--full")


def test_plain_http_beyond_loopback_is_refused(site: Site) -> None:
    """An http endpoint beyond loopback, which would receive signatures unencrypted, exits with 2."""
    assert_refused(site.run("sync", AWS_ENDPOINT_URL="http://aws.invalid"), 2, "plain http")


def test_two_entries_of_one_scope_are_refused(site: Site) -> None:
    """Two entries of the same account and region exit with 2; the message names that account and region."""
    (site.folder / "config.yaml").write_text(
        "accounts:\n  - {}\n  - {regions: [us-east-1]}\n", encoding="utf-8"
    )
    assert_refused(site.run("sync"), 2, "111122223333", "us-east-1")


def test_files_are_private_to_their_owner(site: Site) -> None:
    """Only the owner can read the warehouse, the landing folder and the files in it."""
    site.run("sync")
    for path in (site.config.warehouse, site.config.landing_folder, *site.config.landing_folder.rglob("*")):
        assert re.fullmatch(r"0o[67]00", oct(path.stat().st_mode & 0o777)), path


def test_profile_that_leads_elsewhere_stops_its_scope(served: ServeWorld) -> None:
    """If a profile now belongs to another account, sync exits with 3 and writes nothing, until --accept-account."""
    accounts = ["111122223333", "444455556666"]
    site = served(generate(17, accounts=accounts, images=2, versions_per_image=5))
    (site.folder / "config.yaml").write_text("accounts: [{profile: team}]\n", encoding="utf-8")
    credentials = site.folder / "credentials"
    keys = {name: site.simulator.environment(name)["AWS_ACCESS_KEY_ID"] for name in accounts}
    own = {
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
    }
    outcomes = []
    for account in accounts:
        text = f"[team]\naws_access_key_id = {keys[account]}\naws_secret_access_key = x\n"
        credentials.write_text(text, encoding="utf-8")
        outcomes.append(site.run("sync", **own))
    assert outcomes[0].returncode == 0
    assert_refused(outcomes[1], 3, "111122223333", "444455556666", "--accept-account")
    assert site.ask("SELECT DISTINCT account_id FROM image_versions") == [("111122223333",)]
    with held(site.config.warehouse):
        assert_refused(site.run("sync", IMAGE_HISTORY_LOCK_WAIT="0s", **own), 3, "--accept-account")
    assert_refused(site.run("sync", **own), 3, "--accept-account")
    assert site.run("sync", "--accept-account", **own).returncode == 0
    assert len(site.ask("SELECT DISTINCT account_id FROM image_versions")) == 2
    assert site.run("sync", **own).returncode == 0
