"""Which warehouse a file is, and whether it went on from what a plan rests on.

Must not know how a run is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from image_history.warehouse.warehouse import Connection

if TYPE_CHECKING:
    from image_history.landing.plan import RunPlan


def warehouse_id(connection: Connection) -> str | None:
    """Which warehouse the file is; None for one that nothing was loaded into: it may still become any."""
    if newest_run(connection) is None:
        return None
    return str(connection.table("session/warehouse_id")["warehouse_id"][0].as_py())


def identify(connection: Connection, chosen: str) -> None:
    """Let an empty warehouse have the id that its landing carries already."""
    connection.run("session/identify", {"warehouse_id": chosen})


def newest_run(connection: Connection) -> str | None:
    """The run that was loaded last; None if there is none."""
    found = connection.table("load/newest_run")["etl_run_id"].to_pylist()
    return found[0] if found else None


def rests_on_this(connection: Connection, plan: RunPlan) -> bool:
    """Whether the warehouse went on from what a plan was made of, so that what it proves means something here."""
    base = [] if plan.base_run is None else [plan.base_run]
    found = connection.table("load/is_loaded", {"run_ids": base})["etl_run_id"].to_pylist()
    return plan.rests_on(newest_run(connection), found)
