"""Memory for time: keep a function's inputs only, and run it again in the backward pass.

Griewank and Walther, "Evaluating Derivatives", 2nd ed., chapter 12; Chen et al., "Training Deep
Nets with Sublinear Memory Cost" (2016) for the sequence.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minigrad.core.backward import pull_back
from minigrad.core.blocks import observed_by
from minigrad.core.contributions import output_node
from minigrad.core.errors import GradientError, describe
from minigrad.core.modes import Mode, ModeChange, current_mode
from minigrad.core.nodes import Leaf, Node, make_node, next_number
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.labels import step
from minigrad.ops.pruning import Handle
from minigrad.ops.pytree import labelled_leaves, map_leaves, replace_leaves
from minigrad.restoring import Restoring
from minigrad.transforms.generator_search import random_sources
from minigrad.transforms.recorded_draws import (
    Draw,
    Recorder,
    Replayer,
    State,
    restore_state,
    state_of,
)
from minigrad.transforms.recorded_writes import Standing, Writes, rewritten

__all__ = ["checkpoint", "checkpoint_sequence"]

States = list[tuple[Any, State]]  # of sources of random numbers; None: the default generator


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the same results as `f` that keeps only its inputs for the backward pass.

    In the backward pass `f` runs again, so it must compute the same from the same inputs. Random
    numbers are the same: what operations and layers draw is recorded and repeated, whichever
    generators they hold (see `minigrad.transforms.recorded_draws`). A generator of NumPy's that `f`
    draws from by itself is put back to where it was, when it is the default one or is found in the
    arguments of `f`, its closure, defaults, globals, or attributes and containers of the objects,
    classes and modules there (see `minigrad.transforms.generator_search`). After the backward pass
    all generators are as they were before it. Python's own generators cannot be put back: what `f`
    takes from an iterator by ``next`` goes on in the backward pass, so pass the value as an
    argument.

    Tensors without gradient that `f` writes, such as the running averages of a norm, start the
    recomputation from their old values and are not moved a second time; other state of Python
    objects is not put back. Tensors that `f` closes over (parameters of layers) get their gradients
    as usual.

    Args:
        f: takes anything, tensors and containers of them among it, and returns a tensor or a
            container of them. Where `f` draws from a generator by itself, other threads must not
            do so while the backward pass recomputes it.

    Raises:
        GradientError: in the forward pass when `f` makes a leaf that requires grad; in the
            backward pass when it uses other tensors, draws other random numbers or returns other
            shapes than before.

    >>> import minigrad as mg
    >>> x = mg.Tensor([1.0, 2.0], requires_grad=True)
    >>> y = mg.checkpoint(lambda x: mg.exp(mg.tanh(x)))(x)
    >>> len(mg.graph(y))  # the leaf and the checkpoint
    2
    >>> y.sum().backward()
    >>> x.grad
    Tensor([0.8995, 0.1853], f32[2])
    """
    if not callable(f):
        raise TypeError(f"checkpoint: takes a function, got {type(f).__name__}")

    @functools.wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        mode = current_mode()
        if not mode.recording:
            return f(*args, **kwargs)
        return record_checkpoint(f, args, kwargs, mode)

    return checkpointed


def checkpoint_sequence(
    functions: Sequence[Callable[[Any], Any]] | Callable[[Any, int], Any],
    state: Any,
    steps: int | None = None,
    segment: int | None = None,
) -> Any:
    """Run a chain of functions in checkpointed segments.

    With segments of sqrt(T) functions, the backward pass of a chain of length T holds the states
    between segments and what one segment saves: memory in the order of sqrt(T), for one more
    forward pass.

    Args:
        functions: each takes the state before it and returns the state after it; or one function
            of the state and the number of the step, which is run `steps` times, its operations
            tagged with the step.
        state: a tensor, or a container of tensors, that goes into the first.
        steps: how often to run one function; left out for a sequence of functions.
        segment: how many functions are recomputed at a time; the square root of their number
            unless given.

    Returns:
        The state that comes out of the last.

    Raises:
        ValueError: when `steps` is missing, negative or not called for, or `segment` is below 1.

    >>> import minigrad as mg
    >>> x = mg.Tensor(0.5, requires_grad=True)
    >>> mg.checkpoint_sequence(lambda h, t: mg.tanh(h + x), x, steps=100).backward()
    >>> x.grad.item()
    0.28773
    """
    if callable(functions):
        if steps is None or steps < 0:
            raise ValueError(
                f"checkpoint_sequence: one function needs steps=, how often to run it, got {steps}"
            )
        length = steps
    elif steps is not None:
        raise ValueError(
            "checkpoint_sequence: steps= is for one function of (state, step); a sequence of "
            "functions has its length"
        )
    else:
        if not isinstance(functions, Iterable):
            raise TypeError(
                "checkpoint_sequence: needs a sequence of functions, or one function and steps=, "
                f"got {describe(functions)}"
            )
        functions = list(functions)
        length = len(functions)
    if segment is not None and segment < 1:
        raise ValueError(f"checkpoint_sequence: segment must be 1 or more, got {segment}")
    size = segment or max(1, math.isqrt(length))
    for start in range(0, length, size):
        numbers = range(start, min(start + size, length))
        steps_of = functions if callable(functions) else functions[start : numbers.stop]
        part = functools.partial(run_part, steps_of, numbers)
        part.__name__ = "sequence"  # type: ignore[attr-defined]
        state = checkpoint(part)(state)
    return state


def run_part(functions: Any, numbers: range, state: Any) -> Any:
    """Run functions one after the other, or one function at some steps."""
    if not callable(functions):
        for function in functions:
            state = function(state)
        return state
    for number in numbers:
        with step(number):
            state = functions(state, number)
    return state


class CheckpointPlan:
    """How gradients flow back through a checkpoint: by running its function again.

    The inputs of its node are those arguments that require grad, then the tensors from outside
    that the function used. The node saves the leaves of the arguments, tensors as plain arrays.
    """

    view = False

    def __init__(self, function: Callable[..., Any], template: Any, mode: Mode) -> None:
        self.function = function
        self.name = f"checkpoint({getattr(function, '__name__', type(function).__name__)})"
        self.template = template  # the containers of the arguments
        self.mode = mode
        self.states: States = []  # before the forward, of what the function draws from by itself
        self.draws: list[Draw] = []  # of operations and layers in it
        self.writes: list[Any] = []  # tensors that do not keep what they held, with that
        self.slots: dict[int, int | None] = {}  # from leaf to input slot, for leaves with tensors
        self.saved_slots: tuple[int, ...] = ()
        self.several = False  # outputs

    def vjp(self, node: Node, g: Any) -> Sequence[Any]:
        """Recompute, and go back through what that recorded, on plain arrays."""
        return self._vjp(node, g, recorded=False)

    def vjp_recorded(self, node: Node, g: Any) -> Sequence[Any]:
        """The same on tensors; the recomputed graph stays, connected to the inputs."""
        return self._vjp(node, g, recorded=True)

    def _vjp(self, node: Node, g: Any, recorded: bool) -> Sequence[Any]:
        handles, outputs = self._recompute(node, linked=recorded)
        grads = g.arrived() if self.several else (g,)
        outside = [n for n in node.inputs[len(handles) :] if n is not None]
        pairs = zip(outputs, grads, strict=True)
        found = pull_back(
            [(out._node, part) for out, part in pairs if part is not None],
            stop={*handles, *outside},
            retain=recorded,
            recorded=recorded,
        )
        return [found.get(n) for n in (*handles, *outside)]

    def _recompute(self, node: Node, linked: bool) -> tuple[list[Handle], list[Tensor]]:
        assert node.saved is not None
        leaves = list(node.saved)
        handles: list[Handle] = []
        for i, slot in self.slots.items():
            place = None
            if slot is not None:
                source = node.inputs[slot]
                place = Handle(source if linked else None, leaves[i].shape, leaves[i].dtype)
                handles.append(place)
            leaves[i] = wrap(leaves[i], place)
        args, kwargs = replace_leaves(self.template, leaves)
        mode = self.mode
        entry = next_number()
        replayer = Replayer(self.draws, [source for source, _ in self.states], node.where)
        with (
            rewound(self.states),
            rewritten(self.writes),
            observed_by(Standing(self.writes)),
            observed_by(replayer),
            ModeChange(recording=True, scope=mode.scope, fused=mode.fused, dtype=mode.dtype),
        ):
            result = self.function(*args, **kwargs)
        replayer.finish()
        outputs = recorded_outputs(result)
        for handle in handles:
            handle.live = False
        shapes: Any = tuple(out.shape for out in outputs)
        if shapes != (node.shape if self.several else (node.shape,)):
            raise GradientError(
                f"backward through {node.where}: recomputed, it returned tensors that require "
                f"grad of shapes {shapes}, unlike the {node.shape} of the forward pass. A "
                "checkpointed function must do the same every time."
            )
        used = outside_nodes([out._node for out in outputs], entry, set(handles), self.name)
        if set(used) != set(node.inputs[len(handles) :]):
            raise GradientError(
                f"backward through {node.where}: recomputed, it used other tensors from outside "
                "than in the forward pass. Was one of them assigned anew in the meantime? Pass "
                "them as arguments, which are kept."
            )
        return handles, outputs


def record_checkpoint(f: Callable[..., Any], args: Any, kwargs: Any, mode: Mode) -> Any:
    """Run a function, and put one node in the place of all that it recorded."""
    leaves = [leaf for _, leaf in labelled_leaves((args, kwargs))]
    template = replace_leaves((args, kwargs), range(len(leaves)))
    before = [(source, state_of(source)) for source in random_sources(f, leaves)]
    plan = CheckpointPlan(f, template, mode)
    sources: list[Node] = []
    handles: list[Handle] = []
    saved, given = list(leaves), list(leaves)
    entry = next_number()
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, Tensor):
            continue
        saved[i] = array = leaf._array
        for observer in mode.observers:
            observer.leave(leaf)
        handle = None
        plan.slots[i] = None
        if leaf._node is not None:
            plan.slots[i] = len(sources)
            sources.append(leaf._node)
            handle = Handle(None, array.shape, array.dtype)
            handles.append(handle)
        given[i] = wrap(array, handle)
    call_args, call_kwargs = replace_leaves(template, given)
    recorder, writes = Recorder(), Writes()
    try:
        with observed_by(recorder), observed_by(writes):
            result = f(*call_args, **call_kwargs)
    finally:
        for handle in handles:
            handle.live = False
    outputs = recorded_outputs(result)
    if not outputs:
        return result
    plan.draws, plan.states = recorder.draws, recorder.drawn_elsewhere(before)
    plan.writes = [*Standing.within(mode.observers), *writes.before()]
    used = outside_nodes([out._node for out in outputs], entry, set(handles), plan.name)
    shapes, dtypes = tuple(o.shape for o in outputs), tuple(o.dtype for o in outputs)
    plan.several = len(outputs) > 1
    node = make_node(
        plan,
        (*sources, *used),
        shapes if plan.several else shapes[0],
        dtypes if plan.several else dtypes[0],
    )
    node.saved = tuple(saved)
    plan.saved_slots = tuple(range(len(node.inputs)))
    fresh = iter(
        wrap(out._array, output_node(node, i) if plan.several else node)
        for i, out in enumerate(outputs)
    )
    return map_leaves(
        lambda leaf: next(fresh) if isinstance(leaf, Tensor) and leaf._node is not None else leaf,
        result,
    )


def recorded_outputs(result: Any) -> list[Tensor]:
    """The tensors on tape in what a function returned."""
    return [
        leaf
        for _, leaf in labelled_leaves(result)
        if isinstance(leaf, Tensor) and leaf._node is not None
    ]


def outside_nodes(
    outputs: Iterable[Node | None], entry: int, handles: set[Handle], name: str
) -> list[Node]:
    """The nodes recorded before entry, other than handles, that the outputs were computed from.

    Raises:
        GradientError: when a leaf was made after entry: it would never get its gradient.
    """
    found: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = [node for node in outputs if node is not None]
    while stack:
        node = stack.pop()
        if node in seen or node in handles:
            continue
        seen.add(node)
        if node.number < entry:
            found[node] = None
        elif node.__class__ is Leaf:
            raise GradientError(
                f"{name}: the function makes a leaf that requires grad, which could not get its "
                "gradient. Make it outside and pass or close over it."
            )
        else:
            stack.extend(source for source in node.inputs if source is not None)
    return sorted(found, key=lambda n: n.number)


class rewound(Restoring):
    """A block in which generators start from noted states; afterwards they go on as before."""

    def __init__(self, states: States) -> None:
        super().__init__()
        self._states = states

    def begin(self) -> None:
        """Rewind."""
        self.undone_by(_restore, [(source, state_of(source)) for source, _ in self._states])
        _restore(self._states)


def _restore(states: States) -> None:
    for source, state in states:
        restore_state(source, state)
