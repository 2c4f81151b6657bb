"""The landing: one folder per run, with segments of rows and the tokens to continue after them.

A segment becomes visible by one rename, after an fsync, so that its rows and checkpoints are there together or
not at all. Must not know AWS or the warehouse.

    <landing>/image-history-landing.json    the mark, see mark
    <landing>/lock                          held by the sync that works here
    <landing>/known-streams.parquet         what the warehouse knew after the last load
    <landing>/<run id>/images.parquet       the scopes' lists of images
    <landing>/<run id>/plan.json            written last: a folder without it is no run yet
    <landing>/<run id>/images-000002.parquet, plan-000002.json ...    scopes that came later
    <landing>/<run id>/segment-000001-0badcafe.parquet ...     its number and its checksum
    <landing>/<run id>/details-000001-0badcafe.parquet ...     see landing/details.py
    <landing>/<run id>/closed               handed to the loader: no more segments are added
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from image_history.durable.disk import make_folder, open_lock, remove_named, sync_folder, unlink, write_holder
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import LandingError, SyncRunningError
from image_history.landing.details import LandedDetails, ScopeCost, read_details
from image_history.landing.files import (
    checksum,
    damaged,
    noted,
    parquet,
    read_checked,
    read_whole,
    refused,
    seal,
    unsealed,
    write_whole,
)
from image_history.landing.mark import (
    LOCK,
    Mark,
    bound,
    foreign_run,
    is_of_a_run,
    read_mark,
    require_own,
    require_usable,
    run_folders,
)
from image_history.landing.memory import Memory, remember, remembered
from image_history.landing.plan import FORMAT, RunPlan
from image_history.model import (
    Absence,
    Calls,
    Checkpoint,
    Drift,
    Outcome,
    Scope,
    Stream,
)

if TYPE_CHECKING:
    import pyarrow as pa

# So often, and at such intervals, the lock of the folder is tried.
_TRIES = 5
_TRY_EVERY_SECONDS = 0.05
_PLAN = "plan.json"
_IMAGES = "images.parquet"
_CLOSED = "closed"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """What plan.json holds: the plan, and the checksum of the images beside it."""

    plan: RunPlan
    images: str


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The metadata of a segment: how far each of its streams has been read, and at what cost."""

    run_id: str
    number: int
    checkpoints: tuple[Checkpoint, ...]
    costs: tuple[ScopeCost, ...] = ()
    absences: tuple[Absence, ...] = ()
    drift: tuple[Drift, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class LandedRun:
    """A run's folder, read back: each stream's newest checkpoint, and the sums of all segments.

    `holds` has, for each segment, the scopes of its rows and checkpoints.
    """

    folder: Path
    plan: RunPlan
    segments: tuple[Path, ...]
    checkpoints: Mapping[Stream, Checkpoint]
    costs: Mapping[Scope, Calls]
    absences: tuple[Absence, ...] = ()
    drift: tuple[Drift, ...] = ()
    closed: bool = False
    parts: int = 1
    details: LandedDetails = field(default_factory=LandedDetails)
    holds: tuple[frozenset[Scope], ...] = ()

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes that the run reads, and those that could not be read if their account is known."""
        unreadable = (failure.scope for failure in self.plan.unreadable if failure.scope is not None)
        return frozenset((*(plan.scope for plan in self.plan.scopes), *unreadable))

    @property
    def is_mixed(self) -> bool:
        """Whether the segments hold rows of other scopes too, as the segments of a part of a run may."""
        return not frozenset().union(*self.holds) <= self.scopes

    @property
    def images(self) -> tuple[Path, ...]:
        """The Parquet files of the run's images, one for each part of its plan."""
        return tuple(self.folder / _part(_IMAGES, number) for number in range(1, self.parts + 1))

    @property
    def finished(self) -> bool:
        """Nothing will be added: every planned stream has an outcome, or the run was handed to the loader.

        A run with details is finished only when it is closed: its files don't show whether all details were read.
        """
        known = self.checkpoints
        return self.closed or (
            self.plan.last
            and not self.plan.details
            and all(
                planned.stream in known and known[planned.stream].finished for planned in self.plan.streams
            )
        )


def _part(name: str, number: int) -> str:
    """The name of a file of the plan's n-th part."""
    stem, _, suffix = name.partition(".")
    return name if number == 1 else f"{stem}-{number:06d}.{suffix}"


@dataclass(frozen=True, slots=True)
class Landing:
    """The landing folder of a warehouse."""

    folder: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one sync, creating it if need be.

        Raises SyncRunningError, naming the process, if another sync holds it, and LandingError if the
        folder cannot be made, or is not ours.
        """
        require_usable(self.folder)
        try:
            make_folder(self.folder, File.LANDING, exist_ok=True)
            handle = open_lock(self.folder / LOCK)
        except OSError as error:
            raise refused("open the landing folder", self.folder, error) from error
        try:
            _take(handle, self.folder)
            yield
        finally:
            os.close(handle)

    def mark(self) -> Mark | None:
        """The mark of the folder; None if it has none yet."""
        return read_mark(self.folder)

    def bind(self, warehouse_id: str | None, warehouse: Path) -> Mark:
        """The mark of the locked folder, written now if there was none; see `bound`."""
        return bound(self.folder, warehouse_id, warehouse)

    def own_runs(self, mark: Mark) -> tuple[LandedRun, ...]:
        """As `runs`; LandingError names a run that was made for another warehouse, or by another user."""
        runs = self.runs()
        for run in runs:
            require_own(run.folder)
            if not mark.owns(run.plan.run_id, run.plan.warehouse_id):
                raise foreign_run(run.folder)
        return runs

    def create(self, plan: RunPlan, images: pa.Table) -> LandedRun:
        """Write a run's images and, last, its plan; after a kill in between there is no run."""
        folder = self.folder / plan.run_id
        try:
            make_folder(folder, File.RUN)
            sync_folder(self.folder, File.RUN)
        except OSError as error:
            raise refused("make the run's folder", folder, error) from error
        _write_part(folder, 1, plan, images)
        return _begun(folder, plan)

    def extend(self, run: LandedRun, part: RunPlan, images: pa.Table) -> LandedRun:
        """Add scopes to a run's plan; after a kill the part is there whole or not at all."""
        number = run.parts + 1
        _write_part(run.folder, number, part, images)
        return replace(run, plan=run.plan.with_part(part), parts=number, drift=run.drift + part.drift)

    def runs(self) -> tuple[LandedRun, ...]:
        """Every run whose plan was written, oldest first. LandingError names a file that cannot be read."""
        return tuple(map(read_run, self._born()))

    def run_ids(self) -> tuple[str, ...]:
        """The ids of all runs that have a folder here."""
        return tuple(folder.name for folder in run_folders(self.folder))

    def close(self, run: LandedRun) -> LandedRun:
        """Mark the run as handed to the loader: later syncs do not continue it."""
        write_whole(run.folder / _CLOSED, b"", File.CLOSED)
        return read_run(run.folder)

    def forget_unfinished(self, mark: Mark) -> tuple[str, ...]:
        """Remove our runs that are not finished, and runs whose files cannot be read; return their ids."""
        forgotten = [folder for folder in self._born() if _is_forgettable(folder, mark)]
        for folder in forgotten:
            self._remove(folder)
        return tuple(folder.name for folder in forgotten)

    def _born(self) -> list[Path]:
        return [folder for folder in run_folders(self.folder) if os.path.lexists(folder / _PLAN)]

    def remove(self, run: LandedRun) -> None:
        """Remove a loaded run's folder; the plan is removed first, so that a kill leaves no half of a run.

        An error is only logged: the next sync finds that the run is loaded, and removes it.
        """
        try:
            self._remove(run.folder)
        except LandingError as error:
            logger.warning("run_not_removed", extra={"run_id": run.plan.run_id, "reason": str(error)})

    def _remove(self, folder: Path) -> None:
        try:
            if not (folder / _PLAN).is_dir():
                unlink(folder / _PLAN, File.PLAN)
            sync_folder(folder, File.PLAN)
            if not remove_named(folder, is_of_a_run, File.RUN):
                logger.warning(
                    "run_not_removed", extra={"run_id": folder.name, "reason": "it holds other files"}
                )
        except OSError as error:
            raise refused("remove the run's folder", folder, error) from error

    def remember(self, streams: pa.Table, memory: Memory) -> bool:
        """Keep a copy of what the warehouse knows of its streams, for planning while it is locked.

        Returns whether it was written; an error is logged.
        """
        return remember(self.folder, streams, memory)

    def remembered(self, mark: Mark) -> tuple[pa.Table, Memory] | None:
        """The copy that `remember` kept of this warehouse; None if it is missing or damaged."""
        return remembered(self.folder, mark)

    def sweep(self) -> None:
        """Remove our files in run folders without a plan: these runs were never created, or only half removed."""
        for folder in run_folders(self.folder):
            if not os.path.lexists(folder / _PLAN):
                with suppress(OSError):
                    remove_named(folder, is_of_a_run, File.RUN)


def _write_part(folder: Path, number: int, plan: RunPlan, images: pa.Table) -> None:
    content = parquet(images)
    write_whole(folder / _part(_IMAGES, number), content, File.IMAGES)
    write_whole(folder / _part(_PLAN, number), seal(_Written(plan, checksum(content))), File.PLAN)


def _take(handle: int, folder: Path) -> None:
    try:
        _lock(handle)
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise refused("lock", folder, error) from error
        written = os.pread(handle, 32, 0).strip()
        holder = written.decode("ascii") if written.isdigit() else "unknown"
        raise SyncRunningError(
            f"Another sync (process {holder}) works in {folder}; this one did nothing. "
            "Wait for it, or stop it: the next sync continues where it was.",
            holder=holder,
        ) from error
    try:
        write_holder(handle, str(os.getpid()))
    except OSError as error:
        raise refused("write the lock in", folder, error) from error


def _lock(handle: int) -> None:
    """Take the lock; BlockingIOError if another process keeps it. `check` holds it for a moment, to look at it."""
    fault_point(Effect.LOCK, File.LOCK)
    for _ in range(_TRIES - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_TRY_EVERY_SECONDS)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_forgettable(folder: Path, mark: Mark) -> bool:
    """Whether a run cannot be read, or is ours and not finished; another warehouse's run is never removed."""
    try:
        run = read_run(folder)
    except LandingError:
        return True
    return mark.owns(run.plan.run_id, run.plan.warehouse_id) and not run.finished


def read_run(folder: Path) -> LandedRun:
    """Read a run's plan, and the checkpoints of its segments in their order; the newest one of a stream counts.

    LandingError names a file that is damaged, missing, or of another version.
    """
    return read_on(_begun(folder, _read_part(folder, 1)))


def _begun(folder: Path, plan: RunPlan) -> LandedRun:
    return LandedRun(folder, plan, (), {}, {}, drift=plan.drift)


def read_on(run: LandedRun) -> LandedRun:
    """The run with everything that was landed since it was read; only new files are read.

    Raises as `read_run`.
    """
    folder, plan, parts = run.folder, run.plan, run.parts
    drift = list(run.drift)
    while (folder / _part(_PLAN, parts + 1)).exists():
        parts += 1
        added = _read_part(folder, parts)
        plan, drift = plan.with_part(added), [*drift, *added.drift]
    checkpoints = dict(run.checkpoints)
    absences, holds = list(run.absences), list(run.holds)
    segments = tuple(sorted(folder.glob("segment-*.parquet")))
    details = read_details(folder, plan.run_id, run.details)
    drift += details.drift[len(run.details.drift) :]
    spent = list(details.costs[len(run.details.costs) :])
    for number, path in enumerate(segments[len(run.segments) :], start=len(run.segments) + 1):
        header = _header(path, plan.run_id, number)
        absences += header.absences
        drift += header.drift
        checkpoints.update({checkpoint.stream: checkpoint for checkpoint in header.checkpoints})
        spent += header.costs
        holds.append(frozenset(checkpoint.stream.scope for checkpoint in header.checkpoints))
    costs = dict(run.costs)
    for cost in spent:
        costs[cost.scope] = costs.get(cost.scope, Calls()) + cost.calls
    return LandedRun(
        folder=folder,
        plan=plan,
        segments=segments,
        checkpoints=checkpoints,
        costs=costs,
        absences=tuple(absences),
        drift=tuple(drift),
        closed=(folder / _CLOSED).exists(),
        parts=parts,
        details=details,
        holds=tuple(holds),
    )


def part_of(run: LandedRun, scopes: Collection[Scope]) -> LandedRun:
    """The part of a run about some of its scopes. Without drift, which is not recorded by scope."""
    chosen = frozenset(scopes)
    plan = replace(
        run.plan,
        scopes=tuple(plan for plan in run.plan.scopes if plan.scope in chosen),
        streams=tuple(planned for planned in run.plan.streams if planned.stream.scope in chosen),
        unreadable=tuple(failure for failure in run.plan.unreadable if failure.scope in chosen),
    )
    kept = [(path, held) for path, held in zip(run.segments, run.holds, strict=True) if held & chosen]
    return replace(
        run,
        plan=plan,
        segments=tuple(path for path, _ in kept),
        holds=tuple(held for _, held in kept),
        checkpoints={stream: mark for stream, mark in run.checkpoints.items() if stream.scope in chosen},
        absences=tuple(absence for absence in run.absences if absence.stream.scope in chosen),
        details=run.details.of(chosen),
        drift=(),
    )


def _read_part(folder: Path, number: int) -> RunPlan:
    path, images = folder / _part(_PLAN, number), folder / _part(_IMAGES, number)
    written = unsealed(path, _Written)
    _require_format(written.plan.format, path)
    if checksum(read_whole(images)) != written.images:
        raise damaged(images, "its checksum does not match")
    return written.plan


def _header(path: Path, run_id: str, number: int) -> SegmentHeader:
    header = noted(read_checked(path), SegmentHeader, path)
    _require_format(header.format, path)
    if (header.run_id, header.number) != (run_id, number):
        raise damaged(path, f"it is not segment {number} of its run")
    return header


def proved_deletions(run: LandedRun) -> Mapping[Checkpoint, int]:
    """The accepted listings of a run that prove live versions gone, with the number of these versions."""
    lives: Counter[Stream] = Counter()
    for absence in run.absences:
        lives[absence.stream] += absence.lives
    marks = (mark for stream, mark in run.checkpoints.items() if lives[stream])
    return {mark: lives[mark.stream] for mark in marks if mark.outcome in {Outcome.COMPLETE, Outcome.GONE}}


def write_segment(folder: Path, header: SegmentHeader, rows: pa.Table) -> Path:
    """Write one segment; it is on disk and visible when this returns.

    After a LandingError the segment is whole or missing.
    """
    content = parquet(rows, header)
    path = folder / f"segment-{header.number:06d}-{checksum(content)}.parquet"
    write_whole(path, content, File.SEGMENT)
    return path


def _require_format(found: int, path: Path) -> None:
    if found != FORMAT:
        raise LandingError(
            f"{path} was written by another version of image-history (format {found}, this one reads "
            f"{FORMAT}): finish that run with the version that began it, or drop it with sync --fresh."
        )
