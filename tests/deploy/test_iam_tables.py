"""What a publisher of lake tables may do, in Terraform and CloudFormation: what check prints."""

from __future__ import annotations

from typing import Any

import hcl2
import pytest
import yaml

from image_history.checking.policy import Shelf, Shop, publisher_policy
from tests.deploy.recipes import text
from tests.deploy.test_iam import Rules, Template, complaints, plain, rules

pytestmark = pytest.mark.duckdb

TERRAFORM = "iam/tables.tf"
CLOUDFORMATION = "iam/tables.yaml"


def of_terraform() -> tuple[list[Any], tuple[str, str, str], Any]:
    """The statements of Terraform, its variables for bucket, folder and database, and where a list may look."""
    [block] = [
        each for each in plain(hcl2.loads(text(TERRAFORM)))["data"] if "aws_iam_policy_document" in each
    ]
    statements = block["aws_iam_policy_document"]["publish"]["statement"]
    [listed] = [each for each in statements if each["sid"] == "ListDataset1"]
    [condition] = listed.pop("condition")
    looks = {condition["test"]: {condition["variable"]: condition["values"]}}
    return statements, ("${var.bucket}", "${var.folder}", "${var.database}"), looks


def of_cloudformation() -> tuple[list[Any], tuple[str, str, str], Any]:
    """The same of CloudFormation."""
    template: Any = yaml.load(text(CLOUDFORMATION), Template)  # noqa: S506 - a safe loader's subclass
    statements = template["Resources"]["Policy"]["Properties"]["PolicyDocument"]["Statement"]
    [listed] = [each for each in statements if each["Sid"] == "ListDataset1"]
    looks = {
        test: {name: [value] for name, value in of.items()} for test, of in listed.pop("Condition").items()
    }
    return statements, ("${Bucket}", "${Folder}", "${Database}"), looks


@pytest.mark.parametrize("read", [of_terraform, of_cloudformation], ids=["terraform", "cloudformation"])
def test_publisher_has_the_policy_that_check_prints(read: Any) -> None:
    """Statement by statement, for one folder of one bucket and one database."""
    statements, (bucket, folder, database), looks = read()
    emitted: Any = publisher_policy([Shelf("aws", bucket, folder)], [Shop("aws", database)])["Statement"]
    [condition] = [each.pop("Condition") for each in emitted if "Condition" in each]
    given: Rules = rules(statements)
    assert given == rules(emitted)
    assert looks == condition


def test_template_of_tables_passes_cfn_lint() -> None:
    """No error and no warning; but in one whose role has a name that is no text."""
    assert complaints(text(CLOUDFORMATION)) == []
    assert (
        complaints(text(CLOUDFORMATION).replace("PolicyName: image-history-tables", "PolicyName: []")) != []
    )
