"""Holds what a run has read against what is stored: the oddities that decide whether a listing is accepted.

Only reads; must not know AWS, or what is done about a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from image_history.landing.runs import LandedRun
from image_history.listing.verdict import Findings
from image_history.model import Numbers, Outcome, Scope, Stream
from image_history.warehouse.records import listed_table
from image_history.warehouse.warehouse import Connection

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Held:
    """The findings of every stream that has any, and how many versions live in each scope."""

    findings: Mapping[Stream, Findings]
    live: Mapping[Scope, int]


def hold_against(connection: Connection, run: LandedRun) -> Held:
    """Compare the run's listings in outcome READ, of which there is one, with the warehouse.

    Nothing is written to the file.
    """
    return connection.frugally(lambda: _held(connection, run))


def _held(connection: Connection, run: LandedRun) -> Held:
    unsettled = [mark for mark in run.checkpoints.values() if mark.outcome is Outcome.READ]
    connection.offer("listed_arrow", listed_table(unsettled))
    connection.run("load/listed")
    connection.run("settle/landed_numbers", {"segments": [str(path) for path in run.segments]})
    missing = _missing(connection.table("settle/missing"))
    gaps = _gaps(connection.table("settle/gaps"))
    agreeing = {_stream(row) for row in connection.table("settle/agreeing").to_pylist()}
    live = connection.table("settle/live_by_scope").to_pylist()
    return Held(
        findings={
            stream: Findings(missing.get(stream, ()), gaps.get(stream, ()), stream in agreeing)
            for stream in missing.keys() | gaps.keys() | agreeing
        },
        live={Scope(row["account_id"], row["region"]): row["live_versions"] for row in live},
    )


def _stream(row: Mapping[str, str]) -> Stream:
    return Stream(Scope(row["account_id"], row["region"]), row["image_name"])


def _missing(rows: pa.Table) -> dict[Stream, tuple[int, ...]]:
    return {_stream(row): tuple(row["missing"]) for row in rows.to_pylist()}


def _gaps(rows: pa.Table) -> dict[Stream, tuple[Numbers, ...]]:
    found: dict[Stream, list[Numbers]] = {}
    for row in rows.to_pylist():
        found.setdefault(_stream(row), []).append((row["first_version"], row["last_version"]))
    return {stream: tuple(ranges) for stream, ranges in found.items()}
