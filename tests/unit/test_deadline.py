from __future__ import annotations

import gc
import socket
import sys
import threading
from dataclasses import dataclass

import pytest

from image_history.aws.deadline import Callers, connection_is_free


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


@dataclass(slots=True)
class Connection:
    """One of http.client's, as far as a bound on calls knows it."""

    sock: object


def here() -> bool:
    """The call has its connection."""
    return True


def test_call_that_has_its_connection_is_made_here() -> None:
    """By the thread that wants it, and its outcome is its own."""
    callers = Callers(1)
    assert callers.within(30, threading.get_ident, begin=here) == threading.get_ident()
    assert callers.within(30, threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        callers.within(30, lambda: 1 // 0, begin=here)


@pytest.mark.parametrize("earlier", [False, True], ids=["alone", "beside one that has more time"])
def test_overdue_call_that_is_made_here_loses_its_socket(*, earlier: bool) -> None:
    """It reads from a server that says nothing, and ends in time all the same."""
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
    """An answer that ends its connection takes the socket from it; TLS within TLS to a proxy has it inside."""

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
    """Its socket was taken away, so what it has is cut, or too late."""
    waited = threading.Event()
    with pytest.raises(TimeoutError):
        Callers(1).within(0.02, lambda: waited.wait(0.1), begin=here)


@pytest.mark.parametrize("event", ["socket.getaddrinfo", "subprocess.Popen"])
def test_call_that_needs_more_than_its_connection_is_made_apart(event: str) -> None:
    """The connection was closed by the server: a name server may take any time, and so may a program with keys."""
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
    """It may serve another call by now, though this one goes on, and is overdue."""
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
    """The watch never looks at a connection that may serve another call by now."""
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
    """Neither that which makes calls nor that which watches over them outlives the bound."""
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
