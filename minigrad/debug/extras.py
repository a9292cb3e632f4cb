"""What few nodes have: hooks, a gradient that is retained, and what observers note.

The backward pass asks the extras of a node, if it has any, when a gradient arrives and before the
contributions to the inputs leave.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.core.contributions import OutputGradients, SlicedGradient, fit
from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array, Node, next_number
from minigrad.core.tensors import Tensor, as_array, as_tensor, method
from minigrad.restoring import Restoring

__all__ = ["HookHandle", "NodeExtras", "extras_of"]


class HookHandle(Restoring):
    """A registered hook. `remove()` takes it out again, and so does the end of a `with` block."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        super().__init__()
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        """Take the hook out; once is enough, twice does no harm."""
        self._hooks.pop(self._key, None)

    def begin(self) -> "HookHandle":
        """The hook is in already."""
        try:
            self.undone_by(self.remove)
        except BaseException:
            self.remove()
            raise
        return self


def add_hook(hooks: dict[int, Any], hook: Callable[..., Any]) -> HookHandle:
    """Register a hook and return the handle that removes it."""
    if not callable(hook):
        raise TypeError(f"register_hook: hook must be callable, got {type(hook).__name__}")
    key = next_number()
    handle = HookHandle(hooks, key)
    hooks[key] = hook
    return handle


def fit_all(node: Node, contributions: Sequence[Array | None]) -> list[Array | None]:
    """The contributions to all inputs of a node, each fitted to its input, and no slices."""
    fitted: list[Array | None] = []
    for source, part in zip(node.inputs, contributions, strict=True):
        if part.__class__ is SlicedGradient:
            part = part.dense()
        if source is not None and part is not None:
            part = fit(part, source, node.plan.name)
        fitted.append(part if source is not None else None)
    return fitted


class NodeExtras:
    """The extras of one node.

    Attributes:
        hooks: the hooks of the tensor, by their keys; `node_hooks`: those of the node itself.
        retain: whether a backward pass adds the gradient up in `grad`.
        notes: what observers note about the node, each under a key of its own; the attributes of
            the notes can be read as if they were these extras' own.
    """

    __slots__ = ("grad", "hooks", "node_hooks", "notes", "retain")

    def __init__(self) -> None:
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.node_hooks: dict[int, Callable[[Any, Any], Any]] = {}
        self.retain = False
        self.grad: Any = None
        self.notes: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        for note in () if name == "notes" else self.notes.values():
            if hasattr(note, name):
                return getattr(note, name)
        raise AttributeError(f"nothing was noted as {name!r} about this node")

    def arrive(self, node: Node, g: Array) -> Array:
        """The whole gradient of the tensor after its hooks."""
        recorded = isinstance(g, Tensor)
        for hook in list(self.hooks.values()):
            replacement = hook(as_tensor(g))
            if replacement is None:
                continue
            replacement = as_tensor(replacement) if recorded else np.asarray(as_array(replacement))
            if replacement.shape != node.shape:
                raise ShapeError(
                    f"hook on {node.where}: must return None or a gradient of shape "
                    f"{node.shape}, got {describe(replacement)}"
                )
            g = replacement if replacement.dtype == node.dtype else replacement.astype(node.dtype)
        return g

    def leave(
        self, node: Node, g: Array, contributions: Sequence[Array | None]
    ) -> Sequence[Array | None]:
        """What the node sends to its inputs, after its hooks; they get its outputs' gradients."""
        sent = tuple(g.slots.values()) if isinstance(g, OutputGradients) else (g,)
        recorded = any(isinstance(part, Tensor) for part in sent)
        for hook in list(self.node_hooks.values()):
            outputs = tuple(map(as_tensor, g.dense() if isinstance(g, OutputGradients) else sent))
            parts = fit_all(node, contributions)
            replaced = hook(tuple(None if p is None else as_tensor(p) for p in parts), outputs)
            if replaced is None:
                continue
            if not isinstance(replaced, tuple) or len(replaced) != len(parts):
                raise ShapeError(
                    f"hook on {node.where}: must return None or a tuple of {len(parts)} gradients, "
                    f"one per input, got {describe(replaced)}"
                )
            contributions = [part if recorded else as_array(part) for part in replaced]
        return contributions


def extras_of(node: Node) -> NodeExtras:
    """The extras of a node, made when there are none."""
    if node.extras is None:
        node.extras = NodeExtras()
    extras: NodeExtras = node.extras
    return extras


@method
def retain_grad(self: Tensor) -> Tensor:
    """Keep the gradient of this computed tensor in `.grad`, as a leaf does.

    Every backward that passes through it adds up there; transforms leave it alone.

    Raises:
        GradientError: when the tensor does not require grad.
    """
    extras_of(self._recorded("retain_grad")).retain = True
    return self


@method
def register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> HookHandle:
    """Call `hook(gradient)` with the whole gradient of this tensor during backward.

    Args:
        hook: gets the gradient as a Tensor; what it returns, if not None, replaces it.

    Returns:
        A handle: `handle.remove()` takes the hook out again, and so does the end of a block
        ``with t.register_hook(hook): ...``.

    Raises:
        GradientError: when the tensor does not require grad.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> with x.register_hook(lambda g: 10 * g):
    ...     (x * x).sum().backward()
    >>> x.grad
    Tensor([20., 40.], f32[2])
    """
    return add_hook(extras_of(self._recorded("register_hook")).hooks, hook)


def register_node_hook(
    self: Node, hook: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]
) -> HookHandle:
    """Call `hook(input_gradients, output_gradients)` when backward goes through this node.

    Args:
        hook: gets two tuples of Tensors: one gradient per input (None for a constant) and one
            per output. A tuple that it returns replaces the gradients of the inputs.

    Returns:
        A handle that removes the hook.
    """
    return add_hook(extras_of(self).node_hooks, hook)


Node.register_hook = register_node_hook
