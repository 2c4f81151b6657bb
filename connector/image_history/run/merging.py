"""Brings runs that other machines handed over into one warehouse, each exactly once.

Decides the order and what is refused; must not know SQL, AWS, or how a report is printed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from image_history.config import Config
from image_history.errors import ConfigError, LandingError
from image_history.landing.runs import Landing
from image_history.model import RunReport
from image_history.run.handing import HandedRun, handed_runs
from image_history.warehouse.loader import known, load_run, loaded_runs, report
from image_history.warehouse.warehouse import Connection, WarehouseFile

logger = logging.getLogger(__name__)

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: a report for each run that it loaded, and what it left where it was.

    `again` counts the runs that were there already and were only removed, `unfinished` those that no sync has
    handed over yet.
    """

    runs: tuple[RunReport, ...]
    again: int
    unfinished: int


def merge(config: Config, folders: Sequence[Path], *, allow_mass_delete: bool = False) -> Merged:
    """Load every run that was handed over to these folders, and remove its folder.

    Each run is one transaction, so a kill leaves whole runs, and the rest for the next merge. Raises
    ConfigError for a folder that is not there, SyncRunningError while a sync or a merge works in one, LandingError
    for a damaged file and for a run that rests on one which this warehouse lacks, HeldBackError where the
    mass-delete breaker trips; the runs before it are loaded by then.
    """
    landings = [Landing(folder) for folder in folders]
    for landing in landings:
        if not landing.folder.is_dir():
            raise ConfigError(
                f"There is no folder {landing.folder}: name those that sync --hand-over filled."
            )
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    warehouse.require_writable()
    with ExitStack() as stack:
        for landing in landings:
            stack.enter_context(landing.locked())
        found = [handed_runs(landing) for landing in landings]
        handed = [run for runs, _ in found for run in runs]
        unfinished = sum(len(waiting) for _, waiting in found)
        if not handed:
            return Merged((), 0, unfinished)
        with warehouse.writing() as connection:
            merging = _Merging(connection, allow_mass_delete=allow_mass_delete)
            merging.run(handed)
    return Merged(tuple(merging.reports), merging.again, unfinished)


@dataclass(slots=True)
class _Merging:
    """One merge while the warehouse is open."""

    connection: Connection
    allow_mass_delete: bool
    reports: list[RunReport] = field(default_factory=list)
    again: int = 0

    def run(self, handed: Sequence[HandedRun]) -> None:
        """Load the runs, each after the one that it rests on, else in the order of their start."""
        stored = loaded_runs(self.connection, [each.run.plan.run_id for each in handed])
        for each in handed:
            if each.run.plan.run_id in stored:
                each.landing.remove(each.run)
                self.again += 1
        left = [each for each in handed if each.run.plan.run_id not in stored]
        left.sort(key=lambda each: each.run.plan.run_id)
        while left:
            ready = next(filter(self._rests_on_what_is_there, left), None)
            if ready is None:
                raise _without_base(left[0])
            self._load(ready)
            left.remove(ready)

    def _rests_on_what_is_there(self, handed: HandedRun) -> bool:
        if handed.follows is not None:
            return bool(loaded_runs(self.connection, [handed.follows]))
        self._require_new(handed)
        return True

    def _require_new(self, handed: HandedRun) -> None:
        """LandingError if the first run of a machine is of images that this warehouse knows from elsewhere."""
        ours = known(self.connection).streams
        twice = [str(each.stream) for each in handed.run.plan.streams if each.stream in ours]
        if twice:
            named = ", ".join(sorted(twice)[:_NAMED])
            raise LandingError(
                f"Run {handed.run.plan.run_id} is the first of its warehouse, but {len(twice)} of its images are "
                f"known here from elsewhere ({named}): what was deleted before it would stay. Let that machine "
                "start with a copy of this warehouse."
            )

    def _load(self, handed: HandedRun) -> None:
        began = time.monotonic()
        loaded = load_run(self.connection, handed.run, judged_elsewhere=not self.allow_mass_delete)
        seconds = time.monotonic() - began
        self.reports.append(report(loaded, duration_seconds=seconds, lock_seconds=seconds, resumed=False))
        logger.info("run_merged", extra={"run_id": handed.run.plan.run_id})
        handed.landing.remove(handed.run)


def _without_base(handed: HandedRun) -> LandingError:
    return LandingError(
        f"Run {handed.run.plan.run_id} in {handed.landing.folder} rests on run {handed.follows}, which this "
        "warehouse does not hold: merge that one as well (was it handed over elsewhere, or loaded without "
        "--hand-over?), or let the machine start with a copy of this warehouse."
    )
