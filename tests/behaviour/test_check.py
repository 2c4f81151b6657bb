"""`image-history check` names what keeps a sync from running, with the fix, and writes nothing."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from image_history.landing.runs import Landing
from image_history.simulator import VirtualClock, World, generate
from tests.behaviour.checking import Bench, MakeBench, denying, refusing
from tests.behaviour.checking import bench as bench  # noqa: PLC0414 - a fixture
from tests.behaviour.test_plan_verb import contents, interrupted
from tests.behaviour.test_refusals import held

pytestmark = pytest.mark.duckdb

REGIONS = ["us-east-1", "eu-west-1"]
TWO_REGIONS = "accounts: [{regions: [us-east-1, eu-west-1]}]\n"
# Drops root's capabilities to read and write files whose mode forbids it.
UNPRIVILEGED = (
    "import ctypes, os, sys; prctl = ctypes.CDLL(None).prctl; prctl(24, 1, 0, 0, 0); prctl(24, 2, 0, 0, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'image_history', *sys.argv[1:]])"
)


def two_regions(bench: MakeBench) -> Bench:
    """One account in two regions."""
    return bench(generate(23, regions=REGIONS, images=2, versions_per_image=3), config=TWO_REGIONS)


def test_check_finds_nothing_where_all_is_well(bench: MakeBench) -> None:
    """If all is well, check exits with 0, makes one call of each operation in each region, and writes nothing."""
    desk = two_regions(bench)
    before = contents(desk.site.folder)
    code, rows = desk.checked()
    assert code == 0
    assert {row["level"] for row in rows} == {"ok"}
    checks = {
        "configuration",
        "credentials",
        "permission",
        "clock",
        "endpoint",
        "warehouse",
        "landing",
        "disk",
        "temporary files",
    }
    assert {row["check"] for row in rows} == checks
    asked = desk.site.simulator.counters.totals().calls
    assert {name: count for name, count in asked.items() if name != "GetCallerIdentity"} == {
        "ListImages": 2,
        "ListImageVersions": 2,
        "DescribeImage": 2,
        "DescribeImageVersion": 2,
    }
    assert contents(desk.site.folder) == before
    assert desk("sync").code == 0
    before = contents(desk.site.folder)
    text = desk("check")
    assert text.code == 0
    assert "A sync can run." in text.out
    assert "for their owner alone" in text.out
    assert contents(desk.site.folder) == before


def test_check_of_an_empty_account_asks_for_what_is_not_there(bench: MakeBench) -> None:
    """In an account without images, a call for an image that does not exist proves the permission."""
    code, rows = bench(World()).checked()
    (row,) = [row for row in rows if row["check"] == "permission"]
    assert (code, row["level"]) == (0, "ok")
    assert "no image there" in row["message"]


@pytest.mark.parametrize("operation", ["ListImages", "ListImageVersions"])
@pytest.mark.parametrize(
    ("denied", "code"), [(REGIONS, 3), (["eu-west-1"], 4)], ids=["everywhere", "one-region"]
)
def test_operation_that_is_denied_is_named(
    bench: MakeBench, operation: str, denied: list[str], code: int
) -> None:
    """If an operation is denied everywhere, check exits with 3, else with 4, as sync does; it names scope and fix."""
    desk = two_regions(bench)
    desk.site.simulator.fault = denying(operation, region=None if denied == REGIONS else denied[0])
    left, troubles = desk.troubles()
    assert left == code
    assert {row["where"] for row in troubles} == {f"111122223333/{region}" for region in denied}
    for trouble in troubles:
        assert (trouble["check"], trouble["exit_code"]) == ("permission", code)
        assert operation in trouble["message"]
        assert f"Allow sagemaker:{operation}" in trouble["fix"]
        assert "--emit-policy" in trouble["fix"]
    assert len(troubles) == len(denied)
    assert desk("sync").code == code


def test_region_where_images_may_not_be_listed_is_named(bench: MakeBench) -> None:
    """If ListImages is denied in one of two regions, the table of check names the region and the fix."""
    desk = two_regions(bench)
    desk.site.simulator.fault = denying("ListImages", region="eu-west-1")
    text = desk("check")
    assert text.code == 4
    assert "FAILED: permission of 111122223333/eu-west-1" in text.out
    assert "fix: Allow sagemaker:ListImages" in text.out


def test_expired_token_is_told_as_that(bench: MakeBench) -> None:
    """With expired credentials, check exits with 3 and says how to get new ones."""
    desk = bench(generate(23, images=1))
    text = "The security token included in the request is expired"
    desk.site.simulator.fault = refusing("ExpiredToken", text, lambda _: True)
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (3, "credentials")
    assert "expired" in trouble["message"]
    assert "aws sso login" in trouble["fix"]


def test_clock_that_is_20_minutes_off_is_told_by_the_answers(bench: MakeBench) -> None:
    """If AWS's Date is 20 minutes ahead, check exits with 3 and says how far the clock is off and how to set it."""
    ahead = VirtualClock()
    ahead.advance(20 * 60_000)
    code, (trouble,) = bench(generate(23, images=1, clock=ahead)).troubles()
    assert (code, trouble["check"]) == (3, "clock")
    assert "20 minutes behind AWS's" in trouble["message"]
    assert "NTP" in trouble["fix"]


def test_clock_that_aws_refuses_is_told_as_the_clock(bench: MakeBench) -> None:
    """If AWS refuses a signature because of its time, check reports the clock, not the credentials."""
    desk = bench(generate(23, images=1))
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=20), usegmt=True)
    text = "Signature not yet current: 20261123T120000Z is still later than 20261123T114000Z"
    desk.site.simulator.fault = refusing("SignatureDoesNotMatch", text, lambda _: True, date=date)
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (3, "clock")
    assert "20 minutes ahead of AWS's" in trouble["message"]
    assert "NTP" in trouble["fix"]


def test_clock_that_is_two_minutes_off_is_a_warning(bench: MakeBench) -> None:
    """If the clock is two minutes off, which AWS still accepts, check exits with 0 and warns."""
    behind = VirtualClock()
    behind.advance(-2 * 60_000)
    code, (trouble,) = bench(generate(23, images=1, clock=behind)).troubles()
    assert (code, trouble["check"], trouble["level"]) == (0, "clock", "warning")
    assert "ahead of AWS's" in trouble["message"]


@pytest.mark.parametrize("part", ["file", "folder"])
def test_read_only_warehouse_is_named(bench: MakeBench, part: str) -> None:
    """If the user may not write the warehouse or its folder, check exits with 2 and says how to fix it."""
    desk = bench(generate(23, images=1))
    desk.site.sync()
    path = desk.site.config.warehouse if part == "file" else desk.site.folder
    path.chmod(0o400 if part == "file" else 0o500)
    try:
        outcome = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, "check"],
            cwd=desk.site.folder,
            env={**os.environ, **desk.site.environment},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        path.chmod(0o700)
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert "FAILED: warehouse of" in outcome.stdout
    assert "writ" in outcome.stdout.partition("FAILED: warehouse of")[2]
    assert "fix: " in outcome.stdout


def test_warehouse_that_another_process_holds_names_it(bench: MakeBench) -> None:
    """If another process holds the warehouse, check exits with 5 and names the process."""
    desk = bench(generate(23, images=1))
    desk.site.sync()
    with held(desk.site.config.warehouse) as process:
        code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (5, "warehouse")
    assert str(process) in trouble["message"]


def test_file_that_is_no_warehouse_is_told(bench: MakeBench) -> None:
    """If the file is not a DuckDB database, check exits with 2 and says so."""
    desk = bench(generate(23, images=1))
    desk.site.config.warehouse.write_text("not a database\n" * 500, encoding="utf-8")
    desk.site.config.warehouse.chmod(0o600)
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (2, "warehouse")
    assert "not a DuckDB database" in trouble["message"]


def test_files_that_others_may_read_are_a_warning(bench: MakeBench) -> None:
    """If others may use the warehouse, its log or the landing, check exits with 0 and warns; its chmod fixes that."""
    desk = bench(generate(23, images=1))
    desk.site.sync()
    warehouse, log, landing = (f"image-history.{suffix}" for suffix in ("duckdb", "duckdb.wal", "landing"))
    (desk.site.folder / log).touch(mode=0o600)
    for name, mode in ((warehouse, 0o644), (log, 0o640), (landing, 0o755), (landing, 0o710)):
        (desk.site.folder / name).chmod(mode)
        code, (trouble,) = desk.troubles()
        assert (code, trouble["check"], trouble["level"]) == (0, "file mode", "warning")
        assert trouble["message"] == f"Other users of this machine may use it (mode {mode:o})."
        assert trouble["fix"] == f"chmod go-rwx {name}"
        subprocess.run(shlex.split(trouble["fix"]), cwd=desk.site.folder, check=True)
    assert desk.troubles() == (0, [])


def test_landing_that_is_no_folder_is_told(bench: MakeBench) -> None:
    """If a file is in place of the landing folder, check exits with 2."""
    desk = bench(generate(23, images=1))
    desk.site.folder.joinpath("image-history.landing").touch(mode=0o600)
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"], trouble["message"]) == (2, "landing", "It is not a folder.")


def test_disk_that_is_full_is_told(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1 MiB free, check exits with 2; with 100 MiB free, check exits with 0 and warns."""
    desk = bench(generate(23, images=1))
    for free, code in ((1 << 20, 2), (100 << 20, 0)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: Usage(free))
        left, (trouble,) = desk.troubles()
        assert (left, trouble["check"]) == (code, "disk")
        assert trouble["message"].startswith(f"{free >> 20} MiB free; ")
        assert trouble["message"].endswith(" MiB are needed.")


class Usage:
    """The result of shutil.disk_usage for a disk."""

    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.parametrize(
    ("config", "word"),
    [
        pytest.param("lookbak: 1h\n", "lookback", id="misspelled"),
        pytest.param("accounts: [{profile: nobody}]\n", "nobody", id="unknown-profile"),
    ],
)
def test_wrong_configuration_is_one_failed_check(bench: MakeBench, config: str, word: str) -> None:
    """With a misspelled setting or an unknown profile, check fails once, as JSON and as a table, and exits with 2."""
    desk = bench(generate(23, images=1), config=config)
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (2, "configuration")
    assert word in trouble["message"]
    text = desk("check")
    words = " ".join(text.out.split())
    assert (text.code, text.err) == (2, "")
    assert f"FAILED: configuration of {trouble['where']}: {trouble['message']} fix: {trouble['fix']}" in words
    assert text.lines[-1] == "1 check failed; exit code 2."


def test_endpoint_that_nobody_answers_is_told(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no server listens, check exits with 6 and names AWS_ENDPOINT_URL; for remote plain http, it exits with 2."""
    desk = bench(generate(23, images=1))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (6, "endpoint")
    assert "AWS_ENDPOINT_URL" in trouble["fix"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.1:9")
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (2, "configuration")
    assert "plain http" in trouble["message"]


def test_unknown_credentials_are_told(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an access key that AWS doesn't know, check exits with 3."""
    desk = bench(generate(23, images=1))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODYNOBODYNOBO")
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (3, "credentials")
    assert "InvalidClientTokenId" in trouble["message"]


ROLE = "arn:aws:iam::444455556666:role/reader"


def test_role_that_cannot_be_assumed_is_told(bench: MakeBench) -> None:
    """If a role cannot be assumed, check exits with 3, and the fix names the role and external_id."""
    desk = bench(generate(23, images=1), config=f"accounts: [{{role_arn: '{ROLE}', regions: [us-east-1]}}]\n")
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (3, "credentials")
    assert ROLE in trouble["fix"]
    assert "external_id" in trouble["fix"]


def profiles(folder: Path, key: str) -> Path:
    """Write AWS's credentials file with one profile; returns its path."""
    path = folder / "credentials"
    path.write_text(f"[team]\naws_access_key_id = {key}\naws_secret_access_key = s\n", encoding="utf-8")
    return path


def test_profile_that_leads_elsewhere_is_told(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a profile leads to another account than the stored one, check and sync exit with 3 and the same words."""
    world = generate(23, accounts=["111122223333", "444455556666"], images=1, versions_per_image=1)
    desk = bench(world, config="accounts: [{profile: team, regions: [us-east-1]}]\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    path = profiles(desk.site.folder, world.access_key("111122223333"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    assert desk("sync").code == 0
    assert ("account", "ok") in {(row["check"], row["level"]) for row in desk.checked()[1]}
    profiles(desk.site.folder, world.access_key("444455556666"))
    code, (trouble,) = desk.troubles()
    assert (code, trouble["check"]) == (3, "account")
    assert "led to account 111122223333 so far, and now leads to account 444455556666" in trouble["message"]
    assert "--accept-account" in trouble["fix"]
    before = desk.site.config.warehouse.read_bytes()
    refused = desk("sync")
    assert (refused.code, trouble["message"] in refused.err) == (3, True)
    assert desk.site.config.warehouse.read_bytes() == before
    assert desk("sync", "--accept-account").code == 0
    assert desk.troubles() == (0, [])


def test_options_of_the_probe_need_it(bench: MakeBench) -> None:
    """`check --image` exits with 2 without --probe, since it would look like a choice of what to check."""
    assert bench(World())("check", "--image", "base").code == 2


def test_policy_lists_exactly_the_actions_that_a_sync_makes(bench: MakeBench) -> None:
    """A first sync, a deleted version and a deleted image use exactly the actions of the emitted policy."""
    desk = bench(generate(23, images=3, versions_per_image=4))
    seen: set[str] = set()
    images = sorted({row.image_name for row in desk.site.world.truth()})
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: desk.site.world.delete_version(images[0], 2),
        lambda: desk.site.world.delete_image(images[1]),
    )
    for change in changes:
        change()
        desk.site.sync()
        seen |= set(desk.site.simulator.counters.totals().calls)
    policy = json.loads(desk("check", "--emit-policy").out)
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert allowed == {f"sagemaker:{operation}" for operation in seen - {"GetCallerIdentity"}}


def test_policy_of_the_caller_is_pointed_at(bench: MakeBench) -> None:
    """If roles are configured, --emit-policy points to the caller's own policy; neither policy makes a request."""
    desk = bench(World(), config=f"accounts: [{{role_arn: '{ROLE}', regions: [us-east-1]}}]\n")
    reader = desk("check", "--emit-policy")
    assert "--emit-policy=caller" in reader.err
    assert "444455556666" in reader.out
    caller = json.loads(desk("check", "--emit-policy=caller").out)
    assert caller["Statement"][0]["Resource"] == [ROLE]
    assert desk.site.simulator.counters.calls() == 0


@pytest.mark.parametrize(
    ("config", "check"),
    [
        pytest.param(
            "organization: {role_name: reader, regions: [us-east-1]}\n", "configuration", id="organization"
        ),
        pytest.param("accounts: [{regions: all}]\n", "regions", id="all-regions"),
    ],
)
def test_accounts_and_regions_that_cannot_be_told_are_named(
    bench: MakeBench, config: str, check: str
) -> None:
    """If accounts or regions cannot be looked up, check names the failed lookup and says what to do."""
    code, (trouble,) = bench(generate(23, images=1), config=config).troubles()
    assert trouble["check"] == check
    assert code in {2, 3, 6}
    assert trouble["exit_code"] == code


def test_sync_at_work_and_runs_that_wait_are_told(bench: MakeBench) -> None:
    """`check` warns of the process that holds the landing folder, and reports an unfinished run without a failure."""
    desk = bench(generate(23, images=3, versions_per_image=4))
    desk.site.sync()
    interrupted(desk.site, 1)
    with Landing(desk.site.config.landing_folder).locked():
        code, (trouble,) = desk.troubles()
    assert (code, trouble["check"], trouble["level"]) == (0, "landing", "warning")
    assert str(os.getpid()) in trouble["message"]
    told = " ".join(row["message"] for row in desk.checked()[1] if row["check"] == "landing")
    assert "is unfinished" in told
    assert "the next sync takes it up" in told
