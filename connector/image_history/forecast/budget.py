"""How many of the owed details one sync reads within `details_budget`, and how many syncs all of them take.

Pure; must not know where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping

from image_history.forecast.estimate import NONE, DetailCalls, Span
from image_history.listing.details import shares
from image_history.model import Scope


def within(owed: Mapping[Scope, DetailCalls], budget: int | None) -> Mapping[Scope, DetailCalls]:
    """The calls for details that one sync makes in each scope, from the calls that are owed."""
    if budget is None or _fits(owed, budget):
        return owed
    lows = {scope: calls.total.low for scope, calls in owed.items()}
    highs = {scope: budget if calls.total.high is None else calls.total.high for scope, calls in owed.items()}
    if lows == highs:
        return {scope: _cut(owed[scope], allowed, allowed) for scope, allowed in shares(lows, budget).items()}
    return {
        scope: _cut(
            calls,
            shares({**highs, scope: lows[scope]}, budget)[scope],
            shares({**lows, scope: highs[scope]}, budget)[scope],
        )
        for scope, calls in owed.items()
    }


def _fits(owed: Mapping[Scope, DetailCalls], budget: int) -> bool:
    high = sum((calls.total for calls in owed.values()), start=NONE).high
    return high is not None and high <= budget


def _cut(owed: DetailCalls, least: int, most: int) -> DetailCalls:
    """Between `least` and `most` of the owed calls.

    A version that owes both details gets both calls, so that equal numbers of owed calls are cut equally.
    """
    if owed.total == Span.of(most):
        return owed
    if owed.descriptions.exact and owed.descriptions == owed.aliases and least == most:
        looks = Span.of(most // 2)
        return DetailCalls(looks, looks)
    return DetailCalls(
        _part(owed.descriptions, owed.aliases, least, most),
        _part(owed.aliases, owed.descriptions, least, most),
    )


def _part(of: Span, other: Span, least: int, most: int) -> Span:
    low = max(0, min(least, of.low + other.low) - (most if other.high is None else other.high))
    return Span(min(low, most), most if of.high is None else min(of.high, most))


def syncs_for(owed: Span, budget: int | None) -> Span:
    """How many syncs it takes to make the owed calls."""
    high = None if owed.high is None else syncs_of(owed.high, budget)
    return Span(syncs_of(owed.low, budget), high)


def syncs_of(calls: int, budget: int | None) -> int:
    """How many syncs it takes to make that number of calls."""
    return min(calls, 1) if budget is None else -(-calls // budget)
