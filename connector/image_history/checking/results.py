"""What a check found, as values: how it went, what is wrong, how to fix it, and the exit code.

Pure; must not know how anything is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

PARTIAL = 4


class Level(StrEnum):
    """The outcome of a check: a warning needs attention, a failure keeps a sync from doing all of its work."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Result:
    """One check of one thing. `message` says what was found, `fix` what to do about it.

    `exit_code` is 0 unless it failed.
    """

    check: str
    where: str
    level: Level
    message: str
    fix: str | None = None
    exit_code: int = 0


def ok(check: str, where: str, message: str) -> Result:
    """A check that found no problem."""
    return Result(check, where, Level.OK, message)


def warning(check: str, where: str, message: str, fix: str) -> Result:
    """A sync can run, but there is a problem to look at."""
    return Result(check, where, Level.WARNING, message, fix)


def failed(check: str, where: str, message: str, *, fix: str, exit_code: int) -> Result:
    """A sync would fail, completely or in part."""
    return Result(check, where, Level.FAILED, message, fix, exit_code)


def exit_code(results: Iterable[Result], *, strict: bool = False) -> int:
    """The most severe exit code, which is the lowest one; 0 if nothing failed.

    With `strict`, a warning counts as a partial sync (4).
    """
    codes = (PARTIAL if strict and each.level is Level.WARNING else each.exit_code for each in results)
    return min((code for code in codes if code), default=0)


def softened(results: Sequence[Result]) -> tuple[Result, ...]:
    """The results of one scope if others can be read: its failures then only make a sync partial."""
    return tuple(replace(each, exit_code=PARTIAL) if each.exit_code else each for each in results)
