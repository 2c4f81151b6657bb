"""Mutants of Python functions: changed comparisons, left-out parts of `and` and `or`, and negated conditions.

While a mutant is tried, it replaces the function's code. Must not know what a function decides.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

_HEAR = "_heard_by_the_mutation_pass"
_TURNED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A mutant of a function: the number of the changed node, and the number of the way to change it."""

    module: str
    function: str
    node: int
    way: int
    what: str

    def applied(self) -> AbstractContextManager[None]:
        """Replace the function's code by the mutant within the block."""
        return instead(self.module, {self.function: _compiled(import_module(self.module), self)})

    def twin(self) -> FunctionType:
        """A copy of the function with the mutant's code."""
        module = import_module(self.module)
        return twin(found(module, self.function), _compiled(module, self))


def heard(module_name: str, hear: Callable[[str], object]) -> AbstractContextManager[None]:
    """Within the block, call `hear` with MODULE.NAME whenever a function of the module is called."""

    def saying(place: str, function: ast.FunctionDef) -> list[ast.stmt]:
        return [ast.Expr(ast.Call(ast.Name(_HEAR, ast.Load()), [ast.Constant(place)], [])), *function.body]

    return instead(module_name, replaced(module_name, saying), {_HEAR: hear})


@contextmanager
def instead(
    module_name: str, codes: Mapping[str, CodeType], names: Mapping[str, object] | None = None
) -> Iterator[None]:
    """Within the block, give functions of a module other code, and the module the names that the code may use."""
    module = import_module(module_name)
    functions = {name: found(module, name) for name in codes}
    before = {name: function.__code__ for name, function in functions.items()}
    vars(module).update(names or {})
    try:
        for name, function in functions.items():
            function.__code__ = codes[name]
        yield
    finally:
        for name, function in functions.items():
            function.__code__ = before[name]
        for name in names or ():
            del vars(module)[name]


def twin(function: FunctionType, code: CodeType) -> FunctionType:
    """A copy of a function with other code."""
    made = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def replaced(
    module_name: str, by: Callable[[str, ast.FunctionDef], list[ast.stmt] | None]
) -> dict[str, CodeType]:
    """New code for functions of a module: `by` returns a function's new body, or None to leave the function out."""
    tree = ast.parse(_source(module_name))
    bodies = {name: by(f"{module_name}.{name}", function) for name, function in _functions(tree)}
    for name, function in _functions(tree):
        function.body = bodies[name] or function.body
    code = compile(ast.fix_missing_locations(tree), str(import_module(module_name).__file__), "exec")
    return {name: _code_of(code, name.split(".")) for name, body in bodies.items() if body is not None}


def mutants(module_name: str) -> list[Change]:
    """Every mutant of a module's functions."""
    tree = ast.parse(_source(module_name))
    return [
        Change(module_name, name, number, way, f"{what}, in {ast.unparse(node)[:90]}")
        for name, function in _functions(tree)
        for number, node in enumerate(ast.walk(function))
        for way, (what, _) in enumerate(_ways(node))
    ]


def _source(module_name: str) -> str:
    path = import_module(module_name).__file__
    return Path(str(path)).read_text(encoding="utf-8")


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from (
                (f"{node.name}.{each.name}", each) for each in node.body if isinstance(each, ast.FunctionDef)
            )


def _ways(node: ast.AST) -> list[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare):
        return [
            (
                f"{type(op).__name__} becomes {turned.__name__}",
                ast.Compare(node.left, [*node.ops[:at], turned(), *node.ops[at + 1 :]], node.comparators),
            )
            for at, op in enumerate(node.ops)
            for turned in _TURNED[type(op)]
        ]
    if isinstance(node, ast.BoolOp):
        return [
            (f"without {ast.unparse(left_out)[:60]}", _joined(node, at))
            for at, left_out in enumerate(node.values)
        ]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return [("without not", node.operand)]
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        turned_node = copy.copy(node)
        turned_node.test = ast.UnaryOp(ast.Not(), node.test)
        return [("condition turned", turned_node)]
    if isinstance(node, ast.comprehension) and node.ifs:
        without = copy.copy(node)
        without.ifs = []
        return [("without its conditions", without)]
    return []


def _joined(node: ast.BoolOp, at: int) -> ast.expr:
    left = [*node.values[:at], *node.values[at + 1 :]]
    return left[0] if len(left) == 1 else ast.BoolOp(node.op, left)


class _Replacing(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else super().generic_visit(node)


def _compiled(module: ModuleType, change: Change) -> CodeType:
    tree = ast.parse(_source(change.module))
    function = dict(_functions(tree))[change.function]
    node = list(ast.walk(function))[change.node]
    _, new = _ways(node)[change.way]
    _Replacing(node, new).visit(tree)
    mutated = ast.fix_missing_locations(tree)
    return _code_of(compile(mutated, str(module.__file__), "exec"), change.function.split("."))


def _code_of(code: CodeType, path: list[str]) -> CodeType:
    """Find a function's code in the module's code, without running it."""
    inner = next(each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == path[0])
    return inner if len(path) == 1 else _code_of(inner, path[1:])


def found(module: ModuleType, name: str) -> FunctionType:
    """The function with this name, NAME or CLASS.NAME. Raises TypeError if the name is no function."""
    held: object = module
    for part in name.split("."):
        held = vars(held)[part]
    if isinstance(held, property):
        held = held.fget
    if isinstance(held, classmethod | staticmethod):
        held = held.__func__
    if not isinstance(held, FunctionType):
        raise TypeError(f"{name} of {module.__name__} is no function")
    return held
