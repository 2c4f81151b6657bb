"""The messages with hints, and the interface of their sources. Pure.

Must not know queues or folders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from image_history.hints.events import Hint, parse_hint


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `receipt` acknowledges it, `hints` are its contents; none if it is not an event about images."""

    receipt: str
    hints: tuple[Hint, ...]
    junk: int = 0


@dataclass(frozen=True, slots=True)
class Mail:
    """All messages that were found. `problem` says why they cannot be relied on; None if they can.

    `calls` counts the requests that read them.
    """

    messages: tuple[Message, ...] = ()
    calls: int = 0
    problem: str | None = None

    @property
    def hints(self) -> tuple[Hint, ...]:
        """The hints of all messages."""
        return tuple(hint for message in self.messages for hint in message.hints)

    @property
    def junk(self) -> int:
        """How many messages, or lines of messages, are not events about images."""
        return sum(message.junk for message in self.messages)


class Mailbox(Protocol):
    """Where hints come from. A message stays there until it is acknowledged."""

    def read(self) -> Mail:
        """Read all messages; a problem is reported in the mail."""

    def acknowledge(self, messages: Collection[Message]) -> int:
        """Settle these messages: they do not come again. Return the number of requests. A failure is logged."""

    def release(self, messages: Collection[Message]) -> int:
        """Have these messages come again at once. Return the number of requests. A failure is logged."""


def message_of(
    receipt: str, bodies: Iterable[str | bytes], *, sent_ms: int | None = None, undated_ms: int | None = None
) -> Message:
    """A message with the hints in its bodies.

    `sent_ms` is when a queue took it: no change in it is later. `undated_ms` is the time of a hint without one.
    """
    parsed = [parse_hint(body) for body in bodies]
    hints = tuple(_dated(hint, sent_ms, undated_ms) for hint in parsed if hint is not None)
    return Message(receipt, hints, junk=len(parsed) - len(hints))


def _dated(hint: Hint, sent_ms: int | None, undated_ms: int | None) -> Hint:
    at_ms = undated_ms if hint.at_ms is None else hint.at_ms
    instants = [instant for instant in (at_ms, sent_ms) if instant is not None]
    return replace(hint, at_ms=min(instants, default=None))
