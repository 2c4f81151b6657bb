"""The minimal IAM policies: exactly the operations of a sync, limited to the configured resources."""

from __future__ import annotations

import json
from collections.abc import Callable
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


def test_policy_of_many_accounts_stays_short() -> None:
    """With very many accounts or patterns, the policy names none of them: IAM allows 6,144 characters."""
    reaches = [Reach("aws", "us-east-1", f"{number:012}") for number in range(100)]
    policy = reader_policy(reaches)
    assert resources(policy, "sagemaker:DescribeImage") == ["arn:aws:sagemaker:us-east-1:*:image/*"]
    assert len(json.dumps(policy)) < 6144
    patterns = tuple(f"image-{number}" for number in range(50))
    assert resources(
        reader_policy([Reach("aws", "us-east-1", None, patterns)]), "sagemaker:DescribeImage"
    ) == ["arn:aws:sagemaker:us-east-1:*:image/*"]


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
    """A publisher may write and list only below the configured keys; a dataset in a folder needs no policy."""
    policy: Any = policy_of_publisher(PUBLISHED)
    assert resources(policy, "s3:PutObject") == [
        "arn:aws:s3:::lake/images/history/*",
        "arn:aws:s3:::whole/*",
    ]
    assert policy["Statement"][1]["Condition"] == {"StringLike": {"s3:prefix": ["images/history/*"]}}
    assert others(PUBLISHED) == ("publisher",)
    assert others(Config()) == ()
    with pytest.raises(ConfigError, match="No dataset or lake in AWS"):
        policy_of_publisher(Config())


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
