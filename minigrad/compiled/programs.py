"""What runs in the place of one call: a fused operation whose reference is the user's function.

Its inputs are the arrays among the arguments, the tensors that the function reads from outside,
and the random numbers that it draws. So whatever runs the reference (a second derivative, a
drawing, anomaly mode) gets the very numbers of the call.
"""

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.forks import give_lock
from minigrad.compiled.graph import Graph, Value, View, reachable
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import Given, is_array
from minigrad.compiled.rolling.rolled import roll
from minigrad.compiled.simplify import finish
from minigrad.compiled.splitting import split
from minigrad.compiled.trace import Argument, Output, Traced
from minigrad.core.backward import pull_back
from minigrad.core.blocks import observed_by
from minigrad.core.contributions import output_node
from minigrad.core.errors import GradientError
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import make_node
from minigrad.core.observer import Drawn, Observer
from minigrad.core.tensors import Tensor, as_array, wrap
from minigrad.ops.fusing import FusedOperation
from minigrad.ops.pytree import labelled_leaves, replace_leaves
from minigrad.ops.randomness import DrawRequest, default_generator
from minigrad.transforms.recorded_writes import rewritten

__all__ = ["CompileError", "Program"]

WATCHED = 3  # calls with infinities or NaN that run the function itself, for its warnings


class CompileError(RuntimeError):
    """A compiled function does not compute what the function itself computes."""


class _Repeat(Observer):
    """Gives draws the numbers of the call, in order."""

    def __init__(self, numbers: Sequence[Any]) -> None:
        self._numbers = iter(numbers)

    def draw(self, request: DrawRequest, ask: Callable[[], Drawn]) -> Drawn:
        """The next ones; the generator stays where it is."""
        state = request.generator.bit_generator.state
        return next(self._numbers), state, state


class _Operation(FusedOperation):
    """The fused operation of a program."""

    def __init__(self, program: "Program", name: str, count: int, outputs: int) -> None:
        def forward(*arrays: Any, given: Any = None) -> Any:
            results, residuals, _ = program.compute(arrays)
            return (*(results[i] for i in program.on_tape), residuals)

        parameters = [
            inspect.Parameter(f"x{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(count)
        ]
        given = inspect.Parameter("given", inspect.Parameter.KEYWORD_ONLY, default=None)
        forward.__signature__ = inspect.Signature([*parameters, given])  # type: ignore[attr-defined]
        forward.__name__ = name if name.isidentifier() else "compiled"
        names = ("y",) if outputs == 1 else tuple(f"y{i}" for i in range(outputs))
        super().__init__(forward, program.reference, program.backward, names)


class Program:
    """One traced call, built.

    Args:
        function: the user's.
        traced: what was seen of the call.
        guards: what it can read from outside.
        backend: has a function `build`, and `LIFTS`: see `roll`.
        name: of the function, for people.

    Attributes:
        stages: after each pass, the graphs; only the last ones unless all are kept.
        graphs: the forward graph; and the backward graph, unless the gradients of a single number
            are computed beside it.
        on_tape: the numbers of the outputs that require grad.
        misses: how many calls it did not hold for, because what our own code looked at differed.
        failure: why it could not run, where the user's function could.
    """

    failure: Exception | None = None
    misses = 0
    _lock: threading.Lock

    def __init__(
        self,
        function: Callable[..., Any],
        traced: Traced,
        guards: Guards,
        backend: Any,
        name: str,
        keep: bool = False,
    ) -> None:
        self.function, self.guards, self.name = function, guards, name
        self._template = traced.template
        self._marks = [leaf for _, leaf in labelled_leaves(traced.template)]
        self._arrays = traced.arrays
        self._captured = [
            (reference, value.shape, value.dtype, getattr(reference(), "_node", None) is not None)
            for reference, value in traced.captured
        ]
        self._draws = [_Draw(draw.request) for draw in traced.draws]
        self._writes = [reference for reference, _ in traced.writes]
        self.on_tape = [i for i, recorded in enumerate(traced.recorded) if recorded]
        self._dtype = current_mode().dtype
        give_lock(self, "_lock", threading.Lock)
        self._watched = WATCHED
        self._given: Given | None = None
        inputs = [
            *traced.arguments,
            *(value for _, value in traced.captured),
            *(draw.value for draw in traced.draws),
        ]
        self._shapes = [value.shape for value in inputs]
        found = [traced.gradients.get(value) for value in inputs]
        self._with_gradient = [i for i, view in enumerate(found) if view is not None]
        self._outputs = len(traced.outputs)
        self._keep = keep
        self._make(traced, inputs, [view for view in found if view is not None], backend)
        self.operation = _Operation(self, name, len(inputs), max(len(self.on_tape), 1))

    def _make(
        self, traced: Traced, inputs: list[Value], gradients: list[View], backend: Any
    ) -> None:
        lift = bool(getattr(backend, "LIFTS", False))
        builder = traced.tracer.builder
        assumed = {view.key: (view, array) for view, array in traced.tracer.assumed}.values()
        self._assumed = [array for _, array in assumed]
        outputs = [
            *traced.outputs,
            *(view for _, view in traced.writes),
            *(view for view, _ in assumed),
        ]
        self._joint = not traced.seeds
        self.stages: dict[str, list[Graph]] = {}
        if self._keep:
            every = [*outputs, *gradients]
            self.stages["traced"] = [Graph(inputs, reachable(builder.values, every), every)]
        if self._joint:
            straight = [finish(builder, inputs, [*outputs, *gradients])]
        else:
            halves = split(builder, inputs, outputs, traced.seeds, gradients)
            straight = [halves.forward, halves.backward]
        if self._keep:
            self.stages["simplified"] = straight
        self.stages["rolled"] = self.graphs = [roll(graph, lift) for graph in straight]
        built = [backend.build(graph) for graph in self.graphs]
        self._forward, self._backward = built[0], built[-1]
        self._returned = len(outputs)

    # -- a call ------------------------------------------------------------------------------------

    def fits(self) -> bool:
        """Whether everything that was read from outside is as it was."""
        for reference, shape, dtype, recorded in self._captured:
            tensor = reference()
            if (
                tensor is None
                or tensor._array.shape != shape
                or tensor._array.dtype != dtype
                or (tensor._node is not None) != recorded
            ):
                return False
        return self.guards.hold()

    def run(self, tree: Any, leaves: Sequence[Any], check: bool = False) -> Any:
        """Call it: the arguments in their containers, and their leaves; perhaps checked."""
        mode = current_mode()
        held = [reference() for reference, *_ in self._captured]
        numbers = [draw.numbers(mode) for draw in self._draws]
        tensors = [leaf for leaf in leaves if is_array(leaf)] + held
        arrays = [t._array if isinstance(t, Tensor) else t for t in tensors] + numbers
        nodes = [t._node if isinstance(t, Tensor) else None for t in tensors]
        nodes += [None] * len(numbers)
        given = self._given
        if given is None:
            given = Given(tree, leaves)
            if given.plain:  # then it is the same at every call
                self._given = given
        try:
            results, residuals, flagged = self.compute(arrays)
        except Exception as error:
            result = self._eager(given, tensors, numbers)  # unless it is the user's own error
            self.failure = error
            return result
        if self._assumed and not self._holds(results):
            self.misses += 1
            return self._eager(given, tensors, numbers)
        if self._watched and flagged and not _finite(results[: self._outputs]):
            self._watched -= 1  # the function itself warns, where and as NumPy does
            return self._eager(given, tensors, numbers)
        if check:
            self._check(arrays, given, results, residuals)
        tapes: list[Any] = [None] * self._outputs
        if self.on_tape and mode.recording:
            self._put_on_tape(tapes, nodes, arrays, results, residuals, given)
        self._write(results, mode)
        made: list[Any] = []
        for mark in self._marks:
            if type(mark) is Output:
                out = results[mark]
                made.append(out if self._arrays[mark] else wrap(out, tapes[mark]))
            else:
                made.append(leaves[mark] if type(mark) is Argument else mark)
        return replace_leaves(self._template, made)

    def compute(self, arrays: Sequence[Any]) -> tuple[list[Any], Any, int]:
        """The outputs and written values, the residuals, and whether flags were raised."""
        with self._lock:
            results = self._forward(arrays)
            status = getattr(self._forward, "status", 1)
        return results[: self._returned], results[self._returned :], status

    def _check(self, arrays: Any, given: Given, results: Any, residuals: Any) -> None:
        """Compare outputs and gradients with those of the user's function.

        Raises:
            CompileError: when they differ by more than rounding.
        """
        handles = [wrap(array, None) for array in arrays]
        for i in self._with_gradient:
            handles[i] = handles[i].requires_grad_()
        with ModeChange(recording=True):
            outs = self.reference(*handles, given=given)
        for i, out in zip(self.on_tape, outs, strict=True):
            self._compare(f"output {i}", results[i], out._array)
        seeds = [np.ones(out.shape, out.dtype) for out in outs]
        needed = [i in self._with_gradient for i in range(len(arrays))]
        found = self.backward(seeds, residuals, arrays, needed) if outs else []
        nodes = [(out._node, seed) for out, seed in zip(outs, seeds, strict=True)]
        expected = pull_back(nodes, hooks=False)
        for i in self._with_gradient:
            arrived = expected.get(handles[i]._node)  # type: ignore[arg-type]
            if arrived is not None:
                wanted = as_array(arrived)
                self._compare(f"the gradient by input {i}", found[i], wanted)

    def _compare(self, what: str, found: Any, wanted: Any) -> None:
        tolerance = 1e4 * np.finfo(wanted.dtype).eps
        scale = float(np.max(np.abs(wanted), initial=0.0, where=np.isfinite(wanted)))
        if not np.allclose(found, wanted, tolerance, tolerance * scale, equal_nan=True):
            worst = float(np.max(np.abs(found - wanted)))
            raise CompileError(
                f"{self.name}: {what} differs from the function itself by up to {worst:.3g}, "
                f"where the largest number is {scale:.3g}. Run with MINIGRAD_COMPILE=0, and "
                "report it, please."
            )

    def _put_on_tape(
        self,
        tapes: list[Any],
        nodes: Sequence[Any],
        arrays: Sequence[Any],
        results: Sequence[Any],
        residuals: Any,
        given: Given,
    ) -> None:
        outs = [results[i] for i in self.on_tape]
        mask = 0
        sources: list[Any] = [None] * len(nodes)
        for i in self._with_gradient:
            if nodes[i] is not None:
                mask |= 1 << i
                sources[i] = nodes[i]
        several = len(outs) > 1
        shapes: Any = [out.shape for out in outs]
        dtypes: Any = [out.dtype for out in outs]
        node = make_node(
            self.operation.plans[mask],
            tuple(sources),
            tuple(shapes) if several else shapes[0],
            tuple(dtypes) if several else dtypes[0],
            given=given,
        )
        node.saved = node.plan.save(*arrays, *outs, residuals)
        for k, i in enumerate(self.on_tape):
            tapes[i] = output_node(node, k) if several else node

    def _eager(self, given: Given, tensors: Sequence[Any], numbers: Sequence[Any]) -> Any:
        """Run the user's function, with the random numbers that were drawn already."""
        with observed_by(_Repeat(numbers)):
            args, kwargs = given.arguments(tensors[: len(given.places)])
            return self.function(*args, **kwargs)

    def _holds(self, results: Sequence[Any]) -> bool:
        """Whether the values that our code looked at are those that were traced."""
        found = results[self._outputs + len(self._writes) :]
        return all(map(np.array_equal, found, self._assumed))

    def _write(self, results: Sequence[Any], mode: Any) -> None:
        values = results[self._outputs : self._outputs + len(self._writes)]
        for reference, value in zip(self._writes, values, strict=True):
            tensor = reference()
            if tensor is not None:
                for observer in mode.observers:
                    observer.write(tensor)
                tensor._array, tensor._node = value, None

    # -- its derivative ----------------------------------------------------------------------------

    def backward(
        self, grads: Sequence[Any], residuals: Any, inputs: Any, needed: Any, given: Any = None
    ) -> list[Any]:
        """The gradients by the inputs."""
        if self._joint:
            factor = grads[0].reshape(())
            found = residuals if factor == 1 else [factor * gradient for gradient in residuals]
        else:
            with self._lock, np.errstate(all="ignore"):
                found = self._backward([*inputs, *grads, *residuals])
        result: list[Any] = [None] * len(inputs)
        for i, gradient in zip(self._with_gradient, found, strict=True):
            if needed[i]:
                result[i] = gradient
        return result

    def reference(self, *values: Any, given: Any = None) -> tuple[Any, ...]:
        """The user's function on tensors, with what it read and drew in the call."""
        if not self.guards.hold():
            raise GradientError(
                f"{self.name}: {self.guards.changed()} was changed after the compiled call, and "
                "its function must run again here, for a derivative of higher order, a drawing or "
                "an anomaly check. Change it later, or make another copy of what was changed."
            )
        arguments = len(given.places)
        captured = len(self._captured)
        held = values[arguments : arguments + captured]
        before: list[Any] = []
        for (reference, *_), value in zip(self._captured, held, strict=True):
            node = value._node if isinstance(value, Tensor) else None
            array = value._array if isinstance(value, Tensor) else value
            before.append((reference, array, node))
        numbers = [v._array if isinstance(v, Tensor) else v for v in values[arguments + captured :]]
        args, kwargs = given.arguments(values[:arguments])
        with (
            rewritten(before),
            observed_by(_Repeat(numbers)),
            ModeChange(dtype=self._dtype),
        ):
            result = self.function(*args, **kwargs)
        leaves = [leaf for _, leaf in labelled_leaves(result)]
        outputs = {
            int(m): leaf for m, leaf in zip(self._marks, leaves, strict=True) if type(m) is Output
        }
        return tuple(outputs[i] for i in self.on_tape)


class _Draw:
    """Random numbers that a program asks for at each call."""

    def __init__(self, request: DrawRequest) -> None:
        self._request = request
        self._default = request.generator is default_generator()

    def numbers(self, mode: Any) -> Any:
        """New ones, from the generator that the function would ask."""
        request = self._request
        if self._default and request.generator is not default_generator():
            self._request = request = request._replace(generator=default_generator())
        observers = [o for o in mode.observers if o.looks_at_draws]
        return request.drawn_by(observers)[0] if observers else request.straight()


def _finite(arrays: Sequence[Any]) -> bool:
    """Whether no number is infinite or NaN."""
    floats = [a for a in arrays if a.dtype.kind in "fc"]
    with np.errstate(all="ignore"):  # a sum of squares is cheaper, and finite only if all are
        return all(bool(np.isfinite(np.vdot(a, a))) or bool(np.isfinite(a).all()) for a in floats)
