"""Checks whether a folder may be trusted, and opens files without following a link put in their place.

Must not know what a folder or a file is for.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def distrust(folder: Path) -> str | None:
    """Why somebody else may have written into a folder; None if it belongs to our user or to one of our groups.

    A Kubernetes volume belongs to root and to a group of the process (fsGroup; group 0 in OpenShift), and the user
    may differ from container to container: such a folder is trusted.
    """
    found = folder.stat()
    if found.st_mode & stat.S_IWOTH:
        return "every user of this machine may write to it"
    if found.st_uid == os.geteuid() or found.st_gid in {os.getegid(), *os.getgroups()}:
        return None
    return f"it belongs to user {found.st_uid} and group {found.st_gid}, and this process is neither"


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def opened_to_read(path: Path) -> BinaryIO:
    """An ordinary file, opened to read. OSError for a link, a folder, a device or a pipe."""
    return os.fdopen(ordinary(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def ordinary(path: Path, flags: int, mode: int = 0) -> int:
    """The descriptor of an ordinary file that has no second name. OSError for a link, a folder, a device, a pipe.

    A second name (a hard link) could belong to a user's file, which writing would destroy.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise OSError(
                errno.ELOOP, "it is a link, and links are not followed here; move it away"
            ) from error
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no ordinary file; move it away")
    if found.st_nlink > 1 and flags & (os.O_WRONLY | os.O_RDWR):
        os.close(descriptor)
        raise OSError(errno.EMLINK, "it is a second name of another file; move it away")
    return descriptor
