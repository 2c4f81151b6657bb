"""Sorting, filtering and cutting lists into pages, in all the ways in which AWS might do it.

Knows nothing of the form in which a row is sent.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from image_history.simulator import protocol
from image_history.simulator.calls import Call
from image_history.simulator.table import Index, Order, Table, Timed
from image_history.simulator.tokens import Position, TokenBox, binding_of, refusal

if TYPE_CHECKING:
    from image_history.simulator.table import Field

DEFAULT_PAGE = 10
_SNAPSHOTS_KEPT = 1_000

R = TypeVar("R")
T = TypeVar("T", bound=Timed)
Limits = tuple[float | None, float | None]
_UNLIMITED: Limits = (None, None)


@dataclass(frozen=True, slots=True)
class Window:
    """The filters of a list request; limits in epoch milliseconds."""

    creation: Limits = _UNLIMITED
    modified: Limits = _UNLIMITED
    exclusive: bool = False
    contains: str = ""

    @property
    def open(self) -> bool:
        """Whether everything passes."""
        return not self.contains and self.creation == self.modified == _UNLIMITED

    def admits(self, record: Any) -> bool:
        """Whether a record passes."""
        return (
            self._within(record.creation_ms, self.creation)
            and self._within(record.last_modified_ms, self.modified)
            and (not self.contains or self.contains in record.name)
        )

    def _within(self, value: int, limits: Limits) -> bool:
        after, before = limits
        if self.exclusive:
            return (after is None or value > after) and (before is None or value < before)
        return (after is None or value >= after) and (before is None or value <= before)


class Listing(Protocol[R]):
    """Records in an order in which a position can be found again."""

    def position(self, record: R) -> Position:
        """The position at which a listing continues after the record."""

    def start(self, position: Position) -> int:
        """How many records lie before the position."""

    @property
    def records(self) -> list[R]:
        """All of them."""


class Ordered(Listing[T]):
    """The listing of a table or of a selection from it."""

    def __init__(self, table: Table[Any, T], order: Order, index: Index[T]) -> None:
        self._table = table
        self._order = order
        self._index = index

    @property
    def records(self) -> list[T]:
        """All of them."""
        return self._index.records

    def position(self, record: T) -> Position:
        """The position at which a listing continues after the record."""
        return Position(self._table.value(record, self._order.field), self._table.identity(record))

    def start(self, position: Position) -> int:
        """How many records lie before the position, whether its record still exists or not."""
        return self._index.after(self._table.key(self._order, position.value, position.identity))


class Names(Listing[str]):
    """A listing of sorted texts."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    @property
    def records(self) -> list[str]:
        """All of them."""
        return self._names

    def position(self, record: str) -> Position:
        """The position at which a listing continues after the text."""
        return Position(identity=record)

    def start(self, position: Position) -> int:
        """How many texts lie before the position."""
        return bisect_right(self._names, str(position.identity))


class Pager:
    """Cuts listings into pages; holds the snapshots that its tokens refer to."""

    def __init__(self) -> None:
        self._tokens = TokenBox()
        self._snapshots: OrderedDict[int, list[Any]] = OrderedDict()
        # A token of an earlier server must not match a snapshot of this one.
        self._last_snapshot = secrets.randbits(48)

    def select(self, call: Call[protocol.ListRequest], table: Table[Any, T]) -> tuple[list[T], str | None]:
        """Return one page of a table, sorted and filtered as the call asks, and the token of the next."""
        order, window = order_of(call), window_of(call)
        whole = table.ordered(order)
        if window.open:
            return self.cut(call, Ordered(table, order, whole))
        if call.behaviour.filtering == "page_then_filter":
            rows, token = self.cut(call, Ordered(table, order, whole))
            return [record for record in rows if window.admits(record)], token
        return self.cut(call, Ordered(table, order, table.filtered(order, window, window.admits)))

    def cut(self, call: Call[protocol.Request], listing: Listing[R]) -> tuple[list[R], str | None]:
        """Return the page that the call's token points at, and the token of the next one."""
        binding = binding_of(call.operation, call.scope, call.request)
        position = self._opened(call, binding)
        records, start = listing.records, position.skip
        if position.snapshot:
            records = self._snapshot(call, position)
        elif position.identity is not None:
            start = listing.start(position)
        end = start + (call.request.max_results or DEFAULT_PAGE)
        rows = records[start:end]
        if end >= len(records):
            return rows, None
        following = self._following(call, position, end, records)
        if following is None:
            following = listing.position(rows[-1])
        return rows, self._tokens.issue(binding, following, call.now_ms)

    def _opened(self, call: Call[protocol.Request], binding: bytes) -> Position:
        token = call.request.next_token
        if not token:
            return Position()
        return self._tokens.open(token, binding, call.now_ms, call.behaviour.token_lifetime_seconds)

    def _following(
        self, call: Call[protocol.Request], position: Position, end: int, records: list[Any]
    ) -> Position | None:
        if position.snapshot:
            return Position(skip=end, snapshot=position.snapshot)
        if call.behaviour.tokens == "snapshot":
            return Position(skip=end, snapshot=self._keep(records))
        return Position(skip=end) if call.behaviour.tokens == "offset" else None

    def _keep(self, records: list[Any]) -> int:
        self._last_snapshot += 1
        self._snapshots[self._last_snapshot] = list(records)
        if len(self._snapshots) > _SNAPSHOTS_KEPT:
            self._snapshots.popitem(last=False)
        return self._last_snapshot

    def _snapshot(self, call: Call[protocol.Request], position: Position) -> list[Any]:
        records = self._snapshots.get(position.snapshot)
        if records is None:
            raise refusal(call.request.next_token or "")
        return records


def order_of(call: Call[protocol.ListRequest]) -> Order:
    """Read the order of a list request; by default newest creation first."""
    behaviour = call.behaviour
    return Order(
        cast("Field", call.request.sort_by or "CREATION_TIME"),
        call.request.sort_order != "ASCENDING",
        behaviour.tie_order,
        behaviour.tie_seed,
    )


def window_of(call: Call[protocol.ListRequest]) -> Window:
    """Read the filters of a list request."""
    request = call.request
    contains = request.name_contains or "" if isinstance(request, protocol.ListImages) else ""
    if call.behaviour.filters == "ignored":
        return Window(contains=contains)
    return Window(
        (_ms(request.creation_time_after), _ms(request.creation_time_before)),
        (_ms(request.last_modified_time_after), _ms(request.last_modified_time_before)),
        exclusive=call.behaviour.filters == "exclusive",
        contains=contains,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
