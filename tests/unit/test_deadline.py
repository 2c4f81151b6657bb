from __future__ import annotations

import threading

import pytest

from image_history.aws.deadline import Callers


def test_outcome_of_a_call_is_its_own() -> None:
    """In time, the call's result or exception is what comes out, the very object."""
    error = KeyError("mine")

    def failing() -> None:
        raise error

    assert Callers(1).within(30, lambda: "answer") == "answer"
    with pytest.raises(KeyError) as raised:
        Callers(1).within(30, failing)
    assert raised.value is error


def test_overdue_call_is_left_behind() -> None:
    """A call that hangs is given up on time; its thread keeps no process alive."""
    released, begun, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def hanging() -> bool:
        threads.append(threading.current_thread())
        begun.set()
        return released.wait(30)

    callers = Callers(1)
    with pytest.raises(TimeoutError):
        callers.within(0.02, hanging)
    # On a busy machine the time may be over before the thread has begun.
    assert begun.wait(30)
    assert threads[0].daemon
    assert callers.within(30, lambda: "its turn is free again") == "its turn is free again"
    released.set()
    threads[0].join()


def test_calls_wait_for_their_turn() -> None:
    """Never more calls than allowed are under way, and the same threads make them."""
    callers, lock = Callers(2), threading.Lock()
    running = most = 0
    made_by: set[int] = set()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            made_by.add(threading.get_ident())
        both.wait(30)
        with lock:
            running -= 1

    both = threading.Barrier(2)
    threads = [threading.Thread(target=callers.within, args=(30, call)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
    assert len(made_by) == 2
