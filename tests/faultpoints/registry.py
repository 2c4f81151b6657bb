"""The registry of all fault points: a new effect of the connector must be entered here, and a test must reach it.

Must not know how a point is reached.
"""

from __future__ import annotations

from itertools import product

from image_history.durable.effects import Effect, File
from image_history.warehouse.statements import names
from tests.faultpoints.faults import Point

WRITTEN = (Effect.CREATE, Effect.WRITE, Effect.FSYNC, Effect.RENAME, Effect.FSYNC_FOLDER)
# A query of a user or of the demo is one statement, "question". Audits are only for tests, so they are not here.
_KINDS = (
    "checks",
    "comments",
    "load",
    "migrations",
    "notify",
    "publish",
    "reports",
    "session",
    "settle",
    "views",
)


def _points(effects: tuple[Effect, ...], *subjects: str) -> frozenset[Point]:
    return frozenset((effect.value, str(subject)) for effect, subject in product(effects, subjects))


FILES = (
    _points(
        WRITTEN,
        File.IMAGES,
        File.PLAN,
        File.SEGMENT,
        File.DETAILS,
        File.CLOSED,
        File.KNOWN,
        File.MARK,
        File.OUTPUT,
    )
    | _points((Effect.MAKE_FOLDER,), File.LANDING, File.RUN, File.SPILL, File.DEMO)
    | _points((Effect.CREATE, Effect.WRITE, Effect.LOCK), File.LOCK)
    | _points((Effect.FSYNC_FOLDER, Effect.REMOVE_TREE), File.RUN)
    | _points((Effect.CREATE, Effect.WRITE, Effect.FSYNC, Effect.LINK, Effect.FSYNC_FOLDER), File.CONFIG)
    | _points((Effect.LINK, Effect.FSYNC_FOLDER, Effect.UNLINK), File.WAREHOUSE)
    | _points((Effect.UNLINK,), File.PLAN, File.CONFIG, File.OUTPUT)
)
PUBLISHED = (
    _points((*WRITTEN, Effect.MAKE_FOLDER, Effect.LINK), File.PART)
    | _points((Effect.CREATE, Effect.WRITE, Effect.FSYNC), File.MANIFEST)
    | _points((Effect.UNLINK, Effect.SYMLINK, Effect.RENAME, Effect.FSYNC_FOLDER), File.CURRENT)
    | _points((Effect.MAKE_FOLDER, Effect.FSYNC_FOLDER, Effect.SYMLINK), File.DATASET)
    | _points((Effect.UNLINK, Effect.REMOVE_TREE), File.DATASET)
)
# The effects that change a bucket; tests/behaviour/test_publish_s3.py interrupts each of them.
IN_S3 = (
    _points((Effect.PUT,), File.PART, File.MANIFEST)
    | _points((Effect.DELETE,), File.PART)
    | _points((Effect.CREATE,), File.SPOOL)
)
# A load runs this if the warehouse changed between settling and load: tests/behaviour/test_late_loads.py.
LATE = _points((Effect.STATEMENT,), "load/unsettled")
# A load in parts runs these; tests/behaviour/test_visible.py kills the sync at each of them.
IN_PARTS = _points(
    (Effect.STATEMENT,),
    "load/add_counts",
    "load/delete_run",
    "load/insert_detailed_coverage",
    "load/interrupt_runs",
    "load/landed_part",
    "load/update_detailed_coverage",
)
# The query process reaches these, and no fault can be injected there: tests/behaviour/test_query_processes.py kills
# that process.
ANSWERING = _points((Effect.STATEMENT,), "session/doers", "session/lock_settings") | _points(
    (Effect.WRITE,), File.SPILL
)
# The effects that change a lake; tests/behaviour/test_tables_faults.py injects faults at each of them.
IN_LAKES = (
    _points((Effect.CREATE, Effect.STATEMENT, Effect.COMMIT, Effect.COMMITTED), File.TABLE)
    | _points((Effect.CREATE, Effect.WRITE, Effect.DELETE), File.TABLE_FILE)
    | _points((Effect.COMMIT,), File.UPKEEP)
)
ENGINE = (
    (
        _points((Effect.CONNECT,), "reading", "writing")
        | _points((Effect.BEGIN, Effect.COMMIT, Effect.COMMITTED), "transaction")
        | _points((Effect.CLOSE,), "connection")
        | _points(
            (Effect.STATEMENT,),
            "question",
            *(name for kind in _KINDS for name in names(kind)),
        )
    )
    - ANSWERING
    - LATE
    - IN_PARTS
)
FETCHES = _points((Effect.FETCHED,), "ListImageVersions", "DescribeImageVersion", "ListAliases")
ALL = FILES | PUBLISHED | ENGINE | FETCHES
# These have their own tests: a dataset for a group, a writer that waits for the lock, and the shell's history.
UNREACHABLE = (
    ANSWERING
    | LATE
    | IN_PARTS
    | _points((Effect.SHARE,), File.DATASET)
    | _points((Effect.UNLINK,), File.LOCK)
    | _points((Effect.MAKE_FOLDER, Effect.CREATE), File.HISTORY)
)
