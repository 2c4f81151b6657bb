"""One call of the service and its answer, between the transport and the operations.

Knows nothing of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from image_history.simulator.protocol import Request

if TYPE_CHECKING:
    from image_history.simulator.behaviour import Behaviour
    from image_history.simulator.model import Scope

Q_co = TypeVar("Q_co", bound=Request, covariant=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q_co]):
    """One valid request and the circumstances in which it is answered."""

    operation: str
    scope: Scope
    request: Q_co
    behaviour: Behaviour
    now_ms: int

    @property
    def image_name(self) -> str:
        """The image that the request names."""
        return self.request.image_name or ""

    @property
    def visible_ms(self) -> int | None:
        """The instant whose state a list shows; None for now."""
        lag_ms = self.behaviour.list_lag_ms
        return self.now_ms - lag_ms if lag_ms else None


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an answer, and how many rows are in it."""

    body: bytes
    rows: int = 1
