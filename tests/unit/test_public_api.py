"""The connector uses only public names of botocore, urllib3 and http.client."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CONNECTOR = Path(__file__).parents[2] / "connector" / "image_history"
WAYS_TO_AWS = sorted(
    [*CONNECTOR.glob("aws/*.py"), *CONNECTOR.glob("extract/*.py"), CONNECTOR / "publish/s3.py"]
)
FOREIGN = {"boto3", "botocore", "http", "urllib3", "s3transfer"}


def private(name: str) -> bool:
    """Whether a name is private to its module."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def used_privately(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Private names that the code uses: of objects other than its own `self` and `cls`, and of foreign modules."""
    own = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        if isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            of_self = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            made_here = node.attr in own or any(
                isinstance(each, ast.FunctionDef) and each.name == node.attr for each in ast.walk(tree)
            )
            if not (of_self and made_here):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FOREIGN:
            yield from ((node.lineno, alias.name) for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr", "hasattr"}:
            name = node.args[1]
            if isinstance(name, ast.Constant) and private(str(name.value)):
                yield node.lineno, str(name.value)


@pytest.mark.parametrize("path", WAYS_TO_AWS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_private_attribute_is_used(path: Path) -> None:
    """No private attribute is used: it may change with any release, and one such change broke web identity."""
    assert list(used_privately(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "line",
    [
        "api._endpoint.http_session",
        "self._http._manager.clear()",
        "class C:\n def f(self): return self._config",
        "from botocore.client import _private",
        "getattr(pool, '_new_conn')()",
    ],
)
def test_use_of_private_attributes_is_noticed(line: str) -> None:
    """A private name is found if it is used directly, through `getattr`, by import, or as an inherited attribute."""
    assert list(used_privately(ast.parse(line)))
