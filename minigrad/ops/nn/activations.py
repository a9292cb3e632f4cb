"""Activation functions. None of them warns, overflows or loses float16 digits on the way.

At NaN all return NaN, and the gradient goes on: those made of straight lines have one of their
slopes there, the one that PyTorch takes (1 for `relu`, as for `maximum`), and for curved ones it is
NaN.
"""

import math

import numpy as np

from minigrad.core.nodes import Array
from minigrad.ops.arguments import floating, quiet, widen
from minigrad.ops.checks import OptionError, check_option
from minigrad.ops.elementwise.special import erf, erfc
from minigrad.ops.natives import by_elements
from minigrad.ops.primitives import primitive

__all__ = [
    "celu",
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
]


SELU_ALPHA = 1.6732632423543772848170429916717  # Klambauer et al. 2017, equation 14
SELU_SCALE = 1.0507009873554804934193349852946
SQRT_HALF = math.sqrt(0.5)
NORMAL_PEAK = 1 / math.sqrt(2 * math.pi)  # the normal density at 0
GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715
GELU_SATURATION = 12.0  # beyond it tanh is 1 in every dtype


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)) on arrays; where exp overflows, the result is 0 as it should be."""
    e = np.exp(-widen(x))
    e += 1
    return np.divide(1, e).astype(x.dtype, copy=False)


def soft_maximum(x: Array) -> Array:
    """log(1 + exp(x)) on arrays, from an exponential that never overflows."""
    above = np.maximum(x, 0)
    return above + np.log1p(np.exp(-np.abs(x) if x.dtype.kind == "f" else x - 2 * above))


def _either(x: Array, above: Array, below: Array) -> Array:
    """`above` where x > 0 and `below` elsewhere, both finite.

    By arithmetic: np.where takes ten times as long on signs that the processor cannot predict.
    """
    mask = (x > 0).astype(x.dtype)
    return mask * above + (1 - mask) * below


@primitive(method=True)
@quiet
def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x)), elementwise; accurate in both tails."""
    return logistic(floating(x))


sigmoid.vjp(x=lambda g, y: g * (y * (1 - y)))


@primitive
@quiet
def log_sigmoid(x: Array, /) -> Array:
    """log(sigmoid(x)), elementwise, without the loss of digits of the two steps."""
    return -soft_maximum(-floating(x))


log_sigmoid.vjp(x=lambda g, x: g * sigmoid.generic(-x))


@primitive
@quiet
def softplus(x: Array, /, beta: float = 1.0, threshold: float = math.inf) -> Array:
    """log(1 + exp(beta x)) / beta, elementwise, and x where beta x is above `threshold`.

    It never overflows, so there is no threshold unless one is given; PyTorch's is 20.
    """
    if not beta:
        raise OptionError(f"beta must not be 0, got {beta}")
    x = floating(x)
    y = soft_maximum(x * beta) / beta
    return y if threshold == math.inf else np.where(x * beta > threshold, x, y)


def _softplus_rule(g: Array, x: Array, beta: float, threshold: float) -> Array:
    slope = sigmoid.generic(x * beta)
    return g * (slope if threshold == math.inf else np.where(x * beta > threshold, 1, slope))


softplus.vjp(x=_softplus_rule)


@primitive
@quiet
def softsign(x: Array, /) -> Array:
    """x / (1 + |x|), elementwise (Bergstra et al. 2009)."""
    x = floating(x)
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


def _softsign_rule(g: Array, x: Array) -> Array:
    slope = 1 / (1 + abs(x))
    return g * (slope * slope)


softsign.vjp(x=_softsign_rule)


@primitive(method=True)
def relu(x: Array) -> Array:
    """max(x, 0), elementwise; the derivative at 0 is 0 and at NaN 1, as in PyTorch."""
    return np.maximum(x, 0)


relu.vjp(x=lambda g, y: g * (y != 0))


@primitive
def hardtanh(x: Array, /, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """`x` kept between two bounds, elementwise.

    The derivative on a bound is 0, and at NaN 1, as in PyTorch.
    """
    if not min_val <= max_val:
        raise OptionError(f"min_val must not be above max_val, got {min_val} and {max_val}")
    return np.minimum(np.maximum(x, min_val), max_val)


hardtanh.vjp(x=lambda g, y, min_val, max_val: g * (y != min_val) * (y != max_val))


@primitive
def relu6(x: Array, /) -> Array:
    """min(max(x, 0), 6), elementwise; the derivative at 0 and 6 is 0 and at NaN 1."""
    return np.minimum(np.maximum(x, 0), 6)


relu6.vjp(x=lambda g, y: g * (y != 0) * (y != 6))


@primitive
@quiet
def leaky_relu(x: Array, /, negative_slope: float = 0.01) -> Array:
    """`x` above 0 and `negative_slope * x` elsewhere.

    At 0 and at NaN the derivative is that of negative numbers, as in PyTorch.
    """
    return np.maximum(x, 0) + np.minimum(x, 0) * negative_slope


leaky_relu.vjp(x=lambda g, x, negative_slope: g * _either(x, 1, negative_slope))


def _exponential_unit(x: Array, alpha: float, scale: float, rate: float) -> Array:
    """scale * (x above 0, alpha * (exp(rate x) - 1) elsewhere), on arrays."""
    x = floating(x)
    return scale * (np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) * rate))


def _exponential_unit_rule(g: Array, x: Array, alpha: float, scale: float, rate: float) -> Array:
    # By relu, min(x, 0) has the derivative 0 at 0, and so have these units the second one.
    tail = np.exp(relu.generic(-x) * -rate) * (alpha * rate * scale)
    return g * _either(x, scale, tail)


@primitive
@quiet
def elu(x: Array, /, alpha: float = 1.0) -> Array:
    """`x` above 0 and alpha * (exp(x) - 1) elsewhere (Clevert et al. 2016).

    At 0 the derivative is `alpha` and the second one 0, as in PyTorch.
    """
    return _exponential_unit(x, alpha, 1.0, 1.0)


elu.vjp(x=lambda g, x, alpha: _exponential_unit_rule(g, x, alpha, 1.0, 1.0))


@primitive
@quiet
def selu(x: Array, /) -> Array:
    """`elu` scaled so that deep networks normalise themselves (Klambauer et al. 2017)."""
    return _exponential_unit(x, SELU_ALPHA, SELU_SCALE, 1.0)


selu.vjp(x=lambda g, x: _exponential_unit_rule(g, x, SELU_ALPHA, SELU_SCALE, 1.0))


@primitive
@quiet
def celu(x: Array, /, alpha: float = 1.0) -> Array:
    """`x` above 0 and alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017), smooth at 0."""
    if alpha == 0:
        raise OptionError("alpha must not be 0")
    return _exponential_unit(x, alpha, 1.0, 1 / alpha)


celu.vjp(x=lambda g, x, alpha: _exponential_unit_rule(g, x, alpha, 1.0, 1 / alpha))


def _normal_distribution(x: Array) -> Array:
    """The probability that a normal variable is below x."""
    if x.dtype == np.float32:
        return erf.generic(x * SQRT_HALF) * 0.5 + 0.5  # many times as fast as erfc
    return erfc.generic(x * -SQRT_HALF) * 0.5  # exact in the lower tail too


def _gelu_tanh_inner(x: Array) -> Array:
    return np.tanh(GELU_SCALE * (x + GELU_CUBIC * (x * x * x)))


def gelu_rule(g: Array, x: Array, approximate: str) -> Array:
    """The gradient of `gelu` by x."""
    found = by_elements(f"gelu_{approximate}_gradient", g, x)
    if found is not None:
        return found
    wide = widen(x)
    if approximate == "none":
        bell = np.exp(wide * wide * -0.5)
        return g * (_normal_distribution(wide) + wide * bell * NORMAL_PEAK)
    inside = np.minimum(np.maximum(wide, -GELU_SATURATION), GELU_SATURATION)
    t = _gelu_tanh_inner(inside)
    slope = inside * (1 - t * t) * (1 + 3 * GELU_CUBIC * (inside * inside)) * (0.5 * GELU_SCALE)
    return g * (t * 0.5 + 0.5 + slope)


@primitive
@quiet
def gelu(x: Array, /, approximate: str = "none") -> Array:
    """x times the normal distribution function at x (Hendrycks and Gimpel 2016), elementwise.

    Args:
        x: an array of any shape.
        approximate: "none" for the exact form with erf; "tanh" for
            x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.

    Raises:
        ValueError: when `approximate` is another word.
    """
    check_option("approximate", approximate, ("none", "tanh"))
    found = by_elements(f"gelu_{approximate}", x)
    if found is not None:
        return found
    wide = widen(floating(x))
    if approximate == "none":
        y = wide * _normal_distribution(wide)
    else:
        y = wide * (_gelu_tanh_inner(wide) * 0.5 + 0.5)
    return y.astype(x.dtype) if x.dtype == np.float16 else y


gelu.vjp(x=gelu_rule)


def _silu_rule(g: Array, x: Array) -> Array:
    s = sigmoid.generic(x)
    return g * (s * (1 + x * (1 - s)))


@primitive
@quiet
def silu(x: Array, /) -> Array:
    """x sigmoid(x), elementwise, also called swish (Elfwing et al. 2018)."""
    x = floating(x)
    return x * logistic(x)


silu.vjp(x=_silu_rule)


def _mish_rule(g: Array, x: Array) -> Array:
    t = np.tanh(softplus.generic(x))
    return g * (t + x * (sigmoid.generic(x) * (1 - t * t)))


@primitive
@quiet
def mish(x: Array, /) -> Array:
    """x tanh(log(1 + exp(x))), elementwise (Misra 2019)."""
    x = floating(x)
    return x * np.tanh(soft_maximum(x))


mish.vjp(x=_mish_rule)
