"""Special functions: the error functions and sinc."""

import math
from typing import Any

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import widen
from minigrad.ops.primitives import primitive

__all__ = ["erf", "erfc", "sinc"]


# The rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error
# function", Mathematics of Computation 23 (1969), 631-637: numerator and denominator, highest
# power first, as polynomials in x * x, in x, and in 1 / (x * x).
NEAR = 0.4769  # Cody's 0.46875 moved to where erf is 1/2, past which 1 - erfc loses no digits
NEAR_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
NEAR_Q = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
# erf(x) / x is P / Q = 1 + (P - Q) / Q: what is added to 1 is small, and so are its errors.
NEAR_REST = tuple(p - q for p, q in zip(NEAR_P, NEAR_Q, strict=True))
MIDDLE = 4.0
MIDDLE_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
MIDDLE_Q = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
FAR_P = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
FAR_Q = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)
LAST = 30.0  # erfc is 0 in float64 from 27.3 on
SLOPE = 2 / math.sqrt(math.pi)  # of erf at 0

# Fitted by weighted least squares: erf(x) = tanh(x * p(x * x)), where tanh damps the errors of p.
# At most 3.1 units in the last place off in float32, with every step in float32.
SINGLE_P = (
    5.4218896e-9,
    2.75686958e-8,
    -4.79453502e-6,
    8.45962713e-5,
    -6.14837569e-4,
    -1.95288871e-4,
    1.02769867e-1,
    1.12837923e0,
)
SINGLE_END = 4.2  # erf is 1 in float32 from 3.92 on
BLOCK = 8192  # numbers worked on at a time, so that all steps stay in the cache


def _polynomial(coefficients: tuple[float, ...], t: Array) -> Array:
    """Horner's rule, in place."""
    y = np.full_like(t, coefficients[0])
    for c in coefficients[1:]:
        y *= t
        y += c
    return y


def _ratio(numerator: tuple[float, ...], denominator: tuple[float, ...], t: Array) -> Array:
    y = _polynomial(numerator, t)
    y /= _polynomial(denominator, t)
    return y


def _erf_single(x: Array) -> Array:
    x = np.clip(x, -SINGLE_END, SINGLE_END)
    y = _polynomial(SINGLE_P, x * x)
    y *= x
    return np.tanh(y, out=y)


def _tail(a: Array) -> Array:
    """erfc of float64 numbers from NEAR to LAST."""
    y = _ratio(MIDDLE_P, MIDDLE_Q, a)
    far = a > MIDDLE
    if far.any():
        b = a[far]
        t = 1 / (b * b)
        y[far] = (1 / math.sqrt(math.pi) - t * _ratio(FAR_P, FAR_Q, t)) / b
    # exp(-a * a), split so that the square of the head is exact and the rest small.
    head = np.trunc(a * 16) / 16
    y *= np.exp(-head * head)
    y *= np.exp((head - a) * (head + a))
    return y


def error_function(x: Array, complement: bool) -> Array:
    """erf or erfc of a flat array of float64."""
    out = np.empty_like(x)
    for start in range(0, x.size, BLOCK):
        part = x[start : start + BLOCK]
        a = np.abs(part)
        inside = np.clip(part, -NEAR, NEAR)
        near = inside + inside * _ratio(NEAR_REST, NEAR_Q, inside * inside)
        y = 1 - near if complement else near
        if not a.max() <= NEAR:
            tail = _tail(np.clip(a, NEAR, LAST))
            away = np.where(part < 0, 2 - tail, tail) if complement else np.copysign(1 - tail, part)
            y = np.where(a <= NEAR, y, away)
        out[start : start + BLOCK] = y
    return out


def _real_error_function(x: Array, complement: bool) -> Array:
    dtype = np.result_type(x, np.float16)  # of integers, what NumPy's own functions return
    if dtype.itemsize <= 4 and not complement:
        return _erf_single(x.astype(np.float32, copy=False)).astype(dtype, copy=False)
    flat = x.astype(np.float64, copy=False).reshape(-1)
    return error_function(flat, complement).reshape(x.shape).astype(dtype, copy=False)


def _complex_step(function: Any, x: Array, slope: float) -> Array:
    """To first order in the imaginary part, which is all that a complex step asks for."""
    if np.abs(x.imag).max(initial=0) > 1e-9:
        raise TypeError("needs real numbers; scipy.special has the function of complex ones")
    return function(x.real) + 1j * x.imag * (slope * np.exp(-x.real * x.real))


@primitive(method=True)
def erf(x: Array) -> Array:
    """The error function 2 / sqrt(pi) * integral of exp(-t * t) from 0 to x, elementwise.

    By the rational approximations of Cody (1969), at most 4 units in the last place off.

    Raises:
        TypeError: for complex numbers off the real axis.
    """
    if x.dtype.kind == "c":
        return _complex_step(erf.operation.forward, x, SLOPE)
    return _real_error_function(x, complement=False)


erf.vjp(x=lambda g, x: g * (SLOPE * np.exp(-x * x)))


@primitive(method=True)
def erfc(x: Array) -> Array:
    """1 - erf(x), elementwise, without loss of digits where erf is near 1.

    By the rational approximations of Cody (1969).

    Raises:
        TypeError: for complex numbers off the real axis.
    """
    if x.dtype.kind == "c":
        return _complex_step(erfc.operation.forward, x, -SLOPE)
    return _real_error_function(x, complement=True)


erfc.vjp(x=lambda g, x: g * (-SLOPE * np.exp(-x * x)))


def _half_turns(x: Array) -> Array:
    """pi x, where that overflows a number nearer to 0: both are integers, and sinc is 0 there."""
    wide = widen(x) if x.dtype.kind in "fc" else x.astype(np.float64)
    return math.pi * np.where(np.abs(wide) > np.finfo(wide.dtype).max / 4, wide / 4, wide)


SERIES_END = 3.0  # up to here in pi * x by the series, beyond by the recurrence
SERIES_TERMS = 18


@primitive
def sinc_derivative(x: Array, /, order: int) -> Array:
    """The derivative of `sinc` of any order.

    With z = pi x and s = sin(z) / z, differentiating z s = sin(z) n times gives
    z s_n + n s_{n-1} = sin_n(z), which loses digits only for small z; there the power series of
    sin(z) / z is differentiated term by term.
    """
    z = _half_turns(x)
    near = np.abs(z) < SERIES_END
    small, large = np.where(near, z, 0), np.where(near, 1, z)
    first = (order + 1) // 2  # the first power of z * z that survives
    series = np.zeros_like(z)
    for k in range(first + SERIES_TERMS, first - 1, -1):
        coefficient = (-1) ** k / (math.factorial(2 * k - order) * (2 * k + 1))
        series = series * (small * small) + coefficient
    if order % 2:
        series = series * small
    sine, cosine = np.sin(large), np.cos(large)
    turns = (sine, cosine, -sine, -cosine)
    recurrent = sine / large
    for n in range(1, order + 1):
        recurrent = (turns[n % 4] - n * recurrent) / large
    return np.where(near, series, recurrent) * math.pi**order


sinc_derivative.vjp(x=lambda g, x, order: g * sinc_derivative.generic(x, order + 1))


@primitive
def sinc(x: Array) -> Array:
    """sin(pi x) / (pi x), elementwise, and 1 at 0; smooth there to every order."""
    x = np.asarray(x)
    z = _half_turns(x)
    y = np.where(z == 0, 1, np.sin(z) / np.where(z == 0, 1, z))
    return y.astype(x.dtype) if x.dtype == np.float16 else y


sinc.vjp(x=lambda g, x: g * sinc_derivative.generic(widen(x), 1))
