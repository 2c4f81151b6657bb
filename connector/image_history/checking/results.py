"""What a check found, as values: how it went, what is wrong, how to fix it, and what a process exits with.

Pure; must not know how anything is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

PARTIAL = 4


class Level(StrEnum):
    """How a check went: a warning needs a look, a failure keeps a sync from doing all of its work."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Result:
    """One check of one thing. `told` says what was found, `fix` what to do about it.

    `exit_code` is 0 unless it failed.
    """

    check: str
    where: str
    level: Level
    told: str
    fix: str | None = None
    exit_code: int = 0


def ok(check: str, where: str, told: str) -> Result:
    """All is well."""
    return Result(check, where, Level.OK, told)


def warning(check: str, where: str, told: str, fix: str) -> Result:
    """A sync runs, but somebody should look."""
    return Result(check, where, Level.WARNING, told, fix)


def failed(check: str, where: str, told: str, *, fix: str, exit_code: int) -> Result:
    """A sync would fail, wholly or in part."""
    return Result(check, where, Level.FAILED, told, fix, exit_code)


def exit_code(results: Iterable[Result], *, strict: bool = False) -> int:
    """The most severe code, which comes first in the list of exit codes; 0 if nothing failed.

    With `strict` a warning counts as what a sync has to do without (4).
    """
    codes = (PARTIAL if strict and each.level is Level.WARNING else each.exit_code for each in results)
    return min((code for code in codes if code), default=0)


def softened(results: Sequence[Result]) -> tuple[Result, ...]:
    """The results of one scope among others that can be read: a sync is then partial, and nothing worse."""
    return tuple(replace(each, exit_code=PARTIAL) if each.exit_code else each for each in results)
