"""The warehouse of the Python API: queries, and the report.

Must not know how either is answered.
"""

from __future__ import annotations

from datetime import timedelta

from image_history.report.content import Selection, collect
from image_history.report.page import page
from image_history.warehouse import history
from image_history.warehouse.reports import reading
from image_history.warehouse.warehouse import WarehouseFile


class Warehouse(history.Warehouse):
    """A warehouse for queries from Python: read-only, locked down as `image-history query` is.

    Each query runs in a process of its own, which is kept for the next one: if DuckDB crashes or cannot be stopped,
    only that process ends. The file is open only while a query runs, so that an object that is kept for long blocks
    no sync. Queries from several threads run one after another. `wait` is how long to wait for a load that is under
    way, `timeout` how long DuckDB may work on one query, and `queries` a folder with your own saved queries, like
    the setting of that name. `~` in a path is a home directory. Nothing is opened before the first query.

    Every query raises WarehouseError for a file that is missing, foreign or newer than this program
    (WarehouseLockedError if it stays locked), and QueryError for a query that is wrong, refused, too long or too
    large. The file is never changed.
    """

    def report(self, *, since: timedelta = timedelta(days=30), scope: str = "*", image: str = "*") -> str:
        """The page that `image-history report` writes, as HTML: `scope` and `image` are patterns, as in `*/us-*`.

        >>> warehouse.report(since=timedelta(days=7)).startswith("<!DOCTYPE html>")
        True
        """
        file = WarehouseFile(self.path, self._wait_seconds)
        with reading(file) as reports:
            facts = collect(reports, Selection(since, scope, image))
        return page(facts)
