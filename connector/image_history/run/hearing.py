"""Reads hints at the start of a run, and acknowledges them once the run is loaded.

Must not know queues, folders, or SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from image_history.aws.queue import Queue
from image_history.config import Config
from image_history.hints.folder import FolderMailbox
from image_history.hints.heard import Heard, heard_after, source_of
from image_history.hints.mail import Mail, Mailbox, Message
from image_history.hints.queue import QueueMailbox
from image_history.hints.resting import Confirmations, Ledger, Rest, by_image
from image_history.landing.mark import Mark
from image_history.landing.memory import Memory
from image_history.landing.plan import RunPlan
from image_history.landing.runs import Landing
from image_history.listing.request import ImageFilter
from image_history.model import HintsReport, Scope, Stop, Stream, StreamKnowledge
from image_history.run.parts import WHOLE
from image_history.run.planning import Opened, SyncOptions
from image_history.warehouse.identity import still_heard
from image_history.warehouse.loader import Knowledge, known
from image_history.warehouse.warehouse import Connection, now_ms

logger = logging.getLogger(__name__)


def mailbox_of(config: Config, stop: Stop) -> Mailbox | None:
    """The mailbox that the configuration names; None if it names none. Raises ConfigError."""
    hints = config.hints
    if hints.queue is not None:
        return QueueMailbox(Queue(hints.queue, hints.profile), stop, now_ms=now_ms)
    return FolderMailbox(hints.folder) if hints.folder is not None else None


def _name_of(config: Config) -> str:
    return config.hints.queue or str(config.hints.folder)


def memory_of(config: Config, landing: Landing, mark: Mark | None) -> Memory | None:
    """What the landing remembers of hints; None if the configuration uses none, or if it was lost."""
    found = None if mark is None or config.hints.rests_for is None else landing.remembered(mark)
    return None if found is None else found[1]


def knowledge_of(
    connection: Connection, config: Config, memory: Memory | None, *, unfinished: str | None
) -> Knowledge:
    """What planning needs of the warehouse, with the hints that are heard; `unfinished` is the run that goes on."""
    found = known(
        connection,
        confirmed=config.hints.rests_for is not None,
        image_times=config.hints.trust_image_time,
    )
    return replace(found, heard=still_heard(connection, memory, besides=unfinished))


def may_go_on(plan: RunPlan, config: Config) -> bool:
    """Whether an unfinished run may be continued: not if an image would rest in the run for longer than allowed."""
    trust = config.hints.rests_for
    return not plan.has_rested_out(0 if trust is None else round(trust.total_seconds() * 1000), now_ms())


@dataclass(slots=True)
class Hearing:
    """The hints of one run. `wanted` has a filter for each scope that was opened: which of its images are read.

    `unopened` says that at least one scope could not be opened.
    """

    config: Config
    options: SyncOptions
    mailbox: Mailbox | None
    mail: Mail = field(default_factory=Mail)
    wanted: dict[Scope, ImageFilter] = field(default_factory=dict)
    unopened: bool = False

    @classmethod
    def of(cls, config: Config, options: SyncOptions, stop: Stop) -> Hearing:
        """Read all waiting hints; those about scopes of other parts are returned at once. Raises ConfigError."""
        mailbox = mailbox_of(config, stop)
        mail = Mail() if mailbox is None else mailbox.read()
        if mail.problem is not None:
            logger.warning("hints_not_relied_on", extra={"reason": mail.problem})
        if mailbox is not None and config.hints.queue is not None and options.part != WHOLE:
            others = [message for message in mail.messages if _concerns_others(message, options)]
            own = tuple(message for message in mail.messages if not _concerns_others(message, options))
            mail = replace(mail, messages=own, calls=mail.calls + mailbox.release(others))
        return cls(config, options, mailbox, mail)

    def opened(self, wave: Opened) -> None:
        """Note which scopes the run reads."""
        self.wanted.update((each.scope, each.target.images) for each in wave.scopes)
        self.unopened = self.unopened or bool(wave.unreadable)

    def rest(self, confirmations: Confirmations | None, heard: Sequence[Heard]) -> Rest:
        """Which images may rest. `heard` are the scopes whose hints are heard without a gap.

        No image may if hints are not reliable, if `confirmations` is None (what is stored is unknown), if the run
        lists everything in full, or if it was limited to named images.
        """
        named = self.options.full or bool(self.options.images)
        by_image_time = self.config.hints.trust_image_time
        relied_on = by_image_time if self.mailbox is None else self.mail.problem is None
        return Rest(
            allowed=relied_on and not named and confirmations is not None,
            by_image_time=by_image_time,
            trust_ms=round(self.config.hints.trust.total_seconds() * 1000),
            reconcile_every_ms=round(self.config.reconcile_every.total_seconds() * 1000),
            page_size=self.config.page_size,
            confirmations=confirmations or Confirmations(),
            hints=by_image(self.mail.hints),
            mailbox=_name_of(self.config),
            heard=tuple(heard),
        )

    def heard(self, before: Sequence[Heard], plan: RunPlan, *, since_ms: int) -> tuple[Heard, ...]:
        """The scopes whose hints are heard without a gap after this run.

        `since_ms` is a load, such that all later ones have listings of this run or of later runs only.
        """
        if self.mail.problem is not None and self.config.hints.queue is None:
            # A queue keeps its messages meanwhile; no program could write into a folder that is not there.
            return ()
        if self.options.images:
            # The hints about other images stay where they are.
            return tuple(before)
        sources = {scope: source_of(_name_of(self.config), images) for scope, images in self.wanted.items()}
        return heard_after(before, sources, since_ms=since_ms, everything=self._reads_everything(plan))

    def _reads_everything(self, plan: RunPlan) -> bool:
        """Whether the run was not limited to scopes or images, and could open all configured scopes."""
        return not (self.options.scopes or self.options.images or self.unopened or plan.unreadable)

    def settle(
        self,
        confirmations: Confirmations | None,
        known: Mapping[Stream, StreamKnowledge],
        plan: RunPlan,
    ) -> HintsReport | None:
        """Acknowledge the hints that the loaded run has settled, return the others, and report on both.

        None if the configuration lets no image rest. To be called after the commit. Without `confirmations` nothing
        is acknowledged: the run proved nothing.
        """
        if self.config.hints.rests_for is None:
            return None
        done, left = self._sorted(confirmations, known, plan)
        calls = self.mail.calls
        if self.mailbox is not None:
            calls += self.mailbox.acknowledge(done) + self.mailbox.release(left)
        confirmed = [scope.confirmed_ms for scope in plan.scopes if scope.confirmed_ms is not None]
        return HintsReport(
            messages=len(self.mail.messages),
            junk=self.mail.junk,
            acknowledged=len(done),
            rested=sum(scope.rested for scope in plan.scopes),
            hinted=sum(scope.hinted for scope in plan.scopes),
            calls=calls,
            confirmed_until=_instant(min(confirmed)) if confirmed else None,
            problem=self.mail.problem,
            by_image_time=self.config.hints.trust_image_time,
        )

    def _sorted(
        self,
        confirmations: Confirmations | None,
        known: Mapping[Stream, StreamKnowledge],
        plan: RunPlan,
    ) -> tuple[list[Message], list[Message]]:
        """The messages whose hints are all settled, and the others."""
        if confirmations is None:
            return [], list(self.mail.messages)
        ledger = Ledger(
            confirmations,
            known,
            {scope: images.accepts for scope, images in self.wanted.items()},
            {} if self.options.images else {scope.scope: scope.t0_ms for scope in plan.scopes},
            everything=self._reads_everything(plan),
            page_size=self.config.page_size,
        )
        done: list[Message] = []
        left: list[Message] = []
        for message in self.mail.messages:
            (done if all(map(ledger.settled, message.hints)) else left).append(message)
        return done, left

    def release(self) -> None:
        """Return all messages to the mailbox, for the next run: this one changed nothing."""
        if self.mailbox is not None:
            self.mailbox.release(self.mail.messages)


def _concerns_others(message: Message, options: SyncOptions) -> bool:
    """Whether a message is about an image that another part reads."""
    return any(not options.part.has(hint.scope) for hint in message.hints)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
