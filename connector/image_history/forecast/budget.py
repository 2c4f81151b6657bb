"""How many of the pending details one sync reads within `details_budget`, and how many syncs all of them take.

Pure; must not know where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping

from image_history.forecast.estimate import NONE, DetailCalls, Span
from image_history.listing.details import shares
from image_history.model import Scope


def within(pending: Mapping[Scope, DetailCalls], budget: int | None) -> Mapping[Scope, DetailCalls]:
    """The calls for details that one sync makes in each scope, from the calls that are pending."""
    if budget is None or _fits(pending, budget):
        return pending
    lows = {scope: calls.total.low for scope, calls in pending.items()}
    highs = {
        scope: budget if calls.total.high is None else calls.total.high for scope, calls in pending.items()
    }
    if lows == highs:
        return {
            scope: _cut(pending[scope], allowed, allowed) for scope, allowed in shares(lows, budget).items()
        }
    return {
        scope: _cut(
            calls,
            shares({**highs, scope: lows[scope]}, budget)[scope],
            shares({**lows, scope: highs[scope]}, budget)[scope],
        )
        for scope, calls in pending.items()
    }


def _fits(pending: Mapping[Scope, DetailCalls], budget: int) -> bool:
    high = sum((calls.total for calls in pending.values()), start=NONE).high
    return high is not None and high <= budget


def _cut(pending: DetailCalls, least: int, most: int) -> DetailCalls:
    """Between `least` and `most` of the pending calls.

    If every version lacks both details, each one that is looked up gets both calls.
    """
    if pending.total == Span.of(most):
        return pending
    is_exact = pending.descriptions.exact and pending.descriptions == pending.aliases
    if pending.paired and is_exact and least == most:
        # With an odd number, the last version gets its description only.
        return DetailCalls(Span.of(most - most // 2), Span.of(most // 2))
    return DetailCalls(
        _part(pending.descriptions, pending.aliases, least, most),
        _part(pending.aliases, pending.descriptions, least, most),
    )


def _part(of: Span, other: Span, least: int, most: int) -> Span:
    low = max(0, min(least, of.low + other.low) - (most if other.high is None else other.high))
    return Span(min(low, most), most if of.high is None else min(of.high, most))


def syncs_for(pending: Span, budget: int | None, spent: int = 0) -> Span:
    """How many syncs it takes to make the pending calls, if a run that is continued has `spent` some before."""
    high = None if pending.high is None else syncs_of(pending.high, budget, spent)
    return Span(syncs_of(pending.low, budget, spent), high)


def syncs_of(calls: int, budget: int | None, spent: int = 0) -> int:
    """How many syncs it takes to make that number of calls."""
    if budget is None or not calls:
        return min(calls, 1)
    return -(-(calls + min(spent, budget)) // budget)
