"""A thread that cuts what many threads hand over into files, one after the other.

Order matters: what a later file says must never be visible before what an earlier one holds. Must not know what is
collected, nor how a file is written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Cut:
    """When a file is cut: at so many rows, or so many seconds after its first item."""

    rows: int = 10_000
    seconds: float = 5.0


@dataclass(slots=True)
class _Collected(Generic[Item]):
    """What the next file will hold; `due` (monotonic seconds) is when it is cut at the latest."""

    items: list[Item] = field(default_factory=list)
    rows: int = 0
    due: float = float("inf")


class BatchWriter(Generic[Item]):
    """A context manager around the writing thread.

    `put` may be called from any thread, and blocks while a file is being written and another one is full, which
    bounds memory. `write` gets the items of a file in the order of their coming, and none at the end if none is
    left; `rows_of` weighs one. Leaving the context cuts the last file, also after an exception in the body;
    whatever `write` raised is raised again there, and by `put`.
    """

    def __init__(
        self, write: Callable[[Sequence[Item]], None], rows_of: Callable[[Item], int], cut: Cut
    ) -> None:
        self._write = write
        self._rows_of = rows_of
        self._cut = cut
        self._changed = threading.Condition()
        self._collected: _Collected[Item] = _Collected()
        self._ended = False
        self._handed = self._written = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="batch-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def put(self, item: Item) -> None:
        """Hand over one item. Raises what ended writing, if something did."""
        with self._changed:
            while self._full and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            collected = self._collected
            collected.items.append(item)
            self._handed += 1
            collected.rows += self._rows_of(item)
            # Waking the thread costs as much as decoding a page: for a file's first item, and its last.
            if len(collected.items) == 1:
                collected.due = time.monotonic() + self._cut.seconds
                self._changed.notify_all()
            elif self._full:
                self._changed.notify_all()

    def cut(self) -> None:
        """Return when all that was handed over before is written. Raises what ended writing, if something did."""
        with self._changed:
            handed = self._handed
            self._collected.due = float("-inf") if self._collected.items else self._collected.due
            self._changed.notify_all()
            while self._written < handed and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure

    @property
    def _full(self) -> bool:
        return self._collected.rows >= self._cut.rows

    def _work(self) -> None:
        ended = False
        while not ended:
            items, ended = self._next_file()
            if self._failure is None:
                self._flush(items)

    def _next_file(self) -> tuple[Sequence[Item], bool]:
        """The items of the next file, and whether it is the last one."""
        with self._changed:
            while not self._ended and not self._full and (left := self._collected.due - time.monotonic()) > 0:
                self._changed.wait(None if left == float("inf") else left)
            collected, self._collected = self._collected, _Collected()
            self._changed.notify_all()
            return collected.items, self._ended

    def _flush(self, items: Sequence[Item]) -> None:
        failure: BaseException | None = None
        try:
            self._write(items)
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may wait for a thread that died
            failure = error
        with self._changed:
            self._failure = failure
            self._written += len(items)
            self._changed.notify_all()
