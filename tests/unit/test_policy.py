"""The minimal IAM policies: exactly the operations of a sync, limited to the configured resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest
from cfnlint import api as cfnlint

from image_history.aws.bodies import BODIES
from image_history.aws.error_codes import ACCOUNT_OPERATIONS
from image_history.checking.needed import others, policy_of_caller, policy_of_publisher, policy_of_reader
from image_history.checking.policy import Callers, Reach, caller_policy, reader_policy
from image_history.config import Account, Config, Images, Members, Organization, Publish
from image_history.errors import ConfigError

# Without `details`, a sync does not request aliases.
ALWAYS = BODIES.keys() - {"ListAliases"}

ROLE = "arn:aws-us-gov:iam::444455556666:role/reader"


def complaints(*policies: object) -> list[str]:
    """The errors and warnings of cfn-lint for these policies, as managed policies of a template."""
    resources = {
        f"Policy{number}": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
        for number, policy in enumerate(policies)
    }
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    return [str(match) for match in cfnlint.lint(json.dumps(template), config={"include_checks": ["W"]})]


def actions(policy: Any) -> list[str]:
    """Every action that a policy allows."""
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def resources(policy: Any, action: str) -> list[str]:
    """The resources on which an action is allowed."""
    (found,) = [one["Resource"] for one in policy["Statement"] if action in one["Action"]]
    return list(found)


def config_of(*accounts: Account) -> Config:
    """A configuration of these accounts."""
    return Config(accounts=accounts)


UNITS = Organization(
    role_name="audit/reader", regions="all", include=Members(units=("ou-ab12-cdef3456",)), exclude=Members()
)
PUBLISHED = Config(
    publish=(Publish(to="s3://lake/images/history"), Publish(to="./here"), Publish(to="s3://whole"))
)
ENCRYPTED = Config(
    publish=tuple(Publish(to="s3://lake/x", sse="aws:kms", kms_key_id=key) for key in ("1-a", "alias/h"))
)

LONG = tuple(f"Team-{number}-{'x' * 80}" for number in range(5))
CONFIGURATIONS = {
    "nothing-configured": config_of(Account()),
    "regions": config_of(Account(regions=("us-east-1", "eu-west-1"))),
    "patterns": config_of(Account(regions=("us-east-1",), images=Images(include=("Base-*", "ml-[abc]?")))),
    "government": config_of(Account(role_arn=ROLE, regions=("us-gov-west-1",))),
    "china": config_of(Account(profile="cn", regions=("cn-north-1",))),
}


def test_policies_are_such_as_cfn_lint_accepts() -> None:
    """Whatever is configured, cfn-lint finds only valid actions, resources and conditions."""
    listing = caller_policy(Callers((), ("organizations:ListAccounts",)))
    readers = [policy_of_reader(config) for config in CONFIGURATIONS.values()]
    units, shelves = Config(organization=UNITS), policy_of_publisher(PUBLISHED)
    further = [
        policy_of_caller(CONFIGURATIONS["government"]),
        policy_of_caller(units),
        policy_of_reader(units),
        reader_policy(
            [Reach("aws", f"us-{name}-1", "1" * 12, LONG) for name in ("east", "west", "gov-east")]
        ),
    ]
    assert complaints(*readers, *further, listing, shelves, policy_of_publisher(ENCRYPTED)) == []


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_policy_allows_the_four_operations_and_no_other(name: str) -> None:
    """A policy allows exactly the SageMaker operations that the connector can decode, and denies nothing."""
    policy: Any = policy_of_reader(CONFIGURATIONS[name])
    assert sorted(actions(policy)) == sorted(f"sagemaker:{operation}" for operation in ALWAYS)
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_policy_allows_aliases_only_where_details_are_read(name: str) -> None:
    """ListAliases is allowed only with `details`, on images and on their versions."""
    config = msgspec.structs.replace(CONFIGURATIONS[name], details=True)
    policy: Any = policy_of_reader(config)
    assert sorted(actions(policy)) == sorted(f"sagemaker:{operation}" for operation in BODIES)
    assert resources(policy, "sagemaker:ListAliases") == [
        *resources(policy, "sagemaker:ListImageVersions"),
        *resources(policy, "sagemaker:DescribeImageVersion"),
    ]
    assert complaints(policy) == []


def test_cfn_lint_reads_policies() -> None:
    """The linter of the tests above reports an action that does not exist, and a malformed ARN."""
    policy: Any = policy_of_reader(CONFIGURATIONS["regions"])
    policy["Statement"][1]["Action"] = ["sagemaker:DescribeImagination"]
    policy["Statement"][2]["Resource"] = ["image-version/*"]
    told = "\n".join(complaints(policy)).lower()
    assert "imagination" in told
    assert "image-version/*" in told


def test_policy_names_partition_region_and_account_where_they_are_known() -> None:
    """A role gives account and partition, a region gives its partition, and ListImages is limited to regions."""
    policy: Any = policy_of_reader(CONFIGURATIONS["government"])
    assert resources(policy, "sagemaker:ListImageVersions") == [
        "arn:aws-us-gov:sagemaker:us-gov-west-1:444455556666:image/*"
    ]
    assert policy["Statement"][0]["Condition"] == {"StringEquals": {"aws:RequestedRegion": ["us-gov-west-1"]}}
    china: Any = policy_of_reader(CONFIGURATIONS["china"])
    assert resources(china, "sagemaker:DescribeImageVersion") == [
        "arn:aws-cn:sagemaker:cn-north-1:*:image-version/*"
    ]
    nowhere: Any = policy_of_reader(CONFIGURATIONS["nothing-configured"])
    assert resources(nowhere, "sagemaker:DescribeImage") == ["arn:aws:sagemaker:*:*:image/*"]
    assert "Condition" not in nowhere["Statement"][0]


def test_policy_keeps_the_patterns_of_each_account() -> None:
    """Each account keeps its own image patterns; with very many accounts, the patterns are combined."""
    narrow = Account(role_arn=ROLE, regions=("us-east-1",), images=Images(include=("team-*",)))
    whole = Account(role_arn=ROLE.replace("444455556666", "111122223333"), regions=("us-east-1",))
    assert resources(policy_of_reader(config_of(narrow, whole)), "sagemaker:DescribeImage") == [
        "arn:aws-us-gov:sagemaker:us-east-1:111122223333:image/*",
        "arn:aws-us-gov:sagemaker:us-east-1:444455556666:image/team-*",
    ]
    many = [Reach("aws", "us-east-1", f"{number:012}", (f"team-{number % 3}",)) for number in range(100)]
    assert resources(reader_policy(many), "sagemaker:DescribeImage") == [
        f"arn:aws:sagemaker:us-east-1:*:image/team-{number}" for number in range(3)
    ]


@pytest.mark.parametrize("written", ["Base-GPU", "base-gpu"])
def test_policy_allows_patterns_in_both_cases(written: str) -> None:
    """A pattern allows a name in its own case and in lower case, because SageMaker may lower-case names in ARNs."""
    policy = policy_of_reader(CONFIGURATIONS["patterns"])
    arns = resources(policy, "sagemaker:DescribeImageVersion")
    wanted = f"arn:aws:sagemaker:us-east-1:111122223333:image-version/{written}/17"
    assert any(fnmatchcase(wanted, arn) for arn in arns)
    other = "arn:aws:sagemaker:us-east-1:111122223333:image-version/private/1"
    assert not any(fnmatchcase(other, arn) for arn in arns)
    assert "ml-??" in " ".join(arns)


def allows(policy: Any, action: str, reach: Reach, arn: str) -> bool:
    """Whether a policy allows an action on an ARN in the region of a reach."""
    (one,) = (each for each in policy["Statement"] if action in each["Action"])
    regions = one.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion", [reach.region])
    return reach.region in regions and any(fnmatchcase(arn, allowed) for allowed in one["Resource"])


@pytest.mark.parametrize("details", [False, True], ids=["plain", "details"])
@pytest.mark.parametrize("differ", [False, True], ids=["one-for-all", "of-its-own"])
@pytest.mark.parametrize("patterns", [2, 10])
@pytest.mark.parametrize("regions", [2, 34])
@pytest.mark.parametrize("accounts", [1, 3, 20])
def test_policy_is_as_short_as_iam_wants(
    accounts: int, regions: int, patterns: int, differ: bool, details: bool
) -> None:
    """A policy has at most the 6,144 characters that IAM takes, and allows all that is configured, nowhere else."""
    reaches = [
        Reach(
            "aws-us-gov",
            f"us-gov-{region}",
            f"{account:012}",
            tuple(f"Team-{pattern}-{account if differ else 0}-{'x' * 40}-*" for pattern in range(patterns)),
        )
        for account in range(accounts)
        for region in range(regions)
    ]
    policy: Any = reader_policy(reaches, regions_listed=True, details=details)
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
    for reach in reaches[:: -(-len(reaches) // 20)]:
        place = f"arn:aws-us-gov:sagemaker:{reach.region}:{reach.account_id}"
        for name in (each.replace("*", "1") for each in reach.images):
            assert allows(policy, "sagemaker:DescribeImage", reach, f"{place}:image/{name}")
            assert allows(policy, "sagemaker:DescribeImageVersion", reach, f"{place}:image-version/{name}/7")
            assert not details or allows(policy, "sagemaker:ListAliases", reach, f"{place}:image/{name}")
    elsewhere = replace(reaches[0], region="us-east-1")
    arn = f"arn:aws-us-gov:sagemaker:us-east-1:{reaches[0].account_id}:image/{reaches[0].images[0]}"
    assert not allows(policy, "sagemaker:DescribeImage", elsewhere, arn)
    assert not allows(policy, "sagemaker:ListImages", elsewhere, "*")


@pytest.mark.parametrize(
    ("sizes", "first", "count", "limited"),
    [
        pytest.param((1, 2, 3), "eu-0:000000000000:image/t-0-0-", 6, False, id="short"),
        pytest.param((1, 10, 3), "*:000000000000:image/t-0-0-", 3, True, id="many-regions"),
        pytest.param((3, 10, 1), "*:000000000000:image/t-0-0-", 3, True, id="many-regions-of-accounts"),
        pytest.param((40, 1, 1), "eu-0:*:image/*", 1, False, id="many-accounts"),
        pytest.param((40, 34, 1), "*:*:image/*", 1, True, id="many-of-both"),
    ],
)
def test_policy_that_would_be_too_long_keeps_what_it_can(
    sizes: tuple[int, int, int], first: str, count: int, limited: bool
) -> None:
    """If a policy would be too long, a condition replaces regions; accounts and patterns give way only after that."""
    accounts, regions, patterns = sizes
    reaches = [
        Reach(
            "aws",
            f"eu-{region}",
            f"{account:012}",
            tuple(f"t-{pattern}-{account}-{'x' * 40}" for pattern in range(patterns)),
        )
        for account in range(accounts)
        for region in range(regions)
    ]
    policy: Any = reader_policy(reaches, details=True)
    arns = resources(policy, "sagemaker:DescribeImage")
    assert (arns[0].startswith(f"arn:aws:sagemaker:{first}"), len(arns)) == (True, count)
    condition = {"StringEquals": {"aws:RequestedRegion": sorted({str(reach.region) for reach in reaches})}}
    always, *others = [each.get("Condition") for each in policy["Statement"]]
    assert (always, others) == (condition, [condition if limited else None] * 3)


def test_policy_names_an_account_only_if_it_is_the_only_one() -> None:
    """ARNs have the id of a single account; of two accounts with the same patterns they have none."""
    one = Reach("aws", "us-east-1", "111122223333")
    for reaches, account in (([one], "111122223333"), ([one, replace(one, account_id="444455556666")], "*")):
        arns = resources(reader_policy(reaches), "sagemaker:DescribeImage")
        assert arns == [f"arn:aws:sagemaker:us-east-1:{account}:image/*"]


def test_caller_may_assume_exactly_the_configured_roles() -> None:
    """The caller may only assume the configured roles; without a role there is no caller's policy."""
    policy = policy_of_caller(CONFIGURATIONS["government"])
    assert actions(policy) == ["sts:AssumeRole"]
    assert resources(policy, "sts:AssumeRole") == [ROLE]
    with pytest.raises(ConfigError, match="No role"):
        policy_of_caller(CONFIGURATIONS["regions"])


def test_organization_is_listed_by_the_caller_and_read_by_its_role() -> None:
    """The caller may assume the roles of all accounts and list the accounts, by unit if units are configured."""
    config = Config(organization=UNITS)
    caller, reader = policy_of_caller(config), policy_of_reader(config)
    assert resources(caller, "sts:AssumeRole") == ["arn:aws:iam::*:role/audit/reader"]
    assert set(actions(caller)) == {
        "sts:AssumeRole",
        "organizations:ListAccountsForParent",
        "organizations:ListOrganizationalUnitsForParent",
    }
    assert set(actions(reader)) == {f"sagemaker:{operation}" for operation in ALWAYS} | {
        "account:ListRegions"
    }
    whole = policy_of_caller(Config(organization=Organization(role_name="reader")))
    assert set(actions(whole)) == {"sts:AssumeRole", "organizations:ListAccounts"}


@pytest.mark.parametrize("policy", [policy_of_reader, policy_of_caller], ids=["reader", "caller"])
def test_policy_has_no_operation_that_is_never_called(policy: Callable[[Config], Any]) -> None:
    """Every allowed operation is one that the connector calls."""
    asked = {action.partition(":")[2] for action in actions(policy(Config(organization=UNITS)))}
    assert asked <= {*BODIES, *ACCOUNT_OPERATIONS, "AssumeRole"}


def test_publisher_reaches_its_datasets_only() -> None:
    """A publisher may reach objects and list only below the configured keys; what is in a folder needs no policy."""
    policy: Any = policy_of_publisher(PUBLISHED)
    assert resources(policy, "s3:PutObject") == [
        "arn:aws:s3:::lake/images/history/*",
        "arn:aws:s3:::whole/*",
    ]
    for action in ("s3:GetObject", "s3:DeleteObject"):
        assert resources(policy, action) == resources(policy, "s3:PutObject")
    listing, listing_all = policy["Statement"][1:]
    assert listing == {
        "Sid": "ListDataset1",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": ["arn:aws:s3:::lake"],
        "Condition": {"StringLike": {"s3:prefix": ["images/history/*"]}},
    }
    assert (listing_all["Resource"], "Condition" in listing_all) == (["arn:aws:s3:::whole"], False)
    assert others(PUBLISHED) == ("publisher",)
    in_s3 = tuple(each for each in PUBLISHED.publish if each.to != "./here")
    assert len(in_s3) == 2
    assert policy_of_publisher(Config(publish=in_s3)) == policy
    for nothing in (Config(), Config(publish=(Publish(to="./here"), Publish(to="delta+file:./lake")))):
        assert others(nothing) == ()
        with pytest.raises(ConfigError, match="No dataset or lake in AWS"):
            policy_of_publisher(nothing)


@pytest.mark.parametrize(
    ("key", "resource", "alias"),
    [
        pytest.param("arn:aws:kms:eu-west-1:111122223333:key/1-a", None, None, id="arn"),
        pytest.param("1-a", "arn:aws:kms:*:*:key/1-a", None, id="id"),
        pytest.param("alias/h", "arn:aws:kms:*:*:key/*", "alias/h", id="alias"),
        pytest.param(
            "arn:aws:kms:eu-west-1:111122223333:alias/h",
            "arn:aws:kms:eu-west-1:111122223333:key/*",
            "alias/h",
            id="arn-of-an-alias",
        ),
    ],
)
def test_publisher_may_use_the_key_of_its_datasets(key: str, resource: str | None, alias: str | None) -> None:
    """A publisher may use only the configured key, to encrypt what it writes and to read the manifest."""
    entry = Publish(to="s3://bucket/x", sse="aws:kms", kms_key_id=key)
    policy: Any = policy_of_publisher(Config(publish=(entry,)))
    statement = policy["Statement"][-1]
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == [resource or key]
    condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": [alias]}} if alias else None
    assert statement.get("Condition") == condition
    plain: Any = policy_of_publisher(Config(publish=(Publish(to="s3://bucket/x", sse="aws:kms"),)))
    assert "kms" not in str(plain)
