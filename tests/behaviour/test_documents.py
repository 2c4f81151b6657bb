"""Each document that a verb prints with --json is what `schema --json VERB` says it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from image_history.cli import VERBS, run
from image_history.cli.documents import verbs
from tests.behaviour.checking import denying
from tests.behaviour.commanding import Commanded, CommandWorld, commanded, commanding

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

# What prints rows of one's own choice, files or nothing has no document of its own.
WITHOUT = {"completion", "demo", "export", "init", "manual", "query", "report", "shell", "simulate"}
FORMATS = FormatChecker()


def is_instant(value: object) -> bool:
    """As every instant of ours in JSON: UTC, to the millisecond, marked Z."""
    return not isinstance(value, str) or (len(value), value[10:11], value[-1:]) == (24, "T", "Z")


FORMATS.checks("date-time")(is_instant)


@cache
def validator(verb: str) -> Draft202012Validator:
    """Checks documents of a verb, by the schema that the command line prints."""
    from image_history.cli.schema import document_schema

    schema = json.loads(document_schema(verb))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FORMATS)


def objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every object that a schema describes, however deep."""
    if isinstance(schema, list):
        for each in schema:
            yield from objects(each)
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for each in schema.values():
            yield from objects(each)


def checked(desk: Commanded, *arguments: str, code: int = 0) -> Any:
    """What a command prints with --json, validated."""
    answered = desk(*arguments, "--json")
    assert answered.code == code, answered.err
    document = json.loads(answered.out)
    verb = next(word for word in arguments if word in VERBS)
    problems = [f"{error.json_path}: {error.message}" for error in validator(verb).iter_errors(document)]
    assert problems == []
    return document


def test_every_verb_that_reports_has_a_schema() -> None:
    """A verb is in one of two lists; a new one has to choose."""
    assert {*verbs(), *WITHOUT} == set(VERBS)
    for verb in verbs():
        assert all(each.get("additionalProperties") is not None for each in objects(validator(verb).schema))


@pytest.fixture
def busy(commanding: CommandWorld) -> Commanded:
    """A site synced once, then one version deleted and one created; it publishes, also to a missing folder."""
    desk = commanding()
    (desk.folder / "config.yaml").write_text("publish: [{to: set}, {to: none/set}]\n", encoding="utf-8")
    checked(desk, "sync", code=4)
    name = desk.site.world.truth()[0].image_name
    desk.site.world.delete_version(name, 2)
    desk.site.world.create_version(name)
    return desk


def test_documents_of_verbs_that_ask_aws(busy: Commanded) -> None:
    """Sync, plan, check and publish, with failures and without."""
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
    """What `check --probe` found out, what it cost and how fast it asked; anything beside that is refused."""
    checked(commanded, "sync")
    document = checked(commanded, "check", "--probe")
    assert document["observations"]
    assert document["calls"]["by_operation"]["ListImageVersions"] > 0
    assert not validator("check").is_valid(document | {"account_id": "111122223333"})
    assert not validator("check").is_valid(document | {"rate": {"list_per_second": 2}})


def test_documents_of_verbs_that_ask_the_warehouse(busy: Commanded) -> None:
    """Status, runs, diff, log; of one image or run, and of all."""
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


def test_documents_of_a_scope_that_is_denied(commanded: Commanded) -> None:
    """What fails is in the document too: in that of the sync, of its run, and of the status."""
    commanded.site.simulator.fault = denying("ListImageVersions")
    assert {each["outcome"] for each in checked(commanded, "sync", code=3)["scopes"][0]["failures"]} == {
        "denied"
    }
    (run_,) = checked(commanded, "runs")
    assert len(checked(commanded, "runs", run_["etl_run_id"])["incomplete"]) == 2


def test_documents_of_list(commanded: Commanded) -> None:
    """The versions of an image, with a token where there are more; without a name the images."""
    images = checked(commanded, "list")["Images"]
    assert [image["image_name"] for image in images] == sorted(
        {row.image_name for row in commanded.site.world.truth()}
    )
    name = images[0]["image_name"]
    assert len(checked(commanded, "list", name)["ImageVersions"]) == 3
    assert "NextToken" in checked(commanded, "list", name, "--max-items", "2")


def test_documents_without_a_warehouse(commanded: Commanded) -> None:
    """Queries and schema need none."""
    assert {query["name"] for query in checked(commanded, "queries")} >= {"newest-versions", "alias-moves"}
    (one,) = checked(commanded, "queries", "@newest-versions")
    assert "SELECT" in one["sql"]
    assert {table["name"] for table in checked(commanded, "schema")["tables"]} >= {"images", "runs"}
    assert checked(commanded, "schema", "images")["tables"][0]["name"] == "images"


def test_schema_json_takes_a_verb_or_nothing(commanded: Commanded) -> None:
    """--json alone is short for --format json; with a verb it is that verb's schema, with a table that table."""
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
    """--json is short for --format json on every verb, and nothing else."""
    assert run([verb, "--format", "table", "--json", *(["--since", "1d"] if verb == "diff" else [])]) == 2
    assert "--json is short for --format json; --format table says otherwise." in capfd.readouterr().err
