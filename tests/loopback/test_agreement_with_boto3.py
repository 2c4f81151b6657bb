"""Unmodified boto3 and image-history, configured alike, make the same requests: same place, region, key and token."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import boto3
import pytest

from tests.looking import looking
from tests.loopback.cloud import IMAGE, Cloud
from tests.loopback.configurations import CONFIGURATIONS, Configuration
from tests.loopback.stage import SECOND, Bench

# What both programs ask; where credentials come from is held in the same way.
SIGNED = ("sagemaker", "sts", "s3")
UNSIGNED = ("sso", "sso-oidc", "imds", "container")


def ask_by_boto3(configuration: Configuration) -> None:
    """What a program of three lines does."""
    session = boto3.Session(profile_name=configuration.profile)
    session.client("sagemaker", region_name=configuration.region).list_images()
    session.client("sts", region_name=configuration.region).get_caller_identity()
    if configuration.account is None:
        s3 = session.client("s3", region_name=configuration.region)
        s3.put_object(Bucket="bucket", Key="images/probe", Body=b"probe")


def written(home: Path, configuration: Configuration, *others: object, publish: bool) -> Sequence[str]:
    """The options that name our configuration of the same account, with datasets in S3 if wanted."""
    access = configuration.account or ({"profile": configuration.profile} if configuration.profile else {})
    accounts = [{**access, "regions": [configuration.region]}, *others]
    to = {"to": "s3://bucket/images", **({"profile": configuration.profile} if configuration.profile else {})}
    settings = {
        "accounts": accounts,
        "publish": [to] if publish and configuration.account is None else [],
        "rate": {"list_per_second": 10_000, "describe_per_second": 10_000},
        "retry": {"attempts": 2, "max_wait": "1ms"},
    }
    path = home / "config.yaml"
    path.write_text(json.dumps(settings))
    return ("--config", str(path))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_requests_are_those_of_boto3(bench: Bench, name: str) -> None:
    """check, list, plan, sync and publishing to S3 ask the same hosts with the same keys as boto3 does."""
    configuration = CONFIGURATIONS[name]
    bench.become("boto3", configuration.everything, configuration.written)
    if configuration.account is None:
        # S3's region is that of the environment or profile, for a dataset has no setting for it.
        bench.machine.patch.setenv("AWS_DEFAULT_REGION", configuration.region)
    ask_by_boto3(configuration)
    theirs = bench.cloud
    home = bench.become("ours", configuration.everything, configuration.written)
    if configuration.account is None:
        bench.machine.patch.setenv("AWS_DEFAULT_REGION", configuration.region)
    options = written(home, configuration, publish=True)
    for verb in (["check"], ["plan"], ["list", IMAGE], ["sync"]):
        bench.succeed(*options, *verb)
    assert_same(theirs, bench.cloud)


def assert_same(theirs: Cloud, ours: Cloud) -> None:
    """Both clouds were asked in the same places, with valid signatures only."""
    for asked in (theirs, ours):
        assert asked.seen
        assert [each for each in asked.seen if not each.valid] == []
    for service in (*SIGNED, *UNSIGNED):
        assert ours.places(service) == theirs.places(service), service


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_second_account_works_beside_it(bench: Bench, name: str) -> None:
    """Another account with keys of its own is read in the same sync."""
    configuration = CONFIGURATIONS[name]
    home = bench.become("beside", configuration.everything, configuration.written)
    second = {"profile": "second", "regions": [configuration.region]}
    bench.succeed(*written(home, configuration, second, publish=False), "sync")
    with looking(home / "image-history.duckdb") as connection:
        found = connection.execute("SELECT DISTINCT account_id FROM image_versions").fetchall()
    assert len(found) == 2
    assert (SECOND,) in found


def test_there_are_sixty_configurations() -> None:
    """Fewer would be less than what was promised; each is of its own name and kind."""
    assert len(CONFIGURATIONS) >= 60
    assert len({repr(each) for each in CONFIGURATIONS.values()}) == len(CONFIGURATIONS)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in CONFIGURATIONS)
