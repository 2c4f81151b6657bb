"""Items of ListImageVersions as Arrow columns, for the peers that load Arrow.

Must not know which peer fetched them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_MEMBERS = {
    "version": "Version",
    "image_arn": "ImageArn",
    "image_version_arn": "ImageVersionArn",
    "image_version_status": "ImageVersionStatus",
    "failure_reason": "FailureReason",
    "creation_time": "CreationTime",
    "last_modified_time": "LastModifiedTime",
}
_INSTANT = pa.timestamp("ms", tz="UTC")
_TYPES = {"version": pa.int32(), "creation_time": _INSTANT, "last_modified_time": _INSTANT}


def of_items(items: Iterable[tuple[str, Sequence[dict[str, Any]]]]) -> pa.Table:
    """A table of items, by image, in the form that boto3 returns, with datetimes."""
    pairs = [(name, row) for name, rows in items for row in rows]
    columns = {"image_name": pa.array([name for name, _ in pairs], pa.string())}
    for column, member in _MEMBERS.items():
        values = [row.get(member) for _, row in pairs]
        columns[column] = pa.array(values, type=_TYPES.get(column, pa.string()))
    return pa.table(columns)


def of_structs(items: Sequence[tuple[str, Sequence[Any]]]) -> pa.Table:
    """A table of typed items, by image, with times in epoch seconds."""
    rows = [row for _, page in items for row in page]
    columns = {
        "image_name": pa.array([name for name, page in items for _ in page], pa.string()),
    }
    for column, member in _MEMBERS.items():
        values = [getattr(row, member) for row in rows]
        if column.endswith("_time"):
            milliseconds = np.rint(np.array(values, dtype=np.float64) * 1000).astype(np.int64)
            columns[column] = pa.array(milliseconds).cast(_INSTANT)
        else:
            columns[column] = pa.array(values, type=_TYPES.get(column, pa.string()))
    return pa.table(columns)
