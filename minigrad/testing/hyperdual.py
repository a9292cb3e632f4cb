"""Hyper-dual numbers over float64 arrays: a second engine to compare minigrad with.

A `Jet` carries a value, its derivatives along two directions, and its second derivative along
both (Fike and Alonso, "The development of hyper-dual numbers for exact second-derivative
calculations", 2011). Derivatives go forward with the values and are exact to rounding. Nothing
here records anything, and nothing is shared with the tape or with the derivative rules: functions
are linear, bilinear, or applied to each number with their first two derivatives written out; the
rest is composed of these.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from minigrad.core.nodes import Array

__all__ = ["Jet", "bilinear", "elementwise", "linear"]


class Jet:
    """A value with its first derivatives along two directions and its second along both.

    Attributes:
        parts: four arrays of one shape: the value, the two first derivatives, the second one.
    """

    __slots__ = ("parts",)
    __array_ufunc__ = None  # so that an array leaves arithmetic with a jet to the jet

    def __init__(self, value: Any, first: Any = None, second: Any = None, both: Any = None) -> None:
        value = np.asarray(value, np.float64)
        self.parts = tuple(
            np.zeros(value.shape) if part is None else np.asarray(part, np.float64)
            for part in (value, first, second, both)
        )

    @property
    def value(self) -> Array:
        """The value alone."""
        return self.parts[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.parts[0].shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.parts[0].ndim

    @property
    def largest(self) -> float:
        """The largest absolute number among the value and the derivatives."""
        return max(float(np.abs(part).max(initial=0)) for part in self.parts)

    def __add__(self, other: Any) -> "Jet":
        other = jet(other)
        return Jet(*(p + q for p, q in zip(self.parts, other.parts, strict=True)))

    def __neg__(self) -> "Jet":
        return Jet(*(-p for p in self.parts))

    def __sub__(self, other: Any) -> "Jet":
        return self + -jet(other)

    def __rsub__(self, other: Any) -> "Jet":
        return jet(other) + -self

    def __mul__(self, other: Any) -> "Jet":
        return multiply(self, other)

    def __truediv__(self, other: Any) -> "Jet":
        return multiply(self, reciprocal(jet(other)))

    def __rtruediv__(self, other: Any) -> "Jet":
        return multiply(other, reciprocal(self))

    def __matmul__(self, other: Any) -> "Jet":
        return matmul(self, other)

    def __getitem__(self, index: Any) -> "Jet":
        return Jet(*(part[index] for part in self.parts))

    __radd__, __rmul__ = __add__, __mul__


def jet(value: Any) -> Jet:
    """A jet as it is, anything else as a constant."""
    return value if isinstance(value, Jet) else Jet(value)


def linear(function: Callable[..., Any]) -> Callable[..., Jet]:
    """A function that is linear in its first argument, or in all arrays of a list."""

    def applied(x: Any, *args: Any, **params: Any) -> Jet:
        if isinstance(x, (list, tuple)):
            rows = zip(*(jet(item).parts for item in x), strict=True)
            return Jet(*(function(list(row), *args, **params) for row in rows))
        return Jet(*(function(part, *args, **params) for part in jet(x).parts))

    return applied


def bilinear(function: Callable[..., Any]) -> Callable[..., Jet]:
    """A function that is linear in each of its first two arguments: the rule of Leibniz."""

    def applied(x: Any, z: Any, *args: Any, **params: Any) -> Jet:
        def product(p: Array, q: Array) -> Array:
            return function(p, q, *args, **params)

        (x0, x1, x2, x12), (z0, z1, z2, z12) = jet(x).parts, jet(z).parts
        return Jet(
            product(x0, z0),
            product(x1, z0) + product(x0, z1),
            product(x2, z0) + product(x0, z2),
            product(x12, z0) + product(x1, z2) + product(x2, z1) + product(x0, z12),
        )

    return applied


def elementwise(
    function: Callable[..., Any], first: Callable[..., Any], second: Callable[..., Any]
) -> Callable[..., Jet]:
    """A function applied to each number, with its first two derivatives."""

    def applied(x: Any, *args: Any, **params: Any) -> Jet:
        x0, x1, x2, x12 = jet(x).parts
        slope, bend = first(x0, *args, **params), second(x0, *args, **params)
        value = function(x0, *args, **params)
        return Jet(value, slope * x1, slope * x2, slope * x12 + bend * (x1 * x2))

    return applied


def piecewise_linear(function: Callable[..., Any], first: Callable[..., Any]) -> Callable[..., Jet]:
    """A function of each number that is linear away from its kinks."""
    return elementwise(function, first, lambda x, *args, **params: np.zeros(x.shape))


multiply = bilinear(np.multiply)
matmul = bilinear(np.matmul)
reciprocal = elementwise(lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3)
exp = elementwise(np.exp, np.exp, np.exp)
log = elementwise(np.log, lambda x: 1 / x, lambda x: -1 / x**2)
sqrt = elementwise(np.sqrt, lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5)
tanh = elementwise(
    np.tanh, lambda x: np.cosh(x) ** -2, lambda x: -2 * np.tanh(x) * np.cosh(x) ** -2
)
sin = elementwise(np.sin, np.cos, lambda x: -np.sin(x))
absolute = piecewise_linear(np.abs, np.sign)
erf_slope = 2 / math.sqrt(math.pi)
erf = elementwise(
    np.vectorize(math.erf, otypes=[float]),
    lambda x: erf_slope * np.exp(-x * x),
    lambda x: -2 * x * erf_slope * np.exp(-x * x),
)
erfc = elementwise(
    np.vectorize(math.erfc, otypes=[float]),
    lambda x: -erf_slope * np.exp(-x * x),
    lambda x: 2 * x * erf_slope * np.exp(-x * x),
)
sigmoid = elementwise(
    lambda x: 1 / (1 + np.exp(-x)),
    lambda x: np.cosh(x / 2) ** -2 / 4,
    lambda x: -np.tanh(x / 2) * np.cosh(x / 2) ** -2 / 4,
)
softplus = elementwise(
    lambda x, beta=1.0: np.log(1 + np.exp(beta * x)) / beta,
    lambda x, beta=1.0: (1 + np.tanh(beta * x / 2)) / 2,
    lambda x, beta=1.0: beta * np.cosh(beta * x / 2) ** -2 / 4,
)
total = linear(np.sum)
average = linear(np.mean)
# As every NumPy takes it: 2.0 has another name for the shape, and 2.1.0 no order without a name.
reshape = linear(lambda x, shape, order="C": np.reshape(x, shape, order=order))


def where(condition: Array, x: Any, z: Any) -> Jet:
    """A choice that does not depend on the directions."""
    x, z = jet(x), jet(z)
    return Jet(*(np.where(condition, p, q) for p, q in zip(x.parts, z.parts, strict=True)))


def larger(x: Any, z: Any) -> Jet:
    """The larger of two, which must differ."""
    x, z = jet(x), jet(z)
    return where(x.value > z.value, x, z)


def smaller(x: Any, z: Any) -> Jet:
    """The smaller of two, which must differ."""
    return -larger(-jet(x), -jet(z))


# -- over axes -----------------------------------------------------------------------------------


def rows(x: Any, axis: Any) -> tuple[Jet, tuple[int, ...]]:
    """The axes to reduce as one last axis, and the shape of the result with them kept."""
    x = jet(x)
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % max(x.ndim, 1)
    chosen = tuple(int(a) for a in axes)
    others = tuple(a for a in range(x.ndim) if a not in chosen)
    kept = tuple(1 if a in chosen else n for a, n in enumerate(x.shape))
    moved = linear(np.transpose)(x, (*others, *chosen))
    length = math.prod(x.shape[a] for a in chosen)
    return reshape(moved, (*(x.shape[a] for a in others), length)), kept


def reduction(function: Callable[[Jet], Jet]) -> Callable[..., Jet]:
    """From a function that reduces the last axis, one with `axis` and `keepdims`."""

    def applied(x: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> Jet:
        flat, kept = rows(x, axis)
        found = function(flat, **params)
        return reshape(found, kept) if keepdims else found

    return applied


def picked(x: Jet, order: Array) -> Jet:
    """The elements along the last axis at the places that `order` names."""
    return linear(np.take_along_axis)(x, order, -1)


def _log_of_sum(x: Jet) -> Jet:
    top = x.value.max(axis=-1, keepdims=True)
    return log(total(exp(x - top), axis=-1)) + jet(top[..., 0])


def _variance(x: Jet, ddof: float = 0) -> Jet:
    distance = x - average(x, axis=-1, keepdims=True)
    return total(multiply(distance, distance), axis=-1) / (x.shape[-1] - ddof)


def _quantile(x: Jet, q: float = 0.5) -> Jet:
    rising = picked(x, np.argsort(x.value, axis=-1))
    place = q * (x.shape[-1] - 1)
    low = min(int(place), x.shape[-1] - 1)
    high = min(low + 1, x.shape[-1] - 1)
    return rising[..., low] * (1 - (place - low)) + rising[..., high] * (place - low)


prod = reduction(lambda x: reduce(multiply, [x[..., i] for i in range(x.shape[-1])]))
largest = reduction(lambda x: picked(x, x.value.argmax(-1)[..., None])[..., 0])
smallest = reduction(lambda x: picked(x, x.value.argmin(-1)[..., None])[..., 0])
logsumexp = reduction(_log_of_sum)
variance = reduction(_variance)
deviation = reduction(lambda x, **params: sqrt(_variance(x, **params)))
quantile = reduction(_quantile)
two_norm = reduction(lambda x: sqrt(total(multiply(x, x), axis=-1)))


def p_norm(x: Any, ord: float, axis: Any = None, keepdims: bool = False) -> Jet:
    """(sum of abs(x) ** ord) ** (1 / ord), through logarithms."""
    powers = exp(log(absolute(x)) * ord)
    return exp(log(total(powers, axis=axis, keepdims=keepdims)) / ord)


def softmax(x: Any, axis: Any = -1) -> Jet:
    """exp(x) over its sum."""
    e = exp(jet(x) - np.max(jet(x).value, axis=axis, keepdims=True))
    return e / total(e, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: Any = -1) -> Jet:
    """x less the logarithm of the sum of exponentials."""
    return jet(x) - reshape(logsumexp(x, axis), rows(x, axis)[1])


def cumulative_product(x: Any, axis: int) -> Jet:
    """Products up to each element along an axis, one after the other."""
    moved = linear(np.moveaxis)(x, axis, 0)
    out = [moved[0]]
    for i in range(1, moved.shape[0]):
        out.append(multiply(out[-1], moved[i]))
    return linear(np.stack)(out, axis=axis)


def sort(x: Any, axis: int = -1, descending: bool = False) -> Jet:
    """In ascending or descending order; all elements differ."""
    x = jet(x)
    order = np.argsort(-x.value if descending else x.value, axis=axis)
    return linear(np.take_along_axis)(x, order, axis)


# -- matrices ------------------------------------------------------------------------------------


def inverse(a: Any) -> Jet:
    """From a a^-1 = 1, differentiated once and twice."""
    a0, a1, a2, a12 = jet(a).parts
    y = np.linalg.inv(a0)
    both = y @ a1 @ y @ a2 @ y + y @ a2 @ y @ a1 @ y - y @ a12 @ y
    return Jet(y, -y @ a1 @ y, -y @ a2 @ y, both)


def determinant(a: Jet) -> Jet:
    """By expansion along the first row."""
    n = a.shape[-1]
    if n == 1:
        return a[..., 0, 0]
    parts: list[Jet] = []
    for k in range(n):
        others = [i for i in range(n) if i != k]
        minor = determinant(a[..., 1:, :][..., others])
        parts.append(multiply(a[..., 0, k], minor) * (-1) ** k)
    return reduce(Jet.__add__, parts)


def cholesky(a: Jet) -> Jet:
    """The triangular factor, entry by entry, of the symmetric part."""
    a = (a + linear(np.swapaxes)(a, -1, -2)) / 2
    n = a.shape[-1]
    found: dict[tuple[int, int], Any] = {}
    for j in range(n):  # column by column: an entry needs those to its left
        for i in range(n):
            rest = a[..., i, j]
            for k in range(min(i, j)):
                rest = rest - found[i, k] * found[j, k]
            found[i, j] = sqrt(rest) if i == j else rest / found[j, j] if j < i else rest * 0
    lines = [linear(np.stack)([found[i, j] for j in range(n)], axis=-1) for i in range(n)]
    return linear(np.stack)(lines, axis=-2)


# -- networks ------------------------------------------------------------------------------------


def layer_norm(x: Jet, weight: Jet, bias: Jet, eps: float) -> Jet:
    """Over the last axis."""
    spread = sqrt(variance(x, axis=-1, keepdims=True) + eps)
    return (x - average(x, axis=-1, keepdims=True)) / spread * weight + bias


def rms_norm(x: Jet, eps: float) -> Jet:
    """Over the last axis."""
    return x / sqrt(average(multiply(x, x), axis=-1, keepdims=True) + eps)


def attention(query: Jet, key: Jet, value: Jet, causal: bool) -> Jet:
    """Softmax of scaled scores times values; the last query is as late as the last key."""
    scores = query @ linear(np.swapaxes)(key, -1, -2) / math.sqrt(query.shape[-1])
    queries, keys = scores.shape
    seen = np.tri(queries, keys, keys - queries, dtype=bool) | (not causal)
    e = where(seen, exp(scores - scores.value.max(axis=-1, keepdims=True)), 0.0)
    return (e / total(e, axis=-1, keepdims=True)) @ value


def cross_entropy(logits: Jet, target: Array, smoothing: float = 0.0) -> Jet:
    """The mean over the rows of (places, classes)."""
    surprise = -log_softmax(logits)
    classes = surprise.shape[-1]
    wanted = np.eye(classes)[target] * (1 - smoothing) + smoothing / classes
    return total(multiply(surprise, wanted)) / len(target)


def convolution(x: Any, weight: Any, stride: int, padding: int) -> Jet:
    """Of (batch, channels, length) with (outputs, channels, kernel)."""
    padded = linear(np.pad)(x, ((0, 0), (0, 0), (padding, padding)))
    kernel = jet(weight).shape[-1]
    windows = linear(np.lib.stride_tricks.sliding_window_view)(padded, kernel, axis=-1)
    return bilinear(lambda p, q: np.einsum("bclk,ock->bol", p, q))(
        windows[..., ::stride, :], weight
    )


def max_pool(x: Any, kernel: int, stride: int) -> Jet:
    """Of the last axis, without padding."""
    windows = linear(np.lib.stride_tricks.sliding_window_view)(x, kernel, axis=-1)
    return largest(windows[..., ::stride, :], axis=-1)


def updated(x: Any, value: Any, index: Any) -> Jet:
    """A copy of `x` with `value` at an index."""
    x, value = jet(x), jet(value)
    parts = [part.copy() for part in x.parts]
    for part, written in zip(parts, value.parts, strict=True):
        part[index] = written
    return Jet(*parts)


def added_at(values: Any, shape: Sequence[int], index: Any) -> Jet:
    """Zeros with `values` added at an index whose places may repeat."""
    parts = []
    for part in jet(values).parts:
        out = np.zeros(shape)
        np.add.at(out, index, part)
        parts.append(out)
    return Jet(*parts)
