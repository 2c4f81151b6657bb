"""The values that travel between the stages and that a run reports.

Uses the standard library only; must not know AWS's wire, files, or SQL.
"""

from image_history.model.report import (
    Calls,
    Failure,
    HintsReport,
    Notification,
    Publication,
    RowCounts,
    RunReport,
    ScopeReport,
)
from image_history.model.values import (
    HIGHEST_NUMBER,
    PASSING_STATUSES,
    Absence,
    Checkpoint,
    Drift,
    Evidence,
    ListingKind,
    ListingRequest,
    Numbers,
    Outcome,
    PlannedStream,
    Scope,
    Stop,
    Stream,
    StreamKnowledge,
)

__all__ = [
    "HIGHEST_NUMBER",
    "PASSING_STATUSES",
    "Absence",
    "Calls",
    "Checkpoint",
    "Drift",
    "Evidence",
    "Failure",
    "HintsReport",
    "ListingKind",
    "ListingRequest",
    "Notification",
    "Numbers",
    "Outcome",
    "PlannedStream",
    "Publication",
    "RowCounts",
    "RunReport",
    "Scope",
    "ScopeReport",
    "Stop",
    "Stream",
    "StreamKnowledge",
]
