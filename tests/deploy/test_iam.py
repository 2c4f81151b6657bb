"""The role in Terraform and CloudFormation: it allows what we call, to those alone whom somebody names."""

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
# What stands for the partition and for the account in each language.
PARTITIONS = ("${data.aws_partition.current.partition}", "${AWS::Partition}")
ACCOUNTS = ("${data.aws_caller_identity.current.account_id}", "${AWS::AccountId}")

Rules = dict[str, tuple[frozenset[str], frozenset[str]]]


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short functions as what they are applied to, a word or a list."""

    def applied(self, _: str, node: yaml.Node) -> Any:
        """What a function stands before."""
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)  # type: ignore[arg-type]  # a function before a mapping fails here


Template.add_multi_constructor("!", Template.applied)


def plain(value: Any) -> Any:
    """A value of HCL without the quotes that its parser keeps."""
    if isinstance(value, str):
        return value.strip('"')
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    return value


def terraform(kind: str) -> dict[str, Any]:
    """The blocks of one kind, such as data, by type and name."""
    found: dict[str, Any] = {}
    for block in plain(hcl2.loads(text(TERRAFORM)))[kind]:
        for name, content in block.items():
            found[name] = {**found.get(name, {}), **content}
    return found


def template() -> dict[str, Any]:
    """The template of CloudFormation."""
    loaded: dict[str, Any] = yaml.load(text(CLOUDFORMATION), Template)  # noqa: S506 - a safe loader's subclass
    return loaded


def listed(value: str | Sequence[str]) -> Sequence[str]:
    """IAM takes one word for a list of one."""
    return [value] if isinstance(value, str) else value


def neutral(resource: str) -> str:
    """A resource with the partition and the account as `check` writes them that knows neither."""
    for partition in PARTITIONS:
        resource = resource.replace(partition, "aws")
    for account in ACCOUNTS:
        resource = resource.replace(account, "*")
    return resource


def rules(statements: Iterable[Mapping[str, Any]]) -> Rules:
    """Statements by their name: actions and resources. Each has to allow."""
    found: Rules = {}
    for statement in statements:
        told = {name.lower().rstrip("s"): value for name, value in statement.items()}
        assert told["effect"] == "Allow"
        resources = frozenset(neutral(resource) for resource in listed(told["resource"]))
        found[told["sid"]] = (frozenset(listed(told["action"])), resources)
    return found


def terraform_policy(*, details: bool) -> Rules:
    """What the role of Terraform allows, with the variable `details` set so."""
    document = terraform("data")["aws_iam_policy_document"]["read"]
    (optional,) = (each["statement"] for each in document["dynamic"])
    assert optional["for_each"] == '${var.details ? ["ReadAliases"] : []}'
    return rules([*document["statement"], *(optional["content"] if details else [])])


def cloudformation_policy(*, details: bool) -> Rules:
    """What the role of CloudFormation allows, with the parameter `Details` set so."""
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
    """Statement by statement it is `check --emit-policy` for all regions and all images, with details and without."""
    emitted: Any = reader_policy([Reach("aws", None, None)], details=details)["Statement"]
    assert policy(details=details) == rules(emitted)


def test_role_reads_aliases_only_if_it_is_told_to() -> None:
    """The switch is off in both languages, as it is in a configuration."""
    assert Config().details is False
    assert terraform("variable")["details"]["default"] is False
    assert template()["Parameters"]["Details"]["Default"] == "false"


def test_role_allows_what_is_called_and_nothing_else(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operations that the simulator saw, in syncs with deletions and details and in a list, are the policy's."""
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
    """What IAM calls these operations, but for the one that needs no permission."""
    return {f"sagemaker:{operation}" for operation in operations if operation != "GetCallerIdentity"}


def allowed(*, details: bool) -> set[str]:
    """All actions of the role."""
    return {action for actions, _ in terraform_policy(details=details).values() for action in actions}


def test_only_named_principals_with_the_external_id_may_assume_it() -> None:
    """The trust policies allow AssumeRole alone, and ask for the external id; everybody is refused as a principal."""
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
    """What cfn-lint says of a template, without its mere information."""
    matches = cfnlint.api.lint_all(template_text)
    return [str(match) for match in matches if match.rule.severity in {"error", "warning"}]


def test_template_passes_cfn_lint() -> None:
    """No error and no warning in the template; but in one that has a session last no number of seconds."""
    assert complaints(text(CLOUDFORMATION)) == []
    broken = text(CLOUDFORMATION).replace("MaxSessionDuration: 3600", "MaxSessionDuration: an hour")
    assert len(complaints(broken)) == 1


def test_terraform_is_formatted() -> None:
    """`terraform fmt` changes nothing, where there is terraform; without it, the parser read every block."""
    tool = shutil.which("terraform")
    if tool is not None:
        said = subprocess.run(
            [tool, "fmt", "-check", "-diff", str(DEPLOY / "iam")], capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stdout) == (0, "")
    blocks = plain(hcl2.loads(text(TERRAFORM)))
    assert {"terraform", "variable", "data", "resource", "output"} <= blocks.keys()
    assert json.dumps(blocks).count("__is_block__") > 10
