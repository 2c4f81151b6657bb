"""The interface of a destination of datasets, and the sink through which its files are written.

Must not know any kind of place, nor when something is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from image_history.formats import Sink
from image_history.publish.manifest import DataFile, Manifest

# Writes rows into a sink and returns their number.
Fill = Callable[[Sink], int]


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is complete, with its path below the dataset."""

    path: str
    rows: int
    bytes: int
    sha256: str


class Destination(Protocol):
    """The place of one dataset. A refusal is an OutputError, after which readers see the same as before.

    The caller begins a publication, keeps or writes its files, and commits it; `sweep` may be called at any time.
    """

    def manifest(self) -> Manifest | None:
        """What readers see now; None if nothing was ever published here."""

    def begin(self, publication: str) -> None:
        """Begin a publication of that name, which readers do not see yet."""

    def holds(self, file: DataFile) -> bool:
        """Whether a file of the manifest still exists with the same size."""

    def keep(self, file: DataFile) -> str:
        """Reuse an existing file; returns its path in the publication that was begun."""

    def write(self, folder: str, fill: Fill, before: DataFile | None) -> Written:
        """Write a file below a folder; if its content is that of `before`, that file may be reused instead."""

    def superseded(self, before: Manifest, files: Sequence[DataFile]) -> Sequence[str]:
        """The paths that are no longer used once these files are published."""

    def lasts(self, path: str) -> bool:
        """Whether a superseded path still exists."""

    def commit(self, manifest: Manifest) -> None:
        """Make the publication visible to readers in one step; it is durable when this returns."""

    def sweep(self, manifest: Manifest | None, expired: Collection[str]) -> None:
        """Remove expired paths and the remains of interrupted publications. A failure is only logged."""


class HashingSink:
    """Writes a file from start to end, and keeps the size and the hash of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes written, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: bytes, /) -> int:
        """Write all of it."""
        self._digest.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def tell(self) -> int:
        """The number of bytes written."""
        return self.bytes

    def flush(self) -> None:
        """Does nothing: this sink has no buffer."""

    def close(self) -> None:
        """Does nothing: the caller that opened the file closes it."""
