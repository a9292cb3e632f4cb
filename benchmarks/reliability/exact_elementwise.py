"""Operations on single numbers in extended precision, with their conventions at kinks and ends."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mpmath
from mpmath import mp, mpf

from benchmarks.reliability.exact import BAD, Exact, Number, Numbers, Slope, Term, real
from minigrad import ops

__all__ = ["OPEN", "UNARY", "Rule", "as_slope"]

Rule = Callable[..., Any]
NAN = "nan"  # the key of a slope at NaN
OPEN = Slope(BAD, free=True)  # nothing is promised
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
ROOT_PI = mpmath.sqrt(mpmath.pi)


def as_slope(found: Any) -> Slope:
    return found if isinstance(found, Slope) else Slope(mpmath.mpmathify(found))


def unary(
    name: str,
    value: Rule,
    slope: Rule,
    ends: tuple[Any, Any],
    at: dict[Any, Any] | None = None,
    scale: float = 0.0,
    function: Rule | None = None,
    value_ulps: float = math.inf,
) -> Exact:
    """An operation on single numbers.

    Args:
        value, slope: of a finite number.
        ends: the limits of the slope at -inf and inf; `BAD` for none.
        at: the slopes by convention at single places, and at NaN; without one, it is `BAD`.
        scale: of the terms that the slope is a difference of.
    """
    places = at or {}

    def rule(x: Number) -> Slope:
        if mpmath.isnan(x):
            return as_slope(places.get(NAN, BAD))
        if mpmath.isinf(x):
            return as_slope(ends[int(x > 0)])
        if x in places:
            return as_slope(places[x])
        try:
            found = slope(x)
        except (ZeroDivisionError, ValueError):
            return Slope(BAD)
        return found if isinstance(found, Slope) else Slope(real(lambda: found), scale)

    def values(inputs: Sequence[Numbers]) -> list[Number]:
        return [real(value, x) if mpmath.isfinite(x) else BAD for x in inputs[0]]

    def slopes(inputs: Sequence[Numbers]) -> Iterator[Term]:
        for i, x in enumerate(inputs[0]):
            yield 0, i, i, rule(x)

    made = function or getattr(ops, name)
    return Exact(name, made, 1, values, slopes, value_ulps=value_ulps, of_value=False)


# -- of one number -------------------------------------------------------------------------------


def sigmoid(x: Number) -> Number:
    return 1 / (1 + mp.exp(-x)) if x > 0 else mp.exp(x) / (1 + mp.exp(x))


def _sigmoid_slope(x: Number) -> Number:
    e = mp.exp(-abs(x))
    return e / (1 + e) ** 2


def _softplus(x: Number) -> Number:
    return max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def _silu_slope(x: Number) -> Number:
    return sigmoid(x) + x * _sigmoid_slope(x)


def _mish_slope(x: Number) -> Number:
    y = _softplus(x)
    return mp.tanh(y) + x * sigmoid(x) * mp.sech(y) ** 2


def _erf(x: Number) -> Number:
    return mp.erf(x) if abs(x) < 1e3 else mp.sign(x)


def _erfc(x: Number) -> Number:
    """It, 0 where it is smaller than any float."""
    return mp.erfc(x) if abs(x) < 1e3 else 1 - mp.sign(x)


def _normal(x: Number) -> Number:
    return _erfc(-x / mp.sqrt(2)) / 2


def _gelu_slope(x: Number) -> Number:
    return _normal(x) + x * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _gelu_inner(x: Number) -> Number:
    return mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3)


def _gelu_tanh_slope(x: Number) -> Number:
    z = _gelu_inner(x)
    inner = mp.sqrt(2 / mp.pi) * (1 + 3 * mpf("0.044715") * x * x)
    return sigmoid(2 * z) + 2 * x * _sigmoid_slope(2 * z) * inner


def _unit(alpha: float, scale: float, rate: float) -> tuple[Rule, Rule]:
    return (
        lambda x: scale * (x if x > 0 else alpha * mp.expm1(x * rate)),
        lambda x: mpf(scale) if x > 0 else scale * alpha * rate * mp.exp(x * rate),
    )


def _sinc_slope(x: Number) -> Number:
    z = mp.pi * x
    return mp.pi * (z * mp.cos(z) - mp.sin(z)) / (z * z) if abs(z) > 1e-9 else -mp.pi * z / 3


def _steps(*places: tuple[float, float], last: float) -> Rule:
    """The slope of a function of straight lines: below each place one, and the last above all."""

    def slope(x: Number) -> Number:
        return mpf(next((s for place, s in places if x < place), last))

    return slope


def _logit_slope(x: Number) -> Number:
    return 1 / (x * (1 - x)) if 0 <= x <= 1 else BAD


def _erfinv_slope(x: Number) -> Number:
    if abs(x) >= 1:
        return BAD
    y = mp.erfinv(x)
    slope = ROOT_PI / 2 * mp.exp(y**2)
    return Slope(slope, slope * y**2)


# Outside of the domain of a logarithm, where its value is NaN, the slope is that of the formula.
UNARY: tuple[Exact, ...] = (
    unary("negative", lambda x: -x, lambda x: mpf(-1), (-1, -1), {NAN: -1}),
    unary("deg2rad", mp.radians, lambda x: mp.pi / 180, (mp.pi / 180,) * 2, {NAN: mp.pi / 180}),
    unary("exp", mp.exp, mp.exp, (0, BAD)),
    unary("exp2", lambda x: mpf(2) ** x, lambda x: mp.ln2 * mpf(2) ** x, (0, BAD)),
    unary("expm1", mp.expm1, mp.exp, (0, BAD)),
    unary("log", mp.log, lambda x: 1 / x, (0, 0)),
    unary("log1p", mp.log1p, lambda x: 1 / (1 + x), (0, 0)),
    unary("log2", lambda x: mp.log(x, 2), lambda x: 1 / (x * mp.ln2), (0, 0)),
    unary("log10", mp.log10, lambda x: 1 / (x * mp.ln10), (0, 0)),
    unary("sqrt", mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), (BAD, 0)),
    unary(
        "cbrt",
        lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2),
        (0, 0),
    ),
    unary("square", lambda x: x * x, lambda x: 2 * x, (BAD, BAD)),
    unary("reciprocal", lambda x: 1 / x, lambda x: -1 / (x * x), (0, 0)),
    unary("tanh", mp.tanh, lambda x: mp.sech(x) ** 2, (0, 0), scale=1),
    unary("sigmoid", sigmoid, _sigmoid_slope, (0, 0), scale=1, value_ulps=8),
    unary(
        "log_sigmoid", lambda x: -_softplus(-x), lambda x: sigmoid(-x), (1, 0), value_ulps=8
    ),
    unary("softplus", _softplus, sigmoid, (0, 1), value_ulps=8),
    unary("softsign", lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2, (0, 0)),
    unary("silu", lambda x: x * sigmoid(x), _silu_slope, (OPEN, OPEN), scale=1, value_ulps=8),
    unary(
        "mish",
        lambda x: x * mp.tanh(_softplus(x)),
        _mish_slope,
        (OPEN, OPEN),
        scale=1,
        value_ulps=16,
    ),
    unary("gelu", lambda x: x * _normal(x), _gelu_slope, (OPEN, OPEN), scale=1),
    unary(
        "gelu_tanh",
        lambda x: x * sigmoid(2 * _gelu_inner(x)),
        _gelu_tanh_slope,
        (0, 1),
        scale=1,
        function=lambda x: ops.gelu(x, approximate="tanh"),
    ),
    unary("erf", _erf, lambda x: 2 / ROOT_PI * mp.exp(-x * x), (0, 0), scale=1),
    unary("erfc", _erfc, lambda x: -2 / ROOT_PI * mp.exp(-x * x), (0, 0), scale=1),
    unary("sin", mp.sin, mp.cos, (BAD, BAD)),
    unary("cos", mp.cos, lambda x: -mp.sin(x), (BAD, BAD)),
    unary("tan", mp.tan, lambda x: mp.sec(x) ** 2, (BAD, BAD)),
    unary("sinh", mp.sinh, mp.cosh, (BAD, BAD)),
    unary("cosh", mp.cosh, mp.sinh, (BAD, BAD)),
    unary("arcsin", mp.asin, lambda x: 1 / mp.sqrt((1 - x) * (1 + x)), (BAD, BAD)),
    unary("arccos", mp.acos, lambda x: -1 / mp.sqrt((1 - x) * (1 + x)), (BAD, BAD)),
    unary("arctan", mp.atan, lambda x: 1 / (1 + x * x), (0, 0)),
    unary("arcsinh", mp.asinh, lambda x: 1 / mp.sqrt(1 + x * x), (0, 0)),
    unary("arccosh", mp.acosh, lambda x: 1 / mp.sqrt(x * x - 1) if x >= 1 else BAD, (BAD, 0)),
    unary("arctanh", mp.atanh, lambda x: 1 / ((1 - x) * (1 + x)), (0, 0)),
    unary("sinc", mp.sincpi, _sinc_slope, (BAD, BAD), scale=1),
    unary("logit", lambda x: mp.log(x) - mp.log1p(-x), _logit_slope, (BAD, BAD)),
    unary("erfinv", mp.erfinv, _erfinv_slope, (BAD, BAD)),
    # of straight lines, with the slopes of the policy where they meet
    unary("absolute", abs, mp.sign, (-1, 1), {0: 0}),
    unary("relu", lambda x: max(x, mpf(0)), _steps((0, 0), last=1), (0, 1), {0: 0, NAN: 1}),
    unary(
        "relu6",
        lambda x: min(max(x, mpf(0)), mpf(6)),
        _steps((0, 0), (6, 1), last=0),
        (0, 0),
        {0: 0, 6: 0, NAN: 1},
    ),
    unary(
        "leaky_relu",
        lambda x: x if x > 0 else x / 4,
        _steps((0, 0.25), last=1),
        (0.25, 1),
        {0: 0.25, NAN: 0.25},
        function=lambda x: ops.leaky_relu(x, negative_slope=0.25),
    ),
    unary(
        "hardtanh",
        lambda x: min(max(x, mpf(-1)), mpf(1)),
        _steps((-1, 0), (1, 1), last=0),
        (0, 0),
        {-1: 0, 1: 0, NAN: 1},
    ),
    unary(
        "clip",
        lambda x: min(max(x, mpf(-1)), mpf(1)),
        _steps((-1, 0), (1, 1), last=0),
        (0, 0),
        {-1: 1, 1: 1, NAN: 0},
        function=lambda x: ops.clip(x, -1, 1),
    ),
    unary("elu", *_unit(1.0, 1.0, 1.0), (0, 1), {0: 1}),
    unary("selu", *_unit(SELU_ALPHA, SELU_SCALE, 1.0), (0, SELU_SCALE)),
    unary(
        "celu",
        *_unit(2.0, 1.0, 0.5),
        (0, 1),
        {0: 1},
        function=lambda x: ops.celu(x, alpha=2.0),
    ),
    unary(
        "hardswish",
        lambda x: x * min(max(x + 3, mpf(0)), mpf(6)) / 6,
        lambda x: x / 3 + 0.5 if -3 < x < 3 else mpf(int(x > 0)),
        (0, 1),
        {-3: 0, 3: 1, NAN: 1},
        scale=1,
    ),
    # powers of a number, and of numbers
    unary("cube", lambda x: x**3, lambda x: 3 * x * x, (BAD, BAD), function=lambda x: x**3),
    unary("inverse", lambda x: 1 / x, lambda x: -1 / (x * x), (0, 0), function=lambda x: x**-1),
    unary(
        "inverse_square",
        lambda x: x**-2,
        lambda x: -2 / x**3,
        (0, 0),
        function=lambda x: x**-2,
    ),
    unary(
        "root",
        mp.sqrt,
        lambda x: 1 / (2 * mp.sqrt(x)),
        (OPEN, 0),
        function=lambda x: x**0.5,
    ),
    unary(
        "to_zero", lambda x: mpf(1), lambda x: mpf(0), (0, 0), {NAN: 0}, function=lambda x: x**0
    ),
    unary("two_to", lambda x: mpf(2) ** x, lambda x: mp.ln2 * mpf(2) ** x, (0, BAD),
        function=lambda x: 2.0**x),
    unary("two_over", lambda x: 2 / x, lambda x: -2 / (x * x), (0, 0), function=lambda x: 2.0 / x),
)  # fmt: skip
