"""Hears hints at the start of a run, and acknowledges them once the run is loaded.

Must not know queues, folders, or SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from image_history.aws.queue import Queue
from image_history.config import Config
from image_history.hints.folder import FolderMailbox
from image_history.hints.mail import Mail, Mailbox, Message
from image_history.hints.queue import QueueMailbox
from image_history.hints.resting import Confirmations, Ledger, Rest, by_image
from image_history.landing.runs import ScopePlan
from image_history.model import HintsReport, Scope, Stop, Stream, StreamKnowledge
from image_history.run.planning import SyncOptions
from image_history.warehouse.warehouse import now_ms

logger = logging.getLogger(__name__)

Accepts = Callable[[str], bool]


def mailbox_of(config: Config, stop: Stop) -> Mailbox | None:
    """Where the configuration has its hints from; None if there are none. Raises ConfigError."""
    hints = config.hints
    if hints.queue is not None:
        return QueueMailbox(Queue(hints.queue, hints.profile), stop, now_ms=now_ms)
    return FolderMailbox(hints.folder) if hints.folder is not None else None


@dataclass(slots=True)
class Hearing:
    """The hints of one run. `wanted` tells, of each scope that was opened, which images are read."""

    config: Config
    mailbox: Mailbox | None
    mail: Mail = field(default_factory=Mail)
    wanted: dict[Scope, Accepts] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, stop: Stop) -> Hearing:
        """Read all hints that are there. Raises ConfigError."""
        mailbox = mailbox_of(config, stop)
        mail = Mail() if mailbox is None else mailbox.read()
        if mail.problem is not None:
            logger.warning("hints_not_relied_on", extra={"reason": mail.problem})
        return cls(config, mailbox, mail)

    def rest(self, confirmations: Confirmations | None, options: SyncOptions) -> Rest:
        """Who may rest. Nobody where hints cannot be relied on, or what is stored is not known (None).

        Nor who is asked for by name.
        """
        named = options.full or bool(options.images)
        allowed = self.mailbox is not None and self.mail.problem is None and not named
        return Rest(
            allowed=allowed and confirmations is not None,
            trust_ms=round(self.config.hints.trust.total_seconds() * 1000),
            reconcile_every_ms=round(self.config.reconcile_every.total_seconds() * 1000),
            page_size=self.config.page_size,
            confirmations=confirmations or Confirmations(),
            hints=by_image(self.mail.hints),
        )

    def settle(
        self,
        confirmations: Confirmations,
        known: Mapping[Stream, StreamKnowledge],
        *,
        everything: bool,
        scopes: Iterable[ScopePlan],
    ) -> HintsReport | None:
        """Acknowledge what the loaded run has settled, release the rest, and say so; None without hints.

        To be called after the commit. `everything` says that all that is configured was to be read, and opened.
        """
        if self.mailbox is None:
            return None
        ledger = Ledger(confirmations, known, self.wanted, everything, self.config.page_size)
        done = [message for message in self.mail.messages if _settled(message, ledger)]
        left = (
            [message for message in self.mail.messages if message not in done] if done else self.mail.messages
        )
        calls = self.mail.calls + self.mailbox.acknowledge(done) + self.mailbox.release(left)
        planned = list(scopes)
        confirmed = [plan.confirmed_ms for plan in planned if plan.confirmed_ms is not None]
        return HintsReport(
            messages=len(self.mail.messages),
            junk=self.mail.junk,
            acknowledged=len(done),
            rested=sum(plan.rested for plan in planned),
            hinted=sum(plan.hinted for plan in planned),
            calls=calls,
            confirmed_until=_instant(min(confirmed)) if confirmed else None,
            problem=self.mail.problem,
        )

    def release(self) -> None:
        """Have all messages come again: what read them changed nothing."""
        if self.mailbox is not None:
            self.mailbox.release(self.mail.messages)


def _settled(message: Message, ledger: Ledger) -> bool:
    return all(ledger.settled(hint) for hint in message.hints)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
