from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import pytest

from image_history.landing.batch_writer import BatchWriter, Cut

LONG = 3_600.0


def test_every_item_is_in_one_file_in_its_order() -> None:
    """Items of many threads are written once each, in order for each thread, in files of the requested size."""
    files: list[list[tuple[int, int]]] = []
    with BatchWriter[tuple[int, int]](
        lambda items: files.append(list(items)), lambda _: 1, Cut(10, LONG)
    ) as cutter:
        threads = [
            threading.Thread(
                target=lambda n=number: deque(map(cutter.put, ((n, each) for each in range(200))))
            )
            for number in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    written = [item for file in files for item in file]
    assert sorted(written) == [(number, each) for number in range(5) for each in range(200)]
    for number in range(5):
        mine = [each for thread, each in written if thread == number]
        assert mine == sorted(mine)
    assert [len(file) for file in files if file] == [10] * 100


def test_file_is_cut_when_its_time_has_come() -> None:
    """A file that does not fill is written after its time limit, before the writer is closed."""
    written = threading.Event()
    with BatchWriter[str](lambda _: written.set(), lambda _: 1, Cut(10, 0.01)) as cutter:
        cutter.put("alone")
        assert written.wait(30)


def test_who_puts_waits_while_a_file_is_written_and_another_is_full() -> None:
    """If one file is being written and another is full, `put` waits: memory holds at most two files."""
    writing, go_on, third = threading.Event(), threading.Event(), threading.Event()

    def write(_: Sequence[str]) -> None:
        writing.set()
        assert go_on.wait(30)

    def put_third() -> None:
        cutter.put("third")
        third.set()

    with BatchWriter[str](write, lambda _: 1, Cut(1, LONG)) as cutter:
        cutter.put("first")
        assert writing.wait(30)
        cutter.put("second")
        thread = threading.Thread(target=put_third)
        thread.start()
        assert not third.wait(0.05)
        go_on.set()
        assert third.wait(30)
        thread.join()


@pytest.mark.parametrize("error", [OSError("full"), ZeroDivisionError("a mistake of ours")])
def test_what_ends_writing_is_raised_and_nobody_waits(error: Exception) -> None:
    """If a write fails, a waiting `put` and the end of the context raise its error; no other file is written."""
    writing, go_on = threading.Event(), threading.Event()
    calls: list[Sequence[str]] = []

    def write(items: Sequence[str]) -> None:
        calls.append(items)
        writing.set()
        assert go_on.wait(30)
        raise error

    def put_third() -> None:
        with pytest.raises(type(error)):
            cutter.put("third")
        raised.append(error)

    raised: list[Exception] = []
    cutter = BatchWriter[str](write, lambda _: 1, Cut(1, LONG))
    cutter.__enter__()
    cutter.put("first")
    assert writing.wait(30)
    cutter.put("second")
    thread = threading.Thread(target=put_third)
    thread.start()
    go_on.set()
    thread.join()
    with pytest.raises(type(error)) as outer:
        cutter.__exit__()
    assert raised == [error]
    assert outer.value is error
    assert calls == [["first"]]
