"""One question at a time on the terminal, and nothing else drawn meanwhile.

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
    """Something is drawn inside, but for the time of a question."""
    _drawn.append((stop, start))
    try:
        yield
    finally:
        _drawn.remove((stop, start))


@contextmanager
def asked() -> Iterator[None]:
    """The terminal belongs to whoever asks inside."""
    with _turn:
        halted = [*_drawn]
        for stop, _ in halted:
            stop()
        try:
            yield
        finally:
            for _, start in halted:
                start()
