"""`python -m tests.benchmarks.check FILE IMAGES VERSIONS CHANGED`: whether a Parquet file holds AWS's rows.

It is a process of its own, so that the measuring process stays small. Must not know which contestant wrote the file.
"""

from __future__ import annotations

import sys

from tests.benchmarks.world import Shape, truth

_COMPARED = """
    image_name, version, image_arn, image_version_arn, image_version_status, failure_reason,
    epoch_ms(creation_time) AS creation_ms, epoch_ms(last_modified_time) AS last_modified_ms
"""
_BATCH = 100


def wrong_rows(path: str, shape: Shape) -> int:
    """Count the rows that are missing, surplus or different from AWS's, a batch of images at a time."""
    import duckdb

    database = duckdb.connect()
    [(surplus,)] = database.execute(f"SELECT count(*) - {shape.rows} FROM read_parquet('{path}')").fetchall()
    wrong = max(0, int(surplus))
    for first in range(0, shape.images, _BATCH):
        last = min(shape.images, first + _BATCH)
        database.register("truth", truth(shape, first=first, last=last))
        [(missing,)] = database.execute(
            f"SELECT count(*) FROM (FROM truth EXCEPT ALL SELECT {_COMPARED} FROM read_parquet('{path}'))"
        ).fetchall()
        wrong += int(missing)
    return wrong


if __name__ == "__main__":
    images, versions, changed = map(int, sys.argv[2:5])
    count = wrong_rows(sys.argv[1], Shape(images, versions, changed))
    sys.stdout.write(f"{count}\n")
    sys.exit(1 if count else 0)
