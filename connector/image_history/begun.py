"""A call whose first attempt failed. The retry library is imported only then, since nearly all calls succeed at once.

Must not know what is called, how often, or after what wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
    """A call whose first attempt failed: calling this object raises that error once, and then makes the call."""

    def __init__(self, call: Callable[[], Result], error: Exception) -> None:
        self._call = call
        self._error: Exception | None = error

    def __call__(self) -> Result:
        """The first time, raise the error of the first attempt; after that, make the call."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._call()
