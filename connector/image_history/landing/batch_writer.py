"""A thread that writes the items of many threads into files, one after the other.

Order matters: a file must never be visible before the files with earlier items. Must not know what is
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
    """When a file is written: at so many rows, or so many seconds after its first item."""

    rows: int = 10_000
    seconds: float = 5.0


@dataclass(slots=True)
class _Collected(Generic[Item]):
    """The items of the next file; `due` (monotonic seconds) is when it is written at the latest."""

    items: list[Item] = field(default_factory=list)
    rows: int = 0
    due: float = float("inf")


class BatchWriter(Generic[Item]):
    """A context manager around the writing thread.

    `put` may be called from any thread. It blocks while one file is being written and the next one is full, which
    bounds memory. `write` gets the items of a file in the order in which they were put, and an empty list at the end
    if no item is left. `rows_of` returns the number of rows of an item. Leaving the context writes the last file,
    also after an exception in the body; an exception from `write` is raised again there, and by `put`.
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
        """Add one item. Raises the exception that ended writing, if there was one."""
        with self._changed:
            while self._full and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            collected = self._collected
            collected.items.append(item)
            self._handed += 1
            collected.rows += self._rows_of(item)
            # Waking the thread costs as much as decoding a page, so only a file's first and last item do it.
            if len(collected.items) == 1:
                collected.due = time.monotonic() + self._cut.seconds
                self._changed.notify_all()
            elif self._full:
                self._changed.notify_all()

    def cut(self) -> None:
        """Return when all items that were put before are written. Raises the exception that ended writing, if any."""
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
        except BaseException as error:  # noqa: BLE001 - callers must not wait for a thread that died
            failure = error
        with self._changed:
            self._failure = failure
            self._written += len(items)
            self._changed.notify_all()
