"""The landing: segments of rows with the tokens that continue after them, one folder a run.

A segment becomes visible by one rename, after an fsync, so that rows and checkpoint are there together or
not at all. Must not know AWS or the warehouse.

    <landing>/lock                          held by the sync that works here
    <landing>/known-streams.parquet         what the warehouse knew after the last load
    <landing>/<run id>/images.parquet       what the scopes' lists of images said
    <landing>/<run id>/plan.json            written last: a folder without it is an unborn run
    <landing>/<run id>/segment-000001.parquet ...
    <landing>/<run id>/closed               handed to the loader: takes no more segments
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from connector.errors import LandingError, SyncRunningError
from connector.model import (
    Absence,
    Calls,
    Checkpoint,
    Drift,
    Failure,
    ListingKind,
    PlannedStream,
    Scope,
    Stream,
)

FORMAT = 1
_METADATA_KEY = b"image-history"
_PLAN = "plan.json"
_IMAGES = "images.parquet"
_CLOSED = "closed"
_KNOWN = "known-streams.parquet"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ScopePlan:
    """What discovery found in one scope. Instants in UTC epoch milliseconds.

    `identity` names the configured profile or role, None for AWS's default chain.
    """

    scope: Scope
    identity: str | None
    pages: int
    images: int
    t0_ms: int
    calls: Calls


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is going to read; written once, before the first segment.

    `selection` identifies what was asked for (mode, scopes, images): only a sync that asks for the same
    continues the run. `started_at_ms` is UTC epoch milliseconds of the local clock.
    """

    run_id: str
    started_at_ms: int
    mode: ListingKind
    selection: str
    scopes: tuple[ScopePlan, ...]
    streams: tuple[PlannedStream, ...]
    unreadable: tuple[Failure, ...] = ()
    drift: tuple[Drift, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class ScopeCost:
    """What a scope's calls cost since the segment before."""

    scope: Scope
    calls: Calls


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says beside its rows: how far each stream in it has been read, and at what cost."""

    run_id: str
    number: int
    checkpoints: tuple[Checkpoint, ...]
    costs: tuple[ScopeCost, ...] = ()
    absences: tuple[Absence, ...] = ()
    drift: tuple[Drift, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class LandedRun:
    """A run's folder, read back: each stream's newest checkpoint, and the sums of all segments."""

    folder: Path
    plan: RunPlan
    segments: tuple[Path, ...]
    checkpoints: Mapping[Stream, Checkpoint]
    costs: Mapping[Scope, Calls]
    absences: tuple[Absence, ...] = ()
    drift: tuple[Drift, ...] = ()
    closed: bool = False

    @property
    def images(self) -> Path:
        """The Parquet file of the run's images."""
        return self.folder / _IMAGES

    @property
    def finished(self) -> bool:
        """Nothing will be added: every planned stream has an outcome, or the run was handed to the loader."""
        known = self.checkpoints
        return self.closed or all(
            planned.stream in known and known[planned.stream].finished for planned in self.plan.streams
        )


@dataclass(frozen=True, slots=True)
class Landing:
    """The landing folder of a warehouse."""

    folder: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one sync, creating it if need be.

        Raises SyncRunningError, naming the process, if another sync holds it, and LandingError if the
        folder cannot be made.
        """
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refused("open the landing folder", self.folder, error) from error
        try:
            _take(handle, self.folder)
            yield
        finally:
            os.close(handle)

    def create(self, plan: RunPlan, images: pa.Table) -> LandedRun:
        """Write a run's images and, last, its plan; a kill in between leaves no run."""
        folder = self.folder / plan.run_id
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _refused("make the run's folder", folder, error) from error
        _write_table(folder / _IMAGES, images)
        _write_bytes(folder / _PLAN, msgspec.json.encode(plan))
        _sync_folder(self.folder)
        return LandedRun(folder, plan, (), {}, {})

    def runs(self) -> tuple[LandedRun, ...]:
        """Every run whose plan was written, oldest first. LandingError names a file that cannot be read."""
        plans = sorted(path for path in self.folder.glob(f"*/{_PLAN}"))
        return tuple(read_run(path.parent) for path in plans)

    def close(self, run: LandedRun) -> LandedRun:
        """Mark the run as handed to the loader: a later sync never continues it."""
        _write_bytes(run.folder / _CLOSED, b"")
        return read_run(run.folder)

    def forget_unfinished(self) -> tuple[str, ...]:
        """Remove every run that was not read to its end, or that cannot be read; return their ids."""
        forgotten = [
            path.parent for path in sorted(self.folder.glob(f"*/{_PLAN}")) if not _is_whole(path.parent)
        ]
        for folder in forgotten:
            self._remove(folder)
        return tuple(folder.name for folder in forgotten)

    def remove(self, run: LandedRun) -> None:
        """Remove a loaded run's folder; the plan goes first, so that a kill leaves no half of a run."""
        self._remove(run.folder)

    def _remove(self, folder: Path) -> None:
        try:
            (folder / _PLAN).unlink(missing_ok=True)
            _sync_folder(folder)
            shutil.rmtree(folder)
        except OSError as error:
            raise _refused("remove the run's folder", folder, error) from error

    def remember(self, streams: pa.Table) -> None:
        """Keep a copy of what the warehouse knows of its streams, for planning while it is locked.

        It may lag behind the warehouse; that only makes a listing read more than it must.
        """
        _write_table(self.folder / _KNOWN, streams)

    def remembered(self) -> pa.Table | None:
        """The copy that `remember` kept; None if there is none that can be read."""
        try:
            return pq.read_table(self.folder / _KNOWN)
        except (OSError, pa.ArrowException):
            return None

    def sweep(self) -> None:
        """Remove folders of runs that were never born or only half removed (no plan)."""
        for folder in self.folder.iterdir():
            if folder.is_dir() and not (folder / _PLAN).exists():
                shutil.rmtree(folder, ignore_errors=True)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise _refused("lock", folder, error) from error
        holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise SyncRunningError(
            f"Another sync (process {holder}) works in {folder}; this one did nothing. "
            "Wait for it, or stop it: the next sync goes on where it was.",
            holder=holder,
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)


def _is_whole(folder: Path) -> bool:
    try:
        return read_run(folder).finished
    except LandingError:
        return False


def read_run(folder: Path) -> LandedRun:
    """Read a run's plan and fold the checkpoints of its segments in their order."""
    plan = _decode((folder / _PLAN).read_bytes(), RunPlan, folder / _PLAN)
    segments = tuple(sorted(folder.glob("segment-*.parquet")))
    checkpoints: dict[Stream, Checkpoint] = {}
    costs: dict[Scope, Calls] = {}
    absences: list[Absence] = []
    drift: list[Drift] = list(plan.drift)
    for path in segments:
        header = read_header(path)
        absences += header.absences
        drift += header.drift
        checkpoints.update({checkpoint.stream: checkpoint for checkpoint in header.checkpoints})
        for cost in header.costs:
            costs[cost.scope] = costs.get(cost.scope, Calls()) + cost.calls
    return LandedRun(
        folder, plan, segments, checkpoints, costs, tuple(absences), tuple(drift), (folder / _CLOSED).exists()
    )


def read_header(path: Path) -> SegmentHeader:
    """The header of a segment; LandingError if the file is no segment that we can read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if _METADATA_KEY not in metadata:
        raise _damaged(path, ValueError("it carries no checkpoints"))
    return _decode(metadata[_METADATA_KEY], SegmentHeader, path)


def write_segment(folder: Path, header: SegmentHeader, rows: pa.Table) -> Path:
    """Write one segment; it is on disk and visible when this returns, and absent if it raises LandingError."""
    path = folder / f"segment-{header.number:06d}.parquet"
    tagged = rows.replace_schema_metadata({_METADATA_KEY: msgspec.json.encode(header)})
    _write_table(path, tagged)
    return path


def _write_table(path: Path, table: pa.Table) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    _write_bytes(path, buffer.getvalue())


def _write_bytes(path: Path, content: bytes | pa.Buffer) -> None:
    temporary = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _refused("write", path, error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _decode(content: bytes, kind: type[Value], path: Path) -> Value:
    try:
        value = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    if getattr(value, "format", None) != FORMAT:
        raise LandingError(
            f"{path} was written by another version of image-history (format "
            f"{getattr(value, 'format', None)}, this one reads {FORMAT}): finish that run with the version "
            "that began it, or drop it with sync --fresh."
        )
    return value


def _damaged(path: Path, error: Exception) -> LandingError:
    return LandingError(
        f"{path} is damaged ({error}); nothing of its run was loaded. "
        "Drop the unfinished run with sync --fresh: what it had read is read again.",
        path=str(path),
    )


def _refused(action: str, path: Path, error: OSError) -> LandingError:
    return LandingError(
        f"Cannot {action} {path}: {error.strerror or error}. "
        "Check that the disk has room and that the path is writable; the next sync goes on from here.",
        path=str(path),
    )
