"""docs/cookbook.md shows the results of its queries: each query runs again on the page's simulated warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cookbook

pytestmark = pytest.mark.duckdb

TEXT = cookbook.PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's warehouse."""
    with cookbook.synced(tmp_path_factory.mktemp("cookbook")) as path:
        yield path


def test_cookbook_shows_what_is_answered(warehouse: Path) -> None:
    """Every result on the page is the current result; `python -m tests.cookbook` updates the page."""
    assert len(cookbook.QUESTION.findall(TEXT)) >= 12
    assert TEXT.count("```sql") == TEXT.count("```text") == len(cookbook.QUESTION.findall(TEXT))
    assert cookbook.written(TEXT, lambda sql: cookbook.answer(warehouse, sql)) == TEXT


def test_cookbook_draws_what_there_is(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's Python code computes a frame of all 42 versions; the plot needs matplotlib and is not tested."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    asked, drawn = code.split("pivoted.cumsum()")
    assert ".plot(" in drawn
    monkeypatch.chdir(warehouse.parent)
    names: dict[str, object] = {}
    exec(asked, names)  # noqa: S102 - the page's own code
    assert float(str(names["pivoted"].to_numpy().sum())) == 42.0  # type: ignore[attr-defined]  # a frame
