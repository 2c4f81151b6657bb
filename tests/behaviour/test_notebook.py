"""The notebook of docs/ runs from its first cell to its last, and no label of its plots is cut off."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from image_history import Result
from tests.behaviour.asking import Desk, ask, built
from tests.notebook import cells, executed, output

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

# In inches.
_NEAR = 0.02


def is_cut_off(figure: Figure) -> bool:
    """Whether anything that is drawn lies partly outside the picture."""
    FigureCanvasAgg(figure)
    # Labels have positions only after this call.
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), map(float, figure.get_size_inches())
    return bool(min(drawn.x0, drawn.y0) < -_NEAR or drawn.x1 > width + _NEAR or drawn.y1 > height + _NEAR)


def test_notebook_runs_and_ends_with_two_plots(ask: Desk) -> None:
    """Every cell with code runs; results are shown as tables, and nothing in a plot is cut off."""
    values = [value for _, value in executed({"WAREHOUSE": str(ask.warehouse)})]
    assert [type(value).__name__ for value in values] == ["tuple", "Result", "Result", "Figure", "Figure"]
    for value in values:
        if isinstance(value, Result):
            assert "text/html" in output(value)[0]["data"]
        if isinstance(value, Figure):
            assert not is_cut_off(value)
    stored = next(cell for cell in cells() if cell["cell_type"] == "code")["outputs"][0]["data"]
    assert stored["text/plain"] == [repr(values[0])]


def test_notebook_keeps_what_it_shows() -> None:
    """The stored notebook contains its tables and pictures, so that it can be read without running it."""
    kept = [cell["outputs"][0]["data"] for cell in cells() if cell["cell_type"] == "code"]
    assert [sorted(set(data) - {"text/plain"}) for data in kept] == [
        [],
        ["text/html"],
        ["text/html"],
        ["image/png"],
        ["image/png"],
    ]


def test_label_that_is_cut_off_is_noticed() -> None:
    """`is_cut_off` finds a text that lies half outside its picture."""
    figure = Figure(figsize=(2, 2))
    figure.text(0.9, 0.5, "far too long for the place where it is")
    assert is_cut_off(figure)
