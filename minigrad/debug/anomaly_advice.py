"""What to do about a result or a gradient that is not finite: the advice in anomaly messages."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.core.contributions import OutputGradients, SlicedGradient
from minigrad.core.nodes import Array, Node

__all__ = ["backward_advice", "came_from_zero", "forward_advice"]

_CHOOSE = (
    "choose its input first, np.where(m, f(np.where(m, x, 1.0)), other), with a number in the "
    "place of 1.0 at which f and its slope are finite, or compute the chosen places alone, "
    "y[m] = f(x[m])"
)
_LOG = (
    "Keep its input above 0 (np.maximum(x, 1e-12)), or take the logarithm of a softmax or sigmoid "
    "with log_softmax or log_sigmoid."
)
FORWARD = {
    "log": _LOG,
    "log2": _LOG,
    "log10": _LOG,
    "divide": "Keep the divisor away from 0.",
    "reciprocal": "Keep its input away from 0.",
    "exp": "It overflows: subtract the maximum first, or use softmax or logsumexp.",
    "sqrt": "Its input must not be negative.",
    "arcsin": "Its input must lie within -1 and 1.",
    "arccos": "Its input must lie within -1 and 1.",
    "power": "A negative number has no fractional power, and 0 no negative one.",
    "matmul": "The products overflow: are the weights growing? A lower learning rate and clipped "
    "gradients help.",
    "multiply": "The product overflows, or 0 met infinity.",
}
_SOFTER = (
    "If its input gets there by rounding, or the slope is meant to be finite there, add a small "
    "positive number to it"
)
BACKWARD = {
    "sqrt": f"The slope of sqrt is infinite at 0. {_SOFTER}.",
    "power": f"The slope of a power below 1 is infinite at 0. {_SOFTER}.",
    "log": "The slope of log grows without bound towards 0: keep its input away from 0.",
    "divide": "The slope of a quotient grows without bound as the divisor nears 0.",
    "arcsin": "The slope of arcsin is infinite at -1 and 1: keep its input inside.",
    "arccos": "The slope of arccos is infinite at -1 and 1: keep its input inside.",
}
_VECTORS = (
    "{0} of equal values are determined up to a rotation only, so a function that depends on which "
    "were chosen has no derivative. Those that do not have one: of the values alone ({1}), of the "
    "matrix rebuilt ({2}), of projections onto all vectors of one value."
)
DECOMPOSITIONS = {
    "eigh": _VECTORS.format("Eigenvectors", "eigvalsh", "(v * w) @ v.T"),
    "svd": _VECTORS.format("Singular vectors", "svdvals", "(u * s) @ vh"),
    "equal_values": "Where eigenvalues or singular values are equal, decompositions have first "
    "derivatives alone. Move the values apart, or differentiate once.",
}
_NOT_A_BRANCH = ("matmul", "multiply")  # masking the input of these is no way out
_CHOOSERS = frozenset({"where", "getitem", "setitem", "maximum", "minimum", "clip", "relu"})


def forward_advice(name: str) -> str:
    """What usually helps when an operation makes NaN or infinity of finite numbers."""
    advice = FORWARD.get(name, "")
    if not advice or name in _NOT_A_BRANCH:
        return advice
    return f"{advice} If `where` leaves these places out later, {_CHOOSE}."


def backward_advice(
    node: Node, masked: bool, senders: Mapping[Node, Sequence[Node]], bad_values: bool = False
) -> str:
    """What usually helps when a node makes NaN or infinity of a finite gradient.

    Args:
        node: the operation.
        masked: whether NaN arose of gradients that were 0, see `came_from_zero`.
        senders: of each node, those that sent gradients to it.
        bad_values: whether its values in the forward pass were not finite.
    """
    if node.plan.name in DECOMPOSITIONS and not bad_values:
        return DECOMPOSITIONS[node.plan.name]
    chooser = _chooser(node, senders) if masked else None
    if bad_values and chooser is None:
        return "Numbers in the forward pass were not finite here: begin with those."
    if masked:
        if chooser is not None:
            return (
                f"The gradient that arrives is 0 at these places, because `{chooser}` did not take "
                "them, and 0 times an infinite slope is NaN: adding a small number would only hide "
                f"it. Instead {_CHOOSE}."
            )
        return (
            "The gradient that arrives is 0 at these places, and 0 times an infinite slope is NaN. "
            f"If they are masked afterwards, {_CHOOSE}."
        )
    return BACKWARD.get(node.plan.name, "")


def came_from_zero(g: Array, part: Array) -> bool:
    """Whether NaN stands only where the arriving gradient is 0: the slope there does not count."""
    if isinstance(g, OutputGradients) or isinstance(part, OutputGradients):
        return False
    gradient, sent = (_numbers(one) for one in (g, part))
    spoiled = np.isnan(sent)
    if not spoiled.any() or np.isinf(sent).any():
        return False
    if gradient.shape == sent.shape:
        return not gradient[spoiled].any()
    # The sum over broadcast axes hides where the NaN arose.
    return gradient.size > 0 and not gradient.all() and gradient.ndim >= sent.ndim


def _numbers(value: Any) -> "np.ndarray[Any, Any]":
    value = value.dense() if isinstance(value, SlicedGradient) else value
    return np.asarray(getattr(value, "_array", value))


def _chooser(node: Node, senders: Mapping[Node, Sequence[Node]]) -> str | None:
    """The nearest operation after a node that leaves elements out; `where` before all others."""
    found: str | None = None
    seen, level = {node}, [node]
    while level:
        names = [n.plan.name for n in level if n is not node]
        if "where" in names:
            return "where"
        found = found or next((name for name in names if name in _CHOOSERS), None)
        after = [later for n in level for later in senders.get(n, ()) if later not in seen]
        level = list(dict.fromkeys(after))
        seen.update(level)
    return found
