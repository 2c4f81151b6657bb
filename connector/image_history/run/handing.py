"""Runs that were loaded on one machine, and are handed over to be merged into the warehouse of another.

A run is handed over by one rename, with the run that was loaded before it: what it holds rests on that. Must
not know AWS or the warehouse.

    <folder>/<run id>/       the run's folder as it was in the landing
    <folder>/<run id>/follows.json
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from image_history.durable.disk import make_folder, rename, sync_folder
from image_history.durable.effects import File
from image_history.errors import LandingError
from image_history.landing.files import refused, seal, unsealed, write_whole
from image_history.landing.runs import LandedRun, Landing

_FOLLOWS = "follows.json"


@dataclass(frozen=True, slots=True)
class Follows:
    """The run that the handing warehouse had loaded before this one; None for its first."""

    run_id: str | None


@dataclass(frozen=True, slots=True)
class HandedRun:
    """A run that waits to be merged, and the run that it rests on."""

    run: LandedRun
    follows: str | None
    landing: Landing


def hand_over(run: LandedRun, folder: Path, *, follows: str | None) -> None:
    """Move a loaded run's folder into `folder`, which is made if need be; after a kill it is in one of the two.

    Raises LandingError if the disk refuses: the run then stays in the landing, and the next sync hands it over.
    """
    write_whole(run.folder / _FOLLOWS, seal(Follows(follows)), File.HANDED)
    try:
        make_folder(folder, File.HANDED, exist_ok=True, parents=True)
        rename(run.folder, folder / run.folder.name, File.HANDED)
        sync_folder(folder, File.HANDED)
        sync_folder(run.folder.parent, File.HANDED)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise LandingError(
                f"{folder} is on another file system than the landing {run.folder.parent}: name a folder on the "
                "same one with --hand-over. The run is loaded, and the next sync hands it over."
            ) from error
        raise refused("hand a run over to", folder, error) from error


def handed_runs(landing: Landing) -> tuple[tuple[HandedRun, ...], tuple[LandedRun, ...]]:
    """The runs of a folder that were handed over, oldest first; and those that were not.

    LandingError names a file that is damaged.
    """
    runs = landing.runs()
    handed = [run for run in runs if (run.folder / _FOLLOWS).exists()]
    told = [(run, unsealed(run.folder / _FOLLOWS, Follows)) for run in handed]
    waiting = tuple(run for run in runs if run not in handed)
    return tuple(HandedRun(run, follows.run_id, landing) for run, follows in told), waiting
