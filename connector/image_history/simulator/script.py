"""A script of changes to the world: steps that wait for a number of requests or for a virtual instant.

Knows nothing of how a step changes the world. A script is a JSON list such as

    [{"after_requests": 3, "operation": "ListImageVersions", "image": "base",
      "action": {"do": "delete_version", "image": "base", "version": 7}},
     {"at": "2026-01-01T00:00:00Z", "action": {"do": "create_version", "image": "base"}}]
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from image_history.errors import ConfigError
from image_history.simulator.actions import AnyAction
from image_history.simulator.clock import to_ms

if TYPE_CHECKING:
    from image_history.simulator.server import Exchange, Service


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change and its trigger: either a virtual instant or the n-th matching request since the start.

    The change after the n-th request is made after its answer is computed and before it is sent, so that a client
    with the answer can rely on the change.
    """

    action: AnyAction
    after_requests: int | None = None
    operation: str | None = None
    image: str | None = None
    at: datetime | int | None = None

    def __post_init__(self) -> None:
        if (self.after_requests is None) == (self.at is None):
            raise ValueError("a step needs either after_requests or at, and not both")
        if self.after_requests is not None and self.after_requests < 1:
            raise ValueError(f"after_requests is {self.after_requests}; it must be at least 1")

    def concerns(self, exchange: Exchange) -> bool:
        """Whether an exchange counts for the trigger."""
        return self.operation in (None, exchange.operation) and self.image in (None, exchange.image_name)


class Script:
    """Steps, to be played on one service. A step that fails is reported by `Simulator.failures` and by health."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    @classmethod
    def parse(cls, text: bytes, *, source: str = "the script") -> Script:
        """Read a script. ConfigError naming the source and the place of the mistake."""
        try:
            return cls(msgspec.json.decode(text, type=tuple[Step, ...]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{source} is not a valid script: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Script:
        """Read a script from a file."""
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the script {path} cannot be read: {error.strerror}") from error
        return cls.parse(text, source=str(path))

    def start(self, service: Service) -> None:
        """Start to count requests, and to wait for the instants."""
        with service.world.lock:
            for step in self.steps:
                if step.at is not None:
                    service.world.schedule(to_ms(step.at), _Performance(step, service).at)
            counted = tuple(step for step in self.steps if step.after_requests is not None)
            service.watchers = (*service.watchers, *(_Performance(step, service).watch for step in counted))


class _Performance:
    """One step that waits for its trigger on one service."""

    def __init__(self, step: Step, service: Service) -> None:
        self._step = step
        self._service = service
        self._seen = 0

    def watch(self, exchange: Exchange) -> None:
        """Count an exchange, and act when it is the n-th."""
        if self._step.concerns(exchange):
            self._seen += 1
            if self._seen == self._step.after_requests:
                self._service.perform(self._step.action)

    def at(self, _: int) -> None:
        """Act because the instant has come."""
        self._service.perform(self._step.action)
