"""Random programs on hostile numbers, held to their gradients in extended precision.

    python -m benchmarks.reliability.hostile_numbers --count 20000

Infinities, NaN, zeros of both signs, subnormal, huge and nearly equal numbers go through programs
of up to six operations in float16, float32 and float64. Where the true gradient is not finite,
that of a program must not be; where it is finite, and all numbers on the way can be represented,
the program's is, too, and near.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mpmath
import numpy as np

import minigrad as mg
from benchmarks.reliability.exact import DIGITS, Exact, Format, Gradient
from benchmarks.reliability.exact_elementwise import UNARY
from benchmarks.reliability.exact_pairs import BINARY
from benchmarks.reliability.exact_rows import ROWS

__all__ = ["DTYPES", "OPERATIONS", "Program", "check", "check_compiled", "draw", "main"]

DTYPES = (np.float16, np.float32, np.float64)
OPERATIONS: tuple[Exact, ...] = (*UNARY, *BINARY, *ROWS)
LENGTH = 3  # of the rows


@dataclass(frozen=True)
class Program:
    """Rows of numbers to begin with, and operations on the numbers of earlier values."""

    leaves: list[Any]
    steps: list[tuple[Exact, tuple[int, ...]]]

    def run(self, leaves: Sequence[Any]) -> list[Any]:
        """All values, the leaves first."""
        values = list(leaves)
        for operation, inputs in self.steps:
            values.append(operation.function(*(values[i] for i in inputs)))
        return values

    def __repr__(self) -> str:
        lines = [
            f"v{i} = {leaf.dtype}{[float(x) for x in leaf]}" for i, leaf in enumerate(self.leaves)
        ]
        for k, (operation, inputs) in enumerate(self.steps, len(self.leaves)):
            lines.append(f"v{k} = {operation}({', '.join(f'v{i}' for i in inputs)})")
        return "; ".join(lines)


# -- drawing -------------------------------------------------------------------------------------


def _hostile(dtype: Any) -> list[float]:
    """The numbers of a dtype at which rules fail first."""
    limits = np.finfo(dtype)
    eps, tiny, most = float(limits.eps), float(limits.tiny), float(limits.max)
    sizes = [
        0.0, float(limits.smallest_subnormal), tiny, tiny * 0.75, tiny**0.5, eps, eps / 2,
        1.0, 1 + eps, 1 - eps / 2, 0.5, 2.0, 3.0, 6.0, 0.3, 0.7, most**0.5, 2 * most**0.5,
        most**0.25, most ** (1 / 3), most, most / 2, most * 0.99, 1 / eps, 10.0, 20.0, 100.0,
        float(np.log(most)), float(np.log(most)) * 1.01, np.inf,
    ]  # fmt: skip
    return [sign * size for size in sizes for sign in (1.0, -1.0)] + [np.nan]


def draw(rng: random.Random, dtype: Any, most_steps: int = 6) -> Program:
    """A program at random; that of one step is an operation on hostile numbers alone."""
    numbers = _hostile(dtype)

    def number() -> float:
        kind = rng.random()
        if kind < 0.5:
            return rng.choice(numbers)
        if kind < 0.75:
            return rng.uniform(-3, 3)
        low, high = np.log(float(np.finfo(dtype).tiny)), np.log(float(np.finfo(dtype).max))
        return float(np.exp(rng.uniform(low, high)) * rng.choice((-1, 1)))

    def leaf() -> Any:
        row = [number() for _ in range(LENGTH)]
        if rng.random() < 0.3:  # near ties, and ties
            row[1] = row[0]
        if rng.random() < 0.2:
            row[2] = float(np.nextafter(dtype(row[0]), dtype(1)))
        return np.array(row, dtype)

    leaves = [leaf() for _ in range(rng.randint(1, 2))]
    steps: list[tuple[Exact, tuple[int, ...]]] = []
    for k in range(rng.randint(1, most_steps)):
        latest = len(leaves) + k - 1
        operation = rng.choice(OPERATIONS)
        first = latest if rng.random() < 0.8 else rng.randint(0, latest)
        others = [rng.randint(0, latest) for _ in range(operation.inputs - 1)]
        steps.append((operation, (first, *others)))
    return Program(leaves, steps)


# -- comparing -----------------------------------------------------------------------------------


def _exact(array: Any) -> list[Any]:
    return [mpmath.mpf(float(x)) for x in np.asarray(array).reshape(-1)]


def _known(values: list[Any], program: Program, format: Format) -> list[list[Gradient]]:
    """What the gradients of all values have to be, of the sum of the last one's elements.

    The slopes are those at the numbers that the program itself came by, so that a rounding on
    the way changes both sides alike.
    """
    arrays = [_exact(value) for value in values]
    parts: list[list[list[Gradient]]] = [[[] for _ in array] for array in arrays]
    parts[-1] = [[Gradient("finite", mpmath.mpf(1))] for _ in arrays[-1]]
    count = len(program.leaves)
    known: list[list[Gradient]] = [[] for _ in arrays]
    for number in range(len(arrays) - 1, -1, -1):
        known[number] = [Gradient.total(each, format) for each in parts[number]]
        if number < count or not any(parts[number]):
            continue
        operation, inputs = program.steps[number - count]
        given = [arrays[j] for j in inputs]
        overflows = operation.overflows(given, format)
        for which, i, k, slope in operation.slopes(given):
            if overflows[k] and operation.of_value and mpmath.isfinite(slope.value):
                slope = replace(slope, free=True)
            found = known[number][k].times(slope, operation.ulps, operation.slack, format)
            parts[inputs[which]][i].append(found)
    return known


def _value_fault(operation: Exact, inputs: list[Any], found: Any, format: Format) -> str:
    """What is wrong with a value: not finite where the true one is or, if ours, too far off."""
    if not all(mpmath.isfinite(x) for row in inputs for x in row):
        return ""
    overflows = operation.overflows(inputs, format)
    largest = max(1, *(abs(x) for row in inputs for x in row))
    ours = operation.value_ulps < np.inf
    for over, true, mine in zip(overflows, operation.value(inputs), _exact(found), strict=True):
        if over or not mpmath.isfinite(true):
            continue
        near = format.normal * largest
        near += operation.value_ulps * format.eps * abs(true) if ours else 0
        if not mpmath.isfinite(mine) or (ours and abs(true - mine) > near):
            return f"the value {mpmath.nstr(mine, 9)} should be {mpmath.nstr(true, 9)}"
    return ""


def _recorded(last: mg.Tensor, leaves: list[mg.Tensor], seed: Any) -> list[Any]:
    """The gradients by a backward pass that is itself recorded: kernels go by their references."""
    found = []
    for leaf in leaves:
        try:
            grad = mg.gradients(last, leaf, create_graph=True, gradient=seed)
        except mg.GradientError:  # the program does not use it
            found.append(np.zeros(leaf.shape))
        else:
            found.append(grad.detach().numpy())
    return found


def check(program: Program, run: Any = None) -> tuple[Counter[str], list[str]]:
    """Compare a program with extended precision.

    Args:
        run: computes the last value from the leaves; by default the program itself. Of a single
            operation it may be a compiled function.

    Returns:
        Of how many gradients what was known, and what is wrong, in words.
    """
    format = Format(program.leaves[0].dtype, flushes=run is not None)
    faults: list[str] = []
    kinds: Counter[str] = Counter()
    with np.errstate(all="ignore"), mpmath.workdps(DIGITS):
        leaves = [mg.Tensor(leaf, requires_grad=True) for leaf in program.leaves]
        values = program.run(leaves)
        last = values[-1] if run is None else run(*leaves)
        arrays = [np.asarray(value.detach().numpy()) for value in values]
        for k, (operation, inputs) in enumerate(program.steps, len(leaves)):
            wrong = _value_fault(operation, [_exact(arrays[i]) for i in inputs], arrays[k], format)
            if wrong:
                faults.append(f"v{k}: {wrong}")
        seed = np.ones(last.shape, last.dtype)
        recorded = _recorded(last, leaves, seed)
        last.backward(seed)
        known = _known(arrays, program, format)
        for number, leaf in enumerate(leaves):
            plain = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
            for i, expected in enumerate(known[number]):
                kinds[expected.kind] += 1
                for how, grad in (("", plain), (" under create_graph", recorded[number])):
                    wrong = expected.fault(float(grad[i]))
                    if wrong:
                        faults.append(f"the gradient of v{number}[{i}]{how} is {wrong}")
    return kinds, faults


def _told(kinds: Counter[str]) -> str:
    names = {"finite": "finite", "bad": "not finite", "open": "open"}
    return "gradients " + ", ".join(f"{kinds[kind]} {name}" for kind, name in names.items())


def draw_normal(rng: random.Random, dtype: Any, operation: Exact) -> Program:
    """An operation on hostile numbers without subnormal ones, which compiled code may take as 0."""
    tiny = np.finfo(dtype).tiny
    leaves: list[Any] = []
    while len(leaves) < operation.inputs:
        row = draw(rng, dtype, 1).leaves[0]
        leaves.append(np.where(np.abs(row) < tiny, dtype(0), row))
    return Program(leaves, [(operation, tuple(range(operation.inputs)))])


def check_compiled(
    operation: Exact, dtype: Any, count: int, seed: int = 0
) -> tuple[Counter[str], list[str]]:
    """Compare a compiled operation with extended precision, as `check` does, so many times."""
    rng, kinds, faults = random.Random(seed), Counter[str](), []
    compiled = mg.compile(lambda *inputs: operation.function(*inputs))
    for _ in range(count):
        program = draw_normal(rng, dtype, operation)
        found, wrong = check(program, compiled)
        kinds += found
        faults += [f"{program}: {fault}" for fault in wrong]
    return kinds, faults


def main(given: Sequence[str] | None = None) -> int:
    """Print a line of figures for each dtype, and what is wrong; whether anything was."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability.hostile_numbers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=20_000, help="programs of each dtype")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--operations", type=int, default=6, help="of a program, at most")
    parser.add_argument("--compiled", type=int, default=20, help="calls of each, compiled")
    options = parser.parse_args(given)
    bad = 0
    for dtype in DTYPES:
        rng, kinds, faults = random.Random(options.seed), Counter[str](), 0
        for _ in range(options.count):
            program = draw(rng, dtype, options.operations)
            found, wrong = check(program)
            kinds += found
            faults += bool(wrong)
            if wrong and faults <= 40:
                print(f"  {program}\n    {'; '.join(wrong)}", flush=True)
        name = np.dtype(dtype).name
        print(f"{name}: {options.count} programs: {_told(kinds)}; {faults} faults", flush=True)
        bad += faults
    for dtype in DTYPES[1:]:
        kinds, wrong = Counter(), []
        for operation in OPERATIONS:
            found, faults_of = check_compiled(operation, dtype, options.compiled, options.seed)
            kinds += found
            wrong += faults_of
        print(*(f"  {fault}" for fault in wrong[:40]), sep="\n", end="\n" if wrong else "")
        print(f"{np.dtype(dtype).name}, compiled: {_told(kinds)}; {len(wrong)} faults", flush=True)
        bad += len(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
