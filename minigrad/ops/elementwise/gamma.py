"""The logarithm of the gamma function and its derivatives, of real numbers.

All work in float64 and round at the end. Where a function is far from 0 the result is some units
in the last place off; between two poles on the negative axis, where terms cancel, as many units of
the terms.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import named, quiet, source_of
from minigrad.ops.elementwise.gamma_constants import (
    BERNOULLI,
    DIGAMMA_ROOTS,
    EULER_REST,
    HALF_LOG_TWO_PI,
    LOG_GAMMA,
    PSI,
    STIRLING,
)
from minigrad.ops.primitives import primitive

__all__ = ["digamma", "gammaln", "polygamma"]


LARGE = 10.0  # from here on by the asymptotic series
RECURRENT = -30.0  # below by reflection, above by recurrence
TERMS = 14


def in_float64(function: Callable[..., Array], x: Array, *args: Any) -> Array:
    """A function on flat float64 arrays, of an array of any real dtype, in that dtype's precision.

    Raises:
        TypeError: for complex numbers.
    """
    x = np.asarray(x)
    if x.dtype.kind == "c":
        raise TypeError("needs real numbers; scipy.special has functions of complex ones")
    dtype = np.result_type(x, np.float16)  # of integers, what NumPy's own functions return
    flat = x.astype(np.float64, copy=False).reshape(-1)
    return function(flat, *args).reshape(x.shape).astype(dtype, copy=False)


def horner(coefficients: tuple[float, ...], z: Array) -> Array:
    """A polynomial, its coefficients highest power first."""
    y = np.full_like(z, coefficients[0])
    for c in coefficients[1:]:
        y = y * z + c
    return y


def _from_nearest_pole(x: Array) -> Array:
    """How far negative numbers are from the nearest integer: exact."""
    return x - np.rint(x)


# -- log |gamma| -----------------------------------------------------------------------------------


def _log_gamma(x: Array) -> Array:
    y = np.full_like(x, np.nan)
    large = x >= LARGE
    y[large] = _stirling(x[large])
    middle = (x > RECURRENT) & ~large
    y[middle] = _recurrent_log_gamma(x[middle])
    negative = (x <= RECURRENT) & np.isfinite(x)
    z = x[negative]
    sine = np.abs(np.sin(math.pi * _from_nearest_pole(z)))
    y[negative] = math.log(math.pi) - np.log(sine) - _stirling(1 - z)  # A & S 6.1.17
    y[np.isinf(x)] = x[np.isinf(x)]  # as in SciPy
    return y


def _stirling(x: Array) -> Array:
    inverse = 1 / x
    series = horner(STIRLING, inverse * inverse) * inverse
    logarithm = np.log(x)
    return x * (logarithm - 1) + (HALF_LOG_TWO_PI - 0.5 * logarithm + series)


def _recurrent_log_gamma(x: Array) -> Array:
    """By steps of 1 to the neighbourhood of 2 (A & S 6.1.15), and the power series there."""
    y, product = x.copy(), np.ones_like(x)
    while (above := y >= 2.5).any():
        y[above] -= 1
        product[above] *= y[above]
    divisor = np.ones_like(x)
    while (below := y < 0.5).any():
        divisor[below] *= y[below]
        y[below] += 1
    near_one = y < 1.5
    z = np.where(near_one, y - 1, y - 2)
    # z of a small x is x itself, of which y = 1 + x has lost digits.
    z = np.where((x > -0.5) & (x < 0.5), x, z)
    series = z * (EULER_REST + z * horner(LOG_GAMMA, z))
    series = np.where(near_one, series - np.log1p(z), series)
    return series + np.where(divisor != 1, -np.log(np.abs(divisor)), np.log(product))


@primitive
@quiet
def gammaln(x: Array) -> Array:
    """log |gamma(x)|, elementwise; inf at 0, -1, -2, ...

    The power series around 2, steps of 1, Stirling's series and reflection: Abramowitz and Stegun,
    6.1.33, 6.1.15, 6.1.40 and 6.1.17.

    Raises:
        TypeError: for complex numbers.

    >>> gammaln([1.0, 0.5, 5.0])
    Tensor([0.    , 0.5724, 3.1781], f32[3])
    """
    return in_float64(_log_gamma, x)


# -- its derivative --------------------------------------------------------------------------------


def _digamma(x: Array) -> Array:
    y = np.where(x < 0, 1 - x, x)
    y = np.where(y > 0, y, 1.0)  # NaN and 0 are entered below
    found = _positive_digamma(y)
    mirrored = x < 0
    z = _from_nearest_pole(x[mirrored])
    found[mirrored] -= math.pi / np.tan(math.pi * z)  # A & S 6.3.7
    for root, value, coefficients in DIGAMMA_ROOTS[1:]:
        near = np.abs(x - root) < 0.2
        found[near] = _around(x[near] - root, value, coefficients)
    found[mirrored & (x == np.rint(x))] = np.nan
    zero = x == 0
    found[zero] = -np.copysign(np.inf, x[zero])
    found[np.isnan(x) | (x == -np.inf)] = np.nan
    return found


def _around(z: Array, value: float, coefficients: tuple[float, ...]) -> Array:
    return value + z * horner(coefficients, z)


def _positive_digamma(x: Array) -> Array:
    large = x >= LARGE
    found = np.empty_like(x)
    z = x[large]
    inverse = 1 / z
    square = inverse * inverse
    found[large] = np.log(z) - (0.5 * inverse + square * horner(PSI, square))
    y, steps = x[~large], np.zeros(x.size - int(large.sum()))
    while (above := y >= 2).any():
        y[above] -= 1
        steps[above] += 1 / y[above]  # A & S 6.3.5
    below = y < 1
    steps[below] = -1 / y[below]
    root, value, coefficients = DIGAMMA_ROOTS[0]
    z = np.where(below, y + (1 - root), y - root)
    found[~large] = _around(z, value, coefficients) + steps
    return found


@primitive
@quiet
def digamma(x: Array) -> Array:
    """The derivative of `gammaln`, elementwise: psi(x) = gamma'(x) / gamma(x).

    NaN at -1, -2, ...; -inf at 0 and inf at -0.0. The Taylor series at its zeros, steps of 1, the
    asymptotic series and reflection: Abramowitz and Stegun, 6.4.9, 6.3.5, 6.3.18 and 6.3.7.

    Raises:
        TypeError: for complex numbers.

    >>> digamma([1.0, 2.0])
    Tensor([-0.5772,  0.4228], f32[2])
    """
    return in_float64(_digamma, x)


# -- and the derivatives of that -------------------------------------------------------------------


def _hurwitz(x: Array, s: int) -> Array:
    """The sum of (x + k)^-s over k = 0, 1, ..., for x >= 0: Euler and Maclaurin (DLMF 25.11.5)."""
    total = np.zeros_like(x)
    y = x.copy()
    while (low := y < s + LARGE).any():
        total[low] += y[low] ** -s
        y[low] += 1
    inverse = 1 / y
    term = y**-s  # times the rising factorial s (s + 1) ... over powers of y
    tail = y ** (1 - s) / (s - 1) + 0.5 * term
    factor = s * inverse
    for k, coefficient in enumerate(BERNOULLI[:TERMS]):
        tail += coefficient * term * factor
        factor = factor * (s + 2 * k + 1) * inverse * (s + 2 * k + 2) * inverse
    return np.where(np.isinf(y), 0.0, total + tail)


def _zeta(x: Array, s: int) -> Array:
    """The same for any x: a sum over all integers less one over the negative ones."""
    found = np.full_like(x, np.nan)
    positive = x > 0
    found[positive] = _hurwitz(x[positive], s)
    found[x == -np.inf] = np.inf  # as in SciPy
    other = (x <= 0) & np.isfinite(x)
    z = x[other]
    d = _from_nearest_pole(z)
    near, far = _hurwitz(np.abs(d), s), _hurwitz(1 - np.abs(d), s)
    sign = (-1) ** s
    around = np.where(d > 0, near + sign * far, far + sign * near)
    found[other] = np.where(d == 0, np.inf, around - sign * _hurwitz(1 - z, s))
    return found


@primitive
@named("polygamma")
@quiet
def _polygamma(x: Array, /, n: int) -> Array:
    factor = math.factorial(n) if n <= 170 else math.inf
    return in_float64(lambda flat: (-1) ** (n + 1) * factor * _zeta(flat, n + 1), x)


def _polygamma_rule(g: Array, x: Array, n: int) -> Array:
    return g * _polygamma.generic(x, n + 1)


_polygamma.vjp(x=_polygamma_rule)
digamma.vjp(x=lambda g, x: g * _polygamma.generic(x, 1))
gammaln.vjp(x=lambda g, x: g * digamma.generic(x))


def polygamma(n: Any, x: Any) -> Tensor:
    """The `n`-th derivative of `digamma`, elementwise; for n = 0 `digamma` itself.

    For n of 1 or more (-1)^(n + 1) n! times the sum of (x + k)^-(n + 1) over k = 0, 1, ...
    (Abramowitz and Stegun 6.4.10), which is infinite at 0, -1, -2, ...

    Args:
        n: an integer of 0 or more.
        x: any real numbers.

    Raises:
        DtypeError: when `n` is not an integer of 0 or more.
        TypeError: for complex numbers.

    >>> polygamma(1, [1.0, 2.0])
    Tensor([1.6449, 0.6449], f32[2])
    """
    if isinstance(n, Tensor) and n.requires_grad:
        raise DtypeError("polygamma: n is a count of derivatives and has none itself; detach it")
    order = np.asarray(n.numpy() if isinstance(n, Tensor) else n)
    if order.ndim or order.dtype.kind not in "iu" or order < 0:
        raise DtypeError(
            f"polygamma: n must be an integer of 0 or more, got {describe(n)}; the numbers come "
            "second, polygamma(n, x), as in SciPy"
        )
    x = source_of(x, "polygamma")
    return _polygamma(x, int(order)) if order else digamma(x)
