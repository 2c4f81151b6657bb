"""What a forecast reads of the warehouse and of the landing folder; nothing is written.

Must not know SQL, AWS, or what a forecast makes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from image_history.config import Config
from image_history.errors import LandingError, WarehouseError, WarehouseLockedError
from image_history.landing.runs import LandedRun, Landing
from image_history.listing.details import PendingCalls
from image_history.listing.verdict import Findings, Step, next_step
from image_history.model import Outcome, PlannedStream, Scope, Stream
from image_history.run.hearing import knowledge_of, memory_of
from image_history.run.leftovers import (
    in_order,
    to_continue,
    unloaded,
    unloaded_while_locked,
    unloaded_without_a_file,
)
from image_history.run.planning import SyncOptions
from image_history.warehouse.findings import hold_against
from image_history.warehouse.large_streams import LargeStream, large_streams
from image_history.warehouse.loader import Knowledge, known_streams
from image_history.warehouse.pending import count_pending, pending_details
from image_history.warehouse.warehouse import Connection, WarehouseFile, now_ms

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Pending = Mapping[Stream, PendingCalls]

_WAIT_SECONDS = 1.0
# A running sync renames and removes files while they are read here.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """The data of the warehouse and of the landing; `locked` names the holder of a locked warehouse.

    `unloaded` are the runs in the landing that the warehouse lacks, in the order in which a sync loads them, and
    `continued` is the one of them that it continues.
    """

    config: Config
    knowledge: Knowledge
    unloaded: tuple[LandedRun, ...]
    continued: LandedRun | None
    locked: str | None = None

    @classmethod
    def of(cls, config: Config, options: SyncOptions, selection: str) -> Stored:
        """Read both. Runs that a sync with these options forgets are left out."""

        def chosen(left: Iterable[LandedRun]) -> LandedRun | None:
            return to_continue(left, selection, config, options)

        landing = Landing(config.landing_folder)
        runs = [run for run in in_order(_runs(landing)) if run.finished or not options.fresh]
        if not config.warehouse.exists():
            left = unloaded_without_a_file(runs)
            return cls(config, Knowledge(), tuple(left), chosen(left))
        try:
            with WarehouseFile(config.warehouse).reading(wait_seconds=_WAIT_SECONDS) as connection:
                left = unloaded(connection, runs, options)
                current = chosen(left)
                return cls(config, _known(connection, config, landing, current), tuple(left), current)
        except WarehouseLockedError as error:
            logger.warning("warehouse_locked", extra={"action": "planning from memory", "reason": str(error)})
            holder = str(error.context.get("holder", "another process"))
            left = unloaded_while_locked(runs, options)
            return cls(config, _known_from_memory(landing), tuple(left), chosen(left), holder)

    def large(self, planned: Sequence[PlannedStream]) -> Mapping[Stream, LargeStream]:
        """The stored facts about streams of more than one page; none while the warehouse is locked."""
        known_streams = self.knowledge.streams
        large = [
            each
            for each in planned
            if each.stream in known_streams
            and known_streams[each.stream].live_versions >= each.request.page_size
        ]
        return (self._ask(lambda connection: large_streams(connection, large)) if large else None) or {}

    def pending(self, run: LandedRun | None, seen_ms: Mapping[Scope, int]) -> Pending | None:
        """The pending calls for details of each stream; None if unknown.

        With an unfinished run, those that it leaves. `seen_ms` has the T0 of the other scopes' lists of images.
        """
        every = self.config.details_every

        def ask(connection: Connection) -> Pending:
            stored = count_pending(connection, every, now_ms(), seen_ms)
            return stored if run is None else {**stored, **_left(connection, run, every, stored)}

        return self._compared(ask)

    def steps(self, run: LandedRun) -> Mapping[Stream, Step]:
        """What the run's listings that were read to their end need next; none if they cannot be compared."""
        read = [mark for mark in run.checkpoints.values() if mark.outcome is Outcome.READ]
        held = self._compared(lambda connection: hold_against(connection, run)) if read else None
        if held is None:
            return {}
        return {
            mark.stream: next_step(mark, held.findings.get(mark.stream, Findings()), may_describe=True)
            for mark in read
        }

    def _compared(self, ask: Callable[[Connection], Result]) -> Result | None:
        """As `_ask`; None also if the file has an earlier schema, which only a sync brings up to date."""
        try:
            return self._ask(ask)
        except WarehouseError as error:
            logger.info("run_not_compared", extra={"reason": str(error)})
            return None

    def _ask(self, ask: Callable[[Connection], Result]) -> Result | None:
        """Query the warehouse; None if there is none, or if it is locked."""
        if self.locked is not None or not self.config.warehouse.exists():
            return None
        try:
            with WarehouseFile(self.config.warehouse).reading(wait_seconds=_WAIT_SECONDS) as connection:
                return ask(connection)
        except WarehouseLockedError as error:
            logger.warning("warehouse_locked", extra={"action": "planning ranges", "reason": str(error)})
            return None


def _left(
    connection: Connection, run: LandedRun, every: timedelta, stored: Pending
) -> Mapping[Stream, PendingCalls]:
    """The pending calls that a run leaves in its scopes."""
    scopes = {plan.scope for plan in run.plan.scopes}
    found = {stream: PendingCalls() for stream in stored if stream.scope in scopes}
    for versions in pending_details(connection, run, every).values():
        for stream, calls in versions.by_stream().items():
            aliased = stored.get(stream, PendingCalls()).aliased
            found[stream] = replace(calls, aliased=aliased, unread=calls.aliases > 0)
    return found


def _known(connection: Connection, config: Config, landing: Landing, current: LandedRun | None) -> Knowledge:
    unfinished = None if current is None else current.plan.run_id
    return knowledge_of(connection, config, memory_of(config, landing, landing.mark()), unfinished=unfinished)


def _known_from_memory(landing: Landing) -> Knowledge:
    mark = landing.mark()
    remembered = None if mark is None else landing.remembered(mark)
    return Knowledge() if remembered is None else Knowledge(known_streams(remembered[0]))


def _runs(landing: Landing) -> tuple[LandedRun, ...]:
    """The runs in the landing, read without its lock."""
    for _ in range(_LOOKS - 1):
        try:
            return landing.runs()
        except (LandingError, OSError):
            continue
    return landing.runs()
