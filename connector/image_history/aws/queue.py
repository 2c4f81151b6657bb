"""An SQS queue, accessed with the credentials of one profile: botocore's own client, and our own errors.

Must not know what a message says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore.config import Config as BotoConfig

from image_history.aws.access import Access
from image_history.aws.clients import refuse_plain_http
from image_history.aws.sessions import Login
from image_history.aws.translation import RAISED
from image_history.errors import ConfigError
from image_history.version import __version__

Answer = TypeVar("Answer")

_AT_ONCE = 10
# With one second of waiting, SQS queries all of its servers; without it, an empty answer proves nothing.
_WAIT_SECONDS = 1
# After this time, SQS delivers again what a killed sync had received.
_LENT_SECONDS = 300
_HOST = re.compile(r"sqs(-fips)?\.(?P<region>[a-z0-9-]+)\.|(?P<legacy>[a-z0-9-]+)\.queue\.amazonaws\.com")


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it was received. `sent_ms` is when the queue took it, UTC epoch milliseconds."""

    message_id: str
    receipt: str
    body: str
    sent_ms: int | None


def region_of(url: str) -> str | None:
    """The region in the address of a queue; None if there is none."""
    found = _HOST.match(urlsplit(url).hostname or "")
    return (found["region"] or found["legacy"]) if found is not None else None


class Queue:
    """One queue, with the credentials of a profile or of AWS's default chain.

    Every method sends one request, and raises a ConnectorError on failure: ConfigError for a fault of the
    configuration, such as an address over plain http.
    """

    def __init__(self, url: str, profile: str | None = None) -> None:
        refuse_plain_http(url)
        self._url = url
        self._login = Login(Access(profile))
        self._made: Any = None

    def receive(self) -> Sequence[Received]:
        """Receive up to ten messages, from all servers of the queue. SQS hides them from others for some minutes."""
        answer = self._request(
            lambda client: client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_AT_ONCE,
                WaitTimeSeconds=_WAIT_SECONDS,
                VisibilityTimeout=_LENT_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        )
        return [_received(message) for message in answer.get("Messages", ())]

    def retention_ms(self) -> int:
        """How long the queue keeps a message."""
        name = "MessageRetentionPeriod"
        answer = self._request(
            lambda client: client.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        )
        return int(answer.get("Attributes", {}).get(name, 0)) * 1000

    def settle(self, receipts: Sequence[str], *, delete: bool) -> None:
        """Delete up to ten messages, or have them delivered again at once. A refused one is delivered again later."""
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)]
        if delete:
            self._request(lambda client: client.delete_message_batch(QueueUrl=self._url, Entries=entries))
            return
        lent = [{**entry, "VisibilityTimeout": 0} for entry in entries]
        self._request(lambda client: client.change_message_visibility_batch(QueueUrl=self._url, Entries=lent))

    def _request(self, call: Callable[[Any], Answer]) -> Answer:
        region = self._region()
        try:
            if self._made is None:
                self._made = self._login.plain_client("sqs", _config(), region)
            return call(self._made)
        except RAISED as error:
            raise self._login.translated_error(error, f"The queue {self._url}", region) from error

    def _region(self) -> str:
        region = region_of(self._url) or self._login.default_region
        if region is None:
            raise ConfigError(
                f"The queue {self._url} names no region, and neither does AWS's configuration: set AWS_REGION."
            )
        return region


def _received(message: dict[str, Any]) -> Received:
    sent = str(message.get("Attributes", {}).get("SentTimestamp", ""))
    return Received(
        message_id=str(message.get("MessageId", "")),
        receipt=str(message.get("ReceiptHandle", "")),
        body=str(message.get("Body", "")),
        sent_ms=int(sent) if sent.isascii() and sent.isdigit() else None,
    )


def _config() -> BotoConfig:
    return BotoConfig(
        retries={"total_max_attempts": 3, "mode": "standard"},
        connect_timeout=5,
        read_timeout=30,
        user_agent_extra=f"image-history/{__version__}",
    )
