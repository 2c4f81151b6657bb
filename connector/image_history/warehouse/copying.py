"""A copy of the warehouse file, views and comments included, for programs that keep a file open all day.

Must not know where the copy goes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from image_history.formats import Sink
from image_history.warehouse.warehouse import WarehouseFile

_PIECE_BYTES = 8 << 20


def copy_warehouse(warehouse: WarehouseFile, sink: Sink) -> None:
    """Write the file's bytes while it is open for reading, so that no load changes them.

    What a killed load left beside the file is folded into it first. Raises what opening the file raises.
    """
    if Path(f"{warehouse.path}.wal").exists():
        with warehouse.writing():
            pass
    with warehouse.reading(), warehouse.path.open("rb") as file:
        shutil.copyfileobj(file, sink, _PIECE_BYTES)  # type: ignore[misc]  # a sink has all that is called of it
