"""Counts what a server received: calls, rows, errors, connections, and the requests themselves in order.

Knows nothing of how they were answered beyond status, code and rows.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

import msgspec

LOG_LENGTH = 100_000


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the service. `parameters` is the body as it was sent, with AWS's member names."""

    number: int
    at_ms: int
    operation: str
    account_id: str | None
    region: str | None
    image_name: str | None
    parameters: dict[str, Any]
    status: int
    error_code: str | None
    rows: int


class CounterTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All figures at one moment."""

    requests: int
    connections: int
    rows: int
    calls: dict[str, int]
    calls_by_image: dict[str, dict[str, int]]
    errors: dict[str, int]
    injected: dict[str, int]


class Counters:
    """Thread-safe figures since the start or the last reset. The log keeps the last 100,000 requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._calls: Counter[tuple[str, str | None]] = Counter()
        self._errors: Counter[str] = Counter()
        self._injected: Counter[str] = Counter()
        self._log: deque[tuple[RequestRecord, bytes]] = deque(maxlen=LOG_LENGTH)
        self._rows = 0
        self._connections = 0

    @property
    def log(self) -> list[RequestRecord]:
        """The requests in the order in which they were answered."""
        with self._lock:
            entries = list(self._log)
        return [_with_parameters(record, body) for record, body in entries]

    @property
    def rows(self) -> int:
        """Rows returned by all calls."""
        return self._rows

    @property
    def connections(self) -> int:
        """Connections accepted."""
        return self._connections

    def calls(self, operation: str | None = None, image: str | None = None) -> int:
        """Count calls, refused ones included; of one operation, of one image, or of all."""
        with self._lock:
            return sum(
                count
                for (called, subject), count in self._calls.items()
                if operation in (None, called) and image in (None, subject)
            )

    def errors(self, code: str | None = None) -> int:
        """Count error responses, of one code or of all."""
        with self._lock:
            return sum(self._errors.values()) if code is None else self._errors[code]

    def injected(self, *kinds: str) -> int:
        """Count faults that rules injected, of these kinds or of all."""
        with self._lock:
            return sum(self._injected[kind] for kind in kinds) if kinds else self._injected.total()

    def totals(self) -> CounterTotals:
        """Return all figures at once."""
        with self._lock:
            calls, by_image = Counter[str](), dict[str, dict[str, int]]()
            for (operation, image), count in sorted(self._calls.items(), key=str):
                calls[operation] += count
                if image is not None:
                    by_image.setdefault(image, {})[operation] = count
            return CounterTotals(
                requests=calls.total(),
                connections=self._connections,
                rows=self._rows,
                calls=dict(calls),
                calls_by_image=by_image,
                errors=dict(self._errors),
                injected=dict(sorted(self._injected.items())),
            )

    def reset(self) -> None:
        """Reset everything; connections that stay open are not counted again."""
        with self._lock:
            self._clear()

    def connected(self) -> None:
        """Count one accepted connection."""
        with self._lock:
            self._connections += 1

    def spoiled(self, kind: str) -> None:
        """Count one fault."""
        with self._lock:
            self._injected[kind] += 1

    def answered(self, record: RequestRecord, body: bytes) -> None:
        """Count one answered request; its parameters are decoded from the body only when the log is read."""
        with self._lock:
            self._calls[record.operation, record.image_name] += 1
            self._rows += record.rows
            if record.error_code is not None:
                self._errors[record.error_code] += 1
            self._log.append((record, body))


def _with_parameters(record: RequestRecord, body: bytes) -> RequestRecord:
    try:
        parameters = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        parameters = {}
    return msgspec.structs.replace(record, parameters=parameters)
