"""The policy of a publisher of lake tables, in Terraform and CloudFormation, is the policy that `check` prints."""

from __future__ import annotations

from typing import Any

import hcl2
import pytest
import yaml

from image_history.checking.needed import others, policy_of_publisher
from image_history.checking.policy import Shelf, Shop, publisher_policy
from image_history.config import Config, Publish
from tests.deploy.recipes import text
from tests.deploy.test_iam import Rules, Template, complaints, plain, rules

pytestmark = pytest.mark.duckdb

TERRAFORM = "iam/tables.tf"
CLOUDFORMATION = "iam/tables.yaml"


def of_terraform() -> tuple[list[Any], tuple[str, str, str], Any]:
    """Terraform's statements, its variables for bucket, folder and database, and the condition of ListBucket."""
    [block] = [
        each
        for each in plain(hcl2.loads(text(TERRAFORM)))["data"]
        if "publish" in each.get("aws_iam_policy_document", {})
    ]
    statements = block["aws_iam_policy_document"]["publish"]["statement"]
    [listed] = [each for each in statements if each["sid"] == "ListDataset1"]
    [condition] = listed.pop("condition")
    looks = {condition["test"]: {condition["variable"]: condition["values"]}}
    return statements, ("${var.bucket}", "${var.folder}", "${var.database}"), looks


def of_cloudformation() -> tuple[list[Any], tuple[str, str, str], Any]:
    """The same for CloudFormation."""
    template: Any = yaml.load(text(CLOUDFORMATION), Template)  # noqa: S506 - a safe loader's subclass
    statements = template["Resources"]["Policy"]["Properties"]["PolicyDocument"]["Statement"]
    [listed] = [each for each in statements if each["Sid"] == "ListDataset1"]
    looks = {
        test: {name: [value] for name, value in of.items()} for test, of in listed.pop("Condition").items()
    }
    return statements, ("${Bucket}", "${Folder}", "${Database}"), looks


@pytest.mark.parametrize("read", [of_terraform, of_cloudformation], ids=["terraform", "cloudformation"])
def test_publisher_has_the_policy_that_check_prints(read: Any) -> None:
    """The recipe's statements are those that `check` prints for one folder of one bucket and one database."""
    statements, (bucket, folder, database), looks = read()
    emitted: Any = publisher_policy([Shelf("aws", bucket, folder)], [Shop("aws", database)])["Statement"]
    [condition] = [each.pop("Condition") for each in emitted if "Condition" in each]
    given: Rules = rules(statements)
    assert given == rules(emitted)
    assert looks == condition


def test_template_of_tables_passes_cfn_lint() -> None:
    """cfn-lint finds nothing in the template, and something if PolicyName is no string."""
    assert complaints(text(CLOUDFORMATION)) == []
    assert (
        complaints(text(CLOUDFORMATION).replace("PolicyName: image-history-tables", "PolicyName: []")) != []
    )


TABLE_BUCKET = "arn:aws:s3tables:us-east-1:111122223333:bucket/inventory"


def in_bucket_of_terraform() -> list[Any]:
    """Terraform's statements for a table bucket of S3 Tables."""
    data = plain(hcl2.loads(text(TERRAFORM)))["data"]
    [block] = [each for each in data if "table_bucket" in each.get("aws_iam_policy_document", {})]
    statements: list[Any] = block["aws_iam_policy_document"]["table_bucket"]["statement"]
    return statements


def in_bucket_of_cloudformation() -> list[Any]:
    """The same for CloudFormation."""
    template: Any = yaml.load(text(CLOUDFORMATION), Template)  # noqa: S506 - a safe loader's subclass
    statements: list[Any] = template["Resources"]["TableBucketPolicy"]["Properties"]["PolicyDocument"][
        "Statement"
    ]
    return statements


@pytest.mark.parametrize(
    ("read", "arn"),
    [(in_bucket_of_terraform, "${var.table_bucket_arn}"), (in_bucket_of_cloudformation, "${TableBucketArn}")],
    ids=["terraform", "cloudformation"],
)
def test_publisher_to_s3_tables_has_the_policy_that_check_prints(read: Any, arn: str) -> None:
    """The recipe's statements are those that `check` prints for one table bucket."""
    emitted: Any = publisher_policy([], buckets=[arn])["Statement"]
    assert rules(read()) == rules(emitted)


def test_policy_of_a_publisher_to_s3_tables_names_the_requests_of_a_publication() -> None:
    """The policy for the entry in docs/tables.md allows actions on its bucket and tables, and none of S3 or Glue."""
    entry = Publish(
        to="iceberg://s3tables/inventory",
        properties={"type": "rest", "warehouse": TABLE_BUCKET, "rest.sigv4-enabled": "true"},
    )
    config = Config(publish=(entry,))
    policy: Any = policy_of_publisher(config)
    allowed = {resource: set(each["Action"]) for each in policy["Statement"] for resource in each["Resource"]}
    # For getConfig, namespaceExists, createNamespace and createTable; for loadTable and updateTable.
    assert allowed == {
        TABLE_BUCKET: {
            f"s3tables:{name}"
            for name in ("CreateNamespace", "CreateTable", "GetNamespace", "GetTableBucket")
        },
        f"{TABLE_BUCKET}/table/*": {
            f"s3tables:{name}"
            for name in (
                *("CreateTable", "GetTableData", "GetTableMetadataLocation", "PutTableData"),
                "UpdateTableMetadataLocation",
            )
        },
    }
    assert "publisher" in others(config)
