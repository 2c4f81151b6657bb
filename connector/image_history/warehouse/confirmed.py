"""What the last runs proved of each stream; it decides which images may rest, and which hints are settled.

Only reads; must not know AWS, or where hints come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from image_history.hints.resting import LAG_MS, Confirmations, Confirmed, ImageTimes
from image_history.model import Scope, Stream
from image_history.warehouse.warehouse import Connection


def confirmations(connection: Connection, *, image_times: bool = False) -> Confirmations:
    """What the last runs proved. A stream that is left out was never read whole.

    With `image_times`, also what the stored times of images and versions prove, scope by scope.
    """
    rows = connection.table("planning/confirmed").to_pylist()
    return Confirmations(
        {Stream(Scope(row["account_id"], row["region"]), row["image_name"]): _confirmed(row) for row in rows},
        stored_image_times(connection) if image_times else {},
    )


def stored_image_times(connection: Connection) -> Mapping[Scope, ImageTimes]:
    """Whether a new version moves its image's LastModifiedTime, judged by the stored times of each scope."""
    rows = connection.table("planning/image_times", {"lag_ms": LAG_MS}).to_pylist()
    return {
        Scope(row["account_id"], row["region"]): ImageTimes(row["shown"], row["contradicted"]) for row in rows
    }


def _confirmed(row: Mapping[str, Any]) -> Confirmed:
    stored = None
    if row["image_status"] is not None:
        stored = (row["creation_ms"], row["modified_ms"], row["image_status"])
    return Confirmed(row["t0_ms"], row["full_ms"], row["passing"], stored, row["loaded_ms"])
