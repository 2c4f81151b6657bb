"""A run's progress on stderr: a live line on a terminal, nothing elsewhere.

Must not know what the stages do.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from image_history.asking import drawing
from image_history.run.pipeline import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from image_history.listing.pages import PageRead

_STAGES = {
    "scopes": "Finding images",
    "listing": "Reading versions",
    "details": "Reading details",
    "loading": "Loading",
    "publishing": "Publishing",
    "notifying": "Notifying",
}


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """The object that `sync` reports its progress to; it draws on a terminal, unless `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images; rows: {task.fields[rows]:,}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar, drawing(bar.stop, bar.start):
        yield _Drawn(bar)


class _Drawn:
    """Draws a run on a rich progress bar. Safe to call from many threads."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._lock = threading.Lock()
        self._rows = self._streams = 0
        self._task = bar.add_task(_STAGES["scopes"], total=None, rows=0)

    def stage(self, name: str) -> None:
        self._bar.update(self._task, description=_STAGES[name])

    def planned(self, streams: int) -> None:
        self._streams += streams
        self._bar.update(self._task, total=self._streams)

    def page(self, page: PageRead) -> None:
        with self._lock:
            self._rows += len(page.rows)
            self._bar.update(self._task, advance=int(not page.checkpoint.readable), rows=self._rows)
