"""What the last runs proved of each stream: what decides who may rest, and which hints are settled.

Only reads; must not know AWS, or where hints come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from image_history.hints.resting import Confirmations, Confirmed
from image_history.model import Scope, Stream
from image_history.warehouse.warehouse import Connection, now_ms


def confirmations(connection: Connection, trust: timedelta) -> Confirmations:
    """What the runs that were loaded within `trust` proved. One that is left out was not listed since."""
    since = datetime.fromtimestamp(now_ms() / 1000, tz=UTC) - trust
    rows = connection.table("planning/confirmed", {"since": since.isoformat()}).to_pylist()
    return Confirmations(
        {Stream(Scope(row["account_id"], row["region"]), row["image_name"]): _confirmed(row) for row in rows}
    )


def _confirmed(row: Mapping[str, Any]) -> Confirmed:
    stored = None
    if row["image_status"] is not None:
        stored = (row["creation_ms"], row["modified_ms"], row["image_status"])
    return Confirmed(row["t0_ms"], row["full_ms"], row["passing"], stored)
