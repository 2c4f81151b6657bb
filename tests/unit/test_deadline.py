from __future__ import annotations

import threading

import pytest

from connector.extract.deadline import within


def test_outcome_of_a_call_is_its_own() -> None:
    """In time, the call's result or exception is what comes out, the very object."""
    error = KeyError("mine")

    def failing() -> None:
        raise error

    assert within(30, lambda: "answer") == "answer"
    with pytest.raises(KeyError) as raised:
        within(30, failing)
    assert raised.value is error


def test_overdue_call_is_left_behind() -> None:
    """A call that hangs is given up on time; its thread keeps no process alive."""
    released, begun, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def hanging() -> bool:
        threads.append(threading.current_thread())
        begun.set()
        return released.wait(30)

    with pytest.raises(TimeoutError):
        within(0.02, hanging)
    # On a busy machine the time may be over before the thread has begun.
    assert begun.wait(30)
    assert threads[0].daemon
    released.set()
    threads[0].join()
