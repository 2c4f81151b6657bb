"""The recipes for hints: what they send is what the connector reads, in both languages alike."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import cfnlint.api
import hcl2
import pytest
import yaml

from image_history.hints.events import parse_hint
from tests.behaviour.hinting import image_event, trail_event, version_event
from tests.deploy.recipes import DEPLOY, text
from tests.deploy.test_iam import Template, complaints, listed, plain

TEMPLATES = ("iam/hints-queue.yaml", "iam/hints-source.yaml")
MODULES = ("iam/hints-queue/main.tf", "iam/hints-source/main.tf")
ARN = "arn:aws:sagemaker:eu-west-1:111122223333:image/sklearn"
EVENTS = {
    "image": image_event(ARN, 0),
    "version": version_event(ARN, 0),
    "update": trail_event("111122223333", "eu-west-1", "sklearn", 0),
}
READER = {"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}


def template(name: str) -> dict[str, Any]:
    """The resources of a template."""
    loaded: dict[str, Any] = yaml.load(text(name), Template)["Resources"]  # noqa: S506 - a safe loader's subclass
    return loaded


def matches(pattern: Any, event: Any) -> bool:
    """Whether EventBridge's pattern, of lists of words, takes an event."""
    if isinstance(pattern, dict):
        return isinstance(event, dict) and all(
            matches(part, event.get(name)) for name, part in pattern.items()
        )
    return event in pattern


def patterns(name: str) -> list[Any]:
    """The patterns of a template's rules."""
    rules = (each for each in template(name).values() if each["Type"] == "AWS::Events::Rule")
    return [rule["Properties"]["EventPattern"] for rule in rules]


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_passes_cfn_lint(name: str) -> None:
    """No error and no warning; but where a queue keeps messages for a word, there is one."""
    assert complaints(text(name)) == []
    assert cfnlint.api.lint_all(text(name).replace("AWS::Events::Rule", "AWS::Events::Rules"))


@pytest.mark.parametrize("name", MODULES)
def test_module_is_read_whole_and_formatted(name: str) -> None:
    """The parser reads every block, and `terraform fmt` changes nothing, where there is terraform."""
    assert {"terraform", "variable", "data", "resource"} <= plain(hcl2.loads(text(name))).keys()
    tool = shutil.which("terraform")
    if tool is not None:
        command = [tool, "fmt", "-check", "-diff", str(DEPLOY / name)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("kind", EVENTS)
def test_event_passes_both_rules_and_is_a_hint(kind: str) -> None:
    """What a source's rule takes, the bus's rule takes as well, and it hints at its image."""
    event = EVENTS[kind]
    sources = [pattern for pattern in patterns(TEMPLATES[1]) if matches(pattern, event)]
    assert len(sources) == 1
    assert [matches(pattern, event) for pattern in patterns(TEMPLATES[0])] == [True]
    hint = parse_hint(json.dumps(event))
    assert hint is not None
    assert (hint.scope.account_id, hint.scope.region, hint.image) == ("111122223333", "eu-west-1", "sklearn")


@pytest.mark.parametrize(
    "event",
    [
        {**EVENTS["version"], "source": "acme.builds"},
        {**EVENTS["version"], "detail-type": "SageMaker Model State Change"},
        {
            **EVENTS["update"],
            "detail": {"eventSource": "s3.amazonaws.com", "eventName": "UpdateImageVersion"},
        },
    ],
    ids=["source", "kind", "call"],
)
def test_other_events_are_not_sent(event: dict[str, Any]) -> None:
    """A source sends nothing but what may be a hint."""
    assert not any(matches(pattern, event) for pattern in patterns(TEMPLATES[1]))


@pytest.mark.parametrize("index", [0, 1], ids=["queue", "source"])
def test_both_languages_name_the_same_events_and_actions(index: int) -> None:
    """Whatever is a kind of event, a call, or an action of IAM stands in both."""
    words = re.compile(
        r"SageMaker Image[A-Za-z ]*Change|AWS API Call via CloudTrail|Update\w+Version|\w+:[A-Z]\w+"
    )
    found = [
        set(words.findall(re.sub(r"AWS::\S+|aws:\S+", "", text(each[index]))))
        for each in (TEMPLATES, MODULES)
    ]
    assert found[0] == found[1]
    assert found[0]


def test_reader_may_do_what_the_client_does_and_nothing_else() -> None:
    """Receive, delete, return, and ask how long messages are kept."""
    (statement,) = template(TEMPLATES[0])["Reader"]["Properties"]["PolicyDocument"]["Statement"]
    assert set(listed(statement["Action"])) == READER


def test_queue_takes_messages_of_the_rule_alone_and_keeps_them_longer_than_trust() -> None:
    """Nobody else may send hints; they are kept for 14 days, and returned often before they are dead letters."""
    resources = template(TEMPLATES[0])
    (statement,) = resources["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": "Rule.Arn"}}
    queue = resources["Queue"]["Properties"]
    assert queue["MessageRetentionPeriod"] == 14 * 86_400
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 1000
    assert resources["BusPolicy"]["Properties"]["Statement"]["Condition"] == {
        "StringEquals": {"aws:PrincipalOrgID": "OrganizationId"}
    }
