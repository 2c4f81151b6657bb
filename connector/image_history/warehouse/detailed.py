"""Loads the versions that a run landed into the warehouse, with their details: landed ones, or stored ones.

Must not know what makes a version changed, nor how details are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from image_history.landing.rows import DETAILS_SCHEMA, VERSIONS_SCHEMA
from image_history.landing.runs import LandedRun
from image_history.listing.pages import MARGIN_MS
from image_history.model import Checkpoint, Failure, Outcome
from image_history.warehouse.records import listed_table, proofs_table
from image_history.warehouse.warehouse import Connection


def land_listed(connection: Connection, run: LandedRun, marks: Iterable[Checkpoint]) -> None:
    """Make the temporary table `listed` of checkpoints, and the bounds by which statements skip other rows."""
    connection.offer("listed_arrow", listed_table(marks, run.details.streams))
    connection.run("load/listed", {"images": [str(path) for path in run.images]})
    connection.run("load/bounds_of")
    connection.run("load/near")
    connection.run("load/stored_near")
    connection.run("load/listed_bounds")


def land_versions(connection: Connection, run: LandedRun) -> None:
    """Make the temporary view `landed` from the run's segments, without rows of other scopes."""
    if run.segments:
        connection.run("load/segments", {"segments": [str(path) for path in run.segments]})
        connection.run("load/repeated")
        connection.run("load/landed_part" if run.is_mixed else "load/landed")
        connection.run("load/landed_bounds")
    else:
        # Without rows, the bounds do not matter.
        connection.offer("landed_arrow", VERSIONS_SCHEMA.empty_table())
        connection.run("load/nothing_landed")


def land_proofs(connection: Connection, run: LandedRun) -> int:
    """Make the temporary table `proofs` of the numbers that the run proved absent; return its number of ranges."""
    proofs = proofs_table(run)
    connection.offer("proofs_arrow", proofs)
    connection.run("load/proofs")
    connection.run("load/proofs_bounds")
    return int(proofs.num_rows)


def land_details(connection: Connection, run: LandedRun) -> None:
    """Make the temporary table `details` from the run's files of details."""
    if run.details.files:
        files = {"details": [str(path) for path in run.details.files]}
        connection.run("load/details_bounds", files)
        connection.run("load/details", files)
    else:
        connection.offer("details_arrow", DETAILS_SCHEMA.empty_table())
        connection.run("load/no_details")


def write_versions(connection: Connection, run: LandedRun, stamp: Mapping[str, object]) -> None:
    """Write events and newest states of the versions in `changed`, and of versions whose details changed.

    If no details are landed or stored, the statements for details are left out.
    """
    connection.run("load/changed_bounds")
    if not run.details.files and not _stored_details(connection):
        connection.run("load/insert_events", stamp)
        connection.run("load/delete_changed_versions")
        connection.run("load/insert_changed_versions", stamp)
        return
    land_details(connection, run)
    connection.run("load/detailed_bounds")
    connection.run("load/detailed", {"margin_ms": MARGIN_MS})
    connection.run("load/changed_bounds")
    connection.run("load/insert_detailed_events", stamp)
    connection.run("load/delete_changed_versions")
    connection.run("load/insert_detailed_versions", stamp)
    connection.run("load/mark_detailed")


def _stored_details(connection: Connection) -> bool:
    return bool(connection.table("load/has_details")["has_details"][0].as_py())


def unread_details(run: LandedRun) -> tuple[Failure, ...]:
    """The streams whose details could not be read. Denied streams are not among them: denial is a user's choice."""
    return tuple(
        Failure(
            where=f"details of {stream}",
            scope=stream.scope,
            image_name=stream.image_name,
            outcome=Outcome.PARTIAL,
            error_code=found.troubles[0].code,
            message=str(found.error),
        )
        for stream, found in run.details.streams.items()
        if found.outcome is Outcome.FAILED
    )
