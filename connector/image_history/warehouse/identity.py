"""The id of a warehouse file, and whether the file still contains the state that a plan rests on.

Must not know how a run is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from image_history.hints.heard import Heard
from image_history.landing.memory import Memory
from image_history.landing.plan import Load
from image_history.warehouse.warehouse import Connection

if TYPE_CHECKING:
    from image_history.landing.plan import RunPlan


def warehouse_id(connection: Connection) -> str | None:
    """The id of the warehouse; None if nothing was loaded into the file yet: its id may still be changed."""
    if newest_load(connection) is None:
        return None
    return str(connection.table("session/warehouse_id")["warehouse_id"][0].as_py())


def identify(connection: Connection, chosen: str) -> None:
    """Give an empty warehouse the id of its landing."""
    connection.run("session/identify", {"warehouse_id": chosen})


def newest_load(connection: Connection, *, besides: str | None = None) -> Load | None:
    """The newest load, without the loads of the run `besides`; None if there is none."""
    found = connection.table("load/newest_run", {"besides": besides}).to_pylist()
    return Load(found[0]["etl_run_id"], found[0]["finished_ms"]) if found else None


def last_loads(connection: Connection, run_ids: Iterable[str]) -> Mapping[str, int]:
    """When each of these runs was loaded last, whole or in part; runs that were not loaded are left out."""
    found = connection.table("load/is_loaded", {"run_ids": list(run_ids)}).to_pylist()
    return {row["etl_run_id"]: row["finished_ms"] for row in found}


def rests_on_this(connection: Connection, plan: RunPlan) -> bool:
    """Whether the warehouse still contains the state that a plan was made from, so that its proofs are valid here."""
    newest = newest_load(connection, besides=plan.run_id)
    loaded = last_loads(connection, [] if plan.base_run is None else [plan.base_run])
    return plan.rests_on(None if newest is None else newest.run_id, loaded)


def still_heard(connection: Connection, memory: Memory | None, *, besides: str | None) -> tuple[Heard, ...]:
    """The scopes whose hints are heard without a gap, as the landing remembers them.

    No scope, unless the newest load, without those of the run `besides`, is the newest one that the landing saw. If
    the warehouse was replaced by a backup, it lacks what acknowledged hints were about; if the landing was lost, was
    replaced, or is not the only one, other loads acknowledged hints that it does not know of.
    """
    if memory is None or memory.newest is None:
        return ()
    return memory.heard if memory.newest == newest_load(connection, besides=besides) else ()
