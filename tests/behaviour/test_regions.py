"""`regions: all` and partitions: which regions of an account are read, and which endpoints receive the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from image_history.aws.catalog import nearest_regions, sagemaker_regions
from image_history.aws.image_api import Access, Login, Timeouts
from image_history.checking.remote import find_and_look
from image_history.config import Account, Config, Retry
from image_history.errors import ConfigError, ConnectorError, CredentialsError, ThrottledError
from image_history.extract.expand import find_targets
from image_history.extract.scopes import Target, open_scope, targets
from image_history.forecast.forecasting import forecast
from image_history.model import Stop
from image_history.warehouse.loader import Knowledge
from tests.behaviour.cloud import Cloud
from tests.behaviour.scripted import Reply, Request, Scripted, answer, error, scripted

XML = {"Content-Type": "text/xml"}
Serve = Callable[..., Scripted]
PARTITIONS = {
    "aws": "us-east-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-cn": "cn-northwest-1",
    "aws-eusc": "eusc-de-east-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
}


SUFFIXES = {
    "aws": "amazonaws.com",
    "aws-us-gov": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-eusc": "amazonaws.eu",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
}
FIRST = {
    "sts": "get_caller_identity",
    "sagemaker": "list_images",
    "ec2": "describe_regions",
    "account": "list_regions",
    "organizations": "list_accounts",
}


def identity(partition: str = "aws") -> Reply:
    """An answer of GetCallerIdentity."""
    result = f"<Account>111122223333</Account><Arn>arn:{partition}:iam::111122223333:user/me</Arn>"
    return Reply(
        body=f"<R><GetCallerIdentityResult>{result}</GetCallerIdentityResult></R>".encode(), headers=XML
    )


def listed(*names: str) -> Reply:
    """An answer of account:ListRegions."""
    return answer(Regions=[{"RegionName": name, "RegionOptStatus": "ENABLED"} for name in names])


def described(*names: str) -> Reply:
    """An answer of ec2:DescribeRegions."""
    items = "".join(f"<item><regionName>{name}</regionName></item>" for name in names)
    return Reply(body=f"<R><regionInfo>{items}</regionInfo></R>".encode(), headers=XML)


def refused(code: str = "UnauthorizedOperation") -> Reply:
    """An error answer of EC2."""
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"
    return Reply(403, body.encode(), XML)


DENIED, KNOWN = refused(), identity()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serves an identity, and these answers of account:ListRegions and ec2:DescribeRegions."""
    with ExitStack() as stack:

        def serve(lists: Reply, describes: Reply = DENIED, who: Reply = KNOWN) -> Scripted:
            def answering(request: Request) -> Reply:
                if b"Action=DescribeRegions" in request.body:
                    return describes
                return who if b"Action=" in request.body else lists

            server = stack.enter_context(scripted(answering))
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            return server

        yield serve


def all_regions(*accounts: Account) -> list[Target]:
    """The targets of these accounts, or of one default account with `regions: all`."""
    config = Config(accounts=accounts or (Account(regions="all"),), retry=Retry(attempts=1))
    return list(find_targets(config, Stop()))


def regions_of(found: list[Target]) -> list[str]:
    """The regions of the targets, in order."""
    return [target.region for target in found]


def test_all_regions_are_the_enabled_ones_with_sagemaker(told: Serve) -> None:
    """Regions that are not enabled, such as opt-in ones, and regions without SageMaker are not read."""
    server = told(listed("us-east-1", "eu-west-1", "us-new-1"))
    assert "me-central-1" in sagemaker_regions("aws")
    assert regions_of(all_regions()) == ["eu-west-1", "us-east-1"]
    assert server.requests[-1].parameters == {"RegionOptStatusContains": ["ENABLED", "ENABLED_BY_DEFAULT"]}


@pytest.mark.parametrize("lists", [error("AccessDeniedException"), error("InternalFailure", 500), answer()])
def test_regions_are_described_where_they_cannot_be_listed(told: Serve, lists: Reply) -> None:
    """If account:ListRegions gives no regions, they come from ec2:DescribeRegions: one permission is enough."""
    told(lists, described("us-east-1", "eu-central-1"))
    assert regions_of(all_regions()) == ["eu-central-1", "us-east-1"]


def test_account_whose_regions_are_denied_spoils_no_other(told: Serve) -> None:
    """An account whose regions are denied is one failed scope that names both permissions; others are read."""
    told(error("AccessDeniedException"))
    named = Account(profile=None, regions=("eu-west-1",))
    role = Account(role_arn="arn:aws:iam::111122223333:role/reader", regions=("us-east-1",))
    lost, *others = all_regions(Account(regions="all"), role)
    assert (str(lost), regions_of(others)) == ("the default credentials in all regions", ["us-east-1"])
    with pytest.raises(
        CredentialsError,
        match=r"Cannot tell .* account:ListRegions or ec2:DescribeRegions, or name the regions",
    ):
        open_scope(lost, Config(accounts=(named,)), Stop())


@pytest.mark.parametrize(
    ("describes", "kind"),
    [(described(), ConnectorError), (refused("RequestLimitExceeded"), ThrottledError)],
)
def test_regions_that_are_not_told_are_no_empty_list(
    told: Serve, describes: Reply, kind: type[ConnectorError]
) -> None:
    """An answer without regions, and a throttled call, make the account a failed one, not one without regions."""
    told(error("AccessDeniedException"), describes)
    (lost,) = all_regions()
    assert isinstance(lost.fault, kind)


def test_account_with_unknown_credentials_is_asked_nothing_else(told: Serve) -> None:
    """If STS does not know the credentials, the regions of the account are not requested."""
    body = b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>"
    server = told(listed("us-east-1"), who=Reply(403, body, XML))
    (lost,) = all_regions()
    assert isinstance(lost.fault, CredentialsError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("partition", PARTITIONS)
def test_all_regions_are_those_of_the_partition(
    told: Serve, monkeypatch: pytest.MonkeyPatch, partition: str
) -> None:
    """The identity names the partition: its regions are read, and the STS of that partition is called."""
    there = sagemaker_regions(partition)
    if not there:
        pytest.skip("the oldest botocore that is allowed does not know of it")
    server = told(listed(*sagemaker_regions("aws"), *there), who=identity(partition))
    monkeypatch.setenv("AWS_DEFAULT_REGION", PARTITIONS[partition])
    assert regions_of(all_regions()) == list(there)
    assert f"/{PARTITIONS[partition]}/sts/" in server.requests[0].headers["authorization"]


class UnsentError(Exception):
    """A request that was not sent; its message is the URL."""


def refuse(request: Any, **_: object) -> None:
    """Raise the request's URL instead of sending it."""
    raise UnsentError(request.url)


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("service", ["sts", "sagemaker", "ec2", "account", "organizations"])
def test_endpoints_are_those_of_the_partition(
    monkeypatch: pytest.MonkeyPatch, partition: str, service: str
) -> None:
    """A role's endpoints are those of its partition's home region, whatever region the environment has."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    login = Login(Access(role_arn=f"arn:{partition}:iam::111122223333:role/reader"))
    region = login.home_region
    assert region == PARTITIONS[partition]
    api = login.client(service, region, timeouts=Timeouts()).api
    api.meta.events.register_first("before-sign", refuse)
    with pytest.raises(UnsentError) as asked:
        getattr(api, FIRST[service])()
    url = str(asked.value).rstrip("/").removesuffix("/listRegions")
    assert (
        url == f"https://{'api.' if service == 'sagemaker' else ''}{service}.{region}.{SUFFIXES[partition]}"
    )


def test_role_and_region_of_different_partitions_are_refused() -> None:
    """A role of one partition with a region of another partition is refused."""
    account = Account(role_arn="arn:aws-cn:iam::111122223333:role/reader", regions=("us-east-1",))
    with pytest.raises(ConfigError, match="partition aws-cn, and region us-east-1 of partition aws"):
        targets([account])


def test_all_regions_of_an_unknown_partition_are_refused(told: Serve) -> None:
    """`regions: all` is refused in a partition that this botocore does not know."""
    told(listed("us-east-1"), who=identity("aws-new"))
    (target,) = all_regions()
    with pytest.raises(ConfigError, match="No region of partition aws-new is known to have SageMaker"):
        target.require_sound()


def test_all_regions_from_a_server_that_lists_none(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server does not know account:ListRegions, as moto, the enabled regions come from EC2."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    before = cloud.asked().get("DescribeRegions", 0)
    regions = regions_of(all_regions())
    assert {"us-east-1", "eu-west-1"} <= set(regions) <= set(sagemaker_regions("aws"))
    assert cloud.asked()["DescribeRegions"] == before + 1


@pytest.mark.parametrize(
    ("environment", "region", "source"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1", "AWS_REGION"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1", "AWS_DEFAULT_REGION"),
        ({}, "ap-south-1", "profile mine of AWS's files"),
    ],
)
def test_region_of_the_environment_is_the_clis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], region: str, source: str
) -> None:
    """AWS_REGION precedes AWS_DEFAULT_REGION, as in version 2 of the AWS CLI, and both precede the profile."""
    (tmp_path / "config").write_text("[profile mine]\nregion = ap-south-1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (target,) = targets([Account(profile="mine")])
    assert (target.region, target.region_from) == (region, source)
    assert target.login is not None
    client = target.login.client("sagemaker", target.region, timeouts=Timeouts()).api
    assert client.meta.region_name == region


def test_plan_and_check_say_where_a_region_comes_from(
    told: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`plan` and `check` name the variable that a region comes from."""
    told(answer(Images=[]))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    config = Config(accounts=(Account(),), warehouse=tmp_path / "w.duckdb", retry=Retry(attempts=1))
    (said,) = forecast(config).regions_from
    assert said == "the default credentials in eu-west-1, from AWS_REGION"
    results = find_and_look(config, Knowledge())
    assert ("region", "eu-west-1, from AWS_REGION") in [(each.check, each.message) for each in results]


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("eu-wset-1", ("eu-west-1",)),
        ("eu-west-9", ("eu-west-1", "eu-west-2", "eu-west-3")),
        ("nowhere", ()),
    ],
)
def test_misspelled_region_has_all_that_are_equally_near(typed: str, near: tuple[str, ...]) -> None:
    """A swap of letters has one nearest region; a wrong digit has all regions that differ in it."""
    assert nearest_regions(typed) == near
