"""Reads the warehouse for the commands that report on it: the statements of sql/reports, as Arrow tables.

Must not know what a report is for, nor how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from image_history.errors import WarehouseError
from image_history.warehouse.warehouse import Connection, EngineError, WarehouseFile

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports of one open warehouse; instants in them are UTC."""

    connection: Connection

    def table(self, name: str, **parameters: object) -> pa.Table:
        """All rows of sql/reports/NAME.sql.

        Raises WarehouseError if the warehouse lacks a view that the report reads.
        """
        return self._answer(f"reports/{name}", parameters)

    def rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        """All rows of a statement, named with its folder as in `shell/images`. Raises as `table` does."""
        rows: list[dict[str, Any]] = self._answer(name, parameters).to_pylist()
        return rows

    def _answer(self, name: str, parameters: Mapping[str, object]) -> pa.Table:
        try:
            return self.connection.table(name, parameters)
        except EngineError as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise WarehouseError(
                f"The warehouse cannot answer ({reason}). If another version of image-history wrote it, run "
                "image-history sync: that brings its views up to date."
            ) from error


@contextmanager
def reading(warehouse: WarehouseFile) -> Iterator[Reports]:
    """Open the warehouse for reports, read-only; waits for a load that is under way.

    Raises as `WarehouseFile.reading` does.
    """
    with warehouse.reading() as connection:
        yield Reports(connection)
