"""The role in Terraform and CloudFormation allows exactly the calls that image-history makes, to named principals."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cfnlint.api
import hcl2
import pytest
import yaml

from image_history.checking.policy import Reach, reader_policy
from image_history.config import Config
from tests.behaviour.commanding import Commanded
from tests.deploy.recipes import DEPLOY, text

pytestmark = pytest.mark.duckdb

TERRAFORM = "iam/image-history.tf"
CLOUDFORMATION = "iam/image-history.yaml"
# The expressions for the partition and for the account in each language.
PARTITIONS = ("${data.aws_partition.current.partition}", "${AWS::Partition}")
ACCOUNTS = ("${data.aws_caller_identity.current.account_id}", "${AWS::AccountId}")

Rules = dict[str, tuple[frozenset[str], frozenset[str]]]


class Template(yaml.SafeLoader):
    """Reads each short function of CloudFormation as its argument, a word or a list."""

    def applied(self, _: str, node: yaml.Node) -> Any:
        """The argument of a short function."""
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)  # type: ignore[arg-type]  # a function before a mapping fails here


Template.add_multi_constructor("!", Template.applied)


def plain(value: Any) -> Any:
    """An HCL value without the quotes that the parser keeps."""
    if isinstance(value, str):
        return value.strip('"')
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    return value


def terraform(kind: str) -> dict[str, Any]:
    """The blocks of one kind, for example data, by type and name."""
    found: dict[str, Any] = {}
    for block in plain(hcl2.loads(text(TERRAFORM)))[kind]:
        for name, content in block.items():
            found[name] = {**found.get(name, {}), **content}
    return found


def template() -> dict[str, Any]:
    """The CloudFormation template."""
    loaded: dict[str, Any] = yaml.load(text(CLOUDFORMATION), Template)  # noqa: S506 - a safe loader's subclass
    return loaded


def listed(value: str | Sequence[str]) -> Sequence[str]:
    """A list of words; IAM accepts a single word as a list of one."""
    return [value] if isinstance(value, str) else value


def neutral(resource: str) -> str:
    """A resource with the partition and the account as `check` prints them if it knows neither."""
    for partition in PARTITIONS:
        resource = resource.replace(partition, "aws")
    for account in ACCOUNTS:
        resource = resource.replace(account, "*")
    return resource


def rules(statements: Iterable[Mapping[str, Any]]) -> Rules:
    """The actions and resources of each statement, by its name; the effect of each must be Allow."""
    found: Rules = {}
    for statement in statements:
        told = {name.lower().rstrip("s"): value for name, value in statement.items()}
        assert told["effect"] == "Allow"
        resources = frozenset(neutral(resource) for resource in listed(told["resource"]))
        found[told["sid"]] = (frozenset(listed(told["action"])), resources)
    return found


def terraform_policy(*, details: bool) -> Rules:
    """The policy of the role in Terraform, with the variable `details` set to this value."""
    document = terraform("data")["aws_iam_policy_document"]["read"]
    (optional,) = (each["statement"] for each in document["dynamic"])
    assert optional["for_each"] == '${var.details ? ["ReadAliases"] : []}'
    return rules([*document["statement"], *(optional["content"] if details else [])])


def cloudformation_policy(*, details: bool) -> Rules:
    """The policy of the role in CloudFormation, with the parameter `Details` set to this value."""
    (policy,) = template()["Resources"]["Role"]["Properties"]["Policies"]
    *always, (condition, then, otherwise) = policy["PolicyDocument"]["Statement"]
    assert template()["Conditions"] == {condition: ["Details", "true"]}
    assert otherwise == "AWS::NoValue"
    return rules([*always, *([then] if details else [])])


@pytest.mark.parametrize(
    "policy", [terraform_policy, cloudformation_policy], ids=["terraform", "cloudformation"]
)
@pytest.mark.parametrize("details", [False, True], ids=["plain", "details"])
def test_role_has_the_policy_that_check_prints(policy: Any, *, details: bool) -> None:
    """The role has the statements of `check --emit-policy` for all regions and images, with and without details."""
    emitted: Any = reader_policy([Reach("aws", None, None)], details=details)["Statement"]
    assert policy(details=details) == rules(emitted)


def test_role_reads_aliases_only_if_it_is_told_to() -> None:
    """By default, details are off in both languages, as in a configuration."""
    assert Config().details is False
    assert terraform("variable")["details"]["default"] is False
    assert template()["Parameters"]["Details"]["Default"] == "false"


def test_role_allows_what_is_called_and_nothing_else(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy allows exactly the operations that syncs (with deletions, with details) and `list` call."""
    world = commanded.site.world
    gone, shrunk = sorted({row.image_name for row in world.truth()})
    commanded("sync")
    world.delete_image(gone)
    world.delete_version(shrunk, 2)
    commanded("sync", "--full")
    commanded("list", shrunk)
    seen = commanded.site.simulator.counters.totals().calls
    assert actions_of(seen) == allowed(details=False)
    monkeypatch.setenv("IMAGE_HISTORY_DETAILS", "true")
    commanded("sync")
    assert actions_of(commanded.site.simulator.counters.totals().calls) == allowed(details=True)


def actions_of(operations: Iterable[str]) -> set[str]:
    """The IAM actions of some operations; GetCallerIdentity needs no permission."""
    return {f"sagemaker:{operation}" for operation in operations if operation != "GetCallerIdentity"}


def allowed(*, details: bool) -> set[str]:
    """All actions that the role allows."""
    return {action for actions, _ in terraform_policy(details=details).values() for action in actions}


def test_only_named_principals_with_the_external_id_may_assume_it() -> None:
    """The trust policies allow only AssumeRole, require the external id, and refuse `*` as a principal."""
    (trust,) = terraform("data")["aws_iam_policy_document"]["trust"]["statement"]
    (condition,) = trust["condition"]
    assert trust["actions"] == ["sts:AssumeRole"]
    assert (condition["test"], condition["variable"]) == ("StringEquals", "sts:ExternalId")
    assert condition["values"] == ["${var.external_id}"]
    variables = terraform("variable")
    assert "default" not in variables["principals"]
    assert "default" not in variables["external_id"]
    assert '!contains(var.principals, "*")' in text(TERRAFORM)
    role = template()["Resources"]["Role"]["Properties"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "ExternalId"}}
    parameters = template()["Parameters"]
    assert "Default" not in parameters["ExternalId"]
    assert parameters["ExternalId"]["NoEcho"] is True
    assert not re.fullmatch(parameters["Principal"]["AllowedPattern"], "*")
    assert re.fullmatch(parameters["Principal"]["AllowedPattern"], "arn:aws:iam::111122223333:role/scheduler")


def complaints(template_text: str) -> list[str]:
    """The errors and warnings of cfn-lint for a template."""
    matches = cfnlint.api.lint_all(template_text)
    return [str(match) for match in matches if match.rule.severity in {"error", "warning"}]


def test_template_passes_cfn_lint() -> None:
    """cfn-lint finds nothing in the template, and one error if MaxSessionDuration is no number."""
    assert complaints(text(CLOUDFORMATION)) == []
    broken = text(CLOUDFORMATION).replace("MaxSessionDuration: 3600", "MaxSessionDuration: an hour")
    assert len(complaints(broken)) == 1


def test_terraform_is_formatted() -> None:
    """The parser reads every kind of block; where terraform is installed, `terraform fmt` changes nothing."""
    tool = shutil.which("terraform")
    if tool is not None:
        said = subprocess.run(
            [tool, "fmt", "-check", "-diff", str(DEPLOY / "iam")], capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stdout) == (0, "")
    blocks = plain(hcl2.loads(text(TERRAFORM)))
    assert {"terraform", "variable", "data", "resource", "output"} <= blocks.keys()
    assert json.dumps(blocks).count("__is_block__") > 10
