"""Compares what a run has read with what is stored: the findings decide whether a listing is accepted.

Only reads; must not know AWS, or what is done about a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from image_history.landing.runs import LandedRun
from image_history.listing.verdict import Findings, Suspect
from image_history.model import Numbers, Outcome, Scope, Stream
from image_history.warehouse.detailed import land_listed
from image_history.warehouse.records import stream_of
from image_history.warehouse.warehouse import Connection

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Held:
    """The findings about each stream that has some, and the number of live versions in each scope."""

    findings: Mapping[Stream, Findings]
    live: Mapping[Scope, int]


def hold_against(connection: Connection, run: LandedRun) -> Held:
    """Compare the run's listings in outcome READ or MISSING with the warehouse; there must be at least one.

    Nothing is written to the file.
    """
    return connection.with_memory_enough(lambda: _held(connection, run))


def _held(connection: Connection, run: LandedRun) -> Held:
    unsettled = [mark for mark in run.checkpoints.values() if mark.outcome in {Outcome.READ, Outcome.MISSING}]
    land_listed(connection, run, unsettled)
    connection.run("settle/landed_numbers", {"segments": [str(path) for path in run.segments]})
    missing = _missing(connection.table("settle/missing"))
    gaps = _gaps(connection.table("settle/gaps"))
    agreeing = {stream_of(row) for row in connection.table("settle/agreeing").to_pylist()}
    unfounded = {stream_of(row) for row in connection.table("load/unfounded").to_pylist()}
    lives = {stream_of(row): row for row in connection.table("settle/lives").to_pylist()}
    live = connection.table("settle/live_by_scope").to_pylist()
    return Held(
        findings={
            stream: Findings(
                missing=tuple(missing.get(stream, ())),
                gaps=tuple(gaps.get(stream, ())),
                agrees=stream in agreeing,
                unfounded=stream in unfounded,
                **_life(lives.get(stream)),
            )
            for stream in missing.keys() | gaps.keys() | agreeing | unfounded | lives.keys()
        },
        live={Scope(row["account_id"], row["region"]): row["live_versions"] for row in live},
    )


def _missing(rows: pa.Table) -> dict[Stream, list[Suspect]]:
    found: dict[Stream, list[Suspect]] = {}
    for row in rows.to_pylist():
        suspect = Suspect(row["version"], row["created_ms"], row["stored"])
        found.setdefault(stream_of(row), []).append(suspect)
    return found


def _gaps(rows: pa.Table) -> dict[Stream, list[Numbers]]:
    found: dict[Stream, list[Numbers]] = {}
    for row in rows.to_pylist():
        found.setdefault(stream_of(row), []).append((row["first_version"], row["last_version"]))
    return found


def _life(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if row is None else {name: row[name] for name in ("recreated_ms", "lives", "known_until_ms")}
