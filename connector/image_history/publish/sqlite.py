"""Examines the SQLite file of an Iceberg catalog before pyiceberg opens it, which would create and fill it.

Only reads. Must not know Iceberg, but for the name of its catalog's table.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

from image_history.durable.disk import unwritable
from image_history.publish.target import refusal, require_makeable

_URI = "sqlite:///"
CATALOG_TABLE = "iceberg_tables"
_ELSEWHERE = "Name another file in the catalog's uri."


def catalog_file(uri: str) -> Path | None:
    """The file in which a catalog is kept; None if it is kept elsewhere."""
    path = uri.removeprefix(_URI).partition("?")[0]
    plain = uri.startswith(_URI) and path not in {"", ":memory:"} and not path.startswith("file:")
    return Path(unquote(path)).absolute() if plain else None


def holds_catalog(where: str, file: Path) -> bool:
    """Whether the file holds a catalog; OutputError if it holds something else."""
    if not file.exists():
        return False
    try:
        with closing(sqlite3.connect(_read_only(file), uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise refusal(where, f"{file} cannot be read as a catalog ({error})", _ELSEWHERE) from error
    if tables and CATALOG_TABLE not in tables:
        raise refusal(where, f"{file} is another program's database, and no catalog", _ELSEWHERE)
    return bool(tables)


def require_file(where: str, file: Path) -> None:
    """OutputError if the file cannot be written or made. Its folder must exist: SQLite creates none."""
    if not file.parent.exists():
        raise refusal(where, f"there is no folder {file.parent} for the catalog's file", _ELSEWHERE)
    require_makeable(where, file.parent)
    problem = unwritable(file) if file.exists() else None
    if problem is not None:
        raise refusal(where, f"{file} cannot be written ({problem})", "Let this user write it.")


def read_only_uri(file: Path) -> str:
    """The uri that opens a catalog's file for reading only."""
    return f"{_URI}{_read_only(file)}&uri=true"


def _read_only(file: Path) -> str:
    return f"file:{quote(str(file))}?mode=ro"
