"""The mass-delete breaker: how many versions a scope may lose in one run before somebody has to say so.

A pure decision on numbers, made in one place, when listings are settled (run/settle.py). Must not know calls, SQL or
files.
"""

from __future__ import annotations

from collections.abc import Mapping

from image_history.model import Scope

FEW_DELETIONS = 10
PERCENT = 30
# For sentences.
LIMIT = f"more than {FEW_DELETIONS} versions and {PERCENT} %"


def tripped(doomed: Mapping[Scope, int], live: Mapping[Scope, int], *, allowed: bool) -> Mapping[Scope, int]:
    """The scopes that would lose too many of their live versions, and how many."""
    return {
        scope: count
        for scope, count in doomed.items()
        if not (allowed or count <= max(FEW_DELETIONS, live.get(scope, 0) * PERCENT // 100))
    }
