"""A program on the tape: the fused operation that a call of it is, and its backward half."""

import inspect
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from minigrad.compiled import plain
from minigrad.compiled.backends import build_in_turn
from minigrad.compiled.graph import Graph, Unsupported, Value
from minigrad.compiled.rolling.rolled import roll
from minigrad.compiled.splitting import without_seeds
from minigrad.core.modes import current_mode
from minigrad.ops.fusing import FusedOperation
from minigrad.profiling.watching import run_seen

__all__ = ["BackwardHalf", "ProgramOperation", "build_rolled"]

MOST_SETS: Final = 8  # of outputs

_Built = tuple[Any, Sequence[int], list[Any]]
"""A program, which gradients it gives, and what it takes for those that do not arrive: nothing
unless it has all seeds."""


def build_rolled(
    backend: Any, straight: Sequence[Graph], others: Sequence[Any] = ()
) -> tuple[list[Graph], list[Any], str]:
    """Roll graphs, and build them; by NumPy calls where the back end does not know one of them.

    Args:
        backend: has a function `build`, and `LIFTS`: see `roll`.
        straight: what is computed, not rolled.
        others: programs made before, with which these take turns.

    Returns:
        The rolled graphs, their programs, and what the back end does not know: "" if it built them.

    Raises:
        Unsupported: NumPy does not know one either.
    """
    lift = bool(getattr(backend, "LIFTS", False))
    graphs = [roll(graph, lift) for graph in straight]
    try:
        return graphs, build_in_turn(backend, graphs, others), ""
    except Unsupported as error:
        if backend is plain:
            raise
        return *build_rolled(plain, straight)[:2], str(error)


class ProgramOperation(FusedOperation):
    """The fused operation of a program."""

    of_users = takes_missing = True

    def __init__(self, program: Any, name: str, count: int, outputs: int) -> None:
        def forward(*arrays: Any, given: Any = None) -> Any:
            results, _ = program.compute(arrays, current_mode())
            return (*(results[i] for i in program.on_tape), program.residuals_in(results))

        parameters = [
            inspect.Parameter(f"x{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(count)
        ]
        given = inspect.Parameter("given", inspect.Parameter.KEYWORD_ONLY, default=None)
        forward.__signature__ = inspect.Signature([*parameters, given])  # type: ignore[attr-defined]
        forward.__name__ = name if name.isidentifier() else "compiled"
        names = ("y",) if outputs == 1 else tuple(f"y{i}" for i in range(outputs))
        super().__init__(forward, program.reference, program.backward, names)
        self.label = f"compiled {name}"
        self.built = program.built


class BackwardHalf:
    """What a program runs in a backward pass.

    An output that nothing reads sends no gradient, and what only it depends on has none: neither
    zeros, which a decay of weights would act on, nor zero times an infinite slope. So every set of
    outputs whose gradients arrive has a program of its own, made when they first do; beyond the
    first few such sets there is none. Where zeros change nothing, that of all outputs serves.

    Args:
        graph: for all outputs, before it is rolled.
        seeds: of its inputs, those that stand for the gradients of outputs.
        backend: as in `minigrad.compiled.programs.Program`.
        built: the forward half, and the program for all outputs.
    """

    def __init__(
        self, graph: Graph, seeds: Sequence[Value], backend: Any, built: Sequence[Any]
    ) -> None:
        self._backend, self._built = backend, list(built)
        self._straight = graph if len(seeds) > 1 else None  # one that is missing is all of them
        self._seeds, self._count = seeds, len(graph.outputs)
        every = (True,) * len(seeds)
        self._programs: dict[tuple[bool, ...], _Built] = {
            every: (built[-1], range(len(graph.outputs)), [None] * len(seeds))
        }

    def __call__(
        self, inputs: Sequence[Any], grads: Sequence[Any], residuals: Sequence[Any]
    ) -> list[Any] | None:
        """The gradients, None where there is none; None without a program.

        Args:
            inputs: of the forward half.
            grads: of the outputs; None where none arrives.
            residuals: what the forward half handed over.
        """
        arrived = tuple(g is not None for g in grads)
        if arrived not in self._programs:
            if len(self._programs) >= MOST_SETS:
                return None
            self._programs[arrived] = self._made(arrived)
        program, numbers, others = self._programs[arrived]
        filled = [other if g is None else g for g, other in zip(grads, others, strict=True)]
        given = [g for g in filled if g is not None]
        found = run_seen(program, [*inputs, *given, *residuals])
        if len(found) == self._count:
            return list(found)
        gradients: list[Any] = [None] * self._count
        for number, gradient in zip(numbers, found, strict=True):
            gradients[number] = gradient
        return gradients

    def _made(self, arrived: tuple[bool, ...]) -> _Built:
        assert self._straight is not None
        missing = [seed for seed, there in zip(self._seeds, arrived, strict=True) if not there]
        fewer = without_seeds(self._straight, self._seeds, missing)
        if fewer.harmless:
            zeros = [np.zeros(seed.shape, seed.dtype) for seed in self._seeds]
            return self._built[-1], fewer.kept, zeros
        _, made, _ = build_rolled(self._backend, [fewer.graph], self._built)
        self._built = [*made, *self._built]
        return made[0], fewer.kept, [None] * len(self._seeds)
