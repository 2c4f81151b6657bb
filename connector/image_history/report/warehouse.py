"""The warehouse of the library's face: questions, and the report.

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
    """A warehouse to be asked from Python: read-only, locked down as `image-history query` is.

    A question is worked on in a process of its own, which is kept for the next one: what DuckDB cannot stop, or dies
    of, ends there. The file is open while a question is worked on and no longer, so that an object that lives on is
    in no sync's way; questions from several threads take turns. `wait` is how long to wait for a load that is under
    way, `timeout` how long DuckDB may work on one question, `queries` a folder with saved queries of your own, as
    the setting of that name. `~` is somebody's home. Nothing is opened before the first question.

    Every question raises WarehouseError for a file that is missing, foreign or newer than this program
    (WarehouseLockedError if it stays locked), and QueryError for one that is wrong, refused, too long or too
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
