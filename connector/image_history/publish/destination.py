"""What a place has to do so that a dataset can be published there, and the sink that its files are written through.

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
    """Where one dataset lies. What it refuses is an OutputError, after which readers see what they saw before.

    A publication is begun, then files are kept or written, then it is committed; `sweep` may come at any time.
    """

    def manifest(self) -> Manifest | None:
        """What readers see now; None if nothing was ever published here."""

    def begin(self, publication: str) -> None:
        """Begin a publication of that name, which nobody sees yet."""

    def holds(self, file: DataFile) -> bool:
        """Whether a file of the manifest is still there, with as many bytes."""

    def keep(self, file: DataFile) -> str:
        """Take a file over; returns its path in the publication that was begun."""

    def write(self, folder: str, fill: Fill, before: DataFile | None) -> Written:
        """Write a file below a folder; if it has the bytes of the one `before`, that may be taken over instead."""

    def superseded(self, before: Manifest, files: Sequence[DataFile]) -> Sequence[str]:
        """The paths that a publication of these files leaves behind."""

    def lasts(self, path: str) -> bool:
        """Whether something that was left behind is still there."""

    def commit(self, manifest: Manifest) -> None:
        """Let readers see the publication, in one step; on disk when this returns."""

    def sweep(self, manifest: Manifest | None, expired: Collection[str]) -> None:
        """Remove what is expired, and what cut publications left. What cannot be removed is only logged."""


class HashingSink:
    """A file that is written from its start to its end; knows what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    @property
    def sha256(self) -> str:
        """Of all that was written, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, content: bytes, /) -> int:
        """Write all of it."""
        self._digest.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def tell(self) -> int:
        """How much was written."""
        return self.bytes

    def flush(self) -> None:
        """Nothing is kept back here."""

    def close(self) -> None:
        """The file is closed by who opened it."""
