"""Hints from an SQS queue: moto's server plays SQS, and an unmodified botocore client sends the requests."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from image_history.aws.queue import Queue, Received, region_of
from image_history.config import Hints
from image_history.errors import ConfigError, ServiceUnavailableError, WarehouseLockedError
from image_history.hints.queue import MOST_MESSAGES, QueueMailbox
from image_history.model import Scope, Stop
from image_history.run.parts import Part
from tests.behaviour.cloud import Cloud
from tests.behaviour.harness import ServeWorld
from tests.behaviour.hinting import JUNK, MINUTE_MS, Hinted, hinted_site, version_event
from tests.behaviour.test_refusals import held

DAY_MS = 86_400_000


@dataclass(slots=True)
class Queued:
    """A site that takes its hints from a queue; its first sync has run."""

    hinted: Hinted
    cloud: Cloud
    client: Any
    url: str

    def send(self, *bodies: Mapping[str, object] | str) -> None:
        """Send each body to the queue as one message."""
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.client.send_message(QueueUrl=self.url, MessageBody=text)

    def left(self) -> int:
        """The number of messages in the queue, with those in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def asked(self) -> dict[str, int]:
        """The requests to the queue so far, by operation; a caller subtracts those that the test itself sent."""
        return {
            name: count for name, count in self.cloud.asked().items() if "Message" in name or "Queue" in name
        }


@pytest.fixture
def queued(served: ServeWorld, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Queued:
    """A site without changes since its first sync, and its queue, which is empty."""
    hinted = hinted_site(served)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", cloud.url)
    client = cloud.client("sqs")
    attributes = {"MessageRetentionPeriod": str(14 * 86_400)}
    url = client.create_queue(QueueName="image-history", Attributes=attributes)["QueueUrl"]
    hinted.site.config = msgspec.structs.replace(hinted.site.config, hints=Hints(queue=url))
    hinted.site.sync()
    hinted.clock.advance(5 * MINUTE_MS)
    return Queued(hinted, cloud, client, url)


def test_empty_queue_costs_one_request(queued: Queued) -> None:
    """With an empty queue, a sync sends the queue one request and lists images, but no versions."""
    before = queued.asked()
    report = queued.hinted.site.sync()
    after = queued.asked()
    assert {
        name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)
    } == {"ReceiveMessage": 1}
    assert report.hints is not None
    assert (report.hints.calls, report.hints.rested) == (1, 12)
    assert report.calls.by_operation == {"ListImages": 1}


def test_messages_doubled_shuffled_and_among_junk_list_what_they_hint_at(queued: Queued) -> None:
    """Repeated, unordered and invalid messages: each hinted image is listed once, and all messages are deleted."""
    hinted = queued.hinted
    chosen = hinted.images[:4]
    for image in chosen:
        hinted.site.world.create_version(image)
    now_ms = hinted.clock.now_ms()
    messages: list[Any] = [version_event(hinted.arn(image), now_ms) for image in chosen] * 3
    messages += [line for line in JUNK if line.isprintable() and line]
    random.Random(3).shuffle(messages)
    queued.send(*messages)
    hinted.clock.advance(2 * MINUTE_MS)
    report = hinted.site.sync()
    assert report.calls.of("ListImageVersions") == 4
    assert report.hints is not None
    assert report.hints.messages == report.hints.acknowledged == len(messages)
    assert queued.left() == 0
    hinted.site.assert_true()


def test_young_hint_returns_to_the_queue_at_once(queued: Queued) -> None:
    """A hint that is too young to be deleted goes back to the queue, and the very next sync receives it."""
    hinted = queued.hinted
    image = hinted.images[0]
    queued.send(version_event(hinted.arn(image), hinted.clock.now_ms()))
    assert hinted.site.sync().calls.of("ListImageVersions") == 1
    assert queued.left() == 1
    hinted.clock.advance(2 * MINUTE_MS)
    assert hinted.site.sync().calls.of("ListImageVersions") == 1
    assert queued.left() == 0


def test_plan_takes_nothing_from_the_queue(queued: Queued) -> None:
    """A plan forecasts the calls of the next sync, and leaves every message in the queue for that sync."""
    hinted = queued.hinted
    from image_history.forecast.estimate import total_calls
    from image_history.forecast.forecasting import forecast

    queued.send(*(version_event(hinted.arn(image), hinted.clock.now_ms()) for image in hinted.images[:3]))
    found = forecast(hinted.site.config)
    assert found.hinted == 3
    report = hinted.site.sync()
    planned = {name: span.low for name, span in total_calls(found.scopes).items() if span.low}
    assert planned == dict(report.calls.by_operation)


def test_part_returns_the_hints_of_other_parts(queued: Queued) -> None:
    """Parts share a queue: each deletes the messages about its own scopes, configured or not, and returns others."""
    hinted = queued.hinted
    scopes = [Scope(f"{number:012d}", "us-east-1") for number in range(1, 9)]
    mine = next(part for part in (Part(1, 2), Part(2, 2)) if part.has(Scope(*hinted.scope)))
    for scope in scopes:
        arn = f"arn:aws:sagemaker:{scope.region}:{scope.account_id}:image/x"
        queued.send(version_event(arn, hinted.clock.now_ms()))
    queued.send(version_event(hinted.arn(hinted.images[0]), hinted.clock.now_ms()))
    hinted.clock.advance(2 * MINUTE_MS)
    report = hinted.site.sync(part=mine)
    others = sum(not mine.has(scope) for scope in scopes)
    assert 0 < others < len(scopes)
    assert report.hints is not None
    assert report.hints.acknowledged == len(scopes) - others + 1
    assert queued.left() == others


def test_sync_that_fails_returns_its_messages_at_once(queued: Queued) -> None:
    """A sync that fails makes the messages that it received visible again for the next sync."""
    hinted = queued.hinted
    queued.send(version_event(hinted.arn(hinted.images[0]), hinted.clock.now_ms()))
    with held(hinted.site.config.warehouse), pytest.raises(WarehouseLockedError):
        hinted.site.sync(lock_wait=timedelta(0))
    names = ["ApproximateNumberOfMessages"]
    answer = queued.client.get_queue_attributes(QueueUrl=queued.url, AttributeNames=names)
    assert answer["Attributes"] == {"ApproximateNumberOfMessages": "1"}


@pytest.mark.parametrize("trouble", ["gone", "unreachable"])
def test_queue_that_cannot_be_read_lists_everything(
    queued: Queued, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """If the queue cannot be read, no image rests, and the report says why."""
    if trouble == "gone":
        queued.client.delete_queue(QueueUrl=queued.url)
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    report = queued.hinted.site.sync()
    assert report.calls.of("ListImageVersions") == 12
    assert report.hints is not None
    assert queued.url in (report.hints.problem or "")


def test_plain_http_beyond_loopback_is_refused() -> None:
    """A plain http address is refused unless it is on loopback: someone on the network could forge the hints."""
    with pytest.raises(ConfigError, match="plain http"):
        Queue("http://sqs.us-east-1.amazonaws.com/123456789012/q")


@pytest.mark.parametrize(
    ("url", "region"),
    [
        pytest.param("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "eu-west-1", id="plain"),
        pytest.param(
            "https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/q", "us-gov-west-1", id="fips"
        ),
        pytest.param("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1", id="china"),
        pytest.param("https://eu-west-1.queue.amazonaws.com/123456789012/q", "eu-west-1", id="legacy"),
        pytest.param("http://127.0.0.1:4566/123456789012/q", None, id="loopback"),
    ],
)
def test_region_is_that_of_the_address(url: str, region: str | None) -> None:
    """The region is read from the queue's address; an address on loopback has none."""
    assert region_of(url) == region


class Scripted:
    """A queue that returns, or raises, what the test gives it."""

    def __init__(self, *batches: list[Received] | Exception, retention_ms: int = 14 * DAY_MS) -> None:
        self.batches = list(batches)
        self.kept_ms = retention_ms
        self.settled: list[tuple[list[str], bool]] = []

    def receive(self) -> list[Received]:
        batch = self.batches.pop(0) if self.batches else []
        if isinstance(batch, Exception):
            raise batch
        return batch

    def retention_ms(self) -> int:
        return self.kept_ms

    def settle(self, receipts: Any, *, delete: bool) -> None:
        self.settled.append((list(receipts), delete))


def received(number: int, sent_ms: int = 0) -> Received:
    """A message that holds no hint."""
    return Received(f"id-{number}", f"receipt-{number}", "{}", sent_ms)


@pytest.mark.parametrize(("age_days", "told"), [(12, False), (14, True)])
def test_queue_near_its_retention_is_not_relied_on(age_days: int, *, told: bool) -> None:
    """If the oldest message is about to expire, the queue is not relied on: others may have expired unread."""
    now_ms = 100 * DAY_MS
    mailbox = QueueMailbox(Scripted([received(1, now_ms - age_days * DAY_MS)]), Stop(), now_ms=lambda: now_ms)
    assert (mailbox.read().problem is not None) == told


def test_failure_on_the_way_keeps_what_was_received() -> None:
    """If a later request fails, the messages that were received before it are kept, and the problem is reported."""
    mailbox = QueueMailbox(Scripted([received(1)], ServiceUnavailableError("away")), Stop(), now_ms=lambda: 0)
    mail = mailbox.read()
    assert (len(mail.messages), mail.problem, mail.calls) == (1, "away", 2)


def test_flood_is_bounded() -> None:
    """A queue with too many messages is read up to a limit, and is not relied on."""
    batches = [[received(10 * page + n) for n in range(10)] for page in range(MOST_MESSAGES // 10 + 5)]
    source = Scripted(*batches)
    mail = QueueMailbox(source, Stop(), now_ms=lambda: 0).read()
    assert len(mail.messages) == MOST_MESSAGES
    assert mail.problem is not None


def test_message_that_comes_twice_has_its_newest_receipt() -> None:
    """A message that is received twice is deleted with its newest receipt."""
    again = Received("id-1", "newer", "{}", 0)
    source = Scripted([received(1)], [again])
    mailbox = QueueMailbox(source, Stop(), now_ms=lambda: 0)
    mailbox.acknowledge(mailbox.read().messages)
    assert source.settled == [(["newer"], True)]
