"""The recipes for hints send the events that the connector reads, in CloudFormation and in Terraform."""

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
    """Whether an EventBridge pattern of lists of words matches an event."""
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
    """cfn-lint finds nothing in a template, and finds an unknown resource type in a broken copy of it."""
    assert complaints(text(name)) == []
    assert cfnlint.api.lint_all(text(name).replace("AWS::Events::Rule", "AWS::Events::Rules"))


@pytest.mark.parametrize("name", MODULES)
def test_module_is_read_whole_and_formatted(name: str) -> None:
    """The parser reads every kind of block; where terraform is installed, `terraform fmt` changes nothing."""
    assert {"terraform", "variable", "data", "resource"} <= plain(hcl2.loads(text(name))).keys()
    tool = shutil.which("terraform")
    if tool is not None:
        command = [tool, "fmt", "-check", "-diff", str(DEPLOY / name)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("kind", EVENTS)
def test_event_passes_both_rules_and_is_a_hint(kind: str) -> None:
    """Each event matches one rule of a source and the bus's rule, and is parsed as a hint for its image."""
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
    """An event that cannot be a hint matches no rule of a source."""
    assert not any(matches(pattern, event) for pattern in patterns(TEMPLATES[1]))


@pytest.mark.parametrize("index", [0, 1], ids=["queue", "source"])
def test_both_languages_name_the_same_events_and_actions(index: int) -> None:
    """CloudFormation and Terraform name the same kinds of events, API calls and IAM actions."""
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
    """The reader's policy allows only to receive, delete and return messages, and to read the queue's attributes."""
    (statement,) = template(TEMPLATES[0])["Reader"]["Properties"]["PolicyDocument"]["Statement"]
    assert set(listed(statement["Action"])) == READER


def test_queue_takes_messages_of_the_rule_alone_and_keeps_them_longer_than_trust() -> None:
    """The queue accepts messages only from the rule, keeps them 14 days, and allows 1,000 receives of a message."""
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
