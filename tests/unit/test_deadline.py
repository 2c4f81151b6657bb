from __future__ import annotations

import gc
import socket
import sys
import threading
from dataclasses import dataclass

import pytest

from image_history.aws.deadline import Callers, connection_is_free


def test_outcome_of_a_call_is_its_own() -> None:
    """A call that ends in time returns its own result or raises its own exception, the same object."""
    error = KeyError("mine")

    def failing() -> None:
        raise error

    assert Callers(1).within(30, lambda: "answer") == "answer"
    with pytest.raises(KeyError) as raised:
        Callers(1).within(30, failing)
    assert raised.value is error


def test_overdue_call_is_left_behind() -> None:
    """A call that hangs is given up on time, and its thread is a daemon that does not keep the process alive."""
    released, begun, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def hanging() -> bool:
        threads.append(threading.current_thread())
        begun.set()
        return released.wait(30)

    callers = Callers(1)
    with pytest.raises(TimeoutError):
        callers.within(0.02, hanging)
    # On a busy machine, the time may be over before the thread begins.
    assert begun.wait(30)
    assert threads[0].daemon
    assert callers.within(30, lambda: "its turn is free again") == "its turn is free again"
    released.set()
    threads[0].join()


def test_calls_wait_for_their_turn() -> None:
    """No more calls run at once than allowed, and a fixed number of threads makes them."""
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


@dataclass(slots=True)
class Connection:
    """A connection of http.client, with the one attribute that the deadline uses."""

    sock: object


def here() -> bool:
    """Report that the call has its connection."""
    return True


def test_call_that_has_its_connection_is_made_here() -> None:
    """A call that has its connection runs in the calling thread, and raises its own exception."""
    callers = Callers(1)
    assert callers.within(30, threading.get_ident, begin=here) == threading.get_ident()
    assert callers.within(30, threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        callers.within(30, lambda: 1 // 0, begin=here)


@pytest.mark.parametrize("earlier", [False, True], ids=["alone", "beside one that has more time"])
def test_overdue_call_that_is_made_here_loses_its_socket(*, earlier: bool) -> None:
    """A call in the calling thread that waits for a silent server loses its socket and ends in time."""
    callers, ends, other = Callers(2), threading.Event(), threading.Event()

    def patient() -> bool:
        other.set()
        return ends.wait(30)

    beside = threading.Thread(target=callers.within, args=(30, patient), kwargs={"begin": here})
    if earlier:
        beside.start()
        assert other.wait(30)
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def silent() -> bytes:
            sys.audit("http.client.send", Connection(ours), b"")
            received = ours.recv(1)
            raise ConnectionError(received)

        with pytest.raises(TimeoutError):
            callers.within(0.02, silent, begin=here)
    ends.set()
    if earlier:
        beside.join()


@pytest.mark.parametrize("how", ["ending", "inside"])
def test_socket_is_found_wherever_it_is(how: str) -> None:
    """The socket is found if the answer has taken it from its connection, and if it lies inside TLS to a proxy."""

    class Tunnel:
        def __init__(self, socket: socket.socket) -> None:
            self.socket = socket

    callers, ended = Callers(1), list[bytes]()
    for _ in range(2):
        ours, theirs = socket.socketpair()
        connection = Connection(Tunnel(ours) if how == "inside" else ours)

        def silent(connection: Connection = connection, ours: socket.socket = ours) -> bytes:
            sys.audit("http.client.send", connection, b"")
            connection.sock = connection.sock if how == "inside" else None
            ours.settimeout(5)
            ended.append(ours.recv(1))
            return ended[-1]

        with ours, theirs, pytest.raises(TimeoutError):
            callers.within(0.02, silent, begin=here)
    assert ended == [b"", b""]


def test_what_comes_of_an_overdue_call_is_dropped() -> None:
    """The result of an overdue call is dropped: its socket was shut down, so the result is incomplete or too late."""
    waited = threading.Event()
    with pytest.raises(TimeoutError):
        Callers(1).within(0.02, lambda: waited.wait(0.1), begin=here)


@pytest.mark.parametrize("event", ["socket.getaddrinfo", "subprocess.Popen"])
def test_call_that_needs_more_than_its_connection_is_made_apart(event: str) -> None:
    """A call that looks up a name or starts a program, which may take any time, runs again in another thread."""
    begun: list[bool] = []
    made_by: list[int] = []

    def begin() -> bool:
        begun.append(True)
        return True

    def call() -> int:
        made_by.append(threading.get_ident())
        sys.audit(event, "host", 443)
        return threading.get_ident()

    assert Callers(1).within(30, call, begin=begin) != threading.get_ident()
    assert (len(begun), made_by[0], len(made_by)) == (2, threading.get_ident(), 2)


def test_connection_that_is_free_is_left_alone() -> None:
    """The socket of an overdue call is left open if the call has released its connection: another call may use it."""
    ours, theirs = socket.socketpair()
    waited = threading.Event()

    def call() -> None:
        sys.audit("http.client.send", Connection(ours), b"")
        connection_is_free()
        waited.wait(0.1)

    with ours, theirs:
        with pytest.raises(TimeoutError):
            Callers(1).within(0.02, call, begin=here)
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_call_that_was_in_time_keeps_its_socket() -> None:
    """A call that ended in time keeps its socket: another call may use its connection."""
    callers, released = Callers(1), threading.Event()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        callers.within(0.02, lambda: sys.audit("http.client.send", Connection(ours), b""), begin=here)
        with pytest.raises(TimeoutError):
            callers.within(0.05, lambda: released.wait(30))
        released.set()
        theirs.send(b"x")
        assert ours.recv(1) == b"x"


def test_bound_leaves_no_thread_behind() -> None:
    """The threads that make and watch calls end when the Callers object is deleted."""
    before = set(threading.enumerate())
    callers = Callers(1)
    callers.within(30, threading.get_ident, begin=here)
    callers.within(30, threading.get_ident)
    threads = set(threading.enumerate()) - before
    assert {thread.name for thread in threads} == {"overdue", "call"}
    del callers
    gc.collect()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
