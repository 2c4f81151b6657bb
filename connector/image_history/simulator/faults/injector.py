"""Applies the fault rules of one service: selects the exchanges to spoil, and makes the answers sent instead.

Knows nothing of how an answer is computed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from image_history.simulator.faults import altered
from image_history.simulator.faults.kinds import KINDS, Kind

if TYPE_CHECKING:
    from image_history.simulator.faults.rules import FaultRule
    from image_history.simulator.server import Exchange

# The exchange as it would have been answered so many milliseconds ago; None if it is no list.
Lagging = Callable[["Exchange", int], "Exchange | None"]
Counting = Callable[[str], None]
_LAG_SECONDS = 60.0


@dataclass(slots=True)
class _Armed:
    """One rule with its state: the number of exchanges and of faults, and the tokens of each image."""

    rule: FaultRule
    draw: random.Random
    seen: int = 0
    made: int = 0
    tokens: dict[object, list[str]] = field(default_factory=dict)

    def due(self, exchange: Exchange) -> bool:
        """Count an exchange; True if it is one to spoil."""
        rule = self.rule
        if not rule.concerns(exchange):
            return False
        self.seen += 1
        if rule.times is not None and self.made >= rule.times:
            return False
        if rule.rate is not None:
            return self.draw.random() < rule.rate
        return (
            rule.nth in (None, self.seen)
            and (rule.start is None or self.seen >= rule.start)
            and (rule.every is None or self.seen % rule.every == 0)
        )

    def in_a_cycle(self, exchange: Exchange) -> Exchange | None:
        """The page with one of the first two tokens of its list, alternating, once two tokens are known."""
        known = self.tokens.setdefault((exchange.operation, exchange.scope, exchange.image_name), [])
        given = altered.given_token(exchange)
        if given is not None and len(known) < 2 and given not in known:  # noqa: PLR2004 - a cycle of two
            known.append(given)
            return None
        if not known:
            return None
        requested = altered.request_token(exchange)
        return altered.with_token(exchange, known[-1] if requested == known[0] else known[0])


class Injector:
    """Spoils the exchanges of one service by rules; `count` is called with the kind of each fault."""

    def __init__(self, rules: Iterable[FaultRule], *, lagging: Lagging, count: Counting) -> None:
        self.rules = tuple(rules)
        self._armed = [_Armed(rule, random.Random(rule.seed)) for rule in self.rules]  # noqa: S311 - replayable
        self._lagging = lagging
        self._count = count

    async def spoil(self, request: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        """The response to send instead of the answer; None to send the answer unchanged.

        All rules count the exchange; the first rule that is due and can damage it does so.
        """
        for armed in [armed for armed in self._armed if armed.due(exchange)]:
            kind = KINDS[armed.rule.kind]
            if kind.breaks is not None:
                self._made(armed)
                return await _broken(request, exchange, armed.rule, kind)
            spoiled = self._spoiled(armed, kind, exchange)
            if spoiled is not None:
                self._made(armed)
                return spoiled.response()
        return None

    def _spoiled(self, armed: _Armed, kind: Kind, exchange: Exchange) -> Exchange | None:
        if kind.alters is not None:
            return kind.alters(exchange, armed.rule)
        if kind.remembers == "cycle":
            return armed.in_a_cycle(exchange)
        seconds = _LAG_SECONDS if armed.rule.seconds is None else armed.rule.seconds
        return self._lagging(exchange, round(seconds * 1000))

    def _made(self, armed: _Armed) -> None:
        armed.made += 1
        self._count(armed.rule.kind)


async def _broken(
    request: web.Request, exchange: Exchange, rule: FaultRule, kind: Kind
) -> web.StreamResponse | None:
    transport = request.transport
    if kind.breaks is None or not isinstance(transport, asyncio.Transport):
        return None
    whole = await kind.breaks(transport, exchange, rule)
    # Writing to a closed connection ends the exchange without sending anything.
    return None if whole else web.Response()
