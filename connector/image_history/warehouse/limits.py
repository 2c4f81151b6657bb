"""The limits of one query: DuckDB's settings for it, and the limits of the process that answers it.

Must not know the query, nor how it is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

_MEBIBYTE = 1 << 20
# A waiting writer gives a running query so long to finish; well below lock_wait and the wait of planning.
_COURTESY_SECONDS = 0.5
_ATTEMPTS = 5
_SWITCHED_OFF = dict.fromkeys(
    (
        "enable_external_access",
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "allow_community_extensions",
        "allow_unsigned_extensions",
        "python_enable_replacements",
    ),
    "false",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one query. `timeout` limits DuckDB's time; it starts again when the query is retried.

    Reading stops after `rows` rows; None reads all. `memory_bytes` limits the memory that DuckDB counts; its process
    may use as much again for memory that DuckDB does not count. `spill_bytes` limits DuckDB's temporary files, and
    separately the answer. When a writer waits, the query gets `courtesy_seconds` to finish, then it is cancelled and
    retried after the load; it fails after `attempts` attempts.
    """

    timeout: timedelta = timedelta(minutes=5)
    rows: int | None = None
    memory_bytes: int = 1024 * _MEBIBYTE
    spill_bytes: int = 8 * 1024 * _MEBIBYTE
    threads: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))
    courtesy_seconds: float = field(default_factory=lambda: _COURTESY_SECONDS)
    attempts: int = field(default_factory=lambda: _ATTEMPTS)

    def settings(self, spill_folder: str) -> Mapping[str, str]:
        """DuckDB's settings for such a query."""
        return _SWITCHED_OFF | {
            "memory_limit": f"{self.memory_bytes // _MEBIBYTE}MiB",
            "max_temp_directory_size": f"{self.spill_bytes // _MEBIBYTE}MiB",
            "temp_directory": spill_folder,
            "threads": str(self.threads),
        }
