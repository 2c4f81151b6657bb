"""Each documented environment variable changes the behaviour of a command."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.loopback.configurations import (
    ENVIRONMENT,
    OTHER,
    READER,
    SECOND_KEY,
    STATIC,
    TOKEN,
    Configuration,
)
from tests.loopback.stage import Bench

ROOT = Path(__file__).parents[2]
EU = {"AWS_DEFAULT_REGION": "eu-west-1"}
KEYS = {**ENVIRONMENT, **EU}
ALL_REGIONS = [{"regions": "all"}]
WORK = f"[profile work]\n{STATIC}"
SESSION = {**EU, "AWS_ACCESS_KEY_ID": "ASIASESSION", "AWS_SECRET_ACCESS_KEY": "session secret"}
PUBLISHED = {"publish": [{"to": "s3://bucket/images"}]}


@dataclass(frozen=True, slots=True)
class Change:
    """A value of the variable, and the other settings, which are the same with and without it."""

    value: str
    environment: Mapping[str, str] = field(default_factory=lambda: KEYS)
    config: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    verb: str = "plan"
    denied: frozenset[str] = frozenset()
    trusting: bool = True


ORGANIZATION = {"organization": {"role_name": "reader", "regions": ["eu-west-1"]}}
CHANGES: Mapping[str, Change] = {
    "AWS_REGION": Change("us-west-2"),
    "AWS_DEFAULT_REGION": Change("us-west-2", ENVIRONMENT),
    "AWS_PROFILE": Change("work", EU, WORK),
    "AWS_DEFAULT_PROFILE": Change("work", EU, WORK),
    "AWS_CONFIG_FILE": Change("{home}/other", EU, files={"other": f"[default]\n{STATIC}"}),
    "AWS_SHARED_CREDENTIALS_FILE": Change("{home}/other", EU, files={"other": f"[default]\n{OTHER}"}),
    "AWS_ACCESS_KEY_ID": Change(SECOND_KEY, {**EU, "AWS_SECRET_ACCESS_KEY": "second secret"}),
    "AWS_SECRET_ACCESS_KEY": Change("static+secret/", {**EU, "AWS_ACCESS_KEY_ID": "AKIASTATIC"}),
    "AWS_SESSION_TOKEN": Change("session+token/==", SESSION),
    "AWS_EC2_METADATA_DISABLED": Change("true", EU),
    "AWS_WEB_IDENTITY_TOKEN_FILE": Change(
        "{home}/token", {**EU, "AWS_ROLE_ARN": READER, "AWS_EC2_METADATA_DISABLED": "true"}, files=TOKEN
    ),
    "AWS_ROLE_ARN": Change(
        READER,
        {**EU, "AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token", "AWS_EC2_METADATA_DISABLED": "true"},
        files=TOKEN,
    ),
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": Change("{http}/v2/credentials/task", EU),
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": Change("/v2/credentials/task", EU),
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": Change("{http}", EU),
    "AWS_ENDPOINT_URL": Change("{http}"),
    "AWS_ENDPOINT_URL_SAGEMAKER": Change("{http}"),
    "AWS_ENDPOINT_URL_STS": Change("{http}"),
    "AWS_ENDPOINT_URL_ORGANIZATIONS": Change("{http}", settings=ORGANIZATION),
    "AWS_ENDPOINT_URL_ACCOUNT": Change("{http}", settings={"accounts": ALL_REGIONS}),
    "AWS_ENDPOINT_URL_EC2": Change(
        "{http}", settings={"accounts": ALL_REGIONS}, denied=frozenset({"ListRegions"})
    ),
    "AWS_ENDPOINT_URL_S3": Change("{http}", settings=PUBLISHED, verb="sync"),
    "AWS_CA_BUNDLE": Change("{ca}", trusting=False),
    "REQUESTS_CA_BUNDLE": Change("{ca}", trusting=False),
    "HTTPS_PROXY": Change("http://127.0.0.1:{open}"),
    "HTTP_PROXY": Change("http://127.0.0.1:{open}", {**KEYS, "AWS_ENDPOINT_URL": "{http}"}),
    "NO_PROXY": Change("*", {**KEYS, "HTTPS_PROXY": "http://127.0.0.1:{open}"}),
}
TELEMETRY = "tests/behaviour/test_telemetry.py"
TERMINAL = "tests/behaviour/test_query_terminal.py"
# Variables that have nothing to do with AWS have tests in other modules.
ELSEWHERE = {
    "IMAGE_HISTORY_CONFIG": "tests/unit/test_config.py::test_explicit_file_wins_over_variable_and_default",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"{TELEMETRY}::test_command_sends_to_the_endpoint_that_the_variables_name",
    "OTEL_TRACES_EXPORTER": f"{TELEMETRY}::test_telemetry_is_off",
    "OTEL_METRICS_EXPORTER": f"{TELEMETRY}::test_telemetry_is_off",
    "OTEL_SDK_DISABLED": f"{TELEMETRY}::test_telemetry_is_off",
    "OTEL_EXPORTER_OTLP_TIMEOUT": f"{TELEMETRY}::test_receiver_that_is_down_costs_one_warning",
    "NO_COLOR": f"{TERMINAL}::test_no_color_means_no_escape_code",
    "PAGER": f"{TERMINAL}::test_long_table_goes_through_the_pager",
    "LESS": f"{TERMINAL}::test_options_of_the_pager_are_the_users",
    "TERM": f"{TERMINAL}::test_pager_is_for_who_sits_at_the_terminal",
    "TMPDIR": "tests/behaviour/test_query_lockdown.py::test_interrupted_query_leaves_at_once",
    "XDG_STATE_HOME": "tests/behaviour/test_shell.py::test_shell_on_a_terminal_answers_remembers_and_leaves",
}


def outcome(bench: Bench, name: str, change: Change, value: str | None) -> tuple[int, set[object]]:
    """Run the verb; return its exit code, and the distinct services, hosts and keys of its requests."""
    given = {} if value is None else {name: value}
    configuration = Configuration(
        {**change.environment, **given}, change.config, files=change.files, trusting=change.trusting
    )
    home = bench.become(f"{name}-{value is not None}", configuration.everything, configuration.written)
    bench.cloud.denied.update(change.denied)
    settings = {"accounts": [{}], "retry": {"attempts": 1, "max_wait": "1ms"}, **change.settings}
    (home / "config.yaml").write_text(json.dumps(settings))
    answered = bench.run("--config", str(home / "config.yaml"), change.verb)
    assert "Traceback" not in answered.err
    return answered.code, {(each.service, *each.place) for each in bench.cloud.seen}


@pytest.mark.parametrize("name", CHANGES)
def test_variable_changes_what_is_asked(bench: Bench, name: str) -> None:
    """With the variable, the requests have another host, key, region or proxy, or the exit code differs."""
    change = CHANGES[name]
    assert outcome(bench, name, change, change.value) != outcome(bench, name, change, None)


def documented() -> Sequence[str]:
    """The variables in the table of the documentation, except those that it lists as not read."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = page.partition("\nOther variables:\n")[2].partition("\n## ")[0]
    read = (row.split("|") for row in rows.splitlines() if row.startswith("| `"))
    first = "\n".join(cells[1] for cells in read if not cells[2].startswith(" not read"))
    # TERM is in the text about the pager.
    return [*re.findall(r"`([A-Z][A-Z0-9_]+)`", first), *re.findall(r"Without `(TERM)`", rows)]


def test_every_documented_variable_is_tried() -> None:
    """Every documented variable is in one of the two tables of this module, and no other variable is."""
    wanted = set(documented())
    assert len(wanted) > 30
    assert wanted == CHANGES.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_other_test_names_its_variable(name: str) -> None:
    """The test that is listed for a variable exists and names the variable."""
    path, _, function = ELSEWHERE[name].partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    (found,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function
    )
    assert name in ast.unparse(found)
