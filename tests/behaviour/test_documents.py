"""Each document that a verb prints with --json matches the schema that `schema --json VERB` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from image_history.cli import VERBS, run
from image_history.cli.documents import verbs
from image_history.simulator import generate
from tests.behaviour.checking import denying
from tests.behaviour.commanding import Commanded, CommandWorld, commanded, commanding

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

# These verbs have no document: they print rows that the user chooses, write files, or print no result.
WITHOUT = {"completion", "demo", "export", "init", "manual", "query", "report", "shell", "simulate"}
FORMATS = FormatChecker()


def is_instant(value: object) -> bool:
    """Whether a text has the form of our instants in JSON: UTC, to the millisecond, with a Z."""
    return not isinstance(value, str) or (len(value), value[10:11], value[-1:]) == (24, "T", "Z")


FORMATS.checks("date-time")(is_instant)


@cache
def validator(verb: str) -> Draft202012Validator:
    """A validator for the documents of a verb, by the schema that the command line prints."""
    from image_history.cli.schema import document_schema

    schema = json.loads(document_schema(verb))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FORMATS)


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every object that a schema describes, at any depth."""
    if isinstance(schema, list):
        for each in schema:
            yield from objects(each)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for each in schema.values():
            yield from objects(each)


def checked(desk: Commanded, *arguments: str, code: int = 0) -> Any:
    """The document that a command prints with --json, validated."""
    answered = desk(*arguments, "--json")
    assert answered.code == code, answered.err
    document = json.loads(answered.out)
    verb = next(word for word in arguments if word in VERBS)
    problems = [f"{error.json_path}: {error.message}" for error in validator(verb).iter_errors(document)]
    assert problems == []
    return document


def test_every_verb_that_reports_has_a_schema() -> None:
    """Each verb has a schema or is in WITHOUT, and each object of a schema says whether it allows more members."""
    assert {*verbs(), *WITHOUT} == set(VERBS)
    for verb in verbs():
        assert all(each.get("additionalProperties") is not None for each in objects(validator(verb).schema))


@pytest.fixture
def busy(commanding: CommandWorld) -> Commanded:
    """A site synced once; then one version is deleted and one created. It also publishes to a missing folder."""
    desk = commanding()
    (desk.folder / "config.yaml").write_text("publish: [{to: set}, {to: none/set}]\n", encoding="utf-8")
    checked(desk, "sync", code=4)
    name = desk.site.world.truth()[0].image_name
    desk.site.world.delete_version(name, 2)
    desk.site.world.create_version(name)
    return desk


def test_documents_of_verbs_that_ask_aws(busy: Commanded) -> None:
    """The documents of sync, plan, check and publish match their schemas, with failures and without."""
    assert checked(busy, "plan")["calls"]["ListImages"]["low"] == 1
    report = checked(busy, "sync", code=4)
    assert (report["totals"]["rows"]["inserted"], report["totals"]["rows"]["deleted"]) == (1, 1)
    assert [each["error"] is None for each in report["publications"]] == [True, False]
    assert [each["error"] is None for each in checked(busy, "publish", code=4)["publications"]] == [
        True,
        False,
    ]
    found = checked(busy, "check", code=4)
    assert {each["level"] for each in found["checks"]} == {"ok", "FAILED"}


def test_document_of_a_probe(commanded: Commanded) -> None:
    """The document of `check --probe` matches its schema, which refuses members that the document does not have."""
    checked(commanded, "sync")
    document = checked(commanded, "check", "--probe")
    assert document["observations"]
    assert document["calls"]["by_operation"]["ListImageVersions"] > 0
    assert not validator("check").is_valid(document | {"account_id": "111122223333"})
    assert not validator("check").is_valid(document | {"rate": {"list_per_second": 2}})


def test_documents_of_verbs_that_ask_the_warehouse(busy: Commanded) -> None:
    """The documents of status, runs, diff and log match their schemas, for one image or run and for all."""
    checked(busy, "sync", code=4)
    name = busy.site.world.truth()[0].image_name
    (scope,) = checked(busy, "status")["scopes"]
    assert scope["live_versions"] == 6
    first, second = checked(busy, "runs")
    assert (first["inserted"], second["inserted"]) == (1, 6)
    assert checked(busy, "runs", first["etl_run_id"])["run"][0]["etl_run_id"] == first["etl_run_id"]
    assert checked(busy, "diff", "--since", "1d")[0]["created"]
    assert checked(busy, "diff", "--since", "1d", "--details")[0]["changes"] is not None
    assert checked(busy, "log", name)[0]["image_name"] == name
    assert [row["deleted_versions"] for row in checked(busy, "log")] == [1, 0]


def test_documents_of_a_scope_that_is_denied(commanding: CommandWorld) -> None:
    """If a scope is denied, the documents of sync, runs and status match their schemas and show the failures."""
    desk = commanding(generate(31, regions=["us-east-1", "eu-west-1"], images=2, versions_per_image=3))
    (desk.folder / "config.yaml").write_text(
        "accounts: [{regions: [us-east-1, eu-west-1]}]\n", encoding="utf-8"
    )
    names = sorted({row.image_name for row in desk.site.world.truth() if row.region == "eu-west-1"})
    desk.site.simulator.fault = denying("ListImageVersions", region="eu-west-1")
    scopes = checked(desk, "sync", code=4)["scopes"]
    failures = {scope["scope"]["region"]: scope["failures"] for scope in scopes}
    assert failures["us-east-1"] == []
    told = [(each["image_name"], each["outcome"]) for each in failures["eu-west-1"]]
    assert told == [(name, "denied") for name in names]
    assert incomplete(desk) == [(name, "denied") for name in names]
    assert unread(desk) == {"us-east-1": 0, "eu-west-1": 2}
    desk.site.simulator.fault = denying("ListImages", region="eu-west-1")
    (failure,) = checked(desk, "sync", code=4)["unreadable_scopes"]
    assert (failure["where"], failure["outcome"]) == ("111122223333/eu-west-1", "denied")
    assert incomplete(desk) == [(None, "denied")]
    # The list of images, beside the two images that were not read before.
    assert unread(desk) == {"us-east-1": 0, "eu-west-1": 3}


def incomplete(desk: Commanded) -> list[tuple[str | None, str]]:
    """The images that the newest run did not read whole, or None for a scope, with their outcomes, by `runs`."""
    newest = checked(desk, "runs")[0]["etl_run_id"]
    rows = checked(desk, "runs", newest)["incomplete"]
    return [(row["image_name"], row["outcome"]) for row in rows]


def unread(desk: Commanded) -> dict[str, int]:
    """How many images and lists of images of each region are not read whole, by `status`."""
    return {scope["region"]: scope["incomplete"] for scope in checked(desk, "status")["scopes"]}


def test_documents_of_list(commanded: Commanded) -> None:
    """`list` prints the versions of an image, with a token if there are more, or, without a name, the images."""
    images = checked(commanded, "list")["Images"]
    assert [image["image_name"] for image in images] == sorted(
        {row.image_name for row in commanded.site.world.truth()}
    )
    name = images[0]["image_name"]
    assert len(checked(commanded, "list", name)["ImageVersions"]) == 3
    assert "NextToken" in checked(commanded, "list", name, "--max-items", "2")


def test_documents_without_a_warehouse(commanded: Commanded) -> None:
    """The documents of queries and schema need no warehouse and match their schemas."""
    assert {query["name"] for query in checked(commanded, "queries")} >= {"newest-versions", "alias-moves"}
    (one,) = checked(commanded, "queries", "@newest-versions")
    assert "SELECT" in one["sql"]
    assert {table["name"] for table in checked(commanded, "schema")["tables"]} >= {"images", "runs"}
    assert checked(commanded, "schema", "images")["tables"][0]["name"] == "images"


def test_schema_json_takes_a_verb_or_nothing(commanded: Commanded) -> None:
    """`schema --json` is short for --format json; with a verb it prints the verb's schema, with a table the table."""
    assert (
        json.loads(commanded("schema", "--json", "runs").out)["title"]
        == "What image-history runs --json prints"
    )
    assert json.loads(commanded("schema", "runs", "--json").out)["tables"][0]["name"] == "runs"
    assert json.loads(commanded("schema", "--json", "images").out)["tables"][0]["name"] == "images"
    assert json.loads(commanded("schema", "--format", "json", "--json").out)["tables"]
    refused = commanded("schema", "--json", "demo")
    assert (refused.code, "there are those of check, diff, " in refused.err) == (2, True)
    assert commanded("schema", "--json", "--format", "markdown").code == 2


@pytest.mark.parametrize("verb", [verb for verb in verbs() if verb != "schema"])
def test_json_contradicts_another_format(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    """On every verb, --json together with another --format exits with 2."""
    assert run([verb, "--format", "table", "--json", *(["--since", "1d"] if verb == "diff" else [])]) == 2
    assert "--json is short for --format json; --format table says otherwise." in capfd.readouterr().err
