"""The library's face: what `import image_history` promises to keep."""

from __future__ import annotations

import pytest

import image_history


def test_face_names_are_pinned() -> None:
    """A name is added here on purpose, and none goes away."""
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
    """Every name is there when it is asked for, and comes from one of our own modules."""
    assert callable(image_history.sync)
    assert all(getattr(image_history, name) is not None for name in image_history.__all__)


def test_face_says_what_it_has() -> None:
    """A name that is not there is answered with those that are."""
    with pytest.raises(AttributeError, match="image_history has no Warehous; it has Config, Dataset, Part"):
        _ = image_history.Warehous


def test_dir_shows_the_public_names_alone() -> None:
    """What Tab offers is what stays: no module, no helper of the face."""
    assert dir(image_history) == sorted(image_history.__all__)
