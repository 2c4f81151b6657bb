"""A dataset in a folder: each publication is a folder of its own, and one renamed link makes it the current one.

    .image-history-dataset                        the mark: the folder is ours
    manifest.json   -> current/manifest.json      links that are made once
    image_versions  -> current/image_versions
    current         -> snapshots/ID               the link whose rename publishes
    snapshots/ID/manifest.json
    snapshots/ID/image_versions/region=us-east-1/part-0123456789abcdef.parquet

An unchanged file gets one more hard link. Only entries with one of these names are ever removed, without following
links. Must not know what a table is, nor when something is published.
"""

from __future__ import annotations

import fcntl
import grp
import logging
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from image_history.durable.disk import (
    NO_LINKS,
    link,
    make_folder,
    open_lock,
    remove_named,
    rename,
    share,
    symlink,
    sync_folder,
    synced_file,
    unlink,
    unwritable,
)
from image_history.durable.effects import Effect, File, fault_point
from image_history.durable.guard import distrust, is_folder
from image_history.errors import OutputError
from image_history.publish.destination import Fill, HashingSink, Written
from image_history.publish.manifest import NAME, DataFile, Manifest, decoded, encoded, is_part, part_name

logger = logging.getLogger(__name__)

_CURRENT = "current"
_SNAPSHOTS = "snapshots"
_LOCK = ".lock"
_NEXT = ".current.next"
_MARK = ".image-history-dataset"
_MARKED = b"A dataset of image-history, which replaces and removes what it has published here.\n"
_DRAFT = ".part.tmp"
_PUBLICATION = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{8}")
# What mkfs puts at the root of a volume.
_OF_THE_DISK = "lost+found"
_COPIED_BYTES = 1 << 20


@contextmanager
def opened(root: Path, group: str | None = None) -> Iterator[Folder]:
    """Open the dataset in a folder for one process at a time; makes the folder if missing. `group` may read it.

    OutputError if another process publishes there, or if the folder holds anything but a dataset. An OSError
    inside the block becomes an OutputError too.
    """
    shared = None if group is None else group_number(group)
    try:
        require_dataset(root)
        make_folder(root, File.DATASET, exist_ok=True)
        handle = open_lock(root / _LOCK)
    except OSError as error:
        raise _refused(root, error) from error
    try:
        _take(handle, root)
        yield Folder(root, shared)
    except OSError as error:
        raise _refused(root, error) from error
    finally:
        os.close(handle)


class Folder:
    """A `Destination`; `opened` turns its OSErrors into OutputErrors."""

    def __init__(self, root: Path, group: int | None = None) -> None:
        self._root = root
        self._group = group
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
        _mark(self._root)
        make_folder(self._root / _SNAPSHOTS, File.DATASET, exist_ok=True)
        self._draft = self._root / _SNAPSHOTS / publication
        make_folder(self._draft, File.DATASET)

    def holds(self, file: DataFile) -> bool:
        """Whether a file of the manifest still exists with the same size."""
        try:
            found = (self._root / file.path).lstat()
            return stat.S_ISREG(found.st_mode) and found.st_size == file.bytes
        except (FileNotFoundError, NotADirectoryError):
            return False

    def keep(self, file: DataFile) -> str:
        """Hard-link a file, or copy it where there are no hard links; returns its new path."""
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
        """Write a file below a folder; its name is made from the hash of its content."""
        parent = self._parent(folder)
        temporary = parent / _DRAFT
        with synced_file(temporary, File.PART) as file:
            sink = HashingSink(file)
            rows = fill(sink)
        target = parent / part_name(sink.sha256)
        rename(temporary, target, File.PART)
        return Written(self._path(target), rows, sink.bytes, sink.sha256)

    def superseded(self, before: Manifest, _files: Sequence[DataFile]) -> Sequence[str]:
        """The folder of the previous publication."""
        return [f"{_SNAPSHOTS}/{before.publication}"]

    def lasts(self, path: str) -> bool:
        """Whether the folder of a superseded publication still exists."""
        return is_folder(self._root / path)

    def commit(self, manifest: Manifest) -> None:
        """Sync everything to disk, then point `current` at the publication by one rename."""
        with synced_file(self._draft / NAME, File.MANIFEST) as file:
            file.write(encoded(manifest))
        self._share()
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
        """Remove expired publications, the remains of interrupted ones, and links to tables that no longer exist."""
        known = set() if manifest is None else {f"{_SNAPSHOTS}/{manifest.publication}"}
        known |= {gone.path for gone in manifest.superseded} - set(expired) if manifest else set()
        try:
            for folder in _publications(self._root):
                if self._path(folder) not in known and not remove_named(folder, _is_ours, File.DATASET):
                    logger.warning("publication_not_removed", extra={"path": str(folder)})
            if manifest is not None:
                self._unlink_others({NAME, *(table.name for table in manifest.tables)})
        except OSError as error:
            reason = {"path": str(self._root), "reason": error.strerror or str(error)}
            logger.warning("dataset_not_swept", extra=reason)

    def _share(self) -> None:
        if self._group is not None:
            for path in (self._root, self._draft.parent, self._draft, *self._draft.rglob("*")):
                share(path, self._group, File.DATASET)

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


def group_number(name: str) -> int:
    """The id of a group; OutputError if it does not exist, or if this user is not in it and cannot assign it."""
    try:
        number = int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise OutputError(
            f"There is no group {name!r} on this machine: name another one in publish.group."
        ) from error
    if os.geteuid() and number not in {os.getegid(), *os.getgroups()}:
        raise OutputError(
            f"This user is not in the group {name!r}, and so cannot let it read a dataset: add the user to it, or "
            "name another one in publish.group."
        )
    return number


def _mark(root: Path) -> None:
    if not os.path.lexists(root / _MARK):
        with synced_file(root / f"{_MARK}.part", File.MARK, over=True) as file:
            file.write(_MARKED)
        rename(root / f"{_MARK}.part", root / _MARK, File.MARK)
        sync_folder(root, File.MARK)


def _publications(root: Path) -> list[Path]:
    """The folders of publications, complete or interrupted; links are not followed."""
    snapshots = root / _SNAPSHOTS
    if not is_folder(snapshots):
        return []
    return [
        path for path in sorted(snapshots.iterdir()) if _PUBLICATION.fullmatch(path.name) and is_folder(path)
    ]


def _is_ours(path: str) -> bool:
    """Whether a path below a publication's folder is one that a publication makes."""
    *folders, name = path.split("/")
    if not name:
        return len(folders) == 1 or (len(folders) == 2 and folders[1].startswith("region="))  # noqa: PLR2004
    return (not folders and name == NAME) or (bool(folders) and (name == _DRAFT or is_part(name)))


def _links(root: Path) -> list[Path]:
    """The links in a dataset to the current manifest and tables: each has the name of its target."""
    return [path for path in root.iterdir() if _leads(path) == f"{_CURRENT}/{path.name}"]


def _leads(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""


def require_dataset(root: Path) -> None:
    """OutputError for a file, for another user's folder, and for a folder with entries that no publication made.

    Also for a folder that cannot be written to, or whose parent is missing. Creates nothing.
    """
    if not root.parent.is_dir():
        raise OutputError(
            f"Cannot publish to {str(root)!r}: there is no folder {root.parent}; make it first."
        )
    if root.exists() and not root.is_dir():
        raise OutputError(f"Cannot publish to {str(root)!r}: it is no folder. Name another place.")
    written = root if root.exists() else root.parent
    refusal = unwritable(written)
    if refusal is not None:
        raise OutputError(f"Cannot publish to {str(root)!r}: {written} cannot be written, {refusal}.")
    if not root.exists():
        return
    problem = distrust(root)
    if problem is not None:
        raise OutputError(
            f"Cannot publish to {str(root)!r}: {problem}, so that what lies there may be somebody else's. Make it "
            "yours and close it to others (chown, chmod o-w), or name another folder."
        )
    foreign = _foreign(root)
    if foreign is not None:
        raise OutputError(
            f"Cannot publish to {str(root)!r}: it holds {foreign!r}, which is no part of a dataset. Nothing in it "
            "was changed. Name a new or an empty folder."
        )


def _foreign(root: Path) -> str | None:
    """The first entry that no publication made, as a path below the folder; None if there is none."""
    links = {path.name for path in _links(root)}
    # A dataset of the previous version has no mark; it is recognized by its current publication and its manifest.
    marked = (root / _MARK).is_file() or (_is_current(root) and NAME in links)
    for path in sorted(root.iterdir()):
        known = path.name in links or _is_own_entry(path)
        if not (known and (marked or path.name in {_LOCK, f"{_MARK}.part", _OF_THE_DISK})):
            return path.name
    inside = sorted((root / _SNAPSHOTS).iterdir()) if marked and is_folder(root / _SNAPSHOTS) else []
    return next((f"{_SNAPSHOTS}/{path.name}" for path in inside if path not in _publications(root)), None)


def _is_current(root: Path) -> bool:
    folder, _, publication = _leads(root / _CURRENT).partition("/")
    return folder == _SNAPSHOTS and _PUBLICATION.fullmatch(publication) is not None


def _is_own_entry(path: Path) -> bool:
    match path.name:
        case ".image-history-dataset" | ".image-history-dataset.part" | ".lock":
            return stat.S_ISREG(path.lstat().st_mode)
        case "snapshots" | "lost+found":
            return is_folder(path)
        case "current":
            return _is_current(path.parent)
        case ".current.next":
            return path.is_symlink()
        case _:
            return False


def _take(handle: int, root: Path) -> None:
    fault_point(Effect.LOCK, File.LOCK)
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
    published = os.path.lexists(root / _CURRENT)
    seen = "Its readers see what was published before." if published else "Nothing was published."
    return OutputError(
        f"Cannot publish to {root}: {error.strerror or error}. {seen} Check "
        "that the disk has room, knows links, and is writable; then publish again.",
        path=str(root),
    )
