"""One run of a function for a transform, and derivatives of it in both directions."""

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np
from numpy import ndarray

from minigrad.core.backward import own, seed_gradient
from minigrad.core.blocks import is_recording
from minigrad.core.conversion import to_array
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.pruning import Handle, needed_nodes
from minigrad.ops.pytree import labelled_leaves, map_leaves, replace_leaves
from minigrad.transforms.passes import observed_pull_back

__all__ = ["ArgNums", "Pushforward", "Trace"]

ArgNums = int | Sequence[int]


def as_tensor(g: Any) -> Tensor:
    """A gradient as a tensor."""
    return g if isinstance(g, Tensor) else wrap(own(g), None)


def on_tape(values: Sequence[Any]) -> bool:
    """Whether any of the values is a tensor that requires grad."""
    return any(isinstance(value, Tensor) and value._node is not None for value in values)


class Trace:
    """One run of a function on fresh handles of the arguments to differentiate by.

    Attributes:
        what: the name of the transform, for messages.
        trees: the arguments to differentiate by, as they were given.
        handles: one for each array in them; None for each None.
        result: what the function returned.
        outputs: the arrays in it, as tensors.
    """

    def __init__(
        self,
        what: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        argnums: Sequence[int],
        kwargs: dict[str, Any],
    ) -> None:
        self.what = what
        self.function = function
        self.trees = [args[i] for i in argnums]
        self.handles: list[Handle | None] = []
        call = list(args)
        connected = is_recording()
        for i in argnums:
            leaves = []
            for label, value in labelled_leaves(args[i], f"argument {i}"):
                tensor = None if value is None else self._take(value, label, connected)
                self.handles.append(None if tensor is None else tensor._node)  # type: ignore[arg-type]
                leaves.append(tensor)
            call[i] = replace_leaves(args[i], leaves)
        try:
            with ModeChange(recording=True):
                self.result = function(*call, **kwargs)
        finally:
            for handle in self.handles:
                if handle is not None:
                    handle.live = False
        self.outputs = [
            leaf if isinstance(leaf, Tensor) else wrap(self._plain(leaf, label), None)
            for label, leaf in labelled_leaves(self.result, "the result")
            if leaf is not None
        ]
        nodes = [out._node for out in self.outputs if out._node is not None]
        self.targets = {handle for handle in self.handles if handle is not None}
        self.needed, self.beyond = needed_nodes(nodes, self.targets)

    def _take(self, value: Any, label: str, connected: bool) -> Tensor:
        """A fresh tensor of an input; linked to the input's own place in the graph, if any."""
        source = None
        if isinstance(value, Tensor):
            array, source = value._array, value._node if connected else None
            for observer in current_mode().observers:
                observer.leave(value)
        elif isinstance(value, (bool, int)):
            raise DtypeError(
                f"{self.what}: {label} is the {type(value).__name__} {value!r}, and derivatives "
                f"need floating numbers. Write {float(value)!r}, or keep it out of the arguments "
                "to differentiate by (argnums, or close over it)."
            )
        elif isinstance(value, (float, np.generic, ndarray)):
            array = to_array(value)
        else:
            raise DtypeError(
                f"{self.what}: {label} is a {type(value).__name__} {describe(value)}, and "
                "derivatives are taken by tensors, arrays, floats and containers of them. Keep it "
                "out of the arguments to differentiate by (argnums, or close over it)."
            )
        if array.dtype.kind != "f":
            fix = (
                "Differentiate by the real and the imaginary part as two real arrays."
                if array.dtype.kind == "c"
                else "Convert it with .astype(float), or keep it out of the arguments to "
                "differentiate by (argnums, or close over it)."
            )
            raise DtypeError(
                f"{self.what}: {label} is {describe(array)}, and derivatives need a floating "
                f"dtype. {fix}"
            )
        return wrap(array, Handle(source, array.shape, array.dtype))

    def _plain(self, value: Any, label: str) -> "ndarray[Any, Any]":
        """A constant that the function returned, as an array."""
        if not isinstance(value, (bool, int, float, np.generic, ndarray)):
            raise DtypeError(
                f"{self.what}: {label} of {name_of(self.function)} is a {type(value).__name__} "
                f"{describe(value)}; it must be a tensor or a container of tensors."
            )
        return to_array(value)

    def settle(self, leaf: Any) -> Any:
        """A result as it leaves the transform: off the tape if nothing beyond is on it."""
        if not isinstance(leaf, Tensor) or leaf._node is None:
            return leaf
        return leaf if is_recording() and leaf._node in self.beyond else leaf.detach()

    def is_connected(self, outputs: Sequence[Tensor], seeds: Sequence[Any] = ()) -> bool:
        """Whether derivatives of these outputs must stay on the tape."""
        if not is_recording():
            return False
        return on_tape(seeds) or any(out._node in self.beyond for out in outputs)

    def vjp(
        self,
        outputs: Sequence[Tensor],
        seeds: Sequence[Any],
        recorded: bool | None = None,
        last: bool = False,
    ) -> list[Tensor | None]:
        """The gradient by each handle, zero where no output depends on it.

        Args:
            outputs: some of the run's outputs.
            seeds: the gradient of each to start from.
            recorded: record the derivative; None does so when it must stay on the tape.
            last: nothing will be pulled again, so saved arrays may be freed on the way.
        """
        if recorded is None:
            recorded = self.is_connected(outputs, seeds)
        found = observed_pull_back(
            [
                (out._node, seed_gradient(out, seed))
                for out, seed in zip(outputs, seeds, strict=True)
                if out._node is not None
            ],
            self.targets,
            self.needed,
            # Without anything beyond, no one else can reach the nodes of this trace.
            retain=recorded or not last or bool(self.beyond),
            recorded=recorded,
        )
        return [
            None
            if handle is None
            else as_tensor(found[handle])
            if handle in found
            else wrap(np.zeros(handle.shape, handle.dtype), None)
            for handle in self.handles
        ]

    def arrange(self, leaves: Sequence[Any], single: bool) -> Any:
        """One value per handle, in the containers of the arguments."""
        parts, start = [], 0
        for tree in self.trees:
            count = len(labelled_leaves(tree))
            parts.append(replace_leaves(tree, leaves[start : start + count]))
            start += count
        return parts[0] if single else tuple(parts)


class Pushforward:
    """The derivative of a run along directions, by differentiating its pullback."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.weights = [Handle(None, out.shape, out.dtype) for out in trace.outputs]
        seeds = [wrap(np.zeros(w.shape, w.dtype), w) for w in self.weights]
        pulled = trace.vjp(trace.outputs, seeds, recorded=True)
        for weight in self.weights:
            weight.live = False
        self.pulled = [g for g in pulled if g is not None]
        nodes = [g._node for g in self.pulled if g._node is not None]
        self.needed, _ = needed_nodes(nodes, self.weights)

    def __call__(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """The tangent of each output, from one vector per input."""
        recorded = self.trace.is_connected(self.trace.outputs, vectors)
        found = observed_pull_back(
            [
                (g._node, seed_gradient(g, vector))
                for g, vector in zip(self.pulled, vectors, strict=True)
                if g._node is not None
            ],
            self.weights,
            self.needed,
            recorded=recorded,
        )
        return [
            as_tensor(found[w]) if w in found else wrap(np.zeros(w.shape, w.dtype), None)
            for w in self.weights
        ]


def name_of(function: Callable[..., Any]) -> str:
    """What to call a function in messages."""
    return getattr(function, "__name__", type(function).__name__)


def check_function(what: str, function: Any) -> None:
    """Refuse what is not a function, above all the result of calling one."""
    if isinstance(function, Tensor):
        raise TypeError(
            f"{what}: takes a function and was given its result, a Tensor. Pass the function "
            "itself, or use minigrad.gradients(output, inputs) on a graph already recorded."
        )
    if not callable(function):
        raise TypeError(f"{what}: takes a function, got {type(function).__name__}")


def chosen(what: str, argnums: ArgNums, args: Sequence[Any]) -> tuple[int, ...]:
    """The positions to differentiate by, counted from 0.

    Raises:
        ValueError: for a position without an argument, or one named twice.
    """
    try:
        numbers = [index(n) for n in ([argnums] if isinstance(argnums, int) else argnums)]
    except TypeError:
        raise TypeError(
            f"{what}: argnums must be an integer or a sequence of them, got {argnums!r}"
        ) from None
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise ValueError(
                f"{what}: argnums names argument {number}, but the call has {len(args)} positional "
                "arguments; one passed by keyword cannot be differentiated by."
            )
    positions = tuple(number % len(args) for number in numbers)
    if len(set(positions)) < len(positions):
        raise ValueError(f"{what}: argnums {tuple(numbers)} names an argument twice")
    return positions


def replace_outputs(trace: Trace, values: Sequence[Any]) -> Any:
    """One value per output, in the containers of the function's result."""
    fresh = iter(values)
    return map_leaves(lambda leaf: None if leaf is None else next(fresh), trace.result)


def fitting(what: str, given: Any, tree: Any, values: Sequence[Any]) -> list[Any]:
    """Vectors nested and shaped like given values, in their dtypes, one for each of them.

    Raises:
        ShapeError: when the nesting or a shape differs.
    """
    expected = [label for label, leaf in labelled_leaves(tree) if leaf is not None]
    pairs = [(label, leaf) for label, leaf in labelled_leaves(given) if leaf is not None]
    if [label for label, _ in pairs] != expected:
        raise ShapeError(
            f"{what} must be nested like what it belongs to: expected entries "
            f"{', '.join(label or '(one array)' for label in expected)}, got "
            f"{', '.join(label or '(one array)' for label, _ in pairs)}"
        )
    vectors = []
    for (label, vector), value in zip(pairs, values, strict=True):
        if not isinstance(vector, Tensor):
            vector = wrap(to_array(vector, value.dtype), None)
        elif vector.dtype != value.dtype:
            vector = vector.astype(value.dtype)
        if vector.shape != value.shape:
            raise ShapeError(
                f"{what}{label} must have the shape {value.shape} of what it belongs to, got "
                f"{vector.shape}"
            )
        vectors.append(vector)
    return vectors


def as_arguments(what: str, args: Any, tangents: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Arguments and their tangents as tuples; one that is not a tuple is the only argument."""
    if type(args) is not tuple:
        return (args,), (tangents,)
    if type(tangents) is not tuple or len(tangents) != len(args):
        raise ShapeError(
            f"{what}: tangents must be a tuple with one entry for each of the {len(args)} "
            f"arguments, got {describe(tangents)}"
        )
    return args, tangents
