"""The examples in the docstrings of the public library are run."""

from __future__ import annotations

import doctest
import inspect
from datetime import UTC, datetime, timedelta
from types import ModuleType

import pyarrow as pa
import pytest

import image_history
from image_history.config import loading
from image_history.report import warehouse as face
from image_history.warehouse import history
from tests.behaviour.asking import Desk, ask, built

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb


@pytest.mark.parametrize("module", [history, face, loading], ids=lambda module: module.__name__)
def test_examples_do_what_they_show(ask: Desk, module: ModuleType) -> None:
    """Each example prints what it shows, on a warehouse of six images, one of which is `image`."""
    given = {
        "warehouse": image_history.Warehouse(ask.warehouse),
        "image": ask.image,
        "pa": pa,
        "datetime": datetime,
        "timedelta": timedelta,
        "UTC": UTC,
    }
    done = doctest.testmod(module, extraglobs=given, optionflags=doctest.FAIL_FAST)
    assert (done.failed, done.attempted > 0) == (0, True)


def test_every_public_method_has_an_example() -> None:
    """Every public method of Result and Warehouse has an example in its docstring."""
    for kind in (image_history.Result, image_history.Warehouse):
        for name, member in inspect.getmembers(kind):
            if not name.startswith("_"):
                assert ">>> " in (inspect.getdoc(member) or ""), f"{kind.__name__}.{name}"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch, ask: Desk) -> None:
    """`~` is expanded in the path of a warehouse and of a configuration."""
    monkeypatch.setenv("HOME", str(ask.warehouse.parent))
    assert len(image_history.Warehouse(f"~/{ask.warehouse.name}").query("FROM images")) == 6
    (ask.warehouse.parent / "c.yaml").write_text("page_size: 7\n", encoding="utf-8")
    assert image_history.load_config("~/c.yaml").page_size == 7
    assert image_history.load_config() == image_history.Config()
