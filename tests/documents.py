"""The generated parts of README.md and ARCHITECTURE.md, as Markdown: `make format` writes them anew.

Everything is read off the code; must not know anything that the code doesn't.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence

from image_history import errors
from image_history.cli import VERBS
from image_history.config import Setting, settings
from image_history.schema import TABLES

_GROUPS = ("a mapping of", "a list (each item: a mapping of")


def verbs() -> str:
    """Every verb with its line of --help."""
    return table(("verb", "does"), ((f"`{name}`", VERBS[name][1]) for name in sorted(VERBS)))


def setting_rows() -> str:
    """Every setting that holds a value, with its default and meaning; members of one group share a row."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings():
        if not setting.shape.expected.startswith(_GROUPS):
            groups.setdefault(setting.path[0], []).append(setting)
    return table(("setting", "default", "meaning"), (_setting_row(group) for group in groups.values()))


def _setting_row(group: Sequence[Setting]) -> tuple[str, str, str]:
    if len(group) == 1:
        (only,) = group
        return f"`{only.name}`", f"`{only.default_text}`", only.shape.meaning
    members = (f"`{each.name}` (`{each.default_text}`): {each.shape.meaning}" for each in group)
    return f"`{group[0].path[0]}`", "", "<br>".join(members)


def tables() -> str:
    """Every table of the warehouse with its grain, as one paragraph."""
    return "; ".join(f"`{table.name}`, {table.grain}" for table in TABLES) + ".\n"


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
    """Every error with its exit code, as its own docstring explains it."""
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
