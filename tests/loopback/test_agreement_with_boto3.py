"""With the same configuration, boto3 and image-history call the same places with the same key and token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import boto3
import pytest

from tests.looking import looking
from tests.loopback.cloud import IMAGE, Cloud
from tests.loopback.configurations import CONFIGURATIONS, SECOND_KEY, Configuration
from tests.loopback.stage import SECOND, Bench

# The signed services that both programs call, and the unsigned sources of credentials: both kinds are compared.
SIGNED = ("sagemaker", "sts", "s3")
UNSIGNED = ("sso", "sso-oidc", "imds", "container")
# Each configuration is tested with one group of verbs; one configuration of each kind, and all that name S3, with
# all verbs. `list` reads one account, so `plan` goes with it to show that the second account works too.
TURNS = (("sync",), ("check",), ("list", "plan"))
ALL = ("sync", "check", "list", "plan")
WHOLE = frozenset(
    {"env-keys", "source-profile", "web-identity-env", "sso-session", "endpoint-services", "proxy"}
)
VERBS = {
    name: ALL if name in WHOLE or "s3" in repr(configuration) else turn
    for (name, configuration), turn in zip(CONFIGURATIONS.items(), cycle(TURNS), strict=False)
}


def ask_by_boto3(configuration: Configuration, *, publish: bool) -> None:
    """Send the requests of a short boto3 program."""
    session = boto3.Session(profile_name=configuration.profile)
    session.client("sagemaker", region_name=configuration.region).list_images()
    session.client("sts", region_name=configuration.region).get_caller_identity()
    if publish:
        s3 = session.client("s3", region_name=configuration.region)
        s3.put_object(Bucket="bucket", Key="images/probe", Body=b"probe")


def written(home: Path, configuration: Configuration, *others: object, publish: bool) -> Sequence[str]:
    """Write image-history's configuration of the same account, and of a dataset in S3; return its option."""
    access = configuration.account or named(configuration.profile)
    to = {"to": "s3://bucket/images", **named(configuration.profile)}
    settings = {
        "accounts": [{**access, "regions": [configuration.region]}, *others],
        "publish": [to] if publish else [],
        "rate": {"list_per_second": 10_000, "describe_per_second": 10_000},
        "retry": {"attempts": 2, "max_wait": "1ms"},
    }
    path = home / "config.yaml"
    path.write_text(json.dumps(settings))
    return ("--config", str(path))


def named(profile: str | None) -> Mapping[str, str]:
    """The setting of a profile, if there is one."""
    return {} if profile is None else {"profile": profile}


def become(bench: Bench, home: str, configuration: Configuration) -> Path:
    """Set up a machine with this configuration; return its home folder."""
    made = bench.become(home, configuration.everything, configuration.written)
    if configuration.account is None:
        # A dataset has no setting for the region, so S3's region comes from the environment or the profile.
        bench.machine.patch.setenv("AWS_DEFAULT_REGION", configuration.region)
    return made


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_requests_are_those_of_boto3(bench: Bench, name: str) -> None:
    """Each verb calls the same hosts with the same keys as boto3, and a sync publishes to S3 as boto3 does.

    The same command also reads a second account with its own keys.
    """
    configuration = CONFIGURATIONS[name]
    become(bench, "boto3", configuration)
    publish = "sync" in VERBS[name] and configuration.account is None
    ask_by_boto3(configuration, publish=publish)
    theirs = bench.cloud
    home = become(bench, "ours", configuration)
    second = {"profile": "second", "regions": [configuration.region]}
    for verb in VERBS[name]:
        if verb == "list":
            bench.succeed(*written(home, configuration, publish=False), verb, IMAGE)
        else:
            bench.succeed(*written(home, configuration, second, publish=publish), verb)
    assert_same(theirs, bench.cloud)
    assert (SECOND_KEY, "ListImages") in {(each.key, each.operation) for each in bench.cloud.seen}
    if "sync" in VERBS[name]:
        with looking(home / "image-history.duckdb") as connection:
            found = connection.execute("SELECT DISTINCT account_id FROM image_versions").fetchall()
        assert len(found) == 2
        assert (SECOND,) in found


def assert_same(theirs: Cloud, ours: Cloud) -> None:
    """Check that all signatures are valid, and that both programs called the same places for the first account."""
    for asked in (theirs, ours):
        assert asked.seen
        assert [each for each in asked.seen if not each.valid] == []
    for service in (*SIGNED, *UNSIGNED):
        assert ours.places(service, but=SECOND_KEY) == theirs.places(service), service


def test_there_are_sixty_configurations() -> None:
    """There are at least sixty configurations, all different, with plain names."""
    assert len(CONFIGURATIONS) >= 60
    assert len({repr(each) for each in CONFIGURATIONS.values()}) == len(CONFIGURATIONS)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in CONFIGURATIONS)
