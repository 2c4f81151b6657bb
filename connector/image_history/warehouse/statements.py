"""Finds and reads the SQL files by name: `statement("load/merge")` is the text of sql/load/merge.sql.

Must not know what a statement means, nor run one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_INSTALLED = Path(__file__).parents[1] / "sql"
_CHECKOUT = Path(__file__).parents[3] / "sql"


def folder() -> Path:
    """Where the SQL files are: inside the installed package, or beside it in a checkout."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


@cache
def statement(name: str) -> str:
    """The text of sql/NAME.sql. FileNotFoundError if there is no such file: a defect of the installation."""
    return (folder() / f"{name}.sql").read_text(encoding="utf-8")


def names(kind: str) -> tuple[str, ...]:
    """The statements of one folder, as `kind/stem`, sorted: the order in which migrations and views run."""
    return tuple(f"{kind}/{path.stem}" for path in sorted((folder() / kind).glob("*.sql")))
