"""What runs in the place of one call: a fused operation whose reference is the user's function.

Its inputs are the arrays among the arguments, the tensors that the function reads from outside,
and the random numbers that it draws. So whatever runs the reference (a second derivative, a
drawing, anomaly mode) gets the very numbers of the call.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.flags import asked_for, report
from minigrad.compiled.graph import Graph, Value, View, reachable
from minigrad.compiled.guarding.comparing import check_equal
from minigrad.compiled.guarding.guards import Guards
from minigrad.compiled.guarding.keys import Given
from minigrad.compiled.guarding.marks import Again, Argument, Outer, Output
from minigrad.compiled.guarding.outside import Outside
from minigrad.compiled.heard import Heard
from minigrad.compiled.on_tape import BackwardHalf, ProgramOperation, build_rolled
from minigrad.compiled.simplify import finish
from minigrad.compiled.splitting import split
from minigrad.compiled.trace import Traced
from minigrad.compiled.tracing.called import Draw, Repeat
from minigrad.core.backward import pull_back
from minigrad.core.blocks import observed_by
from minigrad.core.contributions import output_node
from minigrad.core.errors import GradientError
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import Node, fill_node
from minigrad.core.observer import Applied, Observer
from minigrad.core.tensors import Tensor, as_array, wrap
from minigrad.forks import give_lock
from minigrad.ops.pytree import labelled_leaves, rebuilding
from minigrad.profiling.watching import run_seen
from minigrad.restoring import errstate
from minigrad.transforms.recorded_writes import Standing, rewritten

__all__ = ["Program"]


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
        kernels: of values that run together, the number of the kernel, if all passes are kept.
        graphs: the forward graph; and the backward graph, unless the gradients of a single number
            are computed beside it.
        on_tape: the numbers of the outputs that require grad.
        built: what the back end made of the graphs.
        unknown: what the back end does not know, so that NumPy runs all of it; "" if it does.
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
        self._result = rebuilding(traced.template)
        self._marks = [leaf for _, leaf in labelled_leaves(traced.template)]
        self._types, self._parts = traced.kinds, traced.parts
        whole = all(type(mark) is Output and self._types[mark] is Tensor for mark in self._marks)
        self._wrapped = [int(mark) for mark in self._marks] if whole else None  # tensors alone
        self._wrapped_parts = [
            (place, self._parts[number])
            for place, number in enumerate(self._wrapped or ())
            if self._parts[number] is not None
        ]
        self._repeated = [(i, mark) for i, mark in enumerate(self._marks) if type(mark) is Again]
        self._outside = Outside(traced.captured)
        self._draws = [Draw(draw.request) for draw in traced.draws]
        self._writes = [reference for reference, _ in traced.writes]
        self.on_tape = [i for i, recorded in enumerate(traced.recorded) if recorded]
        self._dtype = current_mode().dtype
        give_lock(self, "_lock", threading.Lock)
        self._given: Given | None = None
        inputs = [
            *traced.arguments,
            *(value for _, value in traced.captured),
            *(draw.value for draw in traced.draws),
        ]
        found = [traced.gradients.get(value) for value in inputs]
        self._with_gradient = [i for i, view in enumerate(found) if view is not None]
        self._outputs, self._keep = len(traced.outputs), keep
        self._off_tape: list[Any] = [None] * self._outputs
        self._make(traced, inputs, [view for view in found if view is not None], backend)
        self.operation: ProgramOperation | None = None
        if not inputs:  # it computes with nothing, and nothing of it is recorded
            return
        self.operation = ProgramOperation(self, name, len(inputs), max(len(self.on_tape), 1))
        self._plan = self.operation.plans[sum(1 << i for i in self._with_gradient)]
        shapes = [traced.outputs[i].shape for i in self.on_tape]
        dtypes = [traced.outputs[i].dtype for i in self.on_tape]
        one = len(shapes) == 1
        self._kind_of_node: tuple[Any, Any] = (
            (shapes[0], dtypes[0]) if one else (tuple(shapes), tuple(dtypes))
        )

    def _make(
        self, traced: Traced, inputs: list[Value], gradients: list[View], backend: Any
    ) -> None:
        builder = traced.tracer.builder
        assumed = {view.key: (view, array) for view, array in traced.tracer.assumed}.values()
        self._assumed = [(array, array.tobytes()) for _, array in assumed]
        outputs = [
            *traced.outputs,
            *(view for _, view in traced.writes),
            *(view for view, _ in assumed),
        ]
        every = [*outputs, *gradients]
        self._heard = Heard(builder, inputs, every)
        self._joint = not traced.seeds
        self.stages: dict[str, list[Graph]] = {}
        if self._keep:
            self.stages["traced"] = [Graph(inputs, reachable(builder.values, every), every)]
        if self._joint:
            graph = finish(builder, inputs, [*outputs, *gradients])
            # A gradient that is returned, too, is one array: those of tensors never change.
            known = {graph.outputs[i].key: i for i, k in enumerate(traced.kinds) if k is Tensor}
            kept, more = graph.outputs[: len(outputs)], graph.outputs[len(outputs) :]
            added = {view.key: view for view in more if view.key not in known}
            known |= {key: len(outputs) + i for i, key in enumerate(added)}
            self._residuals = [known[view.key] for view in more]
            straight = [Graph(inputs, graph.values, [*kept, *added.values()])]
        else:
            halves = split(builder, inputs, outputs, traced.seeds, gradients)
            straight = [halves.forward, halves.backward]
            self._residuals = [len(outputs) + i for i in range(halves.residuals)]
        if self._keep:
            self.stages["simplified"] = straight
        self.graphs, self.built, self.unknown = build_rolled(backend, straight)
        self.stages["rolled"] = self.graphs
        self._forward = self.built[0]
        self._backward = (
            None if self._joint else BackwardHalf(straight[-1], traced.seeds, backend, self.built)
        )
        self.kernels: dict[Value, int] = {}
        if self._keep and not self.unknown and hasattr(backend, "kernels_of"):
            for graph in self.graphs:
                self.kernels |= backend.kernels_of(graph, max(self.kernels.values(), default=0))
            self.stages["fused"] = self.graphs
        self._returned = len(outputs)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{v.dtype}{list(v.shape)}" for v in self.graphs[0].inputs)
        parts = " and ".join(f"{len(graph.values)} values" for graph in self.graphs)
        return f"<program of {self.name}({inputs}): {parts}>"

    # -- a call ------------------------------------------------------------------------------------

    def held(self) -> tuple[list[Any], list[Any]] | None:
        """The tensors from outside, and their arrays; None unless all that was read there is as it
        was."""
        held = self._outside.held()
        return held if held is not None and self.guards.hold() else None

    def run(
        self,
        tree: Any,
        leaves: list[Any],
        tensors: list[Any],
        arrays: list[Any],
        held: tuple[Sequence[Any], Sequence[Any]],
        mode: Any,
        check: bool = False,
        watchers: Sequence[Observer] = (),
    ) -> Any:
        """Call it.

        Args:
            tree, leaves: the arguments in their containers, and their leaves.
            tensors, arrays: the leaves that are such, and their arrays; both of this call alone.
            held: see there.
            mode: the current one.
            check: compare with the function itself.
            watchers: they see the call as that of one operation.
        """
        tensors += held[0]
        arrays += held[1]
        numbers = [draw.numbers(mode) for draw in self._draws] if self._draws else []
        arrays += numbers
        try:
            results, status = self.compute(arrays, mode)
        except Exception as error:
            result = self._eager(self._arguments(tree, leaves), tensors, numbers)
            self.failure = error  # not the user's own, which was raised again
            return result
        if self._assumed and not self._holds(results):
            self.misses += 1
            return self._eager(self._arguments(tree, leaves), tensors, numbers)
        if status and asked_for(status):
            with self._lock:
                status = self._heard.status(arrays)
            report(status, self.name, 4)
        if check:
            self._check(arrays, self._arguments(tree, leaves), results)
        tapes, node = self._off_tape, None
        if self.on_tape and mode.recording:
            given = self._given or self._arguments(tree, leaves)
            node = self._node(tensors, arrays, results, given)
            tapes = [node] if self._outputs == 1 else self._places_of(node)
        if self._writes:
            self._write(results, mode)
        if self._wrapped is not None:
            made = [wrap(results[i], tapes[i]) for i in self._wrapped]
            for place, part in self._wrapped_parts:
                made[place]._part = part  # which refuses to be written, here too
        else:
            made = [self._made(mark, leaves, results, tapes) for mark in self._marks]
            for place, first in self._repeated:
                made[place] = made[first]
        for observer in watchers if self.operation is not None else ():
            kept = (*results, self.residuals_in(results))
            observer.call(Applied(self.operation, tensors, arrays, {}, kept, made, node))
        return self._result(made)

    def _made(self, mark: Any, leaves: Any, results: Any, tapes: Any) -> Any:
        """What the function returns in a place: a tensor, an array, a number or a plain value."""
        if type(mark) is not Output:
            outer = mark.tensor() if type(mark) is Outer else mark
            return leaves[mark] if type(mark) is Argument else outer
        number, out, tape = int(mark), results[mark], tapes[mark]
        kind = self._types[number]
        if kind is not Tensor:
            return out[()] if kind is np.generic else out
        tensor = wrap(out, tape)
        if self._parts[number] is not None:
            tensor._part = self._parts[number]
        return tensor

    def compute(self, arrays: Sequence[Any], mode: Any) -> tuple[list[Any], int]:
        """The outputs and what else is returned, with the residuals, and the status."""
        forward = self._forward
        with self._lock:
            results = run_seen(forward, arrays) if mode.observers else forward(arrays)
            return results, getattr(forward, "status", 0)

    def residuals_in(self, results: Sequence[Any]) -> list[Any]:
        """What the derivative needs besides the inputs."""
        return [results[i] for i in self._residuals]

    def _arguments(self, tree: Any, leaves: Sequence[Any]) -> Given:
        """Those of a call, for the reference."""
        if self._given is not None:
            return self._given
        given = Given(tree, leaves)
        if given.plain:  # then it is the same at every call
            self._given = given
        return given

    def _check(self, arrays: Any, given: Given, results: Any) -> None:
        """Compare outputs and gradients with those of the user's function.

        Raises:
            CompileError: when they differ by more than rounding.
        """
        handles = [wrap(array, None) for array in arrays]
        for i in self._with_gradient:
            handles[i] = handles[i].requires_grad_()
        with ModeChange(recording=True):
            every = self._again(handles, given)
        computed = {i: (results[i], getattr(out, "_array", out)) for i, out in every.items()}
        check_equal(self.name, "output", computed)
        outs = [every[i] for i in self.on_tape]
        # Of what a norm or a softmax gives, the gradient by its sum would be 0.
        seeds = [np.cos(np.arange(o.size)).astype(o.dtype).reshape(o.shape) for o in outs]
        needed = [i in self._with_gradient for i in range(len(arrays))]
        residuals = self.residuals_in(results)
        found: Any = self.backward(seeds, residuals, arrays, needed) if outs else []
        nodes = [(out._node, seed) for out, seed in zip(outs, seeds, strict=True)]
        expected: Any = pull_back(nodes, hooks=False)
        arrived = {i: expected.get(handles[i]._node) for i in self._with_gradient}
        both = {i: (found[i], as_array(g)) for i, g in arrived.items() if g is not None}
        check_equal(self.name, "the gradient by input", both)

    def _node(
        self, tensors: list[Any], arrays: list[Any], results: list[Any], given: Given
    ) -> Node:
        """The node of a call."""
        sources: list[Any] = [None] * len(arrays)
        for i in self._with_gradient:
            sources[i] = getattr(tensors[i], "_node", None)
        node = fill_node(Node(), self._plan, tuple(sources), *self._kind_of_node, {"given": given})
        node.saved = tuple(arrays), self.residuals_in(results)  # as the plan's `save` gives them
        return node

    def _places_of(self, node: Node) -> list[Any]:
        """The places of all outputs in the graph."""
        places = list(self._off_tape)
        several = len(self.on_tape) > 1
        for k, i in enumerate(self.on_tape):
            places[i] = output_node(node, k) if several else node
        return places

    def _eager(self, given: Given, tensors: Sequence[Any], numbers: Sequence[Any]) -> Any:
        """Run the user's function, with the random numbers that were drawn already."""
        with observed_by(Repeat(numbers)):
            args, kwargs = given.arguments(tensors[: len(given.places)])
            return self.function(*args, **kwargs)

    def _holds(self, results: Sequence[Any]) -> bool:
        """Whether the values that our code looked at are those that were traced."""
        found = results[self._outputs + len(self._writes) : self._returned]
        pairs = zip(found, self._assumed, strict=True)
        return all(x.tobytes() == kept or np.array_equal(x, array) for x, (array, kept) in pairs)

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
    ) -> list[Any] | None:
        """The gradients by the inputs, None where there is none; None without a program for them.

        Args:
            grads: of the outputs on the tape, None where none arrives.
            residuals: of the call.
            inputs: its arrays.
            needed: the inputs whose gradients are asked for.
            given: its arguments.
        """
        found: Sequence[Any] | None = residuals
        if self._backward is not None:
            with self._lock, errstate(all="ignore"):
                found = self._backward(inputs, grads, residuals)
        elif grads[0].item() != 1:
            found = [grads[0].reshape(()) * gradient for gradient in residuals]
        if found is None:
            return None
        result: list[Any] = [None] * len(inputs)
        for i, gradient in zip(self._with_gradient, found, strict=True):
            if needed[i]:
                result[i] = gradient
        return result

    def reference(self, *values: Any, given: Any = None) -> tuple[Any, ...]:
        """The user's function on tensors, with what it read and drew in the call."""
        outputs = self._again(values, given)
        return tuple(outputs[i] for i in self.on_tape)

    def _again(self, values: Sequence[Any], given: Given) -> dict[int, Any]:
        """What the user's function gives for the same call: its outputs by their numbers."""
        if not self.guards.hold():
            raise GradientError(
                f"{self.name}: {self.guards.changed()} was changed after the compiled call, and "
                "its function must run again here, for a derivative of higher order, a drawing or "
                "an anomaly check. Change it later, or make another copy of what was changed."
            )
        arguments = len(given.places)
        captured = len(self._outside)
        held = values[arguments : arguments + captured]
        before: list[Any] = []
        for reference, value in zip(self._outside.references, held, strict=True):
            node = value._node if isinstance(value, Tensor) else None
            array = value._array if isinstance(value, Tensor) else value
            before.append((reference, array, node))
        numbers = [v._array if isinstance(v, Tensor) else v for v in values[arguments + captured :]]
        args, kwargs = given.arguments(values[:arguments])
        with (
            rewritten(before),
            observed_by(Standing(before)),
            observed_by(Repeat(numbers)),
            ModeChange(dtype=self._dtype),
        ):
            result = self.function(*args, **kwargs)
        leaves = [leaf for _, leaf in labelled_leaves(result)]
        pairs = zip(self._marks, leaves, strict=True)
        return {int(mark): leaf for mark, leaf in pairs if isinstance(mark, Output)}
