"""Elementwise piecewise functions: clip, remainder, copysign, fmax, nan_to_num."""

from typing import Any

import numpy as np

from minigrad.core.errors import DtypeError, describe
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor, TensorLike, method
from minigrad.ops.arguments import constant_array
from minigrad.ops.elementwise.arithmetic import positive, subtract
from minigrad.ops.elementwise.casting import astype
from minigrad.ops.elementwise.comparisons import where
from minigrad.ops.elementwise.predicates import floor_divide, isinf, trunc
from minigrad.ops.explaining import names_its_errors
from minigrad.ops.primitives import primitive

__all__ = [
    "clip",
    "copysign",
    "divmod",
    "fmax",
    "fmin",
    "fmod",
    "heaviside",
    "ldexp",
    "mod",
    "modf",
    "nan_to_num",
    "nextafter",
    "remainder",
]


def _nothing(g: Array) -> Array:
    """A gradient of zeros, whatever `g` holds."""
    return np.where(False, g, 0)


@primitive
def clip_fixed(x: Array, /, low: Any, high: Any) -> Array:
    """`x` kept between bounds that are plain numbers or arrays."""
    return np.clip(x, low, high)


clip_fixed.vjp(x=lambda g, x, y: np.where(x == y, g, 0))


@primitive
def clip_low(x: Array, low: Array) -> Array:
    """The larger of `x` and a lower bound; at ties the gradient is that of `x`."""
    return np.maximum(x, low)


clip_low.vjp(
    x=lambda g, x, low: np.where(x >= low, g, 0), low=lambda g, x, low: np.where(x < low, g, 0)
)


@primitive
def clip_high(x: Array, high: Array) -> Array:
    """The smaller of `x` and an upper bound; at ties the gradient is that of `x`."""
    return np.minimum(x, high)


clip_high.vjp(
    x=lambda g, x, high: np.where(x <= high, g, 0), high=lambda g, x, high: np.where(x > high, g, 0)
)


@method
def clip(
    x: TensorLike,
    a_min: TensorLike = None,
    a_max: TensorLike = None,
    *,
    min: TensorLike = None,
    max: TensorLike = None,
) -> Tensor:
    """`x` kept between two bounds, elementwise.

    On a bound the derivative with respect to `x` is 1 and that of the bound 0, as in
    `torch.clamp`; where `a_min` is above `a_max`, the result is `a_max`. NaN stays NaN, and its
    derivative is 0, as there: it is not between the bounds. `minimum`, `maximum`, `relu`, `relu6`
    and `hardtanh` pass the gradient on there, as in PyTorch, too.

    Args:
        x: any shape.
        a_min, a_max: bounds that broadcast with `x`, None for none; they may require grad.
        min, max: other names for them.

    Raises:
        ValueError: when a bound is given under both names.
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ValueError("clip: a bound is given twice, by position or a_min/a_max and by min/max")
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    if low is None and high is None:
        return positive(x)
    for bound, value in (("min", low), ("max", high)):
        if isinstance(value, (str, list, tuple)) and np.asarray(value).dtype.kind not in "biuf":
            raise DtypeError(
                f"clip: a_{bound} (or {bound}) must be made of numbers, got {describe(value)}"
            )
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return clip_fixed(x, low, high)
    bounded = x if low is None else clip_low(x, low)
    return bounded if high is None else clip_high(bounded, high)


@primitive
def fmax(x1: Array, x2: Array) -> Array:
    """The larger of `x1` and `x2`, elementwise, and of NaN and a number the number.

    At ties the gradient goes to `x1`, as in PyTorch.
    """
    return np.fmax(x1, x2)


fmax.vjp(
    x1=lambda g, x1, x2: np.where(np.logical_or(x1 >= x2, np.isnan(x2)), g, 0),
    x2=lambda g, x1, x2: np.where(np.logical_or(x1 >= x2, np.isnan(x2)), 0, g),
)


@primitive
def fmin(x1: Array, x2: Array) -> Array:
    """The smaller of `x1` and `x2`, elementwise, and of NaN and a number the number.

    At ties the gradient goes to `x1`, as in PyTorch.
    """
    return np.fmin(x1, x2)


fmin.vjp(
    x1=lambda g, x1, x2: np.where(np.logical_or(x1 <= x2, np.isnan(x2)), g, 0),
    x2=lambda g, x1, x2: np.where(np.logical_or(x1 <= x2, np.isnan(x2)), 0, g),
)


@primitive(method=True)
def remainder(x1: Array, x2: Array) -> Array:
    """x1 - floor(x1 / x2) * x2, elementwise, with the sign of `x2`.

    The derivative is 1 with respect to `x1` and -floor(x1 / x2) with respect to `x2`, also where
    the function jumps.
    """
    return np.remainder(x1, x2)


remainder.vjp(x1=lambda g: g, x2=lambda g, x1, x2: -g * np.floor_divide(x1, x2))


@primitive(method=True)
def fmod(x1: Array, x2: Array) -> Array:
    """x1 - trunc(x1 / x2) * x2, elementwise, with the sign of `x1`.

    The derivatives are those of `remainder`, with `trunc` for `floor`.
    """
    return np.fmod(x1, x2)


# fmod is exact, so this quotient is an integer up to rounding; x1 / x2 may round up to one.
fmod.vjp(x1=lambda g: g, x2=lambda g, x1, x2, y: -g * np.rint((x1 - y) / x2))

mod = remainder


def divmod(x1: TensorLike, x2: TensorLike) -> tuple[Tensor, Tensor]:
    """`floor_divide(x1, x2)`, a constant, and `remainder(x1, x2)`."""
    return floor_divide(x1, x2), remainder(x1, x2)


def modf(x: TensorLike) -> tuple[Tensor, Tensor]:
    """The fractional part of `x`, and its integral part, a constant; both with its sign.

    Both are floating: of integers, in the dtype that NumPy gives.
    """
    kind = np.result_type(x if isinstance(x, (int, float)) else x.dtype, np.float16)
    x = x if x.dtype == kind else astype(x, kind)
    whole = trunc(x)
    infinite = isinf(whole)
    return copysign(where(infinite, 0, subtract(x, where(infinite, 0, whole))), whole), whole


@primitive
def ldexp(x: Array, /, exponent: Any) -> Array:
    """x * 2 ** exponent, elementwise, for integer exponents, which are constant."""
    return np.ldexp(x, constant_array(exponent, "exponent"))


ldexp.vjp(x=lambda g, exponent: np.ldexp(g, constant_array(exponent, "exponent")))


@primitive(method=True)
def copysign(x1: Array, x2: Array) -> Array:
    """The size of `x1` with the sign of `x2`, elementwise.

    At x1 = 0 the derivative is 0, and with respect to `x2` it is 0 everywhere, as in PyTorch.
    """
    return np.copysign(x1, x2)


copysign.vjp(x1=lambda g, x1, x2: g * (np.sign(x1) * np.copysign(1, x2)), x2=_nothing)


@primitive
def nextafter(x1: Array, x2: Array) -> Array:
    """The next number after `x1` towards `x2`, elementwise; it follows `x1` with slope 1."""
    return np.nextafter(x1, x2)


nextafter.vjp(x1=lambda g: g, x2=_nothing)


@primitive
def heaviside(x1: Array, x2: Array) -> Array:
    """0 where `x1` is negative, 1 where it is positive and `x2` where it is 0.

    The derivative is 0 with respect to `x1`.
    """
    return np.heaviside(x1, x2)


heaviside.vjp(x1=_nothing, x2=lambda g, x1: np.where(x1 == 0, g, 0))


@primitive
def replace_not_finite(x: Array, /, nan: Any, posinf: Any, neginf: Any) -> Array:
    """What `nan_to_num` computes."""
    stand_ins = {"nan": nan, "posinf": posinf, "neginf": neginf}
    given = {k: constant_array(v, k) for k, v in stand_ins.items() if v is not None}
    return np.nan_to_num(x, **given)


replace_not_finite.vjp(x=lambda g, x: np.where(np.isfinite(x), g, 0))


@method
@names_its_errors
def nan_to_num(
    x: TensorLike,
    copy: bool = True,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """NaN and infinities replaced, where the derivative is 0.

    Args:
        x: any shape.
        copy: must be True: the result is a new tensor.
        nan: what stands for NaN.
        posinf, neginf: what stands for the infinities; None for the largest and smallest number.

    Raises:
        ValueError: for copy=False.
    """
    if not copy:
        raise ValueError(
            "nan_to_num: copy=False would write in place; write t[...] = minigrad.nan_to_num(t)"
        )
    return replace_not_finite(x, nan, posinf, neginf)
