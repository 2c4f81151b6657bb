"""A call that failed once, made again: what retries is imported only then, since nearly all calls succeed at once.

Must not know what is called, how often, or after what wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
    """A call whose first attempt has been made: it fails once more as it did, and is made again after that."""

    def __init__(self, call: Callable[[], Result], error: Exception) -> None:
        self._call = call
        self._error: Exception | None = error

    def __call__(self) -> Result:
        """Raise what the first attempt raised; from then on make the call."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._call()
