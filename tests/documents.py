"""The generated parts of README.md and ARCHITECTURE.md, as Markdown: `make format` writes them.

Everything comes from the code; must not know anything that the code does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence

from image_history import errors
from image_history.config import settings

_GROUPS = ("a mapping of", "a list (each item: a mapping of")


def setting_rows() -> str:
    """Every setting that holds a value, with its default and meaning."""
    values = (each for each in settings() if not each.expected.startswith(_GROUPS))
    rows = ((f"`{each.name}`", f"`{each.default_text}`", each.meaning) for each in values)
    return table(("setting", "default", "meaning"), rows)


def error_tree() -> list[tuple[int, type[errors.ConnectorError]]]:
    """Every error below the root with its depth, a parent before its children, in the order of the module."""
    return list(_below(errors.ConnectorError, 0))


def _below(
    parent: type[errors.ConnectorError], depth: int
) -> Iterator[tuple[int, type[errors.ConnectorError]]]:
    for child in parent.__subclasses__():
        yield depth, child
        yield from _below(child, depth + 1)


def error_rows() -> str:
    """Every error with its docstring and its exit code."""
    rows = (
        (f"{'· ' * depth}`{error.__name__}`", inspect.getdoc(error) or "", _exit_code(error))
        for depth, error in error_tree()
    )
    return table(("error", "what it means and what becomes of the run", "exit"), rows)


def _exit_code(error: type[errors.ConnectorError]) -> str:
    return "130, 143" if error is errors.InterruptedRunError else str(error.exit_code)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in GitHub's Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines) + "\n"
