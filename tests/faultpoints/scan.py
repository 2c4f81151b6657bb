"""Finds calls in the source that change a disk, a lock or a warehouse but are not a fault point.

Must not know the connector's modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_OS = frozenset(
    {
        "chmod",
        "chown",
        "fdatasync",
        "fsync",
        "ftruncate",
        "link",
        "makedirs",
        "mkdir",
        "mkfifo",
        "open",
        "pwrite",
        "remove",
        "removedirs",
        "rename",
        "renames",
        "replace",
        "rmdir",
        "symlink",
        "truncate",
        "unlink",
        "write",
    }
)
_MODULES = {
    "os": _OS,
    "shutil": frozenset({"copy", "copy2", "copyfile", "copyfileobj", "copytree", "move", "rmtree"}),
    "tempfile": frozenset(
        {
            "NamedTemporaryFile",
            "SpooledTemporaryFile",
            "TemporaryDirectory",
            "TemporaryFile",
            "mkdtemp",
            "mkstemp",
        }
    ),
    "fcntl": frozenset({"flock", "lockf"}),
    "duckdb": frozenset({"connect"}),
    "pq": frozenset({"ParquetWriter", "write_metadata", "write_table", "write_to_dataset"}),
}
_OF_PATHS = frozenset(
    {"hardlink_to", "mkdir", "rename", "rmdir", "symlink_to", "touch", "unlink", "write_bytes", "write_text"}
)
_OF_DUCKDB = frozenset({"begin", "checkpoint", "close", "commit", "execute", "executemany", "query", "sql"})


def unmarked(source: str) -> list[str]:
    """`function: call` for every effect in a function that does not itself call `fault_point`."""
    return sorted(
        f"{function.name}: {ast.unparse(call.func)}"
        for function in _functions(ast.parse(source))
        if not any(_is_reach(call) for call in _calls(function))
        for call in _calls(function)
        if is_effect(call)
    ) + sorted(
        f"module: {ast.unparse(call.func)}" for call in _top_level(ast.parse(source)) if is_effect(call)
    )


def is_effect(call: ast.Call) -> bool:
    """Whether a call changes something outside of the process, judged by its source text."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and _writes(call, position=1)
    if not isinstance(call.func, ast.Attribute):
        return False
    owner, name = ast.unparse(call.func.value), call.func.attr
    if owner in _MODULES:
        return name in _MODULES[owner]
    if owner.split(".")[-1] == "duck":
        return name in _OF_DUCKDB
    if name == "open":
        return _writes(call, position=0)
    # str.replace takes two positional arguments, and the functions that copy a value take keyword arguments.
    return name in _OF_PATHS or (name == "replace" and len(call.args) == 1 and not call.keywords)


def _writes(call: ast.Call, *, position: int) -> bool:
    modes = [
        *call.args[position : position + 1],
        *(word.value for word in call.keywords if word.arg == "mode"),
    ]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    return any(set(text) & set("wax+") for text in texts)


def _is_reach(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "fault_point"


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.Call))


def _top_level(tree: ast.Module) -> Iterator[ast.Call]:
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _calls(statement)
