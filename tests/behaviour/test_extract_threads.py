"""How many threads read a scope: as many as the duration of its calls keeps busy, up to the allowed number."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from image_history.aws.bodies import Answer
from image_history.errors import ServiceUnavailableError
from image_history.extract import calls, extractor, timing
from image_history.extract.extractor import Extractor
from image_history.extract.timing import CallTimes
from image_history.listing.pages import PageRead, begin
from image_history.model import Checkpoint, ListingKind, ListingRequest, PlannedStream, Scope, Stop, Stream
from tests.unit.fakes import FakeSource, page, read_scopes, scope_calls, version

SCOPE = Scope("111122223333", "us-east-1")
STREAMS = 300


class Scripted(CallTimes):
    """Durations of calls that a test sets."""

    def __init__(self, seconds: Iterator[float]) -> None:
        super().__init__()
        self._seconds = seconds

    def __exit__(self, *_: object) -> None:
        self.took(next(self._seconds))


def streams() -> list[Checkpoint]:
    """Checkpoints of many streams of one page."""
    full = ListingRequest(ListingKind.FULL, 2)
    return [begin(PlannedStream(Stream(SCOPE, f"image-{n}"), full)) for n in range(STREAMS)]


def threads_of(
    monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float], *, allowed: int, all_there: int | None = None
) -> tuple[list[int], list[PageRead]]:
    """The thread of each call, in order, and the pages; calls wait until `all_there` threads have made a call."""
    monkeypatch.setattr(calls, "CallTimes", lambda: Scripted(seconds))
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


def test_quick_calls_are_made_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """If calls are quick, one thread makes all of them: more threads would only wait for each other."""
    made_by, _ = threads_of(monkeypatch, repeat(0.001), allowed=16)
    assert len(set(made_by)) == 1


@pytest.mark.parametrize("allowed", [1, 3, 12])
def test_slow_calls_are_made_by_all_that_are_allowed(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """If calls are slow, all allowed threads make calls."""
    made_by, _ = threads_of(
        monkeypatch, repeat(0.5), allowed=allowed, all_there=None if allowed < 5 else allowed
    )
    assert len(set(made_by)) <= allowed


def test_threads_leave_when_calls_become_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """When calls become quick, most threads end, and every stream is still read once."""
    made_by, _ = threads_of(monkeypatch, chain(repeat(0.05, 40), repeat(0.0)), allowed=16)
    assert len(set(made_by[-100:])) <= 4


def test_a_call_that_hangs_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one call hangs, another thread starts and reads all other streams."""
    monkeypatch.setattr(timing, "_LONG_SECONDS", 0.0)
    monkeypatch.setattr(extractor, "_LOOK_SECONDS", 0.01)
    asked: list[str] = []
    others_read = threading.Event()

    def answering(_: str, parameters: Any) -> Answer[Any]:
        asked.append(parameters["ImageName"])
        if len(asked) == 1:
            assert others_read.wait(30)
        if len(asked) == STREAMS:
            others_read.set()
        return page([version(1)])

    pages: list[PageRead] = []
    lost = read_scopes({SCOPE: scope_calls(FakeSource(answering))}, pages.append, streams(), threads=16)
    assert lost == {}
    assert len(pages) == STREAMS


def test_a_stream_that_waits_to_be_asked_again_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While one stream waits 300 s for its retry, all others are read, even before `finish` is called."""
    monkeypatch.setattr(extractor, "_LOOK_SECONDS", 0.01)
    others_read = threading.Event()
    asked: list[str] = []

    def answering(_: str, parameters: Any) -> Answer[Any]:
        asked.append(parameters["ImageName"])
        if len(asked) == 1:
            raise ServiceUnavailableError("away for a while", retry_after_seconds=300)
        if len(set(asked)) == STREAMS:
            others_read.set()
        return page([version(1)])

    stop = Stop()
    with Extractor(lambda _: None, stop, threads=16) as reading:
        reading.begin(SCOPE, scope_calls(FakeSource(answering), attempts=2, stop=stop), streams())
        # `finish` is not called yet: another scope may still be added.
        assert others_read.wait(30)
        stop.request(signal.SIGTERM)
