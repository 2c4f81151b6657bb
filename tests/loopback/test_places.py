"""The region for STS calls, the handling of a region that is not enabled, and shared or renewed credentials."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.looking import looking
from tests.loopback.configurations import ENVIRONMENT, REGION, STATIC, Configuration, login, role
from tests.loopback.configurations import SSO_PROFILE as SSO
from tests.loopback.configurations import SSO_SESSION as CORP
from tests.loopback.stage import ACCOUNT, ROLES, Bench

REGIONS = ("af-south-1", "us-east-1", "eu-west-1")


def named(bench: Bench, accounts: str) -> None:
    """Set the accounts by environment variable."""
    bench.machine.patch.setenv("IMAGE_HISTORY_ACCOUNTS", accounts)
    bench.machine.patch.setenv("IMAGE_HISTORY_RETRY__MAX_WAIT", "1ms")


@pytest.mark.parametrize("regions", [*permutations(REGIONS)], ids=",".join)
@pytest.mark.parametrize("kind", ["keys", "role"])
def test_region_that_is_not_enabled_costs_no_other(bench: Bench, kind: str, regions: tuple[str, ...]) -> None:
    """In any order, the other regions are read, the sync exits with 4, and its message names the right region."""
    reader = f"arn:aws:iam::{ROLES}:role/reader"
    config = f"[profile base]\n{STATIC}"
    home = bench.become("home", Configuration(ENVIRONMENT, config=config).everything, {".aws/config": config})
    account = ACCOUNT if kind == "keys" else ROLES
    bench.cloud.disabled_regions.update({(ACCOUNT, "af-south-1"), (ROLES, "af-south-1")})
    access = "" if kind == "keys" else f"role_arn: '{reader}', source_profile: base, "
    named(bench, f"[{{{access}regions: [{', '.join(regions)}]}}]")
    answered = bench.run("sync")
    assert answered.code == 4, answered.err
    assert f"is the region af-south-1 enabled in account {account}?" in answered.out + answered.err
    # The other regions cannot be disabled, so the one STS call goes to one of them and succeeds.
    asked = [each for each in bench.cloud.seen if each.operation == "GetCallerIdentity"]
    assert [each.region == "af-south-1" for each in asked] == [False]
    with looking(home / "image-history.duckdb") as connection:
        found = connection.execute("SELECT DISTINCT account_id, region FROM image_versions").fetchall()
    assert set(found) == {(account, "us-east-1"), (account, "eu-west-1")}


def test_unknown_keys_are_refused_everywhere(bench: Bench) -> None:
    """If AWS refuses the keys in every region, the sync exits with 3 and does not ask about regions."""
    keys = {**ENVIRONMENT, "AWS_ACCESS_KEY_ID": "AKIANOBODY"}
    bench.become("home", Configuration(keys).everything, {})
    named(bench, "[{regions: [us-east-1, eu-west-1]}]")
    answered = bench.run("sync")
    assert answered.code == 3
    assert "enabled" not in answered.err
    assert bench.cloud.operations("sts") == ["GetCallerIdentity"]


def test_account_of_a_region_that_it_has_not_enabled_is_asked_elsewhere(bench: Bench) -> None:
    """If the only region is not enabled, STS is called there, and then in the partition's global region."""
    bench.become("home", Configuration(ENVIRONMENT).everything, {})
    bench.cloud.disabled_regions.add((ACCOUNT, "af-south-1"))
    named(bench, "[{regions: [af-south-1]}]")
    answered = bench.run("sync")
    assert answered.code == 3
    assert f"is the region af-south-1 enabled in account {ACCOUNT}?" in answered.err
    asked = [each.region for each in bench.cloud.seen if each.operation == "GetCallerIdentity"]
    assert asked == ["af-south-1", "us-east-1"]


def test_six_profiles_share_one_refresh(bench: Bench) -> None:
    """Six profiles of one SSO session refresh its access token once, because a refresh token works once."""
    profiles = "".join(f"[profile p{n}]\n{REGION}{SSO.replace(ACCOUNT, f'{n}' * 12)}" for n in range(1, 7))
    files = {
        ".aws/config": f"{profiles}{CORP}",
        **login("corp", "stale", expires="2020-01-01T00:00:00Z"),
    }
    home = bench.become("home", Configuration().everything, files)
    named(bench, "[" + ", ".join(f"{{profile: p{n}, regions: [us-east-1]}}" for n in range(1, 7)) + "]")
    bench.succeed("sync")
    assert bench.cloud.operations("sso-oidc") == ["POST /token"]
    with looking(home / "image-history.duckdb") as connection:
        found = connection.execute("SELECT count(DISTINCT account_id) FROM image_versions").fetchall()
    assert found == [(6,)]


def test_role_that_expires_is_assumed_again(bench: Bench) -> None:
    """If a role's credentials expire during a run, the role is assumed again, and the run completes."""
    config = f"[profile work]\n{REGION}{role('source_profile = base')}[profile base]\n{STATIC}"
    bench.become("home", Configuration().everything, {".aws/config": config})
    named(bench, "[{profile: work, regions: [us-east-1, eu-west-1, us-west-2]}]")
    bench.cloud.ends_after = 4
    bench.succeed("sync")
    assert bench.cloud.operations("sts").count("AssumeRole") == 2
