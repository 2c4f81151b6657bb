"""What one question may cost: DuckDB's settings for it, and the bounds of the process that answers it.

Must not know how a question is asked, nor what is asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

_MEBIBYTE = 1 << 20
# What a query that is nearly done gets from who waits; well below lock_wait and the patience of planning.
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
    """What one query may cost. `timeout` counts DuckDB's time, anew when it is repeated after a load.

    Reading ends once `rows` are there; None is all. `memory_bytes` is what DuckDB counts, and its process has as much
    again for what DuckDB does not count. `spill_bytes` bounds DuckDB's files and, apart, the answer. A writer waits
    for the query `courtesy_seconds`; after `attempts` that were stopped for one, the query fails.
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
