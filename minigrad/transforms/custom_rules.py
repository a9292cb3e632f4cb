"""Functions with a derivative of the user's own, and none at all."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.blocks import is_recording
from minigrad.core.contributions import output_node
from minigrad.core.conversion import to_array
from minigrad.core.errors import GradientError, ShapeError, describe
from minigrad.core.modes import ModeChange, current_mode
from minigrad.core.nodes import Node, make_node
from minigrad.core.tensors import Tensor, wrap
from minigrad.debug.calls import ReplayObserver, is_kept, note_function
from minigrad.ops.pytree import labelled_leaves, map_leaves, replace_leaves

__all__ = ["CustomFunction", "custom_vjp", "stop_gradient"]

Rule = Callable[..., Any]


def stop_gradient(tree: Any) -> Any:
    """The same values as constants: nothing flows back through them.

    Args:
        tree: a tensor, or a container of tensors; anything else in it stays as it is.

    >>> import minigrad as mg
    >>> mg.grad(lambda x: x * mg.stop_gradient(x))(3.0).item()
    3.0
    """
    return map_leaves(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)


def custom_vjp(function: Callable[..., Any]) -> "CustomFunction":
    """Give a Python function a derivative of your own.

    The function runs on plain tensors (`float(x)`, `x.numpy()` and any library may be used) and
    returns a tensor, an array or a container of them. Its rule is declared with ``.vjp``:

    - The names of its parameters say what it reads: `g`, the gradient of the output; `y`, the
      output; parameters of the function by their names. Only that is kept.
    - It returns one gradient per parameter of the function, as a tuple, or just the gradient when
      there is one parameter; None for a parameter that has none. Gradients are nested like the
      argument, and `g` like the output, with zeros where an output is unused.
    - It runs on tensors and is recorded when the derivative itself is to be differentiated. So it
      must compute with minigrad or NumPy functions, and from what it reads alone: an intermediate
      value that it needs is returned by the function as one more output.

    Raises:
        ValueError: for a function with a parameter called `g` or `y`.

    >>> import minigrad as mg
    >>> @mg.custom_vjp
    ... def round_through(x):
    ...     return np.round(x.numpy())
    >>> @round_through.vjp
    ... def straight_through(g):
    ...     return g
    >>> mg.grad(lambda x: round_through(x) ** 2)(1.7).item()
    4.0
    """
    return CustomFunction(function)


class CustomFunction:
    """What `custom_vjp` makes: called like the function, with its own derivative."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"custom_vjp: takes a function, got {type(function).__name__}")
        functools.update_wrapper(self, function)
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)
        self.signature = inspect.signature(function)
        self.rule: Rule | None = None
        self.read: tuple[str, ...] = ()
        for name in ("g", "y"):
            if name in self.signature.parameters:
                raise ValueError(
                    f"custom_vjp: a parameter of {self.name} is called {name!r}, which stands for "
                    f"the {'gradient of the output' if name == 'g' else 'output'} in its rule; "
                    "name it otherwise."
                )

    def vjp(self, rule: Rule) -> Rule:
        """Declare the rule; usable as a decorator.

        Raises:
            ValueError: when it asks for something else than `g`, `y` and the parameters.
        """
        read = tuple(inspect.signature(rule).parameters)
        known = ("g", "y", *self.signature.parameters)
        for name in read:
            if name not in known:
                raise ValueError(
                    f"custom_vjp: the rule of {self.name} asks for {name!r}; it may read "
                    f"{', '.join(known)}"
                )
        self.rule, self.read = rule, read
        return rule

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is not None:
            raise TypeError(
                f"custom_vjp: {self.name} is declared inside a class; declare it outside, and pass "
                "it the tensors of the object that it needs."
            )
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        plain = map_leaves(
            lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, arguments
        )
        result = self._run(plain)
        if not is_recording():
            return result
        outputs = [leaf for _, leaf in labelled_leaves(result) if isinstance(leaf, Tensor)]
        if any(leaf._node is not None for leaf in outputs):
            raise GradientError(
                f"{self.name}: the result depends on a tensor that requires grad and is not among "
                "the arguments, for which its rule gives no gradient. Pass it as an argument, or "
                "detach it inside."
            )
        on_tape = [
            leaf
            for _, leaf in labelled_leaves(arguments)
            if isinstance(leaf, Tensor) and leaf._node is not None
        ]
        if not on_tape:
            return result
        if self.rule is None:
            raise GradientError(
                f"{self.name}: has no derivative yet; declare a rule with @{self.name}.vjp"
            )
        return self._record(arguments, plain, result)

    def _run(self, plain: dict[str, Any]) -> Any:
        """Run the function; replay knows it as one call, whatever it computes inside."""

        def run(arguments: dict[str, Any]) -> Any:
            call = inspect.BoundArguments(self.signature, arguments)
            return map_leaves(_as_tensor, self.function(*call.args, **call.kwargs))

        mode = current_mode()
        if not is_kept():
            return run(plain)
        with ModeChange(observers=mode.without(ReplayObserver)):
            result = run(plain)
        note_function(self.name, run, plain, result, mode)
        return result

    def _record(self, arguments: Any, plain: Any, result: Any) -> Any:
        """Put a node on the tape whose outputs are the floating tensors in the result."""
        leaves = [leaf for _, leaf in labelled_leaves(result)]
        outputs = {
            i: leaf
            for i, leaf in enumerate(leaves)
            if isinstance(leaf, Tensor) and leaf.dtype.kind == "f"
        }
        if not outputs:
            return result
        plan = CustomPlan(self, arguments, result, tuple(outputs))
        kept = {name: plain[name] for name in self.read if name in plain}
        shapes = tuple(out.shape for out in outputs.values())
        dtypes = tuple(out.dtype for out in outputs.values())
        node = make_node(
            plan,
            plan.sources(arguments),
            shapes if plan.several else shapes[0],
            dtypes if plan.several else dtypes[0],
        )
        node.saved = (kept, [_array_of(leaf) for leaf in leaves] if "y" in self.read else None)
        for k, (i, out) in enumerate(outputs.items()):
            leaves[i] = wrap(out._array, output_node(node, k) if plan.several else node)
        return replace_leaves(result, leaves)


def _as_tensor(leaf: Any) -> Any:
    """Arrays and floats that a function returned as tensors; anything else as it is."""
    return wrap(to_array(leaf), None) if isinstance(leaf, (float, np.generic, np.ndarray)) else leaf


def _array_of(leaf: Any) -> Any:
    return leaf._array if isinstance(leaf, Tensor) else leaf


class CustomPlan:
    """How gradients flow back through one call of a function with a rule of its own."""

    view = False

    def __init__(
        self, custom: CustomFunction, arguments: dict[str, Any], result: Any, places: Sequence[int]
    ) -> None:
        self.custom = custom
        self.name = custom.name
        self.places = places  # of the outputs among the leaves of the result
        self.several = len(places) > 1
        count = len(labelled_leaves(result))
        self.result = replace_leaves(result, range(count))
        self.labels: dict[str, list[tuple[str, int | None]]] = {}  # of each leaf its input slot
        slots: list[int] = []
        total = 0
        for name, tree in arguments.items():
            entries: list[tuple[str, int | None]] = []
            for label, leaf in labelled_leaves(tree):
                on_tape = isinstance(leaf, Tensor) and leaf._node is not None
                entries.append((label, total if on_tape else None))
                if on_tape:
                    if name in custom.read:
                        slots.append(total)
                    total += 1
            self.labels[name] = entries
        self.saved_slots = tuple(slots)

    @staticmethod
    def sources(arguments: Any) -> tuple[Node, ...]:
        """The nodes of the arguments that require grad."""
        return tuple(
            leaf._node
            for _, leaf in labelled_leaves(arguments)
            if isinstance(leaf, Tensor) and leaf._node is not None
        )

    def vjp(self, node: Node, g: Any) -> Sequence[Any]:
        """Run the rule on plain tensors."""
        return [_array_of(part) for part in self._vjp(node, g, recorded=False)]

    def vjp_recorded(self, node: Node, g: Any) -> Sequence[Any]:
        """Run the rule on tensors in their places in the graph, unless it is only watched."""
        return self._vjp(node, g, recorded=is_recording())

    def _vjp(self, node: Node, g: Any, recorded: bool) -> Sequence[Any]:
        assert node.saved is not None
        kept, output_arrays = node.saved
        grads = g.dense() if self.several else (g,)
        available: dict[str, Any] = dict(kept)
        if recorded:
            for name, tree in kept.items():
                available[name] = self._placed(node, name, tree)
        if "y" in self.custom.read:
            values = list(output_arrays)
            for k, i in enumerate(self.places):
                place = (output_node(node, k) if self.several else node) if recorded else None
                values[i] = wrap(values[i], place)
            available["y"] = replace_leaves(self.result, values)
        if "g" in self.custom.read:
            slots: list[Any] = [None] * len(labelled_leaves(self.result))
            for i, part in zip(self.places, grads, strict=True):
                slots[i] = part if isinstance(part, Tensor) else wrap(part, None)
            available["g"] = replace_leaves(self.result, slots)
        assert self.custom.rule is not None
        with ModeChange(recording=recorded):
            returned = self.custom.rule(**{name: available[name] for name in self.custom.read})
        return self._sorted(node, returned)

    def _placed(self, node: Node, name: str, tree: Any) -> Any:
        """An argument whose tensors have their places in the graph again."""
        leaves = []
        for (_, slot), (_, leaf) in zip(self.labels[name], labelled_leaves(tree), strict=True):
            leaves.append(leaf if slot is None else wrap(leaf._array, node.inputs[slot]))
        return replace_leaves(tree, leaves)

    def _sorted(self, node: Node, returned: Any) -> list[Any]:
        """What the rule returned, by input slots."""
        names = list(self.labels)
        if len(names) == 1 and not (isinstance(returned, tuple) and len(returned) == 1):
            returned = (returned,)
        if not isinstance(returned, tuple) or len(returned) != len(names):
            raise ShapeError(
                f"the rule of {self.name} must return a tuple of {len(names)} gradients, for "
                f"{', '.join(names)} (None for one without a gradient), got {describe(returned)}"
            )
        parts: list[Any] = [None] * len(node.inputs)
        for name, gradient in zip(names, returned, strict=True):
            if gradient is None:
                continue
            entries = self.labels[name]
            found = labelled_leaves(gradient)
            if [label for label, _ in found] != [label for label, _ in entries]:
                raise ShapeError(
                    f"the rule of {self.name}: the gradient for {name} must be nested like the "
                    f"argument, with {len(entries)} entries, got {describe(gradient)}"
                )
            for (_, slot), (_, part) in zip(entries, found, strict=True):
                if slot is not None:
                    parts[slot] = part
        return parts
