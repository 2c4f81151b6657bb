"""`python -m tests.benchmarks.seed FILE IMAGES VERSIONS`: builds in seconds the warehouse of earlier syncs.

It is a process of its own, so that the measuring process stays small. Must not know what the warehouse is for.
"""

from __future__ import annotations

import sys
from pathlib import Path

from image_history.warehouse.warehouse import WarehouseFile
from tests.benchmarks.world import ACCOUNT, REGION, Shape, truth

_RUN = "'seed' AS etl_run_id"
_KEY = f"'{ACCOUNT}' AS account_id, '{REGION}' AS region, image_name"
_STATE = """
    version, image_arn, image_version_arn, image_version_status, failure_reason,
    make_timestamptz(creation_ms * 1000) AS creation_time,
    make_timestamptz(last_modified_ms * 1000) AS last_modified_time
"""
_VERSIONS = f"""
INSERT INTO image_versions BY NAME
SELECT {_KEY}, {_STATE}, creation_time AS etl_valid_from, now() AS etl_first_seen_at, now() AS etl_changed_at, {_RUN}
FROM truth
"""
_EVENTS = f"""
INSERT INTO image_version_events BY NAME
SELECT {_KEY}, {_STATE}, creation_time AS etl_valid_from, last_modified_time AS etl_certain_from,
    now() AS etl_observed_at, 'created' AS etl_change, [] AS etl_changed_columns, {_RUN}
FROM truth
"""
_IMAGES = f"""
INSERT INTO images BY NAME
SELECT {_KEY}, image_arn, 'CREATED' AS image_status, make_timestamptz(1704067200000000) AS creation_time,
    make_timestamptz(1704067200500000) AS last_modified_time, now() AS etl_first_seen_at,
    now() AS etl_changed_at, {_RUN}
FROM truth
WHERE version = 1
"""
_STREAMS = f"""
INSERT INTO streams BY NAME
SELECT {_KEY}, make_timestamptz(max(last_modified_ms) * 1000) AS watermark, now() AS last_full_at,
    max(version) AS highest_version, 1 AS first_version_seen, count(*) AS live_versions,
    make_timestamptz(1704067200000000) AS image_created_at, make_timestamptz(1704067200000000) AS life_began_at,
    0 AS unexplained, {_RUN}
FROM truth
GROUP BY image_name
ORDER BY image_name
"""
_BATCH_ROWS = 1_000_000


def seed(path: Path, shape: Shape) -> None:
    """Create a warehouse that holds all rows and events of `shape`, about a million rows at a time."""
    step = max(1, _BATCH_ROWS // shape.versions)
    with WarehouseFile(path).writing() as connection:
        for first in range(0, shape.images, step):
            connection.offer("truth", truth(shape, first=first, last=min(shape.images, first + step)))
            with connection.transaction():
                for statement in (_VERSIONS, _EVENTS, _IMAGES, _STREAMS):
                    connection.duck.execute(statement)


if __name__ == "__main__":
    seed(Path(sys.argv[1]), Shape(int(sys.argv[2]), int(sys.argv[3])))
