"""Runs docs/notebook.ipynb as Jupyter does: `python -m tests.notebook WAREHOUSE` runs it and stores its outputs.

Must not know the notebook's content.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    """The cells of the notebook."""
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def executed(given: dict[str, Any]) -> Iterator[tuple[dict[str, Any], object]]:
    """Each code cell, with the value of its last line; `given` are the names before the first cell."""
    names = given
    for cell in cells():
        if cell["cell_type"] == "code":
            yield cell, _run("".join(cell["source"]), names)


def _run(code: str, names: dict[str, Any]) -> object:
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - our own notebook
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307 - the same


def output(value: object) -> list[dict[str, Any]]:
    """The outputs that Jupyter stores for a value: an image, an HTML table, or text."""
    if value is None:
        return []
    kept: dict[str, Any] = {"text/plain": [repr(value)]}
    if isinstance(value, Figure):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=60)
        kept["image/png"] = base64.b64encode(picture.getvalue()).decode()
    elif hasattr(value, "_repr_html_"):
        kept["text/html"] = [value._repr_html_()]
    return [{"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": kept}]


def main(warehouse: str) -> None:
    """Run the notebook, and store its outputs in it."""
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    shown = iter([output(value) for _, value in executed({"WAREHOUSE": warehouse})])
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = next(shown)
    plt.close("all")
    NOTEBOOK.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
