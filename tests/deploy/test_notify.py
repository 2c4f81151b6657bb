"""The recipes of docs/notifications.md deliver their messages to an SNS topic of moto and to a mail server."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import yaml

from image_history.config import load_config
from image_history.notify.stage import try_out
from tests.behaviour.cloud import Cloud, cloud, moto

__all__ = ["cloud", "moto"]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")
BOTH, SNS, MAIL = (
    yaml.safe_load(each)["notify"] for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
)


def tried(folder: Path, entries: list[Any]) -> None:
    """Send a trial message to the receivers of a configuration, and check that none reports an error."""
    (folder / "config.yaml").write_text(json.dumps({"notify": entries}), encoding="utf-8")
    config = load_config(folder / "config.yaml", {"SLACK_WEBHOOK": "https://hooks.example/x"})
    assert [each.error for each in try_out(config)] == [None] * len(entries)


def test_sns_recipe_publishes(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe publishes the message to the topic."""
    queue = cloud.client("sqs").create_queue(QueueName="images")["QueueUrl"]
    topic = cloud.client("sns").create_topic(Name="images")["TopicArn"]
    arn = f"arn:aws:sqs:us-east-1:{topic.split(':')[4]}:images"
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", cloud.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (entry,) = SNS
    command = [topic if word.startswith("arn:aws:sns:") else word for word in entry["run"]]
    tried(tmp_path, [entry | {"run": command}])
    (got,) = cloud.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(json.loads(got["Body"])["Message"])["text"].startswith("image-history: a trial.")


class MailServer(threading.Thread):
    """Accepts one mail by SMTP, and keeps it in `letter`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.letter = b""

    def run(self) -> None:
        connection, _ = self.socket.accept()
        with connection, connection.makefile("rwb", buffering=0) as line:
            line.write(b"220 here\r\n")
            while command := line.readline().upper():
                if command.startswith(b"DATA"):
                    line.write(b"354 go on\r\n")
                    while (part := line.readline()) != b".\r\n":
                        self.letter += part
                line.write(b"221 bye\r\n" if command.startswith(b"QUIT") else b"250 fine\r\n")
                if command.startswith(b"QUIT"):
                    return


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server that accepts one mail."""
    server = MailServer()
    server.start()
    yield server
    server.socket.close()


def test_mail_recipe_sends_a_letter(
    mail_server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe sends a mail with the headline as its subject and the event as its attachment."""
    assert BOTH[1] == MAIL[0]
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("SMTP_PORT", str(mail_server.socket.getsockname()[1]))
    tried(tmp_path, MAIL)
    mail_server.join(30)
    letter = message_from_bytes(mail_server.letter, policy=policy.default)
    assert letter["Subject"].startswith("image-history: a trial.")
    assert (letter["From"], letter["To"]) == ("images@example.com", "team@example.com")
    (attached,) = letter.iter_attachments()
    assert json.loads(attached.get_content())["id"] == "trial"
