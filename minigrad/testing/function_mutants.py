"""Changes of ordinary functions, one at a time: what `mutants` makes, and more.

Besides signs, terms and arguments, bounds are moved by one, constants changed, conditions negated,
parts of conditions dropped, and statements left out.
"""

import ast
import copy
import functools
import importlib
import inspect
import itertools
import pkgutil
import types
from collections.abc import Iterator
from typing import Any

from minigrad.forks import cached_property
from minigrad.testing.mutants import Mutant, changes, mutants_of

__all__ = ["module_functions", "module_mutants"]

BOUNDS = {ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt}
NEGATED = {
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}


# -- the changes -----------------------------------------------------------------------------------


def program_changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be put in the place of a part of a function that is no derivative rule.

    Texts stay as they are: what an error says is no matter of this check.
    """
    if isinstance(node, ast.Return):
        if node.value is not None and not isinstance(node.value, ast.Constant):
            yield "drop value", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for change, table in (("move bound", BOUNDS), ("negate", NEGATED)):
            if (kind := table.get(type(node.ops[0]))) is not None:
                yield change, ast.Compare(node.left, [kind()], node.comparators)
        if type(node.ops[0]) in BOUNDS:
            yield "negate", ast.UnaryOp(ast.Not(), node)
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and to or, or to and", ast.BoolOp(other, node.values)
        for i in range(len(node.values)):
            left = [value for j, value in enumerate(node.values) if j != i]
            yield f"drop part {i}", left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "negate", node.operand
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "negate", ast.Constant(not node.value)
        elif isinstance(node.value, (int, float)):
            yield "constant", ast.Constant(node.value + 1)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        if not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            changed = copy.copy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield "negate condition", changed
    elif isinstance(node, (ast.Expr, ast.Raise, ast.Delete)) or (
        isinstance(node, ast.Assign) and not any(isinstance(t, ast.Name) for t in node.targets)
    ):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield "leave out", ast.Pass()
    elif isinstance(node, (ast.Continue, ast.Break)):
        yield "leave out", ast.Pass()
    else:
        yield from changes(node)


def parts_to_change(parts: list[ast.AST]) -> Iterator[ast.AST]:
    """All parts but annotations, texts of errors, and assertions."""
    stack = parts[::-1]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)):
            continue
        inner = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.AnnAssign):
            inner = [node.value] if node.value else []
        elif isinstance(node, (ast.FunctionDef, ast.Lambda)):
            inner = list(node.body) if isinstance(node.body, list) else [node.body]
        elif isinstance(node, ast.Call):  # strict=True of zip is an assertion
            inner = [part for part in inner if getattr(part, "arg", None) != "strict"]
        stack += inner[::-1]


# -- functions of modules --------------------------------------------------------------------------


def plain_functions(value: Any) -> Iterator[types.FunctionType]:
    """The functions that are in a function, a method, a property, an operation or a class."""
    if isinstance(value, type):
        for part in vars(value).values():
            if not isinstance(part, type):
                yield from plain_functions(part)
    elif isinstance(value, property):
        for part in (value.fget, value.fset):
            yield from plain_functions(part)
    elif isinstance(value, (staticmethod, classmethod)):
        yield from plain_functions(value.__func__)
    elif isinstance(value, (functools.cached_property, cached_property)):
        yield from plain_functions(value.func)
    elif isinstance(value, types.FunctionType) or hasattr(value, "__wrapped__"):
        inner = inspect.unwrap(value)
        if isinstance(inner, types.FunctionType):
            yield inner


def module_names(name: str) -> list[str]:
    """A module, or all modules of a package."""
    module = importlib.import_module(name)
    paths = getattr(module, "__path__", None)
    inner = [] if paths is None else pkgutil.walk_packages(paths, f"{name}.")
    return [name, *(info.name for info in inner)]


def module_functions(*names: str) -> list[types.FunctionType]:
    """All functions and methods that are defined in modules or packages."""
    found: dict[int, types.FunctionType] = {}
    for name in itertools.chain.from_iterable(map(module_names, names)):
        module = importlib.import_module(name)
        for value in vars(module).values():
            for function in plain_functions(value):
                if function.__code__.co_filename == module.__file__:
                    found[id(function)] = function
    return list(found.values())


def module_mutants(*names: str) -> list[Mutant]:
    """The changes of all functions and methods that are defined in modules or packages."""
    trees: dict[str, Any] = {}
    found = []
    for function in module_functions(*names):
        owner = f"{function.__module__}.{function.__qualname__}"
        found += mutants_of(function, (owner,), trees, program_changes, parts_to_change)
    return found
