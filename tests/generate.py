"""Writes the files that are generated from the code: `python -m tests.generate`; a test compares them.

Must not know anything that the code does not.
"""

from __future__ import annotations

from pathlib import Path

from image_history.cli.manual import page
from image_history.schema import TABLES
from image_history.warehouse.statements import folder

_HEADER = "-- The meaning of every table and column, from schema.py: written by `python -m tests.generate`."


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def comments() -> str:
    """The text of sql/comments/comments.sql."""
    lines = [_HEADER]
    for table in TABLES:
        lines += ["", f"COMMENT ON TABLE {table.name} IS {_quoted(table.grain)};"]
        lines += [
            f"COMMENT ON COLUMN {table.name}.{column.name} IS {_quoted(column.meaning)};"
            for column in table.columns
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    manual = Path(__file__).parents[1] / "docs" / "image-history.1"
    manual.write_text(page(), encoding="utf-8")
    (folder() / "comments" / "comments.sql").write_text(comments(), encoding="utf-8")
