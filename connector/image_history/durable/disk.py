"""Files and folders that survive a power cut, private to their owner; tests can put a fault at each step.

Everything here raises OSError. Must not know what a file holds, nor the messages about it.
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

from image_history.durable.effects import Effect, File, fault_point
from image_history.durable.guard import is_folder, ordinary

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
# In a folder whose files belong to its group, see `is_groups`.
_GROUPS_FILE = 0o660
_GROUPS_FOLDER = 0o2770
_SHARED_FILE = 0o640
_SHARED_FOLDER = 0o750
NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})


def unwritable(place: Path) -> str | None:
    """Why this user cannot write to an existing folder or file; None if no reason was found."""
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    needed = os.W_OK | os.X_OK if place.is_dir() else os.W_OK
    return None if os.access(place, needed) else "permission denied"


def is_groups(folder: Path) -> bool:
    """Whether new files in a folder are for its group: the folder has the setgid bit, and the group may write.

    Kubernetes (fsGroup) and OpenShift set volumes up like this for containers with changing users. Files in any
    other folder are private to their owner.
    """
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def _give_to_group(descriptor: int, folder: Path) -> None:
    """Give the folder's group access to one of our files in it, if the folder is for its group."""
    if is_groups(folder) and os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, _GROUPS_FILE)


@contextmanager
def synced_file(path: Path, what: File, *, over: bool = False) -> Iterator[BinaryIO]:
    """Open a new file to write and read; its content is on disk when the block ends, its name after `sync_folder`.

    FileExistsError if the file exists, unless `over` is set: then the file, which a killed process left, is removed
    first. The file is always created, so that nothing is written into a link or into somebody else's file.
    """
    fault_point(Effect.CREATE, what)
    if over:
        path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _PRIVATE_FILE), "w+b") as file:
        _give_to_group(file.fileno(), path.parent)
        fault_point(Effect.WRITE, what)
        yield file
        file.flush()
        fault_point(Effect.FSYNC, what)
        os.fsync(file.fileno())


def rename(path: Path, target: Path, what: File) -> None:
    """Rename a synced file to `target`, replacing it. The new name is on disk after `sync_folder`."""
    fault_point(Effect.RENAME, what)
    path.replace(target)


def link(path: Path, target: Path, what: File) -> None:
    """Give a synced file `target` as a second name; FileExistsError if `target` exists."""
    fault_point(Effect.LINK, what)
    os.link(path, target)


def symlink(target: str, path: Path, what: File) -> None:
    """Make a symbolic link at `path`; FileExistsError if `path` exists."""
    fault_point(Effect.SYMLINK, what)
    path.symlink_to(target)


def take_name(path: Path, target: Path, what: File) -> None:
    """Rename a complete file to `target`, without replacing anything; FileExistsError if `target` exists."""
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
    """Write the names in a folder to disk (fsync)."""
    fault_point(Effect.FSYNC_FOLDER, what)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, what: File, *, exist_ok: bool = False, parents: bool = False) -> None:
    """Make a folder; FileExistsError if it exists, unless `exist_ok`."""
    fault_point(Effect.MAKE_FOLDER, what)
    made = not folder.exists()
    folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=exist_ok, parents=parents)
    if made and is_groups(folder.parent):
        folder.chmod(_GROUPS_FOLDER)


def share(path: Path, group: int, what: File) -> None:
    """Let a group read one of our files, or list a folder; links are not followed."""
    fault_point(Effect.SHARE, what)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, -1, group)
        is_shown = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.fchmod(descriptor, _SHARED_FOLDER if is_shown else _SHARED_FILE)
    finally:
        os.close(descriptor)


def unlink(path: Path, what: File) -> None:
    """Remove a file, if it exists."""
    fault_point(Effect.UNLINK, what)
    path.unlink(missing_ok=True)


def remove_tree(folder: Path, what: File, *, ignore_errors: bool = False) -> None:
    """Remove a folder and everything in it; `ignore_errors` leaves files that cannot be removed."""
    fault_point(Effect.REMOVE_TREE, what)
    shutil.rmtree(folder, ignore_errors=ignore_errors)


def remove_named(folder: Path, is_ours: Callable[[str], bool], what: File) -> bool:
    """Remove the files and folders that `is_ours` accepts, then the folder if it is empty; return whether it is gone.

    `is_ours` gets the path below the folder, with a slash at the end for folders; a folder that it does not accept
    is not entered. Links are neither followed nor removed, and everything else stays as it is.
    """
    fault_point(Effect.REMOVE_TREE, what)
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
    """Open a file that serves as a lock, and create it if it is missing; returns its descriptor."""
    fault_point(Effect.CREATE, File.LOCK)
    descriptor = ordinary(path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    _give_to_group(descriptor, path.parent)
    return descriptor


def write_holder(descriptor: int, holder: str) -> None:
    """Write the lock's holder into the locked file. No fsync: it matters only while the process lives."""
    fault_point(Effect.WRITE, File.LOCK)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, holder.encode(), 0)
