"""The contents of a region: a table of images, and for each image its versions and aliases.

Knows nothing of accounts, rules or the clock.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from image_history.simulator.behaviour import MAX_LIST_LAG_MS
from image_history.simulator.model import VersionDetails, VersionRecord
from image_history.simulator.table import Field, Order, Table

if TYPE_CHECKING:
    from collections.abc import Callable

# Sort keys of versions are single integers, which compare and take memory far better than tuples:
# the value, then 32 bits that break ties, then the version.
_LARGEST_VALUE = 1 << 62
_LARGEST_VERSION = 0xFFFF_FFFF
# Odd, so that multiplying by them permutes the 32-bit numbers.
_SCATTER, _SCATTER_AGAIN = 2_654_435_761, 2_246_822_507


class VersionTable(Table[int, VersionRecord]):
    """The versions of one image, by number."""

    def latest(self) -> VersionRecord | None:
        """Return the version with the highest number, or None when there is none."""
        return next(iter(self.ordered(Order("VERSION", descending=True)).records), None)

    def identity(self, record: VersionRecord) -> int:
        """Return the version number."""
        return record.version

    def value(self, record: VersionRecord, by: Field) -> int:
        """Return an instant in epoch milliseconds, or the version number."""
        if by == "VERSION":
            return record.version
        return record.creation_ms if by == "CREATION_TIME" else record.last_modified_ms

    def key(self, order: Order, value: Any, identity: int) -> int:
        """Return the sort key."""
        rank = _LARGEST_VALUE - value if order.descending else value
        tie = identity
        if order.ties == "descending":
            tie = _LARGEST_VERSION - identity
        elif order.ties == "shuffled":
            tie = _scattered(identity, order.seed)
        return int(rank << 64 | tie << 32 | identity)


class Aliases:
    """The aliases of one image and the versions that they point at, with a journal for lagging lists."""

    def __init__(self) -> None:
        self.targets: dict[str, int] = {}
        self._journal: deque[tuple[int, dict[str, int]]] = deque()

    def change(self, targets: dict[str, int], at_ms: int) -> None:
        """Replace all aliases."""
        while self._journal and self._journal[0][0] < at_ms - MAX_LIST_LAG_MS:
            self._journal.popleft()
        self._journal.append((at_ms, self.targets))
        self.targets = targets

    def at(self, visible_ms: int | None) -> dict[str, int]:
        """Return the aliases as they were at an instant, at most an hour ago; None for now."""
        if visible_ms is None:
            return self.targets
        return next((targets for at_ms, targets in self._journal if at_ms > visible_ms), self.targets)

    def by_version(self) -> dict[int, tuple[str, ...]]:
        """Return the aliases of each version that has some, sorted."""
        found: dict[int, tuple[str, ...]] = {}
        for alias, version in sorted(self.targets.items()):
            found[version] = (*found.get(version, ()), alias)
        return found


@dataclass(slots=True, eq=False)
class ImageContents:
    """The versions and aliases of one incarnation of an image, which change."""

    versions: VersionTable = field(default_factory=VersionTable)
    aliases: Aliases = field(default_factory=Aliases)
    next_version: int = 1
    # Generated worlds compute details by a function, since a million stored ones would not fit into memory.
    derive_details: Callable[[int], VersionDetails] | None = None

    def details_of(self, record: VersionRecord) -> VersionDetails:
        """Return the details of a version that only DescribeImageVersion returns."""
        if record.details is not None:
            return record.details
        if self.derive_details is not None:
            return self.derive_details(record.version)
        return VersionDetails()


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One state of one image; replaced at each change, while its contents go on."""

    name: str
    creation_ms: int
    last_modified_ms: int
    contents: ImageContents
    status: str = "CREATED"
    failure_reason: str | None = None
    display_name: str | None = None
    description: str | None = None
    role_arn: str | None = None


class ImageTable(Table[str, ImageRecord]):
    """The images of one region, by name."""

    def identity(self, record: ImageRecord) -> str:
        """Return the name."""
        return record.name

    def value(self, record: ImageRecord, by: Field) -> Any:
        """Return an instant in epoch milliseconds, or the name."""
        if by == "IMAGE_NAME":
            return record.name
        return record.creation_ms if by == "CREATION_TIME" else record.last_modified_ms

    def key(self, order: Order, value: Any, identity: str) -> Any:
        """Return the sort key; names sort by code point."""
        rank = value
        if order.descending:
            rank = _reversed(value) if isinstance(value, str) else -value
        if order.ties == "descending":
            return (rank, _reversed(identity))
        if order.ties == "shuffled":
            return (rank, zlib.crc32(identity.encode(), order.seed & 0xFFFF_FFFF), identity)
        return (rank, identity)


def _scattered(number: int, seed: int) -> int:
    mixed = (number + seed * _SCATTER_AGAIN) * _SCATTER & _LARGEST_VERSION
    return (mixed ^ mixed >> 16) * _SCATTER_AGAIN & _LARGEST_VERSION


def _reversed(name: str) -> tuple[int, ...]:
    # A longer name has to sort before its own prefix, hence the positive end mark.
    return (*(-ord(character) for character in name), 1)
