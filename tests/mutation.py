"""Are the tests of the derivative rules any good? Change the rules one by one, and see who notices.

    python tests/mutation.py [--ops PATTERN] [--examples N] [--programs N] [--jobs N] [--list]

Each derivative rule (with the helpers that only rules call, and the backwards of kernels) is
changed in one place at a time: a sign is flipped, a term or factor dropped, arguments or operands
swapped, a comparison reversed. With each change the tests that use the operation run, the most
specific first, then random programs that use it. A change that nothing notices is a survivor: a
gap in the tests, unless EQUIVALENT below says why it changes nothing. Exits with 1 when less than
98 % of the changes are noticed or a survivor is not explained.
"""

import argparse
import ast
import copy
import fnmatch
import importlib.util
import inspect
import itertools
import os
import signal
import sys
import time
import types
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before NumPy is loaded

from hypothesis import HealthCheck, Phase, given, settings
from minigrad.kernels import FusedOperation
from minigrad.operations import PlanTable, operations
from minigrad.testing.programs import check_program, programs

HERE = Path(__file__).parent
REQUIRED = 0.98
SECONDS = 20  # a changed rule may loop for ever
POOL = 1500  # random programs to choose from

# Changes that change no result, by "operation, function: change" (with * as a wildcard).
EQUIVALENT: dict[str, str] = {}

SYMMETRIC = {"add", "multiply", "maximum", "minimum", "hypot", "logical_and", "logical_or"}
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


@dataclass(frozen=True)
class Mutant:
    """One change of one function that rules consist of."""

    function: Any
    owners: tuple[str, ...]  # qualified names of the operations whose rules call it
    change: str
    code: types.CodeType

    @property
    def label(self) -> str:
        """The operation, the function and the change."""
        owner = self.owners[0].rpartition(".")[2]
        return f"{owner}, {self.function.__name__}: {self.change}"


# -- the changes ---------------------------------------------------------------------------------


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


def mutants_of(function: Any, owners: tuple[str, ...], trees: dict[str, Any]) -> list[Mutant]:
    """All changes of one function."""
    file = function.__code__.co_filename
    if file not in trees:
        trees[file] = ast.parse(Path(file).read_text())
    source = find_source(function, trees[file])
    if source is None:
        raise LookupError(f"no source for {function} of {owners}")
    found: list[Mutant] = []
    body = [source.body] if isinstance(source, ast.Lambda) else source.body
    same = compiled(copy.deepcopy(source), function)
    seen = {(same.co_code, str(same.co_consts))} if same else set()
    nodes = [node for part in body for node in ast.walk(part)]
    for number, node in enumerate(nodes):
        options = list(changes(node))
        if isinstance(source, ast.Lambda) and number == 0:
            options += list(results(node))  # type: ignore[arg-type]
        for change, replacement in options:
            changed = copy.deepcopy(source)
            parts = [changed.body] if isinstance(changed, ast.Lambda) else changed.body
            target = [n for part in parts for n in ast.walk(part)][number]
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
    names = []
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names += code.co_names
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


def all_mutants(pattern: str) -> list[Mutant]:
    """The mutants of all operations whose name matches."""
    forwards = [inspect.unwrap(op.forward) for op in operations.values()]
    forwards += [f for op in operations.values() if (f := op.reference) is not None]
    forwards = [f for f in forwards if isinstance(f, types.FunctionType)]
    in_forwards = {id(f) for f in reachable(forwards)}
    owners: dict[int, list[str]] = defaultdict(list)
    functions: dict[int, Any] = {}
    for name, op in operations.items():
        if not name.startswith("minigrad.ops"):
            continue
        rules = [*op.rules.values(), *(rule for _, rule in op.joint.values())]
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


# -- the tests that should notice --------------------------------------------------------------------


def load_profile(examples: int) -> None:
    """Few examples, always the same ones, and no time spent on making failures smaller."""
    settings.register_profile(
        "mutation",
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")


def load_tests() -> dict[str, Callable[[], Any]]:
    """The tests of the operations that need no fixtures, one by one for each parameter set."""
    found: dict[str, Callable[[], Any]] = {}
    for path in sorted((HERE / "minigrad" / "ops").glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"mutation_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for name, test in vars(module).items():
            if name.startswith("test_") and callable(test):
                for label, call in expanded(test):
                    found[f"{path.stem}.{name}{label}"] = call
    return found


def expanded(test: Any) -> list[tuple[str, Callable[[], Any]]]:
    """A test with each set of its parameters; none when it needs fixtures."""
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    sets: list[list[dict[str, Any]]] = []
    for mark in marks:
        given_names, values = mark.args[:2]
        names = given_names.split(",") if isinstance(given_names, str) else given_names
        rows = [v.values if hasattr(v, "marks") else v for v in values]  # pytest.param has marks
        sets.append(
            [
                dict(
                    zip(
                        (name.strip() for name in names),
                        row if len(names) > 1 or hasattr(value, "marks") else (row,),
                        strict=True,
                    )
                )
                for row, value in zip(rows, values, strict=True)
            ]
        )
    combined = [
        {name: value for part in row for name, value in part.items()}
        for row in itertools.product(*sets)
    ]
    if set(inspect.signature(test).parameters) - set(combined[0] if combined else {}):
        return []
    return [
        (f"[{i}]" if marks else "", lambda keywords=keywords: test(**keywords))
        for i, keywords in enumerate(combined)
    ]


class Usage:
    """Which operations a backward goes through."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.original = PlanTable.__missing__

    def __enter__(self) -> "Usage":
        usage, names = self, {id(op): name for name, op in operations.items()}

        def missing(table: Any, mask: int) -> Any:
            plan = usage.original(table, mask)
            name = names.get(id(table.operation), "")
            for method in ("pull", "pull_recorded"):
                setattr(plan, method, usage.noting(name, getattr(plan, method)))
            return plan

        PlanTable.__missing__ = missing  # type: ignore[method-assign]
        self.clear()
        return self

    def noting(self, name: str, method: Any) -> Any:
        """A method that notes the name first."""

        def noted(*args: Any) -> Any:
            self.used.add(name)
            return method(*args)

        return noted

    @staticmethod
    def clear() -> None:
        """Make all plans anew."""
        for op in operations.values():
            op.plans.clear()

    def __exit__(self, *exc: object) -> None:
        PlanTable.__missing__ = self.original  # type: ignore[method-assign]
        self.clear()


class TimedOut(BaseException):
    """A test took too long."""


def fails(call: Callable[[], Any]) -> bool:
    """Whether a test fails, or does not end in time."""

    def stop(*args: Any) -> None:
        raise TimedOut

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        call()
    except (Exception, TimedOut):
        return True
    finally:
        signal.alarm(0)
    return False


class Suite:
    """The tests and programs of each operation, the most specific first."""

    def __init__(self, examples: int, count: int) -> None:
        load_profile(examples)
        tests = load_tests()
        drawn: list[Any] = []

        @settings(max_examples=POOL)
        @given(programs())
        def collect(program: Any) -> None:
            drawn.append(program)

        collect()
        self.tests: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.programs: dict[str, list[Any]] = defaultdict(list)
        self.broken: list[str] = []
        for name, call in tests.items():
            with Usage() as usage:
                start = time.perf_counter()
                if fails(call):
                    self.broken.append(name)
                    continue
                seconds = time.perf_counter() - start
            for op in usage.used:
                self.tests[op].append((len(usage.used), seconds, name, call))
        for program in drawn:
            with Usage() as usage:
                check_program(program)
            for op in usage.used:
                if len(self.programs[op]) < count:
                    self.programs[op].append(program)
        for rows in self.tests.values():
            rows.sort(key=lambda row: row[:3])

    def killer(self, mutant: Mutant) -> str | None:
        """The first test or program that notices a mutant, by name; None if it survives."""
        function, original = mutant.function, mutant.function.__code__
        rows = sorted(
            {row[2]: row for owner in mutant.owners for row in self.tests[owner]}.values(),
            key=lambda row: row[:3],
        )
        function.__code__ = mutant.code
        try:
            for _, _, name, call in rows:
                if fails(call):
                    return str(name)
            for owner in mutant.owners:
                for number, program in enumerate(self.programs[owner]):
                    if fails(lambda program=program: check_program(program)):
                        return f"random program {number}"
        finally:
            function.__code__ = original
        return None


# -- the command -------------------------------------------------------------------------------------

_state: dict[str, Any] = {}  # what worker processes inherit


def _run(number: int) -> str | None:
    result: str | None = _state["suite"].killer(_state["mutants"][number])
    return result


def reason(label: str) -> str | None:
    """Why a survivor is equivalent, if that is known."""
    return next((why for key, why in EQUIVALENT.items() if fnmatch.fnmatchcase(label, key)), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ops", default="", help="part of a qualified name, such as softmax")
    parser.add_argument("--examples", type=int, default=25, help="of each property test")
    parser.add_argument("--programs", type=int, default=200, help="random programs per operation")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--list", action="store_true", help="list the changes and stop")
    options = parser.parse_args()
    warnings.simplefilter("error")
    mutants = all_mutants(options.ops)
    if options.list:
        print("\n".join(mutant.label for mutant in mutants))
        return 0
    start = time.perf_counter()
    suite = Suite(options.examples, options.programs)
    for name in suite.broken:
        print(f"left out, fails without any change: {name}")
    print(f"{len(mutants)} changes; ready after {time.perf_counter() - start:.0f} s", flush=True)
    _state.update(suite=suite, mutants=mutants)
    numbers = range(len(mutants))
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("fork")) as pool:
            killers = list(pool.map(_run, numbers, chunksize=8))
    else:
        killers = [_run(number) for number in numbers]
    survivors = [m.label for m, killer in zip(mutants, killers, strict=True) if killer is None]
    by_programs = sum(killer is not None and killer.startswith("random") for killer in killers)
    killed = len(mutants) - len(survivors)
    part = killed / max(len(mutants), 1)
    print(
        f"killed {killed} of {len(mutants)} ({part:.1%}), {by_programs} of them by random programs "
        f"alone, in {time.perf_counter() - start:.0f} s"
    )
    for label in survivors:
        print(f"survived: {label}\n    {reason(label) or 'NOT EXPLAINED: a gap in the tests'}")
    return int(part < REQUIRED or any(reason(label) is None for label in survivors))


if __name__ == "__main__":
    sys.exit(main())
