"""The library's public interface: the names that `import image_history` promises to keep."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import image_history


def test_face_names_are_pinned() -> None:
    """`__all__` holds exactly these names, so that adding or removing one is a decision."""
    assert sorted(image_history.__all__) == [
        "Config",
        "Dataset",
        "Part",
        "Result",
        "RunReport",
        "SyncOptions",
        "Warehouse",
        "__version__",
        "errors",
        "load_config",
        "sync",
    ]


def test_face_gives_what_it_names() -> None:
    """Every name in `__all__` is that of one of our own modules, the one that type checkers read it from."""
    tree = ast.parse(Path(str(image_history.__file__)).read_text(encoding="utf-8"))
    named = {
        alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("image_history")
        for alias in node.names
    }
    assert sorted(named) == image_history.__all__
    for name, home in named.items():
        given = getattr(image_history, name)
        module, _, attribute = home.rpartition(".")
        assert given is getattr(import_module(module), attribute), name
        if name != "__version__":
            assert getattr(given, "__module__", given.__name__).startswith("image_history."), name


def test_face_says_what_it_has() -> None:
    """A missing name is an error that lists the existing names."""
    with pytest.raises(AttributeError, match="image_history has no Warehous; it has Config, Dataset, Part"):
        _ = image_history.Warehous


def test_dir_shows_the_public_names_alone() -> None:
    """`dir` shows only the public names, without modules and helpers, so that Tab offers only them."""
    assert dir(image_history) == sorted(image_history.__all__)
