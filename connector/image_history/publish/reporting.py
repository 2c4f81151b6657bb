"""Writes the report: to a file, which is replaced as a whole, to an object in S3, or to stdout.

Must not know what is in a report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from image_history.formats import replaced_file
from image_history.report import Selection, collect, page
from image_history.warehouse.reports import reading
from image_history.warehouse.warehouse import WarehouseFile

if TYPE_CHECKING:
    from image_history.config import Publish

STDOUT = "-"
_HTML = "text/html; charset=utf-8"


def rendered(warehouse: WarehouseFile, selection: Selection) -> bytes:
    """The page. The warehouse is open only while it is read; it is closed before the page is made."""
    with reading(warehouse) as reports:
        facts = collect(reports, selection)
    return page(facts).encode()


def write_report(content: bytes, to: str, entry: Publish | None = None) -> None:
    """Write the page, whole or not at all; a file is private to its owner. OutputError if it cannot be written."""
    if to == STDOUT:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    elif to.startswith("s3:"):
        from image_history.publish.s3 import Address, encryption, uploaded

        members = {"ContentType": _HTML, **encryption(entry)}
        profile = None if entry is None else entry.profile
        with uploaded(Address.parse(to).require_key(), profile, members) as file:
            file.write(content)
    else:
        with replaced_file(Path(to)) as file:
            file.write(content)
