"""A copy of the warehouse file, views and comments included, for programs that keep a file open all day.

Must not know where the copy goes.
"""

from __future__ import annotations

import shutil
from typing import BinaryIO

from image_history.errors import WarehouseError
from image_history.warehouse.warehouse import WarehouseFile

_PIECE_BYTES = 8 << 20


def copy_warehouse(warehouse: WarehouseFile, sink: BinaryIO) -> None:
    """Write the file's bytes while it is open for reading, so that no load changes them.

    Data that a killed load left in DuckDB's log is written into the file first. Raises what opening the file raises.
    """
    log = warehouse.file.with_name(f"{warehouse.file.name}.wal")
    if log.exists():
        with warehouse.writing():
            pass
    # While the file is open for reading, no process can write the log. With POSIX locks, closing `file` here releases
    # this process's locks on the file, so nothing is read afterwards.
    with warehouse.reading():
        if log.exists():
            raise WarehouseError(
                f"The warehouse {warehouse.path} cannot be copied: what the last load wrote is still in {log}. "
                "Check that its disk has room, and try again."
            )
        with warehouse.file.open("rb") as file:
            shutil.copyfileobj(file, sink, _PIECE_BYTES)
