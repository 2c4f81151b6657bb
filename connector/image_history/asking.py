"""Gives the terminal to one prompt at a time, and pauses everything else that is drawn there.

Imports nothing of ours, and must not know who asks, or what is drawn.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_turn = threading.Lock()
_drawn: list[tuple[Callable[[], object], Callable[[], object]]] = []


@contextmanager
def drawing(stop: Callable[[], object], start: Callable[[], object]) -> Iterator[None]:
    """Something is drawn inside the block; `stop` and `start` pause it while a prompt is shown."""
    _drawn.append((stop, start))
    try:
        yield
    finally:
        _drawn.remove((stop, start))


@contextmanager
def terminal_alone() -> Iterator[None]:
    """The block has the terminal to itself: drawings are stopped before it and started again after it."""
    with _turn:
        halted = [*_drawn]
        for stop, _ in halted:
            stop()
        try:
            yield
        finally:
            for _, start in halted:
                start()
