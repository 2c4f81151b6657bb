"""Writes a copy of the warehouse: to a file, which is replaced as a whole, or to an object in S3.

Must not know what is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from image_history.formats import replaced_file
from image_history.warehouse.copying import copy_warehouse
from image_history.warehouse.warehouse import WarehouseFile

if TYPE_CHECKING:
    from image_history.config import Publish


def write_copy(warehouse: WarehouseFile, to: str, entry: Publish | None = None) -> int:
    """Write the copy, whole or not at all, private to its owner; returns its size in bytes.

    Programs that have an older copy open keep reading that. OutputError if the copy cannot be written.
    """
    if to.startswith("s3:"):
        from image_history.publish.s3 import Address, encryption, uploaded

        profile = None if entry is None else entry.profile
        with uploaded(Address.parse(to).require_key(), profile, encryption(entry)) as file:
            copy_warehouse(warehouse, file)
            return file.tell()
    with replaced_file(Path(to)) as file:
        copy_warehouse(warehouse, file)
        return file.tell()
