"""Checks whether the commands of `notify` exist and may be run. Nothing is sent.

Must not know how news are sent.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from image_history.checking.results import PARTIAL, Result, failed, ok
from image_history.config import Config


def look_at_receivers(config: Config) -> Iterator[Result]:
    """A result for each entry of `notify`. If one fails, a sync with news exits with 4, and its load is kept."""
    for index, entry in enumerate(config.notify):
        name = entry.called(index)
        if entry.run is not None and shutil.which(entry.run[0]) is None:
            fix = "Correct the command, or install it: a sync that has news loads its rows, and exits with 4."
            message = f"there is no command {entry.run[0]} that this user may run"
            yield failed("notify", name, message, fix=fix, exit_code=PARTIAL)
        else:
            yield ok("notify", name, "is configured; image-history notify --test tries it")
