"""Checks whether a sync can use the warehouse, the landing folder and the disk, and whether their files are private.

Read-only: nothing is made, locked for writing, or changed. Must not know AWS, or SQL.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from image_history.checking.results import PARTIAL, Result, failed, ok, warning
from image_history.config import Config
from image_history.counting import counted
from image_history.durable.disk import is_groups, unwritable
from image_history.errors import LandingError, WarehouseError, WarehouseLockedError
from image_history.landing.files import refused
from image_history.landing.mark import owner, require_usable, syncing
from image_history.landing.runs import LandedRun, Landing
from image_history.warehouse.holders import lasting_holder
from image_history.warehouse.identity import warehouse_id
from image_history.warehouse.loader import Knowledge, known, loaded_runs
from image_history.warehouse.warehouse import WarehouseFile

_MIB = 1 << 20
_LEAST_FREE = 64 * _MIB
_ROOM = 256 * _MIB
_WAIT_SECONDS = 0.5
_CLOSE = "Close it there: a sync waits for lock_wait, and then keeps its rows in the landing folder"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# A running sync renames and removes files while they are read, so a failed read is repeated.
_LOOKS = 3
# Where the fix begins in an error message: before a sentence that starts with one of these words.
_FIX = re.compile(r"(?<=\.) (?=(?:Nothing|Name|Drop|Move|Sync|Make|Check)\b)")


@dataclass(frozen=True, slots=True)
class Here:
    """What was found on this machine. `knowledge` is empty if the warehouse could not be read."""

    results: tuple[Result, ...]
    knowledge: Knowledge


def look_here(config: Config) -> Here:
    """Check everything that a sync writes to."""
    runs, landing = _landing(config)
    warehouse, stored = _warehouse(config, runs)
    if stored is not None and all(each.exit_code == 0 for each in landing):
        landing = _owned(config, stored) or landing
    found = _Stored() if stored is None else stored
    waiting = [run for run in runs if run.plan.run_id not in found.loaded]
    private = _private(config)
    return Here(
        (warehouse, *landing, *_waiting(config, waiting), *_room(config), _spill(config), *private),
        found.knowledge,
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """What was read from the warehouse; empty if there is none yet. `loaded` are the landed runs that it holds."""

    knowledge: Knowledge = field(default_factory=Knowledge)
    loaded: frozenset[str] = frozenset()
    warehouse_id: str | None = None


def _warehouse(config: Config, runs: Sequence[LandedRun]) -> tuple[Result, _Stored | None]:
    """Check the warehouse file, and return what was read from it; None if it could not be read."""
    path, where = config.warehouse, str(config.warehouse)
    try:
        WarehouseFile(path).require_writable()
    except WarehouseError as error:
        return _unusable(where, error), None
    if not path.exists():
        return ok("warehouse", where, "not there yet: the first sync makes it"), _Stored()
    # Before this process has the file open.
    holder = lasting_holder(WarehouseFile(path).file, _WAIT_SECONDS)
    try:
        with WarehouseFile(path).reading(wait_seconds=_WAIT_SECONDS) as connection:
            # What is confirmed is read only if it is used: its query reads every row of coverage.
            image_times = config.hints.trust_image_time
            stored = _Stored(
                known(connection, confirmed=image_times, image_times=image_times),
                loaded_runs(connection, [run.plan.run_id for run in runs]),
                warehouse_id(connection),
            )
    except WarehouseLockedError as error:
        message = f"It is held by {error.context.get('holder', 'another process')}."
        return failed("warehouse", where, message, fix=f"{_CLOSE}.", exit_code=5), None
    except WarehouseError as error:
        return _unusable(where, error), None
    return _usable(where, stored, holder), stored


def _usable(where: str, stored: _Stored, holder: str | None) -> Result:
    if holder is not None:
        message = f"{holder} keeps it open. Every load waits for that, unless it is a query of image-history."
        return warning("warehouse", where, message, f"{_CLOSE}.")
    known_images = counted(len(stored.knowledge.streams), "image")
    return ok("warehouse", where, f"can be written; {known_images} known")


def _unusable(where: str, error: WarehouseError) -> Result:
    message, _, fix = error.message.partition(". ")
    fix = fix or "Make it writable to this user, or name another file with --warehouse."
    return failed("warehouse", where, f"{message.rstrip('.')}.", fix=fix, exit_code=error.exit_code)


def _landing(config: Config) -> tuple[Sequence[LandedRun], list[Result]]:
    folder = config.landing_folder
    where = str(folder)
    problem = _unfit(folder)
    if problem is not None:
        return (), [_not_writable(where, problem)]
    if not folder.exists():
        return (), [ok("landing", where, "not there yet: the first sync makes it")]
    try:
        require_usable(folder)
    except LandingError as error:
        return (), [_refused(where, error)]
    try:
        runs = _runs(Landing(folder))
    except (LandingError, OSError) as error:
        return (), [_refused(where, error)]
    holder = syncing(folder)
    if holder is not None:
        fix = "Wait for it: a second sync exits at once with code 7."
        return runs, [warning("landing", where, f"A sync works there now (process {holder}).", fix)]
    return runs, [ok("landing", where, "can be written")]


def _unfit(folder: Path) -> str | None:
    """Why the folder cannot be used for landing; None if it can be used or made."""
    if not folder.exists():
        problem = unwritable(folder.parent) if folder.parent.exists() else "there is no such folder"
        return (
            None if problem is None else f"It is not there, and {folder.parent} cannot be written: {problem}."
        )
    if not folder.is_dir():
        return "It is not a folder."
    problem = unwritable(folder)
    if problem is None and not os.access(folder, os.R_OK):
        problem = "permission denied to read it"
    return None if problem is None else f"It cannot be written: {problem}."


def _not_writable(where: str, message: str) -> Result:
    fix = "Let this user write there, or name another folder with the setting landing."
    return failed("landing", where, message, fix=fix, exit_code=LandingError.exit_code)


def _refused(where: str, error: LandingError | OSError) -> Result:
    """The error of a landing folder as a result: what is wrong, and the sentences that say what to do."""
    if isinstance(error, OSError):
        error = refused("look into", Path(where), error)
    message, *fix = _FIX.split(error.message, maxsplit=1)
    or_else = "Name another folder with the setting landing, or move away what is there."
    return failed("landing", where, message, fix=fix[0] if fix else or_else, exit_code=LandingError.exit_code)


def _owned(config: Config, stored: _Stored) -> list[Result]:
    """A failure if the landing folder belongs to another warehouse; empty if it belongs to this one."""
    folder = config.landing_folder
    try:
        if folder.exists():
            owner(folder, stored.warehouse_id, config.warehouse)
    except LandingError as error:
        return [_refused(str(folder), error)]
    return []


def _runs(landing: Landing) -> Sequence[LandedRun]:
    for _ in range(_LOOKS - 1):
        try:
            return _own_runs(landing)
        except (LandingError, OSError):
            continue
    return _own_runs(landing)


def _own_runs(landing: Landing) -> Sequence[LandedRun]:
    mark = landing.mark()
    return landing.runs() if mark is None else landing.own_runs(mark)


def _waiting(config: Config, runs: Sequence[LandedRun]) -> Iterator[Result]:
    for run in runs:
        left = sum(not mark.finished for mark in run.checkpoints.values()) + len(run.plan.streams)
        left -= len(run.checkpoints)
        state = (
            "is read and not loaded yet"
            if run.finished
            else f"is unfinished, {counted(left, 'image is', 'images are')} left"
        )
        yield ok(
            "landing", str(config.landing_folder), f"run {run.plan.run_id} {state}; the next sync takes it up"
        )


def _room(config: Config) -> Iterator[Result]:
    """Compare the free space with what a load may need: the size of the warehouse, and room for fetched rows."""
    size = config.warehouse.stat().st_size if config.warehouse.is_file() else 0
    for folder in dict.fromkeys(map(_nearest, (config.warehouse.parent, config.landing_folder))):
        free, need = shutil.disk_usage(folder).free, size + _ROOM
        are = "needed" if free < need else "enough"
        message = f"{free // _MIB:,} MiB free; {need // _MIB:,} MiB are {are}"
        fix = f"Make room on the disk of {folder}."
        if free < _LEAST_FREE:
            yield failed("disk", str(folder), f"{message}.", fix=fix, exit_code=2)
        elif free < need:
            yield warning("disk", str(folder), f"{message}.", fix)
        else:
            yield ok("disk", str(folder), message)


def _spill(config: Config) -> Result:
    """Check the folder for temporary files, which take what does not fit into memory. A sync needs it to publish."""
    try:
        return ok("temporary files", tempfile.gettempdir(), "can be written")
    except FileNotFoundError as error:
        message = f"There is no folder for temporary files: {error.strerror}."
        fix = "Name a folder with room in the environment variable TMPDIR; queries and datasets need one."
        if config.publish:
            return failed("temporary files", "TMPDIR", message, fix=fix, exit_code=PARTIAL)
        return warning("temporary files", "TMPDIR", message, fix)


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    here = folder.absolute()
    return next((each for each in (here, *here.parents) if each.is_dir()), here)


def _private(config: Config) -> Iterator[Result]:
    """Whether other users of this machine can read what is stored: the landing holds AWS's tokens too."""
    paths = (
        config.warehouse,
        config.warehouse.with_name(f"{config.warehouse.name}.wal"),
        config.landing_folder,
    )
    open_to_others = False
    there = [path for path in paths if path.exists()]
    for path in there:
        mode = stat.S_IMODE(path.stat().st_mode)
        shut = stat.S_IRWXO if is_groups(path.parent) else _OTHERS
        if mode & shut:
            open_to_others = True
            message = f"Other users of this machine may use it (mode {mode:o})."
            yield warning("file mode", str(path), message, f"chmod go-rwx {path}")
    if there and not open_to_others:
        groups = any(is_groups(path.parent) for path in there)
        message = "for the group whose folder it is" if groups else "for their owner alone"
        yield ok("file mode", "warehouse and landing", message)
