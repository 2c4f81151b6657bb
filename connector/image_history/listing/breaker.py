"""The mass-delete breaker: how many versions a scope may lose in one run without the user's permission.

A pure decision on numbers. Only run/settle.py uses it, when listings are settled. Must not know calls, SQL or files.
"""

from __future__ import annotations

from collections.abc import Mapping

from image_history.model import Scope

FEW_DELETIONS = 10
PERCENT = 30
# The limit in words, for messages.
LIMIT = f"more than {FEW_DELETIONS} versions and {PERCENT} %"


def tripped(doomed: Mapping[Scope, int], live: Mapping[Scope, int], *, allowed: bool) -> Mapping[Scope, int]:
    """The scopes that would lose too many of their live versions, and how many; none if `allowed`."""
    return {
        scope: count
        for scope, count in doomed.items()
        if not (allowed or count <= max(FEW_DELETIONS, live.get(scope, 0) * PERCENT // 100))
    }
