"""Reads hints from an SQS queue to its end; they are acknowledged or released afterwards.

Must not know botocore, nor what a hint is good for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from image_history.aws.queue import Received
from image_history.errors import ConfigError, ConnectorError, InterruptedRunError
from image_history.hints.mail import Mail, Message, message_of
from image_history.model import Stop

logger = logging.getLogger(__name__)

# SQS allows 120,000 received messages; a queue with this many says little about which images may rest.
MOST_MESSAGES = 20_000
_AT_ONCE = 10
_DAY_MS = 86_400_000


class Source(Protocol):
    """An SQS queue. Each method sends one request, and raises a ConnectorError on failure."""

    def receive(self) -> Sequence[Received]:
        """Receive up to ten messages; none only if the queue has none to deliver."""

    def retention_ms(self) -> int:
        """How long the queue keeps a message."""

    def settle(self, receipts: Sequence[str], *, delete: bool) -> None:
        """Delete up to ten messages, or have them delivered again at once."""


class QueueMailbox:
    """A Mailbox in an SQS queue. SQS hides received messages from others for some minutes."""

    def __init__(self, source: Source, stop: Stop, *, now_ms: Callable[[], int]) -> None:
        self._source = source
        self._stop = stop
        self._now_ms = now_ms

    def read(self) -> Mail:
        """Receive until nothing is left. Raises ConfigError, and InterruptedRunError."""
        found: dict[str, Received] = {}
        calls, problem = 0, None
        try:
            while len(found) < MOST_MESSAGES:
                self._stop.check()
                calls += 1
                batch = self._source.receive()
                found.update((each.message_id, each) for each in batch)
                if not batch:
                    break
            else:
                problem = f"the queue holds more than {MOST_MESSAGES:,} messages"
            if found and problem is None:
                calls += 1
                problem = self._expiring(found.values())
        except (ConfigError, InterruptedRunError):
            raise
        except ConnectorError as error:
            problem = error.message
        messages = (message_of(each.receipt, [each.body], sent_ms=each.sent_ms) for each in found.values())
        return Mail(tuple(messages), calls, problem)

    def _expiring(self, found: Iterable[Received]) -> str | None:
        """Why messages may have expired before they were read; None if none have."""
        limit_ms = self._source.retention_ms() - _DAY_MS
        sent = [each.sent_ms for each in found if each.sent_ms is not None]
        if not sent or self._now_ms() - min(sent) <= max(0, limit_ms):
            return None
        return "the oldest message of the queue is older than its retention less a day: some may have expired"

    def acknowledge(self, messages: Collection[Message]) -> int:
        """Delete the messages."""
        return self._settle(messages, delete=True)

    def release(self, messages: Collection[Message]) -> int:
        """Return the messages to the queue at once."""
        return self._settle(messages, delete=False)

    def _settle(self, messages: Collection[Message], *, delete: bool) -> int:
        receipts = [message.receipt for message in messages]
        calls = 0
        try:
            for start in range(0, len(receipts), _AT_ONCE):
                calls += 1
                self._source.settle(receipts[start : start + _AT_ONCE], delete=delete)
        except ConnectorError as error:
            # The messages are delivered again later, and are settled then.
            logger.warning("hints_not_settled", extra={"reason": error.message})
        return calls
