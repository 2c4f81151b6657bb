"""Records of one kind, kept sorted in every requested order, with a journal for lagging lists.

Knows nothing of requests, tokens or JSON; not thread-safe: the world holds the lock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Generic, Literal, Protocol, TypeVar

from image_history.simulator.behaviour import MAX_LIST_LAG_MS, TieOrder

Field = Literal["CREATION_TIME", "LAST_MODIFIED_TIME", "VERSION", "IMAGE_NAME"]


class Timed(Protocol):
    """The instants by which every record can be filtered."""

    @property
    def creation_ms(self) -> int:
        """When it was created."""

    @property
    def last_modified_ms(self) -> int:
        """When it was changed last."""


R = TypeVar("R", bound=Timed)
I = TypeVar("I", int, str)  # noqa: E741 - the identity of a record

_SELECTIONS_KEPT = 64
_INDEXES_KEPT = 16


@dataclass(frozen=True, slots=True)
class Order:
    """A total order of records: by a field, and among equal values by identity, as `ties` says."""

    field: Field
    descending: bool = False
    ties: TieOrder = "ascending"
    seed: int = 0


class Index(Generic[R]):
    """Records in one order, with their sort keys."""

    __slots__ = ("keys", "records")

    def __init__(self, keys: list[Any], records: list[R]) -> None:
        self.keys = keys
        self.records = records

    def after(self, key: Any) -> int:
        """The position of the first record behind the key."""
        return bisect_right(self.keys, key)

    def insert(self, key: Any, record: R) -> None:
        """Add a record at its place."""
        position = bisect_left(self.keys, key)
        self.keys.insert(position, key)
        self.records.insert(position, record)

    def remove(self, key: Any) -> None:
        """Take out the record with the key."""
        position = bisect_left(self.keys, key)
        del self.keys[position]
        del self.records[position]


class Table(Generic[I, R]):
    """Records by identity. Subclasses define the identity and the sort keys of a record."""

    def __init__(self) -> None:
        self._rows: dict[I, R] = {}
        self._indexes: dict[Order, Index[R]] = {}
        self._filtered: dict[tuple[Order, object], Index[R]] = {}
        self._journal: deque[tuple[int, I, R | None]] = deque()
        self._past: tuple[int, Table[I, R]] | None = None

    def identity(self, record: R) -> I:
        """The value that distinguishes the record from the others."""
        raise NotImplementedError

    def value(self, record: R, by: Field) -> Any:
        """The value by which the record is sorted."""
        raise NotImplementedError

    def key(self, order: Order, value: Any, identity: I) -> Any:
        """A key whose ascending order is the given order."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def get(self, identity: I) -> R | None:
        """The record, or None."""
        return self._rows.get(identity)

    def load(self, records: Iterable[R]) -> None:
        """Add many records at once, as if they had always existed."""
        self._rows.update((self.identity(record), record) for record in records)
        self._indexes.clear()
        self._filtered.clear()

    def put(self, record: R, at_ms: int) -> None:
        """Add the record, or replace the one with the same identity."""
        self._forget(self.identity(record), at_ms)
        self._rows[self.identity(record)] = record
        for order, index in self._indexes.items():
            index.insert(self._key_of(order, record), record)

    def remove(self, identity: I, at_ms: int) -> R | None:
        """Remove and return the record; None if there was none."""
        return self._forget(identity, at_ms)

    def ordered(self, order: Order) -> Index[R]:
        """All records in this order."""
        index = self._indexes.get(order)
        if index is None:
            if len(self._indexes) >= _INDEXES_KEPT:
                self._indexes.clear()
            index = self._indexes[order] = self._index_of(order, self._rows.values())
        return index

    def filtered(self, order: Order, question: object, admits: Callable[[R], bool]) -> Index[R]:
        """The admitted records in this order; cached until a change, with the hashable `question` as key."""
        found = self._filtered.get((order, question))
        if found is None:
            whole = self.ordered(order)
            pairs = [
                (key, record) for key, record in zip(whole.keys, whole.records, strict=True) if admits(record)
            ]
            found = Index([key for key, _ in pairs], [record for _, record in pairs])
            if len(self._filtered) >= _SELECTIONS_KEPT:
                self._filtered.clear()
            self._filtered[order, question] = found
        return found

    def at(self, visible_ms: int | None) -> Table[I, R]:
        """The table as it was at an instant, at most an hour ago; the table itself if nothing changed since."""
        if visible_ms is None:
            return self
        undone = list(takewhile(lambda entry: entry[0] > visible_ms, reversed(self._journal)))
        if not undone:
            return self
        if self._past is None or self._past[0] != len(undone):
            past = type(self)()
            rows = dict(self._rows)
            for _, identity, before in undone:
                if before is None:
                    rows.pop(identity, None)
                else:
                    rows[identity] = before
            past.load(rows.values())
            self._past = (len(undone), past)
        return self._past[1]

    def _forget(self, identity: I, at_ms: int) -> R | None:
        before = self._rows.pop(identity, None)
        if before is not None:
            for order, index in self._indexes.items():
                index.remove(self._key_of(order, before))
        self._filtered.clear()
        self._past = None
        while self._journal and self._journal[0][0] < at_ms - MAX_LIST_LAG_MS:
            self._journal.popleft()
        self._journal.append((at_ms, identity, before))
        return before

    def _index_of(self, order: Order, records: Iterable[R]) -> Index[R]:
        pairs = [(self._key_of(order, record), record) for record in records]
        pairs.sort(key=lambda pair: pair[0])
        return Index([key for key, _ in pairs], [record for _, record in pairs])

    def _key_of(self, order: Order, record: R) -> Any:
        return self.key(order, self.value(record, order.field), self.identity(record))
