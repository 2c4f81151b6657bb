"""A bound on a whole call: the network's timeouts bound only the silence between two reads of a socket.

Must not know what is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """What the call returns or raises; TimeoutError if it does neither in so many seconds.

    An overdue call cannot be broken off. It goes on in a thread of its own that keeps no process alive, and
    its outcome is dropped.
    """
    outcome: Future[Result] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            outcome.set_exception(error)

    threading.Thread(target=work, name="call", daemon=True).start()
    return outcome.result(timeout=seconds)
