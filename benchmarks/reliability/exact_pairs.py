"""Operations on pairs of numbers in extended precision, with their conventions at ties and ends."""

import math
from collections.abc import Iterator, Sequence

import mpmath
from mpmath import mp, mpf

from benchmarks.reliability.exact import BAD, Exact, Number, Numbers, Slope, Term, real
from benchmarks.reliability.exact_elementwise import OPEN, Rule, as_slope
from minigrad import ops

__all__ = ["BINARY"]

EVEN = 2**11  # from here on all numbers of float16 are even


def binary(
    name: str,
    value: Rule,
    first: Rule,
    second: Rule,
    function: Rule | None = None,
    value_ulps: float = math.inf,
) -> Exact:
    """An operation on pairs of numbers that broadcast; its slopes state their conventions."""

    def pairs(inputs: Sequence[Numbers]) -> Iterator[tuple[int, int, int]]:
        n = max(map(len, inputs))
        for k in range(n):
            yield k, k % len(inputs[0]), k % len(inputs[1])

    def values(inputs: Sequence[Numbers]) -> list[Number]:
        one, other = inputs
        return [
            real(value, one[i], other[j])
            if mpmath.isfinite(one[i]) and mpmath.isfinite(other[j])
            else BAD
            for _, i, j in pairs(inputs)
        ]

    def slopes(inputs: Sequence[Numbers]) -> Iterator[Term]:
        one, other = inputs
        for k, i, j in pairs(inputs):
            for number, element, rule in ((0, i, first), (1, j, second)):
                try:
                    found = rule(one[i], other[j])
                except (ZeroDivisionError, ValueError):
                    found = BAD
                slope = as_slope(found)
                if isinstance(slope.value, mpmath.mpc):
                    slope = Slope(BAD)
                yield number, element, k, slope

    made = function or getattr(ops, name)
    of_value = name == "hypot"
    return Exact(name, made, 2, values, slopes, value_ulps=value_ulps, of_value=of_value)


def _power_first(x: Number, z: Number) -> Number:
    if z == 0:
        return mpf(0)  # x ** 0 is constant
    if not (mpmath.isfinite(x) and mpmath.isfinite(z)):
        return OPEN
    if x < 0 and (z != mp.floor(z) or abs(z) > EVEN):
        return OPEN  # the value is NaN, or z - 1 is rounded to an even number
    power = real(lambda: x ** (z - 1))
    off = abs(z * power * mp.log(abs(x)) * (abs(z) + 1)) if x else 0
    return Slope(z * power, off, way=power if mpmath.isfinite(power) else 0)


def _power_second(x: Number, z: Number) -> Number:
    if x == 0 and z >= 0:
        return mpf(0)
    if not (mpmath.isfinite(x) and mpmath.isfinite(z)):
        return OPEN
    return Slope(real(lambda: x**z * mp.log(x)), lost=abs(mp.log(x))) if x > 0 else BAD


def _xlogy_first(x: Number, z: Number) -> Number:
    return mpf(0) if x == 0 and z <= 0 else mp.log(z)


def _xlogy_second(x: Number, z: Number) -> Number:
    return mpf(0) if x == 0 and z <= 0 else x / z


def _choice(x: Number, z: Number) -> Number:
    """The part of the larger of two: ties share, and NaN passes on to both."""
    if mpmath.isnan(x) or mpmath.isnan(z):
        return mpf(1)
    return mpf(1) if x > z else mpf(0) if x < z else mpf("0.5")


def _number_choice(x: Number, z: Number, first: bool) -> Number:
    """The same where a number wins over NaN, and ties go to the first."""
    if mpmath.isnan(x) or mpmath.isnan(z):
        wins = bool(mpmath.isnan(z))
    else:
        wins = x >= z
    return mpf(int(wins == first))


def _of_hypotenuse(x: Number, z: Number) -> Number:
    if mpmath.isnan(x) or mpmath.isnan(z):
        return BAD
    if mpmath.isinf(x) or mpmath.isinf(z):
        return OPEN  # a quotient of infinities
    if not (x or z):
        return mpf(0)
    length = mp.sqrt(x * x + z * z)
    return Slope(x / length, lost=1 / length)


def _of_angle(x: Number, z: Number, side: Number) -> Number:
    if mpmath.isnan(x) or mpmath.isnan(z):
        return BAD
    if mpmath.isinf(x) or mpmath.isinf(z):
        return mpf(0)
    if not (x or z):
        return mpf(0)
    square = x * x + z * z
    return Slope(side / square, lost=1 / square)


def _share(x: Number, z: Number, base: Number) -> Number:
    if mpmath.isnan(x) or mpmath.isnan(z):
        return BAD
    if mpmath.isinf(x) and x == z:
        return mpf(0) if x < 0 else mpf("0.5")
    difference = (z - x) * mp.log(base)
    if not mpmath.isfinite(difference):
        return mpf(int(x > z))
    share = 1 / (1 + mp.exp(difference))
    return Slope(share, share * abs(difference))  # the exponent is rounded


def _log_sum(x: Number, z: Number, base: Number) -> Number:
    top, rate = max(x, z), mp.log(base)
    return top + mp.log1p(mp.exp(-abs(x - z) * rate)) / rate


def _copysign(x: Number, z: Number) -> Number:
    if x == 0:
        return mpf(0)
    return OPEN if z == 0 or mpmath.isnan(z) or mpmath.isnan(x) else (
        mp.sign(x) * mp.sign(z)
    )  # fmt: skip


def _quotient(x: Number, z: Number) -> Number:
    """-x / (z * z), by a quotient x / z that may be subnormal."""
    return Slope(-x / z / z, lost=1 / abs(z))


BINARY: tuple[Exact, ...] = (
    binary("add", lambda x, z: x + z, lambda x, z: mpf(1), lambda x, z: mpf(1)),
    binary("subtract", lambda x, z: x - z, lambda x, z: mpf(1), lambda x, z: mpf(-1)),
    binary("multiply", lambda x, z: x * z, lambda x, z: z, lambda x, z: x),
    binary("divide", lambda x, z: x / z, lambda x, z: 1 / z, _quotient),
    binary("power", lambda x, z: x**z, _power_first, _power_second),
    binary("xlogy", lambda x, z: x * mp.log(z) if x else x, _xlogy_first, _xlogy_second),
    binary(
        "xlog1py",
        lambda x, z: x * mp.log1p(z) if x else x,
        lambda x, z: mpf(0) if x == 0 and z <= -1 else mp.log1p(z),
        lambda x, z: mpf(0) if x == 0 and z <= -1 else x / (1 + z),
    ),
    binary("maximum", max, _choice, lambda x, z: _choice(z, x)),
    binary("minimum", min, lambda x, z: _choice(-x, -z), lambda x, z: _choice(-z, -x)),
    binary(
        "fmax",
        max,
        lambda x, z: _number_choice(x, z, True),
        lambda x, z: _number_choice(x, z, False),
    ),
    binary(
        "fmin",
        min,
        lambda x, z: _number_choice(-x, -z, True),
        lambda x, z: _number_choice(-x, -z, False),
    ),
    binary("hypot", mp.hypot, _of_hypotenuse, lambda x, z: _of_hypotenuse(z, x)),
    binary(
        "arctan2",
        lambda x, z: mp.atan2(x, z) if x else BAD,  # the sign of 0 would tell
        lambda x, z: _of_angle(x, z, z),
        lambda x, z: _of_angle(x, z, -x),
    ),
    binary(
        "logaddexp",
        lambda x, z: _log_sum(x, z, mp.e),
        lambda x, z: _share(x, z, mp.e),
        lambda x, z: _share(z, x, mp.e),
    ),
    binary(
        "logaddexp2",
        lambda x, z: _log_sum(x, z, mpf(2)),
        lambda x, z: _share(x, z, mpf(2)),
        lambda x, z: _share(z, x, mpf(2)),
    ),
    binary(
        "copysign",
        lambda x, z: abs(x) * (mp.sign(z) or BAD),
        _copysign,
        lambda x, z: mpf(0),
    ),
)
