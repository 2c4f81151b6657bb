"""The landing's files of details: the results of lookups of versions, and the cost of these lookups.

    <landing>/<run id>/details-000001-0badcafe.parquet ...      its number and its checksum

A file appears whole by one rename; its rows alone show which details are no longer pending. Must not know AWS or the
warehouse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from image_history.durable.effects import File
from image_history.landing.files import checksum, damaged, noted, parquet, read_checked, write_whole
from image_history.listing.details import StreamDetails, Trouble, by_stream
from image_history.model import Calls, Drift, Scope, Stream

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class ScopeCost:
    """What a scope's calls cost since the previous file."""

    scope: Scope
    calls: Calls


CostsTaken = Callable[[], Mapping[Scope, Calls]]


def costs_since(taken: CostsTaken) -> tuple[ScopeCost, ...]:
    """What each scope's calls cost since `taken` was called last; scopes without calls are left out."""
    return tuple(ScopeCost(scope, calls) for scope, calls in taken().items() if calls != Calls())


@dataclass(frozen=True, slots=True)
class Answered:
    """How many lookups of versions of a stream were answered."""

    stream: Stream
    looks: int


@dataclass(frozen=True, slots=True)
class DetailsHeader:
    """The metadata of a file of details."""

    run_id: str
    number: int
    costs: tuple[ScopeCost, ...] = ()
    answered: tuple[Answered, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    drift: tuple[Drift, ...] = ()


@dataclass(frozen=True, slots=True)
class LandedDetails:
    """All files of details of a run, in their order, and their metadata together."""

    files: tuple[Path, ...] = ()
    costs: tuple[ScopeCost, ...] = ()
    drift: tuple[Drift, ...] = ()
    answered: Mapping[Stream, int] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()

    @property
    def streams(self) -> Mapping[Stream, StreamDetails]:
        """How the details of each stream were read, for streams with at least one lookup."""
        return by_stream(self.answered, self.troubles)

    def of(self, scopes: Collection[Scope]) -> LandedDetails:
        """The metadata for some scopes only; the files still hold rows of all scopes."""
        return replace(
            self,
            answered={stream: looks for stream, looks in self.answered.items() if stream.scope in scopes},
            troubles=tuple(trouble for trouble in self.troubles if trouble.stream.scope in scopes),
        )


def write_details(folder: Path, header: DetailsHeader, rows: pa.Table) -> Path:
    """Write one file; it is on disk and visible when this returns. After a LandingError it is whole or missing."""
    content = parquet(rows, header)
    path = folder / f"details-{header.number:06d}-{checksum(content)}.parquet"
    write_whole(path, content, File.DETAILS)
    return path


def read_details(folder: Path, run_id: str, before: LandedDetails) -> LandedDetails:
    """The details in a run's folder, added to those that were read `before`. LandingError names a damaged file."""
    files = tuple(sorted(folder.glob("details-*.parquet")))
    read = len(before.files)
    headers = [_header(path, run_id, number) for number, path in enumerate(files[read:], start=read + 1)]
    answered = dict(before.answered)
    for each in (count for header in headers for count in header.answered):
        answered[each.stream] = answered.get(each.stream, 0) + each.looks
    return LandedDetails(
        files=files,
        costs=(*before.costs, *(cost for header in headers for cost in header.costs)),
        drift=(*before.drift, *(drift for header in headers for drift in header.drift)),
        answered=answered,
        troubles=(*before.troubles, *(trouble for header in headers for trouble in header.troubles)),
    )


def _header(path: Path, run_id: str, number: int) -> DetailsHeader:
    header = noted(read_checked(path), DetailsHeader, path)
    if (header.run_id, header.number) != (run_id, number):
        raise damaged(path, f"it is not file {number} of its run's details")
    return header
