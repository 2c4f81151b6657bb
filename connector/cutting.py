"""A thread that collects what many threads hand over, and cuts it into files, one after the other.

Order matters: what a later file says must never be visible before what an earlier one holds. Must not know what is
collected, nor how a file is written.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Cut:
    """When a file is cut: at so many rows, or so many seconds after its first item."""

    rows: int = 10_000
    seconds: float = 5.0


class _End:
    """Comes after the last item."""


class Cutter(Generic[Item]):
    """A context manager around the writing thread.

    `put` may be called from any thread and blocks while `queued` items wait, which bounds memory. `write` gets
    the items of a file in the order of their coming, and none at the end if none is left; `rows_of` weighs one.
    Leaving the context cuts the last file, also after an exception in the body; whatever `write` raised is
    raised again there, and by `put`.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], None],
        rows_of: Callable[[Item], int],
        *,
        cut: Cut,
        queued: int,
    ) -> None:
        self._write_file = write
        self._rows_of = rows_of
        self._cut = cut
        self._queue: queue.Queue[Item | _End] = queue.Queue(queued)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="cutter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(_End())
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def put(self, item: Item) -> None:
        """Hand over one item. Raises what ended writing, if something did."""
        if self._failure is not None:
            raise self._failure
        self._queue.put(item)

    def _work(self) -> None:
        ended = False
        while not ended:
            items, ended = self._next_file()
            self._flush(items)

    def _next_file(self) -> tuple[list[Item], bool]:
        """The items of the next file, and whether it is the last one."""
        items: list[Item] = []
        rows, due = 0, None
        while True:
            try:
                item = self._queue.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
            except queue.Empty:
                return items, False
            if isinstance(item, _End):
                return items, True
            items.append(item)
            rows += self._rows_of(item)
            due = time.monotonic() + self._cut.seconds if due is None else due
            if rows >= self._cut.rows or time.monotonic() >= due:
                return items, False

    def _flush(self, items: Sequence[Item]) -> None:
        if self._failure is None:
            try:
                self._write_file(items)
            except Exception as error:  # noqa: BLE001  whatever it is, nobody may wait for a thread that died
                self._failure = error
