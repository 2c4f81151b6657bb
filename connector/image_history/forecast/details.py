"""How many calls for details a stream takes beside those of its listing.

Pure; must not know AWS clients, files or SQL, nor how many of the calls the budget allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from image_history.forecast.estimate import NONE, DetailCalls, Facts, Listing, Reason, Span, StreamEstimate
from image_history.listing.details import PendingCalls
from image_history.model import Outcome


def with_details(estimate: StreamEstimate, pending: PendingCalls | None, facts: Facts) -> StreamEstimate:
    """The estimate with the calls for details; `pending` are those of stored and landed versions, None if unknown.

    A version that is new or changed costs one more call of each kind.
    """
    doubt = estimate.reason or (Reason.WAITING if facts.waiting else None)
    if pending is None or doubt not in {None, Reason.HELD_BACK}:
        anything = Span(0, None)
        return replace(
            estimate, descriptions=anything, aliases=anything, reason=doubt or Reason.DETAILS, paired=False
        )
    if not pending.total or _is_gone(estimate, facts):
        return estimate
    if _may_lack(facts):
        most = Span(0, pending.descriptions), Span(0, pending.aliases + pending.again)
        return replace(estimate, descriptions=most[0], aliases=most[1], reason=Reason.HELD_BACK, paired=False)
    return replace(
        estimate,
        descriptions=Span.of(pending.descriptions),
        aliases=Span.of(pending.aliases),
        paired=pending.descriptions == pending.aliases == pending.both,
        # An alias that moved since it was last read is a change, but one that no sync has seen yet.
        caveat=estimate.caveat or (Reason.ALIASES if pending.again else None),
    )


def _is_gone(estimate: StreamEstimate, facts: Facts) -> bool:
    """Whether all versions end with their image before details are read."""
    return estimate.listing is Listing.VANISHED and facts.tripped is False


def _may_lack(facts: Facts) -> bool:
    """Whether versions that AWS lacks stay stored as live, so that their details are looked up in vain."""
    was_held_back = facts.known is not None and facts.known.held_back > 0
    is_held_back = facts.mark is not None and facts.mark.outcome is Outcome.HELD_BACK
    return was_held_back or is_held_back or not facts.listed


def pending_calls(streams: Sequence[StreamEstimate]) -> DetailCalls:
    """The pending calls for details of a scope's images, both listed and resting."""
    return DetailCalls(
        sum((each.descriptions for each in streams), start=NONE),
        sum((each.aliases for each in streams), start=NONE),
        paired=all(each.paired for each in streams),
    )
