"""A dataset in a folder: each publication is a folder of its own, and one renamed link makes it the current one.

    manifest.json   -> current/manifest.json      links that are made once
    image_versions  -> current/image_versions
    current         -> snapshots/ID               the link whose rename publishes
    snapshots/ID/manifest.json
    snapshots/ID/image_versions/region=us-east-1/part-0123456789abcdef.parquet

A file that did not change is a further hard link. Must not know what a table is, nor when something is published.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from image_history.durable.disk import (
    NO_LINKS,
    link,
    make_folder,
    open_lock,
    remove_tree,
    rename,
    symlink,
    sync_folder,
    synced_file,
    unlink,
)
from image_history.durable.effects import Effect, File, reach
from image_history.errors import OutputError
from image_history.publish.manifest import NAME, DataFile, Manifest, decoded, encoded, part_name
from image_history.publish.place import Fill, HashingSink, Written

logger = logging.getLogger(__name__)

_CURRENT = "current"
_SNAPSHOTS = "snapshots"
_LOCK = ".lock"
_NEXT = ".current.next"
_COPIED_BYTES = 1 << 20


@contextmanager
def opened(root: Path) -> Iterator[Folder]:
    """The dataset in a folder, which is made if need be, for one process at a time.

    OutputError if another one publishes there, or if it holds something else than a dataset. What the disk
    refuses inside the block is an OutputError too.
    """
    try:
        _require_dataset(root)
        make_folder(root, File.DATASET, exist_ok=True)
        handle = open_lock(root / _LOCK)
    except OSError as error:
        raise _refused(root, error) from error
    try:
        _take(handle, root)
        yield Folder(root)
    except OSError as error:
        raise _refused(root, error) from error
    finally:
        os.close(handle)


class Folder:
    """A `Place`; OSError is left to `opened`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._draft = root

    def manifest(self) -> Manifest | None:
        """What readers see now; None if nothing was ever published here."""
        path = self._root / _CURRENT / NAME
        try:
            return decoded(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def begin(self, publication: str) -> None:
        """Make the folder of a publication."""
        make_folder(self._root / _SNAPSHOTS, File.DATASET, exist_ok=True)
        self._draft = self._root / _SNAPSHOTS / publication
        make_folder(self._draft, File.DATASET)

    def holds(self, file: DataFile) -> bool:
        """Whether a file of the manifest is still there, with as many bytes."""
        try:
            return (self._root / file.path).stat().st_size == file.bytes
        except (FileNotFoundError, NotADirectoryError):
            return False

    def keep(self, file: DataFile) -> str:
        """Give a file a further name, or copy it where there are no hard links; returns its path."""
        source = self._root / file.path
        target = self._parent("/".join(file.path.split("/")[2:-1])) / source.name
        try:
            link(source, target, File.PART)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _copy(source, target)
        return self._path(target)

    def write(self, folder: str, fill: Fill, _before: DataFile | None = None) -> Written:
        """Write a file below a folder; it is named by its content."""
        parent = self._parent(folder)
        temporary = parent / ".part.tmp"
        with synced_file(temporary, File.PART) as file:
            sink = HashingSink(file)
            rows = fill(sink)
        target = parent / part_name(sink.sha256)
        rename(temporary, target, File.PART)
        return Written(self._path(target), rows, sink.bytes, sink.sha256)

    def superseded(self, before: Manifest, _files: Sequence[DataFile]) -> Sequence[str]:
        """The folder of the publication before."""
        return [f"{_SNAPSHOTS}/{before.publication}"]

    def lasts(self, path: str) -> bool:
        """Whether a folder that was left behind is still there."""
        return (self._root / path).is_dir()

    def commit(self, manifest: Manifest) -> None:
        """Have everything on disk, then let `current` lead to the publication by one rename."""
        with synced_file(self._draft / NAME, File.MANIFEST) as file:
            file.write(encoded(manifest))
        for folder in sorted((path for path in self._draft.rglob("*") if path.is_dir()), reverse=True):
            sync_folder(folder, File.PART)
        for folder in (self._draft, self._draft.parent):
            sync_folder(folder, File.DATASET)
        self._link_names([NAME, *(table.name for table in manifest.tables)])
        unlink(self._root / _NEXT, File.CURRENT)
        symlink(f"{_SNAPSHOTS}/{manifest.publication}", self._root / _NEXT, File.CURRENT)
        rename(self._root / _NEXT, self._root / _CURRENT, File.CURRENT)
        self._keep_name()

    def sweep(self, manifest: Manifest | None, expired: Collection[str]) -> None:
        """Remove what is expired, what cut publications left, and links to tables that are no more."""
        known = set() if manifest is None else {f"{_SNAPSHOTS}/{manifest.publication}"}
        known |= {gone.path for gone in manifest.superseded} - set(expired) if manifest else set()
        try:
            for folder in sorted((self._root / _SNAPSHOTS).glob("*")):
                if self._path(folder) not in known:
                    remove_tree(folder, File.DATASET)
            if manifest is not None:
                self._unlink_others({NAME, *(table.name for table in manifest.tables)})
        except OSError as error:
            reason = {"path": str(self._root), "reason": error.strerror or str(error)}
            logger.warning("dataset_not_swept", extra=reason)

    def _keep_name(self) -> None:
        try:
            sync_folder(self._root, File.CURRENT)
        except OSError as error:
            raise OutputError(
                f"{self._root} was published, but cannot be made safe against a power cut: "
                f"{error.strerror or error}. Check the disk, and publish again.",
                path=str(self._root),
            ) from error

    def _path(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _parent(self, folder: str) -> Path:
        """The folder below the draft, made if need be; each level is private."""
        path = self._draft
        for name in folder.split("/"):
            path /= name
            if not path.is_dir():
                make_folder(path, File.PART)
        return path

    def _link_names(self, names: Sequence[str]) -> None:
        for name in names:
            if not (self._root / name).is_symlink():
                symlink(f"{_CURRENT}/{name}", self._root / name, File.DATASET)

    def _unlink_others(self, names: Collection[str]) -> None:
        for path in _links(self._root):
            if path.name not in names:
                unlink(path, File.DATASET)


def _links(root: Path) -> list[Path]:
    """The links in a dataset that lead to its tables."""
    return [path for path in root.iterdir() if path.is_symlink() and _leads(path).startswith(f"{_CURRENT}/")]


def _leads(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""


def _require_dataset(root: Path) -> None:
    """OutputError for a file, and for a folder that holds what no publication made."""
    if not root.parent.is_dir():
        raise OutputError(
            f"Cannot publish to {str(root)!r}: there is no folder {root.parent}; make it first."
        )
    if not root.exists():
        return
    if not root.is_dir():
        raise OutputError(f"Cannot publish to {str(root)!r}: it is no folder. Name another place.")
    own = {_CURRENT, _SNAPSHOTS, _LOCK, _NEXT} | {path.name for path in _links(root)}
    foreign = sorted(path.name for path in root.iterdir() if path.name not in own)
    if foreign:
        raise OutputError(
            f"Cannot publish to {str(root)!r}: it holds {foreign[0]!r}, which is no part of a dataset. "
            "Name a new or an empty folder."
        )


def _take(handle: int, root: Path) -> None:
    reach(Effect.LOCK, File.LOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"Another process publishes to {root} now; publish again when it is done."
        ) from error


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as old, synced_file(target, File.PART) as new:
        while content := old.read(_COPIED_BYTES):
            new.write(content)


def _refused(root: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot publish to {root}: {error.strerror or error}. Its readers see what was published before. Check "
        "that the disk has room, knows links, and is writable; then publish again.",
        path=str(root),
    )
