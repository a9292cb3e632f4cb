"""The operations on single numbers that random programs are made of.

The derivatives are written out here a second time, on purpose by other formulas than the rules.
"""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minigrad import ops
from minigrad.ops.nn import neural
from minigrad.testing import hyperdual
from minigrad.testing.hyperdual import Jet, elementwise, linear, piecewise_linear
from minigrad.testing.tables.parameters import fixed
from minigrad.testing.tables.specifications import (
    MARGIN,
    POSITIVE,
    SMALL,
    WIDE,
    Specification,
    apart,
    away_from,
    broadcastable,
    same_shapes,
)

__all__ = ["ELEMENTWISE"]

LOG_2, LOG_10 = math.log(2), math.log(10)
PI = math.pi
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _exponential_unit(alpha: float, scale: float, rate: float) -> Any:
    return elementwise(
        lambda x: scale * np.where(x > 0, x, alpha * (np.exp(rate * x) - 1)),
        lambda x: scale * np.where(x > 0, 1, alpha * rate * np.exp(rate * x)),
        lambda x: scale * np.where(x > 0, 0, alpha * rate**2 * np.exp(rate * x)),
    )


def _normal(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * PI)


def _gelu(x: Jet, approximate: str = "none") -> Jet:
    if approximate == "none":
        return x * (hyperdual.erf(x * math.sqrt(0.5)) + 1) / 2
    return x * (hyperdual.tanh((x + x * x * x * 0.044715) * math.sqrt(2 / PI)) + 1) / 2


def _integer_power(x: Any, n: int) -> Jet:
    return elementwise(
        lambda v: v**n, lambda v: n * v ** (n - 1), lambda v: n * (n - 1) * v ** (n - 2)
    )(x)


# name: (domain, what it is on jets, where it has kinks)
UNARY: dict[str, tuple[Any, ...]] = {
    "positive": (WIDE, linear(np.positive)),
    "negative": (WIDE, linear(np.negative)),
    "real": (WIDE, linear(np.real)),
    "conj": (WIDE, linear(np.conj)),
    "deg2rad": (WIDE, lambda x: x * (PI / 180)),
    "rad2deg": (SMALL, lambda x: x * (180 / PI)),
    "exp": ((-3.0, 2.0), hyperdual.exp),
    "exp2": (
        (-3.0, 3.0),
        elementwise(np.exp2, lambda x: LOG_2 * 2**x, lambda x: LOG_2**2 * 2**x),
    ),
    "expm1": (SMALL, elementwise(np.expm1, np.exp, np.exp)),
    "log": (POSITIVE, hyperdual.log),
    "log1p": (
        (-0.6, 3.0),
        elementwise(np.log1p, lambda x: (1 + x) ** -1, lambda x: -((1 + x) ** -2)),
    ),
    "log2": (POSITIVE, lambda x: hyperdual.log(x) / LOG_2),
    "log10": (POSITIVE, lambda x: hyperdual.log(x) / LOG_10),
    "sqrt": (POSITIVE, hyperdual.sqrt),
    "cbrt": (
        POSITIVE,
        elementwise(np.cbrt, lambda x: x ** (-2 / 3) / 3, lambda x: -2 / 9 * x ** (-5 / 3)),
    ),
    "square": (WIDE, elementwise(np.square, lambda x: 2 * x, lambda x: np.full(x.shape, 2.0))),
    "reciprocal": (POSITIVE, hyperdual.reciprocal),
    "tanh": (WIDE, hyperdual.tanh),
    "sigmoid": (WIDE, hyperdual.sigmoid),
    "log_sigmoid": (WIDE, lambda x: -hyperdual.softplus(-x)),
    "softplus": (WIDE, hyperdual.softplus),
    "silu": (WIDE, lambda x: x * hyperdual.sigmoid(x)),
    "mish": (WIDE, lambda x: x * hyperdual.tanh(hyperdual.softplus(x))),
    "fabs": (POSITIVE, lambda x: x * 1),
    "hardswish": ((-2.5, 2.5), lambda x: x * (x + 3) / 6),
    "logit": ((0.1, 0.9), lambda x: hyperdual.log(x) - hyperdual.log(1 - x)),
    "softsign": (POSITIVE, lambda x: x / (x + 1)),
    "erf": (SMALL, hyperdual.erf),
    "erfc": (SMALL, hyperdual.erfc),
    "sin": (WIDE, hyperdual.sin),
    "cos": (WIDE, lambda x: hyperdual.sin(x + PI / 2)),
    "tan": (
        (-1.2, 1.2),
        elementwise(np.tan, lambda x: np.cos(x) ** -2, lambda x: 2 * np.tan(x) * np.cos(x) ** -2),
    ),
    "sinh": (SMALL, lambda x: (hyperdual.exp(x) - hyperdual.exp(-x)) / 2),
    "cosh": (SMALL, lambda x: (hyperdual.exp(x) + hyperdual.exp(-x)) / 2),
    "arcsin": (
        (-0.8, 0.8),
        elementwise(np.arcsin, lambda x: (1 - x**2) ** -0.5, lambda x: x * (1 - x**2) ** -1.5),
    ),
    "arccos": (
        (-0.8, 0.8),
        elementwise(np.arccos, lambda x: -((1 - x**2) ** -0.5), lambda x: -x * (1 - x**2) ** -1.5),
    ),
    "arctan": (
        WIDE,
        elementwise(np.arctan, lambda x: (1 + x**2) ** -1.0, lambda x: -2 * x * (1 + x**2) ** -2.0),
    ),
    "arcsinh": (WIDE, lambda x: hyperdual.log(x + hyperdual.sqrt(x * x + 1))),
    "arccosh": ((1.3, 4.0), lambda x: hyperdual.log(x + hyperdual.sqrt(x * x - 1))),
    "arctanh": ((-0.8, 0.8), lambda x: hyperdual.log((1 + x) / (1 - x)) / 2),
    "sinc": ((0.3, 2.0), lambda x: hyperdual.sin(x * PI) / (x * PI)),
    # with kinks
    "absolute": (WIDE, hyperdual.absolute, 0.0),
    "relu": (WIDE, piecewise_linear(lambda x: x * (x > 0), lambda x: x > 0), 0.0),
    "relu6": (
        (-4.0, 8.0),
        piecewise_linear(lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)),
        0.0,
        6.0,
    ),
    "selu": (WIDE, _exponential_unit(SELU_ALPHA, SELU_SCALE, 1.0), 0.0),
}

# name: (domains, what it is on jets, where it is smooth)
BINARY: dict[str, tuple[Any, ...]] = {
    "add": ((WIDE, WIDE), lambda x, z: x + z),
    "subtract": ((WIDE, WIDE), lambda x, z: x - z),
    "multiply": ((WIDE, WIDE), hyperdual.multiply),
    "divide": ((WIDE, POSITIVE), lambda x, z: x / z),
    "power": ((POSITIVE, SMALL), lambda x, z: hyperdual.exp(z * hyperdual.log(x))),
    "float_power": ((POSITIVE, SMALL), lambda x, z: hyperdual.exp(z * hyperdual.log(x))),
    "xlogy": ((WIDE, POSITIVE), lambda x, z: x * hyperdual.log(z)),
    "xlog1py": ((WIDE, (-0.6, 3.0)), lambda x, z: x * hyperdual.log(z + 1)),
    "maximum": ((WIDE, WIDE), hyperdual.larger, apart),
    "minimum": ((WIDE, WIDE), hyperdual.smaller, apart),
    "fmax": ((WIDE, WIDE), hyperdual.larger, apart),
    "fmin": ((WIDE, WIDE), hyperdual.smaller, apart),
    "hypot": ((POSITIVE, WIDE), lambda x, z: hyperdual.sqrt(x * x + z * z)),
    "arctan2": (
        (WIDE, POSITIVE),
        lambda x, z: UNARY["arctan"][1](x / z),
    ),
    "logaddexp": ((WIDE, WIDE), lambda x, z: hyperdual.log(hyperdual.exp(x) + hyperdual.exp(z))),
    "logaddexp2": (
        (WIDE, WIDE),
        lambda x, z: hyperdual.log(hyperdual.exp(x * LOG_2) + hyperdual.exp(z * LOG_2)) / LOG_2,
    ),
    "remainder": (
        (WIDE, POSITIVE),
        lambda x, z: x - z * np.floor(x.value / z.value),
        lambda x, z: bool((np.abs(x / z - np.round(x / z)) > MARGIN).all()),
    ),
    "fmod": (
        (WIDE, POSITIVE),
        lambda x, z: x - z * np.trunc(x.value / z.value),
        lambda x, z: bool((np.abs(x / z - np.round(x / z)) > MARGIN).all()),
    ),
    "copysign": (
        (WIDE, WIDE),
        lambda x, z: hyperdual.absolute(x) * np.sign(z.value),
        lambda x, z: bool((np.abs(x) > MARGIN).all() and (np.abs(z) > MARGIN).all()),
    ),
}

LOSSES: dict[str, tuple[Any, ...]] = {
    "mse_loss": ((WIDE, WIDE), lambda d: d * d),
    "l1_loss": ((WIDE, WIDE), hyperdual.absolute, apart),
    "huber_loss": (
        (WIDE, WIDE),
        lambda d: hyperdual.where(np.abs(d.value) < 1, d * d / 2, hyperdual.absolute(d) - 0.5),
        lambda x, z, **params: bool((np.abs(np.abs(x - z) - 1) > MARGIN).all()),
    ),
}


def _reduced(rows: Any) -> Any:
    def loss(x: Jet, z: Jet, reduction: str = "mean") -> Any:
        found = rows(x - z)
        reduced = {"none": lambda r: r, "sum": hyperdual.total, "mean": hyperdual.average}
        return reduced[reduction](found)

    return loss


def _mask(draw: Any, shapes: Any) -> dict[str, Any]:
    """A mask of the shape that the inputs broadcast to, given by a number."""
    return {"code": draw(st.integers(0, 255))}


def _bits(code: int, shape: tuple[int, ...]) -> Any:
    bits = [code >> (i % 8) & 1 for i in range(math.prod(shape))]
    return np.array(bits, bool).reshape(shape)


def _where(x: Any, z: Any, code: int) -> Any:
    return ops.where(_bits(code, np.broadcast_shapes(x.shape, z.shape)), x, z)


def _where_on_jets(x: Any, z: Any, code: int) -> Jet:
    return hyperdual.where(_bits(code, np.broadcast_shapes(x.shape, z.shape)), x, z)


def _masked(x: Any, code: int) -> Any:
    return neural._masked(x, _bits(code, x.shape), scale=1.25)


def _between(x: Any, **bounds: float) -> bool:
    return away_from(*bounds.values())(x)


SPECIAL = [
    Specification(
        "softplus_of_rate",
        ops.softplus,
        hyperdual.softplus,
        params=fixed(beta=(0.5, 2.0)),
    ),
    Specification("gelu", ops.gelu, _gelu, params=fixed(approximate=("none", "tanh"))),
    Specification(
        "leaky_relu",
        ops.leaky_relu,
        lambda x, negative_slope: hyperdual.where(x.value > 0, x, x * negative_slope),
        params=fixed(negative_slope=(0.01, 0.3)),
        smooth=away_from(0.0),
    ),
    Specification(
        "elu",
        ops.elu,
        lambda x, alpha: _exponential_unit(alpha, 1.0, 1.0)(x),
        params=fixed(alpha=(1.0, 0.7)),
        smooth=away_from(0.0),
    ),
    Specification(
        "celu",
        ops.celu,
        lambda x, alpha: _exponential_unit(alpha, 1.0, 1 / alpha)(x),
        params=fixed(alpha=(1.0, 0.7)),
        smooth=away_from(0.0),
    ),
    Specification(
        "hardtanh",
        ops.hardtanh,
        lambda x, min_val, max_val: hyperdual.smaller(hyperdual.larger(x, min_val), max_val),
        params=fixed(min_val=(-1.0, -0.5), max_val=(1.0, 0.25)),
        smooth=_between,
    ),
    Specification(
        "clip",
        ops.clip,
        lambda x, a_min, a_max: hyperdual.smaller(hyperdual.larger(x, a_min), a_max),
        params=fixed(a_min=(-1.0, -0.5), a_max=(1.0, 0.25)),
        smooth=_between,
    ),
    Specification(
        "clip_by_tensors",
        lambda x, low, high: ops.clip(x, low, high),
        lambda x, low, high: hyperdual.smaller(hyperdual.larger(x, low), high),
        domains=(WIDE, (-3.0, -0.5), (0.5, 3.0)),
        fits=same_shapes,
        smooth=lambda x, low, high: apart(x, low) and apart(x, high),
    ),
    Specification(
        "integer_power",
        lambda x, n: x**n,
        _integer_power,
        domains=((-2.0, -0.3),),
        params=fixed(n=(2, 3, -1, 1)),
    ),
    Specification(
        "number_to_power",
        lambda x, base: base**x,
        lambda x, base: hyperdual.exp(x * math.log(base)),
        domains=(SMALL,),
        params=fixed(base=(2.0, 0.5)),
    ),
    Specification(
        "ldexp",
        ops.ldexp,
        lambda x, exponent: x * 2.0**exponent,
        params=fixed(exponent=(-1, 1)),
    ),
    Specification(
        "number_divided_by",
        lambda x, number: number / x - number,
        lambda x, number: number / x - number,
        domains=(POSITIVE,),
        params=fixed(number=(1.0, -1.5)),
    ),
    Specification("where", _where, _where_on_jets, (WIDE, WIDE), broadcastable, _mask),
    Specification(
        "dropout", _masked, lambda x, code: x * (_bits(code, x.shape) * 1.25), params=_mask
    ),
    Specification(
        "binary_cross_entropy_with_logits",
        ops.binary_cross_entropy_with_logits,
        lambda x, z: hyperdual.average(hyperdual.softplus(x) - x * z),
        domains=(WIDE, (0.0, 1.0)),
        fits=same_shapes,
    ),
    Specification(
        "binary_cross_entropy",
        ops.binary_cross_entropy,
        lambda x, z: -hyperdual.average(z * hyperdual.log(x) + (1 - z) * hyperdual.log(1 - x)),
        domains=((0.2, 0.8), (0.0, 1.0)),
        fits=same_shapes,
    ),
    Specification(
        "kl_div",
        ops.kl_div,
        lambda x, z: hyperdual.average(z * (hyperdual.log(z) - x)),
        domains=(WIDE, POSITIVE),
        fits=same_shapes,
    ),
]

ELEMENTWISE = [
    *(
        Specification(
            name,
            getattr(ops, name),
            function,
            (domain,),
            smooth=away_from(*kinks) if kinks else None,
        )
        for name, (domain, function, *kinks) in UNARY.items()
    ),
    *(
        Specification(name, getattr(ops, name), function, domains, broadcastable, None, *smooth)
        for name, (domains, function, *smooth) in BINARY.items()
    ),
    *(
        Specification(
            name,
            getattr(ops, name),
            _reduced(function),
            domains,
            same_shapes,
            fixed(reduction=("mean", "sum", "none")),
            *smooth,
        )
        for name, (domains, function, *smooth) in LOSSES.items()
    ),
    *SPECIAL,
]
