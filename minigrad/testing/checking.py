"""Compare recorded derivatives with derivatives computed another way."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.errors import describe
from minigrad.mode import ModeChange
from minigrad.tensors import Tensor
from minigrad.transforms import pull_back

__all__ = ["GradientMismatch", "check_gradients"]

SMALL = 24  # inputs up to this size are checked entry by entry, larger ones along directions
COMPLEX_STEP = 1e-40
DIFFERENCE_STEP = 1e-3


class GradientMismatch(AssertionError):
    """A recorded derivative differs from the one computed another way."""


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    analytic: bool | None = None,
    directions: int = 4,
    seed: int = 0,
) -> None:
    """Check the derivatives of `f` with respect to all its floating array arguments.

    The function is computed in float64. Its first derivatives are compared with complex steps
    where it is analytic (exact to rounding), otherwise with extrapolated central differences;
    its second derivatives with extrapolated differences of the first.

    Args:
        f: a function of tensors that returns a tensor, or a list or tuple of them.
        args: arrays, tensors or numbers; those with a floating dtype are differentiated.
        order: 1 or 2.
        rtol, atol: tolerances, relative to the largest derivative compared.
        analytic: whether complex steps may be used; None tries them and compares with differences.
        directions: how many random directions stand for an input of more than 24 elements.
        seed: of the random weights that make a scalar of the outputs.

    Raises:
        GradientMismatch: naming the argument, the direction and both values.
        ValueError: when `order` is not 1 or 2, or no argument can be differentiated.

    >>> check_gradients(np.tanh, np.array([0.5, -1.0]))
    """
    if order not in (1, 2):
        raise ValueError(f"check_gradients: order must be 1 or 2, got {order}")
    generator = np.random.default_rng(seed)
    plain = [a._array if isinstance(a, Tensor) else a for a in args]
    values = [np.asarray(a, np.float64) if _is_floating(a) else a for a in plain]
    slots = [i for i, a in enumerate(plain) if _is_floating(a)]
    if not slots:
        raise ValueError("check_gradients: no argument is floating, so there is nothing to check")
    weights = [generator.standard_normal(np.shape(out)) for out in _evaluate(f, values)]

    def scalar(point: Sequence[Any]) -> Any:
        outs = _evaluate(f, point)
        return sum(((w * out).sum() for w, out in zip(weights, outs, strict=True)), 0.0)

    def first(point: Sequence[Any], create_graph: bool = False) -> tuple[list[Any], list[Tensor]]:
        tensors = [Tensor(v, requires_grad=True) if i in slots else v for i, v in enumerate(point)]
        outs = f(*tensors)
        outs = list(outs) if isinstance(outs, (list, tuple)) else [outs]
        leaves = [tensors[i] for i in slots]
        nodes = [leaf._recorded("check_gradients") for leaf in leaves]
        found, _ = pull_back(
            outs,
            [w.astype(o.dtype) for w, o in zip(weights, outs, strict=True)],
            nodes,
            create_graph,
        )
        grads = [
            found.get(node, np.zeros(leaf.shape)) for node, leaf in zip(nodes, leaves, strict=True)
        ]
        return grads, leaves

    grads, _ = first(values)
    for k, slot in enumerate(slots):
        for name, v in _directions(np.shape(values[slot]), directions, generator):
            expected = _slope(scalar, values, slot, v, analytic)
            _compare(
                f"argument {slot} ({name})",
                1,
                float((grads[k] * v).sum()),
                expected,
                rtol,
                atol,
                _scale(grads[k]),
            )
    if order == 1:
        return
    weights2 = [generator.standard_normal(np.shape(g)) for g in grads]

    def gradient_scalar(point: Sequence[Any]) -> Any:
        found, _ = first(point)
        return sum(((w * g).sum() for w, g in zip(weights2, found, strict=True)), 0.0)

    recorded, leaves = first(values, create_graph=True)
    for g, plain_g in zip(recorded, grads, strict=True):
        if not np.allclose(getattr(g, "_array", g), plain_g, rtol=rtol, atol=atol, equal_nan=True):
            raise GradientMismatch(
                "the gradient computed with create_graph=True differs from the plain one: "
                f"{describe(g)}"
            )
    parts = [(w * g).sum() for w, g in zip(weights2, recorded, strict=True)]
    outs = [p for p in parts if isinstance(p, Tensor) and p.requires_grad]
    nodes = [leaf._node for leaf in leaves if leaf._node is not None]
    second, _ = pull_back(outs, [None] * len(outs), nodes, False) if outs else ({}, False)
    for k, slot in enumerate(slots):
        g2 = second.get(nodes[k], np.zeros(np.shape(values[slot])))
        for name, v in _directions(np.shape(values[slot]), directions, generator):
            expected = _extrapolated(gradient_scalar, values, slot, v)
            _compare(
                f"argument {slot} ({name})",
                2,
                float((g2 * v).sum()),
                expected,
                rtol * 10,
                atol * 10,
                _scale(g2),
            )


def _is_floating(value: Any) -> bool:
    return isinstance(value, float) or getattr(getattr(value, "dtype", None), "kind", "") == "f"


def _scale(g: Any) -> float:
    return float(np.abs(g).max()) if np.size(g) else 0.0


def _evaluate(f: Callable[..., Any], point: Sequence[Any]) -> list[Any]:
    """The outputs as arrays, nothing recorded."""
    with ModeChange(recording=False):
        tensors = [Tensor(v) if isinstance(v, np.ndarray) else v for v in point]
        outs = f(*tensors)
    outs = outs if isinstance(outs, (list, tuple)) else [outs]
    return [getattr(out, "_array", out) for out in outs]


def _directions(shape: tuple[int, ...], count: int, generator: Any) -> list[tuple[str, Any]]:
    """Unit vectors for small inputs; random unit directions for large ones."""
    size = int(np.prod(shape))
    if size <= SMALL:
        out = []
        for i in range(size):
            v = np.zeros(size)
            v[i] = 1.0
            index = tuple(int(k) for k in np.unravel_index(i, shape))
            out.append((f"entry {list(index)}" if shape else "value", v.reshape(shape)))
        return out
    vectors = [generator.standard_normal(shape) for _ in range(count)]
    return [(f"random direction {i}", v / np.linalg.norm(v)) for i, v in enumerate(vectors)]


def _moved(values: Sequence[Any], slot: int, move: Any) -> list[Any]:
    return [v + move if i == slot else v for i, v in enumerate(values)]


def _slope(scalar: Any, values: Sequence[Any], slot: int, v: Any, analytic: bool | None) -> float:
    if analytic is False:
        return _extrapolated(scalar, values, slot, v)
    try:
        moved = scalar(_moved(values, slot, 1j * COMPLEX_STEP * v))
        step = float(np.imag(moved) / COMPLEX_STEP)
    except (TypeError, ValueError):
        if analytic:
            raise
        return _extrapolated(scalar, values, slot, v)
    if analytic:
        return step
    # A function that is not analytic (abs, max) takes the complex step without complaint, so it
    # counts only where differences agree with it.
    plain = _extrapolated(scalar, values, slot, v)
    return step if abs(step - plain) <= 1e-5 * max(1.0, abs(plain)) else plain


def _extrapolated(scalar: Any, values: Sequence[Any], slot: int, v: Any) -> float:
    """Central differences at three step sizes, extrapolated to step 0 (Richardson)."""

    def central(h: float) -> float:
        up, down = scalar(_moved(values, slot, h * v)), scalar(_moved(values, slot, -h * v))
        return float((up - down) / (2 * h))

    h = DIFFERENCE_STEP
    d1, d2, d3 = central(h), central(h / 2), central(h / 4)
    e1, e2 = (4 * d2 - d1) / 3, (4 * d3 - d2) / 3
    return (16 * e2 - e1) / 15


def _compare(
    what: str, order: int, got: float, expected: float, rtol: float, atol: float, scale: float
) -> None:
    if np.isnan(got) and np.isnan(expected):
        return
    bound = atol + rtol * max(abs(expected), scale, 1e-3)
    if not abs(got - expected) <= bound:
        raise GradientMismatch(
            f"derivative of order {order} with respect to {what}: the recorded rules give {got!r}, "
            f"expected {expected!r} (difference {abs(got - expected):.3g}, allowed {bound:.3g})"
        )
