"""Cumulative maxima, minima and logsumexp: `accumulate` of NumPy's ufuncs."""

from collections.abc import Callable

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import widen
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.elementwise.exponential import first_share
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.cumulative import along, solve_backwards

__all__ = ["cumulative_logsumexp", "cumulative_max", "cumulative_min"]


# With y[j] = f(y[j - 1], x[j]), the gradient r[j] of y[j] that comes from it and all after it is
# g[j] + r[j + 1] * dy[j + 1] / dy[j], and that of x[j] is r[j] * dy[j] / dx[j].


def _extremum_rule(g: Array, x: Array, y: Array, axis: int) -> Array:
    """Elements that tie for the extremum so far share its gradient equally; NaN takes it alone.

    With c[j] elements that tie up to j, each has the share 1 / c[j]: the last of them has
    dy[j] / dx[j] = 1 / c[j], and dy[j] / dy[j - 1] is c[j - 1] / c[j], or 0 at a new extremum.
    """
    k = normalize_axis(axis, x.ndim)
    values, best = (np.asarray(getattr(a, "_array", a)) for a in (x, y))
    nan = np.isnan(best)
    taken = (values == best) | (np.isnan(values) & nan)
    head, tail = along(k, slice(0, -1)), along(k, slice(1, None))
    new = np.ones(values.shape, bool)
    new[tail] = (best[tail] != best[head]) & ~(nan[tail] & nan[head])
    order = np.cumsum(taken, axis=k)
    count = order - np.maximum.accumulate(np.where(new, order - 1, 0), axis=k)
    wide = np.result_type(values.dtype, np.float32)
    share = taken / count.astype(wide)
    onward = np.ones(values.shape, wide)
    onward[head] = np.where(new[tail], 0, count[head] / count[tail])
    return solve_backwards(widen(g), onward, k) * share


@primitive
def cumulative_max(x: Array, /, axis: int) -> Array:
    """The cumulative maximum along `axis`, as `np.maximum.accumulate`.

    Elements that tie share the gradient equally, as in `max`; from NaN on all results are NaN, and
    their gradient goes to it.
    """
    return np.maximum.accumulate(x, axis=axis)


cumulative_max.vjp(x=_extremum_rule)


@primitive
def cumulative_min(x: Array, /, axis: int) -> Array:
    """The cumulative minimum along `axis`; see `cumulative_max`."""
    return np.minimum.accumulate(x, axis=axis)


cumulative_min.vjp(x=_extremum_rule)


def _share_rule(base: float) -> Callable[..., Array]:
    def rule(g: Array, x: Array, y: Array, axis: int) -> Array:
        k = normalize_axis(axis, x.ndim)
        wide_x, wide_y = widen(x), widen(y)
        before, after = wide_y[along(k, slice(0, -1))], wide_x[along(k, slice(1, None))]
        one = np.ones([1 if i == k else n for i, n in enumerate(x.shape)], wide_x.dtype)
        one = one if x.shape[k] else one[along(k, slice(0, 0))]
        local = np.concatenate([one, first_share(1, after, before, base)], axis=k)
        onward = np.concatenate([first_share(1, before, after, base), one], axis=k)
        return solve_backwards(widen(g), onward, k) * local

    return rule


@primitive
def cumulative_logsumexp(x: Array, /, axis: int) -> Array:
    """The cumulative log(sum(exp(x))) along `axis`, as `np.logaddexp.accumulate`.

    At infinities the derivative is that of `logaddexp`.
    """
    if x.dtype.kind == "c":
        top = np.maximum.accumulate(x.real, axis=axis)[along(axis % x.ndim, slice(-1, None))]
        return np.log(np.cumsum(np.exp(x - top), axis=axis)) + top
    return np.logaddexp.accumulate(x, axis=axis)


cumulative_logsumexp.vjp(x=_share_rule(np.e))


@primitive
def cumulative_logsumexp2(x: Array, /, axis: int) -> Array:
    """The cumulative log2(sum(2 ** x)) along `axis`."""
    return np.logaddexp2.accumulate(x, axis=axis)


cumulative_logsumexp2.vjp(x=_share_rule(2.0))
