"""Which versions a run still has to read details of, from what it has landed and what is stored.

Only reads; must not know AWS, or how details are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa

from image_history.landing.runs import LandedRun
from image_history.listing.details import PendingCalls, PendingVersion
from image_history.model import Scope, Stream
from image_history.warehouse.detailed import land_details, land_listed, land_proofs, land_versions
from image_history.warehouse.records import checkpoints, scopes_table
from image_history.warehouse.warehouse import Connection

_BATCH = 1000
_SEEN = pa.schema([("account_id", pa.string()), ("region", pa.string()), ("seen_ms", pa.int64())])


@dataclass(frozen=True, slots=True)
class PendingVersions:
    """The pending versions of one scope, the most urgent first. Kept as Arrow rows: there may be a million."""

    rows: pa.Table

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def calls(self) -> int:
        """How many calls they need, without the calls for further pages of aliases, which are unknown before."""
        wanted = ("wants_description", "wants_aliases")
        return sum(self.rows[name].to_pylist().count(True) for name in wanted)

    def by_stream(self) -> Mapping[Stream, PendingCalls]:
        """The calls that the versions of each stream need."""
        found: dict[Stream, PendingCalls] = {}
        for each in self:
            before = found.get(each.stream, PendingCalls())
            found[each.stream] = PendingCalls(
                before.descriptions + each.describe,
                before.aliases + each.aliases,
                before.both + (each.describe and each.aliases),
            )
        return found

    def __iter__(self) -> Iterator[PendingVersion]:
        for batch in self.rows.to_batches(max_chunksize=_BATCH):
            yield from map(_pending_version, batch.to_pylist())


def _pending_version(row: Mapping[str, Any]) -> PendingVersion:
    return PendingVersion(
        stream=Stream(Scope(row["account_id"], row["region"]), row["image_name"]),
        version=row["version"],
        creation_ms=row["creation_ms"],
        last_modified_ms=row["last_modified_ms"],
        describe=row["wants_description"],
        aliases=row["wants_aliases"],
    )


def pending_details(
    connection: Connection, run: LandedRun, every: timedelta
) -> Mapping[Scope, PendingVersions]:
    """The versions that are new or changed, or whose details were never read, or last read longer ago than `every`.

    Versions with details that this run has landed are left out, unless their aliases contradict each other.
    Nothing is written to the file.
    """
    rows = connection.with_memory_enough(lambda: _rows(connection, run, every))
    return {scope: PendingVersions(part) for scope, part in _by_scope(rows)}


def count_pending(
    connection: Connection, every: timedelta, now_ms: int, seen_ms: Mapping[Scope, int] | None = None
) -> Mapping[Stream, PendingCalls]:
    """The pending calls for details of stored versions, as `pending_details` finds them in a run that lands nothing.

    `seen_ms` has the present time of each scope by AWS's clock, as the T0 of its list of images; `now_ms` is that of
    the other scopes. Both in UTC epoch milliseconds.
    """
    records = [
        {"account_id": scope.account_id, "region": scope.region, "seen_ms": at_ms}
        for scope, at_ms in (seen_ms or {}).items()
    ]
    connection.offer("seen_arrow", pa.Table.from_pylist(records, _SEEN))
    due = {"every_ms": round(every.total_seconds() * 1000), "now_ms": now_ms}
    rows = connection.table("planning/pending_calls", due).to_pylist()
    return {
        Stream(Scope(row["account_id"], row["region"]), row["image_name"]): PendingCalls(
            row["descriptions"], row["aliases"], row["both_calls"], row["aliased"], row["unread"]
        )
        for row in rows
    }


def _rows(connection: Connection, run: LandedRun, every: timedelta) -> pa.Table:
    connection.offer("scopes_arrow", scopes_table(run))
    land_listed(connection, run, checkpoints(run))
    connection.run("load/read_since", {"run_id": run.plan.run_id})
    connection.run("load/outrun")
    land_versions(connection, run)
    connection.run("load/changed")
    land_proofs(connection, run)
    land_details(connection, run)
    images = {"images": [str(path) for path in run.images]}
    connection.run("settle/present_bounds", images)
    due = {"every_ms": round(every.total_seconds() * 1000), "run_id": run.plan.run_id}
    return connection.table("settle/pending_details", {**images, **due})


def _by_scope(rows: pa.Table) -> Iterator[tuple[Scope, pa.Table]]:
    """The part of each scope in a table that is sorted by scope."""
    accounts, regions = rows["account_id"].to_pylist(), rows["region"].to_pylist()
    scopes: Sequence[Scope] = [Scope(*pair) for pair in zip(accounts, regions, strict=True)]
    first = 0
    for place in range(1, len(scopes) + 1):
        if place == len(scopes) or scopes[place] != scopes[first]:
            yield scopes[first], rows.slice(first, place - first)
            first = place
