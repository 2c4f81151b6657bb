"""Decides who owns the rows of a lake table: this warehouse, another warehouse, or another program.

Must not know any format, nor what is going to be written.
"""

from __future__ import annotations

from collections.abc import Sequence

from image_history.publish.lake import DataFile, Found, State
from image_history.publish.target import refusal
from image_history.warehouse.partitions import Source


def rows_of_ours(found: Found, source: Source | None, where: str, *, replace: bool) -> State | None:
    """The table's record of this warehouse's rows; None if it has none, or if another warehouse's are replaced.

    OutputError if the table is another warehouse's, unless `replace`. `source` is None if there is no warehouse yet.
    """
    foreign = _foreign(found, source)
    if foreign is None:
        return None if _is_taken_over(found, source) else found.state
    if replace:
        return None
    raise refusal(
        where,
        f"it was published from another warehouse, or from a newer copy of this one: {foreign}",
        "Publish elsewhere or with a label of its own, or with --replace if this warehouse shall take over.",
    )


def require_no_strangers(found: Found, files: Sequence[DataFile], where: str, *, replace: bool) -> None:
    """OutputError if the table has rows but names no warehouse, unless `replace`."""
    if files and found.owner is None and found.state is None and not replace:
        raise refusal(
            where,
            "it holds rows that image-history did not publish",
            "Publish elsewhere, or with --replace if they shall be replaced.",
        )


def _foreign(found: Found, source: Source | None) -> str | None:
    """The reason why this warehouse may not fill the table; None if it may."""
    # A table that was written before warehouses had ids names the first sync, until its next commit.
    if found.owner not in {None, _id_of(source)} and not _has_run(source, str(found.owner)):
        ours = f"this warehouse is {_id_of(source)}" if _id_of(source) else "this one has no sync yet"
        return f"it names {found.owner} as the one that fills it, and {ours}"
    if found.state is None or _is_taken_over(found, source):
        return None
    if _has_run(source, found.state.run_id, found.state.as_of_ms):
        return None
    return f"run {found.state.run_id}, which is in it, is not in this one"


def _is_taken_over(found: Found, source: Source | None) -> bool:
    """Whether the table names this warehouse but has another's rows: a take-over was interrupted."""
    ours = _id_of(source)
    return (
        found.state is not None
        and found.owner == ours is not None
        and found.state.warehouse_id not in {"", ours}
    )


def _id_of(source: Source | None) -> str | None:
    return None if source is None else source.warehouse_id()


def _has_run(source: Source | None, run_id: str, loaded_ms: int = 0) -> bool:
    return source is not None and source.has_run(run_id, loaded_ms)
