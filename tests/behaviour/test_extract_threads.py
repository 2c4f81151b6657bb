"""How many threads read a scope: as many as its calls' time keeps busy, up to those that are allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from connector.acceptance import PageRead, begin
from connector.extract import calls
from connector.model import Checkpoint, ListingKind, ListingRequest, PlannedStream, Scope, Stream
from connector.wire import Answer
from tests.unit.fakes import FakeSource, page, read_scopes, scope_calls, version

SCOPE = Scope("111122223333", "us-east-1")
STREAMS = 300


class Clock:
    """A monotonic clock on which every call takes so many seconds: two looks at it are one call."""

    def __init__(self, seconds: Iterator[float]) -> None:
        self._seconds = seconds
        self._mine = threading.local()

    def monotonic(self) -> float:
        """Nought when a call begins, what it took when it ends."""
        begun, self._mine.begun = getattr(self._mine, "begun", False), True
        if not begun:
            return 0.0
        self._mine.begun = False
        return next(self._seconds)


def streams() -> list[Checkpoint]:
    """Checkpoints of many streams of one page."""
    full = ListingRequest(ListingKind.FULL, 2)
    return [begin(PlannedStream(Stream(SCOPE, f"image-{n}"), full)) for n in range(STREAMS)]


def threads_of(
    monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float], *, allowed: int, all_there: int | None = None
) -> tuple[list[int], list[PageRead]]:
    """The thread of each call, in their order, and the pages; a call waits until `all_there` threads have called."""
    monkeypatch.setattr(calls, "time", Clock(seconds))
    made_by: list[int] = []
    enough = threading.Event()

    def answering(_: str, __: Any) -> Answer[Any]:
        made_by.append(threading.get_ident())
        if all_there is not None and len(made_by) > 4:
            if len(set(made_by)) >= all_there:
                enough.set()
            assert enough.wait(30)
        return page([version(1)])

    pages: list[PageRead] = []
    lost = read_scopes({SCOPE: scope_calls(FakeSource(answering))}, pages.append, streams(), threads=allowed)
    assert lost == {}
    assert sorted(str(each.checkpoint.stream) for each in pages) == sorted(str(m.stream) for m in streams())
    return made_by, pages


def test_quick_calls_are_made_by_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AWS answers at once more threads would only wait for each other."""
    made_by, _ = threads_of(monkeypatch, repeat(0.001), allowed=16)
    assert len(set(made_by)) <= 4


@pytest.mark.parametrize("allowed", [1, 3, 12])
def test_slow_calls_are_made_by_all_that_are_allowed(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """Where AWS takes its time as many calls are under way as may be."""
    made_by, _ = threads_of(
        monkeypatch, repeat(0.5), allowed=allowed, all_there=None if allowed < 5 else allowed
    )
    assert len(set(made_by)) <= allowed


def test_threads_leave_when_calls_become_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that came for slow calls end, and every stream is read once all the same."""
    made_by, _ = threads_of(monkeypatch, chain(repeat(0.05, 40), repeat(0.0)), allowed=16)
    assert len(set(made_by[-100:])) <= 4
