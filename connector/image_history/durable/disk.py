"""Files and folders that survive a power cut, private to their owner; each step is a point for a fault.

Everything here raises OSError. Must not know what a file holds, nor what its reader is told.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from image_history.durable.effects import Effect, File, reach
from image_history.durable.guard import is_folder, ordinary

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
# In a folder whose owner gives what is made there to its group.
_GROUPS_FILE = 0o660
_GROUPS_FOLDER = 0o2770
_SHARED_FILE = 0o640
_SHARED_FOLDER = 0o750
NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})


def unwritable(place: Path) -> str | None:
    """Why this user cannot write to a folder or a file that is there; None if nothing speaks against it."""
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    needed = os.W_OK | os.X_OK if place.is_dir() else os.W_OK
    return None if os.access(place, needed) else "permission denied"


def is_groups(folder: Path) -> bool:
    """Whether what is made in a folder is for its group: it has the setgid bit, and the group may write.

    Kubernetes' fsGroup and OpenShift give a volume to changing users so; elsewhere files are their owner's.
    """
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def _give_to_group(descriptor: int, folder: Path) -> None:
    """Let the group of such a folder use a file of ours in it."""
    if is_groups(folder) and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, _GROUPS_FILE)


@contextmanager
def synced_file(path: Path, what: File, *, over: bool = False) -> Iterator[BinaryIO]:
    """Open a file to write and read; it is on disk when the block ends. Its name is not, see `sync_folder`.

    FileExistsError if it is there, unless `over` lets it be removed first: what a killed process left. It is always
    made anew, so that no link, and no file that somebody else put there and can read, is written into.
    """
    reach(Effect.CREATE, what)
    if over:
        path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _PRIVATE_FILE), "w+b") as file:
        _give_to_group(file.fileno(), path.parent)
        reach(Effect.WRITE, what)
        yield file
        file.flush()
        reach(Effect.FSYNC, what)
        os.fsync(file.fileno())


def rename(path: Path, target: Path, what: File) -> None:
    """Let a synced file take the place of `target`. The name is on disk after `sync_folder`."""
    reach(Effect.RENAME, what)
    path.replace(target)


def link(path: Path, target: Path, what: File) -> None:
    """Give a synced file the name `target` as well; FileExistsError if that is taken."""
    reach(Effect.LINK, what)
    os.link(path, target)


def symlink(target: str, path: Path, what: File) -> None:
    """Make a symbolic link at `path`; FileExistsError if that is taken."""
    reach(Effect.SYMLINK, what)
    path.symlink_to(target)


def take_name(path: Path, target: Path, what: File) -> None:
    """Let a file that is complete have the name `target`; FileExistsError if that is taken."""
    try:
        link(path, target, what)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        rename(path, target, what)
    sync_folder(target.parent, what)
    unlink(path, what)


def sync_folder(folder: Path, what: File) -> None:
    """Have the names in a folder on disk."""
    reach(Effect.FSYNC_FOLDER, what)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, what: File, *, exist_ok: bool = False, parents: bool = False) -> None:
    """Make a folder; FileExistsError if it is there, unless `exist_ok`."""
    reach(Effect.MAKE_FOLDER, what)
    made = not folder.exists()
    folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=exist_ok, parents=parents)
    if made and is_groups(folder.parent):
        folder.chmod(_GROUPS_FOLDER)


def share(path: Path, group: int, what: File) -> None:
    """Let a group read a file of ours, or look into a folder; no link is followed."""
    reach(Effect.SHARE, what)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, -1, group)
        is_shown = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.fchmod(descriptor, _SHARED_FOLDER if is_shown else _SHARED_FILE)
    finally:
        os.close(descriptor)


def unlink(path: Path, what: File) -> None:
    """Remove a file, if it is there."""
    reach(Effect.UNLINK, what)
    path.unlink(missing_ok=True)


def remove_tree(folder: Path, what: File, *, ignore_errors: bool = False) -> None:
    """Remove a folder and all in it; `ignore_errors` leaves what cannot be removed."""
    reach(Effect.REMOVE_TREE, what)
    shutil.rmtree(folder, ignore_errors=ignore_errors)


def remove_named(folder: Path, is_ours: Callable[[str], bool], what: File) -> bool:
    """Remove from a folder what `is_ours`, then the folder itself if that left it empty. Whether it is gone.

    `is_ours` is given the path below the folder, with a slash at the end for folders; those that are not ours are
    not entered. No link is followed or removed, and everything else stays as it is.
    """
    reach(Effect.REMOVE_TREE, what)
    return is_folder(folder) and _emptied(folder, "", is_ours)


def _emptied(folder: Path, below: str, is_ours: Callable[[str], bool]) -> bool:
    left = False
    with os.scandir(folder) as entries:
        for entry in list(entries):
            path, name = folder / entry.name, f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False) and is_ours(f"{name}/"):
                left |= not _emptied(path, f"{name}/", is_ours)
            elif entry.is_file(follow_symlinks=False) and is_ours(name):
                path.unlink(missing_ok=True)
            else:
                left = True
    if not left:
        folder.rmdir()
    return not left


def open_lock(path: Path) -> int:
    """The descriptor of a file that is there to be locked, made if need be."""
    reach(Effect.CREATE, File.LOCK)
    descriptor = ordinary(path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    _give_to_group(descriptor, path.parent)
    return descriptor


def write_holder(descriptor: int, holder: str) -> None:
    """Write into a locked file who holds it. It needs no fsync: it tells of a process that lives."""
    reach(Effect.WRITE, File.LOCK)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, holder.encode(), 0)
