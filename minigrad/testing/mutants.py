"""Changes of derivative rules, one at a time, to see whether tests notice them.

Each function that a rule consists of is changed in one place: a sign is flipped, a term or factor
dropped, arguments or operands swapped, a comparison reversed. A change replaces the code of the
function in place, so whatever calls it sees it, and putting the code back undoes it.
"""

import ast
import copy
import dis
import fnmatch
import inspect
import itertools
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad import ops  # noqa: F401 - which declares the operations
from minigrad.ops.fusing import FusedOperation
from minigrad.ops.primitives import operations

__all__ = ["Changes", "Mutant", "changes", "mutants_of", "rule_mutants"]

SYMMETRIC = {
    "add",
    "hypot",
    "logical_and",
    "logical_or",
    "max",
    "maximum",
    "min",
    "minimum",
    "multiply",
    "swapaxes",
}
NOT_SWAPPED = SYMMETRIC | {"isinstance", "zip", "range", "slice", "getattr", "len", "enumerate"}
REVERSED = {
    ast.Gt: ast.Lt,
    ast.Lt: ast.Gt,
    ast.GtE: ast.LtE,
    ast.LtE: ast.GtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
FLIPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add}
Changes = Callable[[ast.AST], Iterator[tuple[str, ast.AST]]]


@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    function: Any
    owners: tuple[str, ...]  # the operations whose rules call it; or its own qualified name
    change: str
    code: types.CodeType

    @property
    def label(self) -> str:
        """The operation or the module, the function, and the change."""
        function = f"{self.function.__module__}.{self.function.__qualname__}"
        if self.owners == (function,):
            return f"{function}: {self.change}"
        owner = self.owners[0].rpartition(".")[2]
        return f"{owner}, {self.function.__name__}: {self.change}"


# -- the changes -----------------------------------------------------------------------------------


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What can be put in the place of an expression or a statement."""
    if isinstance(node, ast.BinOp):
        left, right, kind = node.left, node.right, type(node.op)
        if kind in FLIPPED:
            yield "flip", ast.BinOp(left, FLIPPED[kind](), right)
            yield "drop right", left
            yield "drop left", right if kind is ast.Add else ast.UnaryOp(ast.USub(), right)
        elif kind in (ast.Mult, ast.MatMult):
            yield "drop right", left
            yield "drop left", right
        elif kind in (ast.Div, ast.Pow):
            yield "drop right", left
        if kind in (ast.Div, ast.Pow, ast.MatMult):
            yield "swap", ast.BinOp(right, node.op, left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant):  # -1 names an axis
            yield "flip", node.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in REVERSED:
        yield "reverse", ast.Compare(node.left, [REVERSED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        first = 1 if name == "where" else 0
        if name not in NOT_SWAPPED and len(node.args) > first + 1:
            args = list(node.args)
            args[first], args[first + 1] = args[first + 1], args[first]
            yield "swap", ast.Call(node.func, args, node.keywords)
    elif isinstance(node, ast.AugAssign):
        if type(node.op) in FLIPPED:
            yield "flip", ast.AugAssign(node.target, FLIPPED[type(node.op)](), node.value)
        yield "drop", ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None:
        for change, value in results(node.value):
            yield change, ast.Return(value)


def results(value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """What can be put in the place of a result: its negative, or a tuple in another order."""
    if isinstance(value, ast.Tuple):
        for i, part in enumerate(value.elts):
            parts = list(value.elts)
            parts[i] = ast.UnaryOp(ast.USub(), part)
            yield f"flip result {i}", ast.Tuple(parts, ast.Load())
        if len(value.elts) > 1:
            first, second, *rest = value.elts
            yield "swap results", ast.Tuple([second, first, *rest], ast.Load())
    elif not isinstance(value, (ast.UnaryOp, ast.Constant, ast.List)):
        yield "flip result", ast.UnaryOp(ast.USub(), value)


class Replace(ast.NodeTransformer):
    """Puts another node in the place of the one with a given number."""

    def __init__(self, target: ast.AST, replacement: ast.AST) -> None:
        self.target, self.replacement = target, replacement

    def visit(self, node: ast.AST) -> Any:
        return self.replacement if node is self.target else self.generic_visit(node)


def find_source(function: Any, tree: ast.Module) -> ast.Lambda | ast.FunctionDef | None:
    """The syntax of a function in that of its module."""
    code = function.__code__
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    spots = [(p[0], p[2]) for p in code.co_positions() if p[2] is not None and p[3]]
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Lambda, ast.FunctionDef)):
            continue
        arguments = node.args
        if [
            a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        ] != names:
            continue
        if isinstance(node, ast.FunctionDef):
            lines = {node.lineno, *(d.lineno for d in node.decorator_list)}
            if node.name == code.co_name and code.co_firstlineno in lines:
                return node
        elif code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
            body = node.body
            start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
            if all(start <= spot <= end for spot in spots):
                return node
    return None


def compiled(node: ast.Lambda | ast.FunctionDef, function: Any) -> types.CodeType | None:
    """The code of a changed function, to be put into the old one; None if that cannot be."""
    free = function.__code__.co_freevars
    inner: ast.stmt
    if isinstance(node, ast.Lambda):
        inner = ast.Return(node)
    else:
        node.decorator_list, node.returns = [], None
        inner = node
    outer = ast.parse(f"def outer({', '.join(free)}): pass")
    outer.body[0].body = [inner]  # type: ignore[attr-defined]
    code = compile(ast.fix_missing_locations(outer), function.__code__.co_filename, "exec")
    found: Any = None
    for constant in next(c for c in code.co_consts if isinstance(c, types.CodeType)).co_consts:
        if isinstance(constant, types.CodeType):
            found = constant
    return found if found is not None and found.co_freevars == free else None


def walk(parts: list[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of several parts of a syntax tree."""
    for part in parts:
        yield from ast.walk(part)


def mutants_of(
    function: Any,
    owners: tuple[str, ...],
    trees: dict[str, Any],
    options_for: Changes = changes,
    nodes_in: Callable[[list[ast.AST]], Iterator[ast.AST]] = walk,
) -> list[Mutant]:
    """All changes of one function.

    Args:
        function: whose source is in a file.
        owners: see `Mutant`.
        trees: the syntax trees of files by name, which are read where they are missing.
        options_for: what can be put in the place of a node.
        nodes_in: the nodes to change, in an order that is the same for equal trees.
    """
    file = function.__code__.co_filename
    if file not in trees:
        trees[file] = ast.parse(Path(file).read_text())
    source = find_source(function, trees[file])
    if source is None:
        raise LookupError(f"no source for {function} of {owners}")
    found: list[Mutant] = []
    body: list[Any] = [source.body] if isinstance(source, ast.Lambda) else source.body
    same = compiled(copy.deepcopy(source), function)
    seen = {(same.co_code, str(same.co_consts))} if same else set()
    for number, node in enumerate(nodes_in(body)):
        options = list(options_for(node))
        if options_for is changes and isinstance(source, ast.Lambda) and number == 0:
            options += list(results(node))  # type: ignore[arg-type]
        for change, replacement in options:
            changed = copy.deepcopy(source)
            parts: list[Any] = [changed.body] if isinstance(changed, ast.Lambda) else changed.body
            target = next(itertools.islice(nodes_in(parts), number, None))
            changed = Replace(target, copy.deepcopy(replacement)).visit(changed)
            try:
                code = compiled(changed, function)
            except (SyntaxError, ValueError):
                continue
            if code is None or (code.co_code, str(code.co_consts)) in seen:
                continue
            seen.add((code.co_code, str(code.co_consts)))
            text = ast.unparse(node).splitlines()[0]
            text = text if len(text) <= 70 else f"{text[:67]}..."
            found.append(Mutant(function, owners, f"{change} in `{text}`", code))
    return found


# -- which functions are rules ---------------------------------------------------------------------


def called_by(function: Any) -> list[Any]:
    """The plain functions of the same module that a function calls."""
    names: list[str] = []
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names += [i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"]
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    found = [function.__globals__.get(name) for name in dict.fromkeys(names)]
    return [
        f
        for f in found
        if isinstance(f, types.FunctionType)
        and not hasattr(f, "operation")
        and f.__module__ == function.__module__
    ]


def reachable(functions: list[Any]) -> list[Any]:
    """Functions with all that they call."""
    found: dict[int, Any] = {}
    stack = list(functions)
    while stack:
        function = stack.pop()
        if id(function) not in found:
            found[id(function)] = function
            stack += called_by(function)
    return list(found.values())


def rule_mutants(pattern: str, package: str = "minigrad.ops") -> list[Mutant]:
    """The changes of all rules of a package's operations whose qualified name has the pattern."""
    forwards = [inspect.unwrap(op.forward) for op in operations.values()]
    forwards += [f for op in operations.values() if (f := op.reference) is not None]
    forwards = [f for f in forwards if isinstance(f, types.FunctionType)]
    in_forwards = {id(f) for f in reachable(forwards)}
    owners: dict[int, list[str]] = defaultdict(list)
    functions: dict[int, Any] = {}
    for name, op in operations.items():
        if not name.startswith(package):
            continue
        rules = list(op.rules.values())
        if isinstance(op, FusedOperation):
            rules.append(op.backward)
        for function in reachable([inspect.unwrap(rule) for rule in rules]):
            if id(function) not in in_forwards and name not in owners[id(function)]:
                functions[id(function)] = function
                owners[id(function)].append(name)
    trees: dict[str, Any] = {}
    found = []
    for key, function in functions.items():
        if any(fnmatch.fnmatch(owner, f"*{pattern}*") for owner in owners[key]):
            found += mutants_of(function, tuple(owners[key]), trees)
    return found
