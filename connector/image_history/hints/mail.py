"""What a reader of hints brings, and the seam to its readers. Pure.

Must not know queues or folders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from image_history.hints.events import Hint, parse_hint


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `receipt` is what acknowledges it, `hints` what it says; none if it is no event of images."""

    receipt: str
    hints: tuple[Hint, ...]
    junk: int = 0


@dataclass(frozen=True, slots=True)
class Mail:
    """All messages that were there. `problem` says why they cannot be relied on, None if they can.

    `calls` counts the requests that were made for them.
    """

    messages: tuple[Message, ...] = ()
    calls: int = 0
    problem: str | None = None

    @property
    def hints(self) -> tuple[Hint, ...]:
        """What all messages say."""
        return tuple(hint for message in self.messages for hint in message.hints)

    @property
    def junk(self) -> int:
        """How many messages, or lines of them, are no events of images."""
        return sum(message.junk for message in self.messages)


class Mailbox(Protocol):
    """Where hints come from. A message stays there until it is acknowledged."""

    def read(self) -> Mail:
        """Everything that is there; a problem is told in the mail."""

    def acknowledge(self, messages: Collection[Message]) -> int:
        """Have these messages not come again; how many requests that took. A failure is logged."""

    def release(self, messages: Collection[Message]) -> int:
        """Have these messages come again at once; how many requests that took. A failure is logged."""


def message_of(
    receipt: str, bodies: Iterable[str | bytes], *, sent_ms: int | None = None, undated_ms: int | None = None
) -> Message:
    """A message with what its bodies say.

    `sent_ms` is when a queue took it: no change in it is later. `undated_ms` is for what has no time at all.
    """
    parsed = [parse_hint(body) for body in bodies]
    hints = tuple(_dated(hint, sent_ms, undated_ms) for hint in parsed if hint is not None)
    return Message(receipt, hints, junk=len(parsed) - len(hints))


def _dated(hint: Hint, sent_ms: int | None, undated_ms: int | None) -> Hint:
    at_ms = undated_ms if hint.at_ms is None else hint.at_ms
    instants = [instant for instant in (at_ms, sent_ms) if instant is not None]
    return replace(hint, at_ms=min(instants, default=None))
