"""The library's public interface: the names that `import image_history` promises to keep."""

from __future__ import annotations

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
    """Every name in `__all__` can be imported, and `sync` is callable."""
    assert callable(image_history.sync)
    assert all(getattr(image_history, name) is not None for name in image_history.__all__)


def test_face_says_what_it_has() -> None:
    """A missing name is an error that lists the existing names."""
    with pytest.raises(AttributeError, match="image_history has no Warehous; it has Config, Dataset, Part"):
        _ = image_history.Warehous


def test_dir_shows_the_public_names_alone() -> None:
    """`dir` shows only the public names, without modules and helpers, so that Tab offers only them."""
    assert dir(image_history) == sorted(image_history.__all__)
