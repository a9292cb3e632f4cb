"""Hooks: functions of the user that see, and may replace, gradients on their way back."""

from collections.abc import Sequence

import numpy as np

from minigrad.core.contributions import OutputGradients, as_array, as_tensor, fit_all
from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array, Node
from minigrad.core.tensors import Tensor

__all__ = ["after_hooks", "after_node_hooks"]


def after_hooks(node: Node, g: Array) -> Array:
    """The whole gradient of a tensor after its hooks."""
    assert node.extras is not None
    recorded = isinstance(g, Tensor)
    for hook in list(node.extras.hooks.values()):
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


def after_node_hooks(
    node: Node, g: Array, contributions: Sequence[Array | None]
) -> Sequence[Array | None]:
    """What a node sends to its inputs, after its hooks; they get the gradients of its outputs."""
    assert node.extras is not None
    recorded = isinstance(g, Tensor)
    outputs = tuple(map(as_tensor, g.dense() if isinstance(g, OutputGradients) else (g,)))
    for hook in list(node.extras.node_hooks.values()):
        parts = fit_all(node, contributions)
        replaced = hook(tuple(None if p is None else as_tensor(p) for p in parts), outputs)
        if replaced is None:
            continue
        if not isinstance(replaced, tuple) or len(replaced) != len(parts):
            raise ShapeError(
                f"hook on {node.where}: must return None or a tuple of {len(parts)} gradients, one "
                f"per input, got {describe(replaced)}"
            )
        contributions = [part if recorded else as_array(part) for part in replaced]
    return contributions
