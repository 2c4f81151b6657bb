"""The mark: a file that makes a folder the landing of one warehouse.

    <landing>/image-history-landing.json

A folder without a mark is accepted only if it is empty, or holds only files of the previous version. Must not know
what a run consists of, nor the warehouse.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from image_history.durable.effects import File
from image_history.durable.guard import distrust, is_folder, opened_to_read
from image_history.errors import LandingError
from image_history.landing.files import refused, seal, unsealed, write_whole

NAME = "image-history-landing.json"
LOCK = "lock"
KNOWN = "known-streams.parquet"
FORMAT = 2

_RUN = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}")
_OF_A_RUN = re.compile(
    r"(images(-[0-9]{6})?\.parquet|plan(-[0-9]{6})?\.json|segment-[0-9]{6,}-[0-9a-f]{8}\.parquet"
    r"|details-[0-9]{6,}-[0-9a-f]{8}\.parquet|closed|follows\.json)"
)
# mkfs makes this folder at the root of a volume: no reason to refuse the volume.
_OF_THE_DISK = "lost+found"
_HOLDER_BYTES = 32
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class Mark:
    """Which warehouse a landing belongs to. `warehouse` is the path of its file when the landing was made.

    The path is relative to the landing. `adopted` are the runs of the previous version, whose plans name no
    warehouse.
    """

    warehouse_id: str
    warehouse: str
    made_at: str
    adopted: tuple[str, ...] = ()
    format: int = FORMAT

    def owns(self, run_id: str, warehouse_id: str | None) -> bool:
        """Whether a run belongs to this landing's warehouse; `warehouse_id` is the one that the run's plan names."""
        return warehouse_id == self.warehouse_id or (warehouse_id is None and run_id in self.adopted)


def syncing(folder: Path) -> str | None:
    """The process that syncs there now; None if there is none. A shared lock is taken for a moment."""
    try:
        with opened_to_read(folder / LOCK) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(_HOLDER_BYTES).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return None
    return None


def is_of_a_run(name: str) -> bool:
    """Whether a file of that name in a run's folder is ours, or the temporary file that a kill left."""
    whole = name.removeprefix(".").removesuffix(".part") if name.endswith(".part") else name
    return _OF_A_RUN.fullmatch(whole) is not None


def run_folders(folder: Path) -> list[Path]:
    """The folders of runs, oldest first, without links."""
    try:
        found = sorted(path for path in folder.iterdir() if _RUN.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refused("look into", folder, error) from error
    return [path for path in found if is_folder(path)]


def require_usable(folder: Path) -> None:
    """LandingError for a folder that others may write to, that is somebody else's, or that holds other files.

    A folder that does not exist yet is accepted.
    """
    try:
        if not folder.exists():
            return
        problem = distrust(folder)
        if problem is not None:
            raise _stranger(folder, problem)
        if read_mark(folder) is None:
            _require_adoptable(folder)
    except OSError as error:
        raise refused("look into", folder, error) from error


def read_mark(folder: Path) -> Mark | None:
    """The mark of a folder; None if it has none. LandingError if it is damaged, or not of this version."""
    path = folder / NAME
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused("look into", folder, error) from error
    try:
        mark = unsealed(path, Mark)
    except LandingError as error:
        if "problem" not in error.context:
            raise
        raise _not_a_mark(
            path, f"is damaged ({error.context['problem']})", "Remove it: the next sync makes it again."
        ) from error
    if mark.format != FORMAT:
        raise _not_a_mark(
            path,
            f"was written by another version of image-history (format {mark.format}, this one reads {FORMAT})",
            "Sync with that version, or name another folder with the setting landing.",
        )
    return mark


def bound(folder: Path, warehouse_id: str | None, warehouse: Path) -> Mark:
    """The mark of a locked landing, made if there is none.

    `warehouse_id` is None for a warehouse that is empty or does not exist yet: it gets the id of the mark, if the
    mark was made for the same path. A landing without runs gets a new mark if another warehouse is at its path now.
    LandingError if the landing belongs to another warehouse.
    """
    mark = owner(folder, warehouse_id, warehouse)
    if mark is not None:
        return mark
    waiting = tuple(path.name for path in run_folders(folder))
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    chosen = Mark(warehouse_id or str(uuid.uuid4()), os.path.relpath(warehouse, folder), made, waiting)
    write_whole(folder / NAME, seal(chosen), File.MARK)
    return chosen


def owner(folder: Path, warehouse_id: str | None, warehouse: Path) -> Mark | None:
    """The mark of a folder that belongs to the warehouse; None if the folder may be marked for it. Writes nothing.

    LandingError if the folder belongs to another warehouse, as from `bound`.
    """
    mark, place = read_mark(folder), os.path.relpath(warehouse, folder)
    if mark is None or warehouse_id == mark.warehouse_id:
        return mark
    if place == mark.warehouse and warehouse_id is None:
        return mark
    if place == mark.warehouse and not run_folders(folder):
        return None
    raise LandingError(
        f"The landing folder {folder} belongs to another warehouse than {warehouse}: it was made for "
        f"{os.path.normpath(folder / mark.warehouse)} (id {mark.warehouse_id}). Name another folder with the "
        "setting landing. If that other warehouse is gone for good, remove the folder: what it had read is "
        "read again.",
        path=str(folder),
    )


def foreign_run(path: Path) -> LandingError:
    """The error for a run that was not made for this landing's warehouse."""
    return LandingError(
        f"{path} was not made for the warehouse of this landing folder: nothing of it is loaded, and it is not "
        "removed. Move it away, then run sync again.",
        path=str(path),
    )


def require_own(path: Path) -> None:
    """LandingError for a run's folder that somebody else may have made."""
    problem = distrust(path)
    if problem is not None:
        raise _stranger(path, problem)


def _not_a_mark(path: Path, problem: str, fix: str) -> LandingError:
    return LandingError(
        f"{path}, the mark of the landing folder, {problem}; nothing in the folder was changed. {fix}",
        path=str(path),
    )


def _require_adoptable(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if not _is_of_the_version_before(path):
            raise LandingError(
                f"{folder} is not a landing folder: it holds {path.name!r}, which is not ours. Nothing in "
                "it was changed. Name another folder with the setting landing: a new one, or an empty one.",
                path=str(folder),
            )


def _is_of_the_version_before(path: Path) -> bool:
    """Whether a path is one that the previous version made, or that a kill left before the mark was written."""
    if path.name == _OF_THE_DISK:
        return True
    if is_folder(path):
        return _RUN.fullmatch(path.name) is not None and all(map(_is_plain_run_file, path.iterdir()))
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    return path.name in {f".{KNOWN}.part", f".{NAME}.part"} or _is_written_by_us(path)


def _is_written_by_us(path: Path) -> bool:
    """Whether a `lock` or `known-streams.parquet` has our content: a user may have files of these names too."""
    if path.name not in {LOCK, KNOWN}:
        return False
    with opened_to_read(path) as file:
        begin = file.read(_HOLDER_BYTES)
    return not begin.strip() or begin.strip().isdigit() if path.name == LOCK else begin[:4] == _PARQUET


def _is_plain_run_file(path: Path) -> bool:
    return is_of_a_run(path.name) and stat.S_ISREG(path.lstat().st_mode)


def _stranger(folder: Path, problem: str) -> LandingError:
    return LandingError(
        f"{folder} is not safe to work in: {problem}, so that what lies there may be somebody else's. Nothing was "
        "read or changed. Make it yours and close it to others (chown, chmod o-w), or name another folder with the "
        "setting landing.",
        path=str(folder),
    )
