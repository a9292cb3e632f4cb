"""One call of a function as a graph: its outputs, its derivative and what it writes.

The function runs once as it always would, and an observer makes values of the operations that it
sees. Then a backward pass is run and recorded in the same way, so that the derivative is a part of
the same graph, without rules of its own.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from minigrad.compiled.graph import Graph, PlainArray, Value, View
from minigrad.compiled.guarding.containers import Containers
from minigrad.compiled.guarding.keys import repeated, what_is_beside, wrap_like
from minigrad.compiled.guarding.marks import Again, Argument, Outer, Output
from minigrad.compiled.simplify import finish
from minigrad.compiled.tracing.builder import same_numbers
from minigrad.compiled.tracing.followed import Followed, follow, set_free
from minigrad.compiled.tracing.stand_ins import StandIns
from minigrad.compiled.tracing.tracer import Request, Tracer
from minigrad.compiled.tracing.watching import Watch, runs_code_of_users
from minigrad.core.backward import pull_back
from minigrad.core.blocks import observed_by
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import alias_node, last_write, next_number
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.fusing import kernels_kept
from minigrad.ops.pytree import labelled_leaves, map_leaves, replace_leaves
from minigrad.restoring import Restoring, Setting

__all__ = ["Traced", "array_leaves", "settle", "trace", "unfixed"]


@dataclass
class Traced:
    """What was seen of one call.

    Attributes:
        result: what the function returned.
        refusal: why the call cannot be compiled, or None.
        arguments: the values that stand for the arrays among the arguments; `given`, those.
        captured: tensors from outside with the values that stand for them.
        draws: the random numbers that were drawn.
        template: the result with numbers of outputs in the place of tensors and arrays.
        outputs: a view for each of them.
        recorded: whether each requires grad.
        kinds: what each is: `Tensor`, `np.ndarray` or, for a number of NumPy's, `np.generic`.
        parts: of each that users take for a part of a tensor, the operation that gave it.
        writes: tensors that the function wrote, with their new values.
        constants: tensors that the function itself made, with their numbers.
        seeds: for each output that requires grad, the value that stands for its gradient.
        gradients: by the value of an argument or captured tensor, its gradient.
    """

    result: Any
    tracer: Tracer
    arguments: list[Value]
    given: list[PlainArray]
    refusal: str | None = None
    captured: list[tuple["weakref.ref[Any]", Value]] = field(default_factory=list)
    draws: list[Request] = field(default_factory=list)
    template: Any = None
    outputs: list[View] = field(default_factory=list)
    recorded: list[bool] = field(default_factory=list)
    kinds: list[type] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)
    writes: list[tuple["weakref.ref[Any]", View]] = field(default_factory=list)
    constants: list[tuple[Value, PlainArray]] = field(default_factory=list)
    seeds: list[Value] = field(default_factory=list)
    gradients: dict[Value, View] = field(default_factory=dict)

    def graph(self, inputs: Sequence[Value], outputs: Sequence[View]) -> Graph:
        """The graph of some outputs, with inputs in a given order."""
        return finish(self.tracer.builder, inputs, outputs)


def trace(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    states: dict[int, Any] | None = None,
    differentiate: bool = True,
    watch: Watch | None = None,
    seeded: bool = False,
    kernels: bool = False,
    before: Traced | None = None,
    stand_ins: bool = False,
) -> Traced:
    """Run a function and see what it computes.

    Args:
        function: takes containers of tensors, arrays and Python values, and returns the like.
        args, kwargs: the arguments.
        states: see `Tracer`.
        differentiate: whether to record the derivative, too, if there is any.
        watch: a block for the call, and for its derivative if that runs code of the user's.
        seeded: whether the gradient of a single number is an input, too, like those of others; and
            every place of the result an output of its own, even if one tensor stands in two.
        kernels: see `Tracer`.
        before: the first trace, if this is the second one.
        stand_ins: whether large results are not computed, see `StandIns`.

    Raises:
        whatever the function raises.
    """
    kind = StandIns if stand_ins else Tracer
    tracer = kind(states, kernels, None if before is None else before.tracer)
    if watch is not None:
        watch.refuse = tracer.refuse
    try:
        return _traced(tracer, function, args, kwargs, differentiate, watch, seeded)
    finally:  # what a second trace puts somewhere is put back
        survivors = tuple(array for array in tracer.alive() if isinstance(array, Followed))
        set_free(survivors, replace=before is None)


def _traced(
    tracer: Tracer,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    differentiate: bool,
    watch: Watch | None,
    seeded: bool,
) -> Traced:
    leaves = [leaf for _, leaf in labelled_leaves((tuple(args), kwargs))]
    entered: list[tuple[Value, Any]] = []
    originals: dict[int, Any] = {}  # what the user gave, by what the function has
    arrays: list[PlainArray] = []
    numbers: dict[int, int] = {}
    again = repeated(leaves)
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, (Tensor, np.ndarray)):
            continue
        if i in again:  # it is the same object for the function, too, which may ask
            leaves[i] = leaves[again[i]]
            arrays.append(arrays[numbers[again[i]]])
            entered.append((tracer.input(len(entered), arrays[-1], unread=True).value, None))
            continue
        own = leaf
        leaves[i] = leaf = _apart(tracer, leaf)
        array = leaf._array if isinstance(leaf, Tensor) else leaf
        numbers[i] = len(arrays)
        arrays.append(array)
        view = tracer.input(len(entered), array)
        if isinstance(leaf, np.ndarray):
            leaves[i] = leaf = follow(array, tracer)
            tracer.enter_array(leaf, view)
        if leaf is not own:
            originals[id(leaf)] = own
        entered.append((view.value, leaf._node if isinstance(leaf, Tensor) else None))
    tree = tuple(args), kwargs
    args, kwargs = replace_leaves(tree, leaves)
    containers = Containers(tree, (args, kwargs))
    given = [(leaf, leaf.copy()) for leaf in leaves if isinstance(leaf, np.ndarray)]
    writes = last_write()
    began, errors = next_number(), np.geterr()
    with observed_by(tracer), ModeChange(fused=False), Setting(kernels_kept, True):
        with watch if watch is not None else nullcontext():
            try:
                result = function(*args, **kwargs)
            finally:
                changed = containers.changed(lambda leaf: _unfollowed(leaf, originals))
        if changed is not None:
            tracer.refuse(f"it changes a {changed} that it was given")
        if last_write() != writes:
            tracer.refuse("it writes a leaf that requires grad")
        for array, copy in given:
            if same_numbers(array, copy):
                continue
            tracer.refuse("it writes into an array that it was given")
            np.copyto(originals[id(array)], np.ndarray.view(array, np.ndarray))
        dtype = current_mode().dtype
        if np.geterr() != errors:
            tracer.refuse("it calls np.seterr")
        tracer.check_nodes()
        traced = Traced(result, tracer, [value for value, _ in entered], arrays)
        try:
            _read_result(traced, leaves, apart=seeded)
            if differentiate and tracer.refusal is None and any(traced.recorded):
                _differentiate(traced, entered, seeded, watch, began)
        except Exception as error:  # the call itself went well
            tracer.refuse(f"its derivative fails with {type(error).__name__}: {error}")
        if watch is not None:
            watch.refuse = _ignored  # it lives as long as a program, and the tracer should not
        traced.result = map_leaves(lambda leaf: _unfollowed(leaf, originals), result)
    if dtype != current_mode().dtype:
        tracer.refuse("it calls set_default_dtype")
    tracer.builder.heard = False
    for leaf in leaves:
        if id(leaf) in tracer.written:
            tracer.refuse("it writes a tensor that it was given")
            own = originals.get(id(leaf), leaf)
            own._array, own._node = leaf._array, leaf._node
    traced.refusal = tracer.refusal
    return traced


def _ignored(reason: str) -> None:
    """Nobody is told."""


def _apart(tracer: Tracer, leaf: Any) -> Any:
    """An argument whose array is alone in its memory: as it is, or else a copy.

    A part of it can then be told from that of an argument beside it, and from one that came before.
    """
    array = leaf._array if isinstance(leaf, Tensor) else leaf
    if array.base is None and tracer.view_of(array) is None:
        return leaf
    if not isinstance(leaf, Tensor):
        return array.copy(order="K")
    node = None if leaf._node is None else alias_node(leaf._node)
    return wrap_like(leaf, array.copy(order="K"), node)


def _unfollowed(leaf: Any, originals: dict[int, Any]) -> Any:
    """What the user gets: what was given, or an array or a number of NumPy's own."""
    if id(leaf) in originals:
        return originals[id(leaf)]
    if not isinstance(leaf, Followed):
        return leaf
    array = np.ndarray.view(leaf, np.ndarray)
    return array[()] if leaf.number else array


_A_LEAF: Final = (
    "it gives away a leaf that requires grad and that it makes itself, or reads one in a way not "
    "followed; return what is computed from it, or pass it as an argument"
)


def array_leaves(leaves: Sequence[Any]) -> list[Any]:
    """The tensors and arrays among the leaves of arguments."""
    return [leaf for leaf in leaves if isinstance(leaf, (Tensor, np.ndarray))]


def _read_result(traced: Traced, given: Sequence[Any], apart: bool) -> None:
    """Find the outputs in what the function returned; one object is one output, or `apart`."""
    tracer = traced.tracer
    marks: list[Any] = []
    arrays = (Tensor, np.ndarray)
    places = {id(leaf): i for i, leaf in enumerate(given) if isinstance(leaf, arrays)}
    labelled = labelled_leaves(traced.result)
    again = {} if apart else repeated([leaf for _, leaf in labelled])
    for i, (label, leaf) in enumerate(labelled):
        if not isinstance(leaf, arrays):
            marks.append(leaf)
            continue
        if i in again:
            marks.append(Again(again[i]))
            continue
        if id(leaf) in places and id(leaf) not in tracer.written:
            marks.append(Argument(places[id(leaf)]))
            continue
        tensor = isinstance(leaf, Tensor)
        array = leaf._array if isinstance(leaf, Tensor) else leaf
        view = tracer.view_of(array)
        if view is None and not tensor:
            tracer.refuse(f"its result{label} is an array that no operation of minigrad made")
        if view is None:
            view = tracer.source(leaf, array)
        marks.append(Output(len(traced.outputs)))
        traced.outputs.append(view)
        traced.recorded.append(getattr(leaf, "_node", None) is not None)
        traced.parts.append(getattr(leaf, "_part", None))
        number = isinstance(leaf, Followed) and leaf.number
        traced.kinds.append(Tensor if tensor else np.generic if number else np.ndarray)
    beside = what_is_beside(traced.result)
    if beside is not None:
        tracer.refuse(f"its result, a {beside}")
    traced.template = replace_leaves(traced.result, marks)


def _differentiate(
    traced: Traced,
    entered: Sequence[tuple[Value, Any]],
    seeded: bool,
    watch: Watch | None,
    began: int,
) -> None:
    """Send gradients back from all outputs that require grad, and see what that computes.

    Those of leaves that the function made itself, after the node of number `began`, go nowhere
    unless it returns the leaves.
    """
    tracer = traced.tracer
    marks = [leaf for _, leaf in labelled_leaves(traced.template)]
    leaves = [leaf for _, leaf in labelled_leaves(traced.result)]
    results = [leaf for leaf, m in zip(leaves, marks, strict=True) if isinstance(m, Output)]
    roots = []
    alone = sum(traced.recorded) == 1 and not seeded
    for leaf, recorded in zip(results, traced.recorded, strict=True):
        if recorded:
            seed = np.ones(leaf.shape, leaf.dtype)
            if alone and leaf.size == 1:  # then the gradient is known but for a factor
                tracer.enter_array(seed, tracer.builder.constant(seed))
            else:
                traced.seeds.append(tracer.input(-1, seed).value)
            roots.append((leaf._node, wrap(seed, None)))
    read = [c for c in tracer.captured if c.node is not None]
    captured = [(c.value, c.node) for c in read if c.node.number < began or c.tensor() is not None]
    targets: dict[Any, Value] = {}
    for value, node in (*entered, *captured):
        if node is not None:
            if node in targets:
                tracer.refuse("two of its inputs share one place in the graph")
            targets[node] = value
    known = tracer.derivatives.get(roots[0][0].number) if alone and not traced.seeds else None
    if known is not None and known.keys() <= {node.number for node in targets}:
        gradients = {value: known.get(node.number) for node, value in targets.items()}
        traced.gradients = {value: view for value, view in gradients.items() if view is not None}
        return  # the function did it all
    watched: Any = nullcontext()
    if watch is not None and runs_code_of_users((node for node, _ in roots), targets):
        watched = watch  # what these read is guarded, too
    with watched, ModeChange(recording=False):  # nobody differentiates this once more
        found = pull_back(roots, targets, stop=targets.keys(), retain=True, hooks=False)
    for node, gradient in found.items():
        if node in targets:
            traced.gradients[targets[node]] = tracer.source(gradient, gradient)
        elif node.number < began or any(node is root for root, _ in roots):
            tracer.refuse(_A_LEAF)


def settle(traced: Traced, known: Mapping[int, Tensor]) -> None:
    """Tell tensors from outside from those that the function made itself.

    Args:
        traced: what was seen.
        known: the tensors that the function can get at from outside, by their identity.
    """
    tracer = traced.tracer
    held = {id(tensor._array): tensor for tensor in known.values()}
    for reference, before, _ in tracer.written.values():
        tensor = reference()
        if tensor is None or id(tensor) not in known:
            continue  # it was made by the function, and is its own affair
        held[id(before)] = tensor
        view = tracer.view_of(tensor._array)
        if tensor._array is before:
            continue
        if view is None:
            tracer.refuse("it writes values that no operation of minigrad computed")
        elif tensor._node is not None:
            tracer.refuse("it keeps a tensor that requires grad")
        else:
            traced.writes.append((reference, view))
    leaves = [leaf for _, leaf in labelled_leaves(traced.result)]
    marks = [mark for _, mark in labelled_leaves(traced.template)]
    for i, (leaf, mark) in enumerate(zip(leaves, marks, strict=True)):
        if type(mark) is Output and id(leaf) in known:
            marks[i] = outer = Outer(mark)
            outer.tensor = weakref.ref(leaf)
    traced.template = replace_leaves(traced.template, marks)
    returned = set(map(id, leaves))
    for captured in tracer.captured:
        tensor = captured.tensor()
        made_here = tensor is None or id(tensor) in returned
        if tensor is not None and id(tensor) in known:
            traced.captured.append((captured.tensor, captured.value))
        elif id(captured.array) in held:  # as `detach` gives it
            shared = weakref.ref(held[id(captured.array)])
            traced.captured.append((shared, captured.value))
        elif captured.value in traced.gradients or not made_here:
            tracer.refuse(_A_LEAF)
        else:
            traced.constants.append((captured.value, captured.array))
    fix(traced.constants)
    traced.draws = tracer.draws
    traced.refusal = tracer.refusal
    tracer.let_go()


def fix(constants: Sequence[tuple[Value, PlainArray]]) -> None:
    """Let values be constants that entered as inputs."""
    for value, array in constants:
        value.op, value.array, value.options = "constant", array, ()


class unfixed(Restoring):
    """A block in which a second trace finds all as it was while the first one ran."""

    def __init__(self, traced: Traced) -> None:
        super().__init__()
        self._constants = traced.constants

    def begin(self) -> None:
        """Let them be inputs again."""
        self.undone_by(fix, self._constants)
        for value, _ in self._constants:
            value.op, value.array = "input", None
