"""Inverses of special functions: erfinv and logit."""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import quiet
from minigrad.ops.checks import OptionError
from minigrad.ops.elementwise.gamma import horner, in_float64
from minigrad.ops.elementwise.special import error_function
from minigrad.ops.primitives import primitive

__all__ = ["erfinv", "logit"]


# M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011): polynomials for
# erfinv(x) / x in w = -log(1 - x * x), less 2.5 below 5, and in its root less 3 above.
CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)
FAR = 15.0
STEPS = 2  # of Halley's method, which turns 7 digits into 21
HALF_ROOT_PI = math.sqrt(math.pi) / 2


def _erfinv(x: Array) -> Array:
    a = np.abs(x)
    inside = a < 1
    a = np.where(inside, a, 0.0)
    rest = 1 - a  # exact where it is used, from 0.5 on
    w = -(np.log(rest) + np.log1p(a))
    root = np.sqrt(np.maximum(w, 5.0))
    y = a * np.where(w < 5, horner(CENTRE, np.minimum(w, 5) - 2.5), horner(TAIL, root - 3))
    # Beyond float32's reach: erfc(y) is about exp(-y * y) / (y sqrt(pi)) (A & S 7.1.23).
    for _ in range(3):
        far = np.sqrt(np.maximum(-np.log(rest * (y * math.sqrt(math.pi))), 0))
        y = np.where(w > FAR, far, y)
    for _ in range(STEPS):
        near = error_function(y, complement=False) - a
        far = rest - error_function(y, complement=True)
        step = np.where(a < 0.5, near, far) * (HALF_ROOT_PI * np.exp(y * y))
        y = y - step / (1 + y * step)
    y = np.where(inside, y, np.where(np.abs(x) == 1, np.inf, np.nan))
    return np.copysign(y, x)


@primitive
@quiet
def erfinv(x: Array) -> Array:
    """The inverse of `erf` on (-1, 1), elementwise; -inf and inf at its ends, NaN beyond.

    Giles's polynomials (2011), then Halley's method on `erf` or, from 0.5 on, on `erfc`.

    Raises:
        TypeError: for complex numbers.

    >>> erfinv([0.0, 0.5])
    Tensor([0.    , 0.4769], f32[2])
    """
    return in_float64(_erfinv, x)


erfinv.vjp(x=lambda g, y: g * (HALF_ROOT_PI * np.exp(y * y)))


def _logit(x: Array, eps: float | None) -> Array:
    if eps is not None:
        x = np.clip(x, eps, 1 - eps)
    middle = np.abs(x - 0.5) < 0.2
    # Near 1/2 the logarithm of the quotient is small, and the quotient near 1 has lost its digits.
    return np.where(middle, 2 * np.arctanh(2 * np.where(middle, x, 0.5) - 1), np.log(x / (1 - x)))


@primitive
@quiet
def logit(x: Array, /, eps: float | None = None) -> Array:
    """The inverse of `sigmoid`, log(x / (1 - x)), elementwise; NaN outside of 0 to 1.

    Args:
        x: probabilities.
        eps: move them into eps to 1 - eps first, as in PyTorch; the gradient of those outside is 0.

    Raises:
        TypeError: for complex numbers.
        ValueError: when `eps` is not within 0 to 1/2.

    >>> logit([0.5, 0.75, 1.0], eps=0.25)
    Tensor([0.    , 1.0986, 1.0986], f32[3])
    """
    if eps is not None and not 0 <= eps <= 0.5:
        raise OptionError(f"eps must be within 0 to 1/2, got {eps!r}")
    return in_float64(lambda flat: _logit(flat, eps), x)


def _logit_rule(g: Array, x: Array, eps: float | None) -> Array:
    if eps is None:
        return g / np.where((x >= 0) & (x <= 1), x * (1 - x), np.nan)
    inside = np.logical_and(x >= eps, x <= 1 - eps)
    z = np.where(inside, x, 0.5)
    return np.where(inside, g / (z * (1 - z)), 0)


logit.vjp(x=_logit_rule)
