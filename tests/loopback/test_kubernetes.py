"""The recipe for Kubernetes, run as in EKS, with only a service account's token for credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.deploy.recipes import documents
from tests.looking import looking
from tests.loopback.configurations import TOKEN, Configuration
from tests.loopback.stage import Bench

RECIPE = documents("kubernetes/image-history.yaml")


def of_kind(kind: str, name: str = "image-history") -> dict[Any, Any]:
    """The recipe's one object of a kind and name."""
    (found,) = (each for each in RECIPE if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def told(text: str, home: Path) -> str:
    """A text of the recipe, with the container's folders replaced by the home folder."""
    return text.replace("/config/", f"{home}/").replace("/data/", f"{home}/")


def arguments(job: str, home: Path) -> list[str]:
    """The arguments of a job's container."""
    (container,) = of_kind("CronJob", job)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [told(each, home) for each in container["args"]]


def test_recipe_runs_with_a_web_identity_token(bench: Bench) -> None:
    """The sync exchanges the token for a role's credentials once and reads both regions; status exits with 0."""
    role = of_kind("ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    # The variables that EKS's webhook sets in a pod.
    environment = {
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_REGION": "eu-west-1",
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token",
    }
    home = bench.become("pod", Configuration(environment).everything, TOKEN)
    (home / "config.yaml").write_text(told(of_kind("ConfigMap")["data"]["config.yaml"], home))
    bench.succeed(*arguments("image-history", home))
    bench.succeed(*arguments("image-history-status", home))
    assert bench.cloud.operations("sts").count("AssumeRoleWithWebIdentity") == 1
    assert {(each.region, each.key and each.key[:4], each.valid) for each in bench.cloud.seen} == {
        (None, None, True),
        ("eu-west-1", "ASIA", True),
        ("us-east-1", "ASIA", True),
    }
    with looking(home / "image-history.duckdb") as connection:
        rows = connection.execute("SELECT DISTINCT account_id, region FROM image_versions").fetchall()
    account = role.split(":")[4]
    assert set(rows) == {(account, "us-east-1"), (account, "eu-west-1")}
