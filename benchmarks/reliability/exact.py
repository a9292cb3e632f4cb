"""Gradients in extended precision, with bounds on what rounding may do to them.

An `Exact` operation is written here a second time: its value and its slopes as numbers of mpmath,
whose exponents have no bounds, and what is the convention where there is no slope. A `Gradient` is
what such slopes, multiplied and added up along a program, say of the one that floats have to give.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

__all__ = ["BAD", "Exact", "Format", "Gradient", "Slope", "Term", "real"]

DIGITS = 60
BAD = mpmath.nan  # a slope that does not exist, or is infinite
WIDE = mpmath.mpf(2) ** 127  # about the largest number of float32, in which float16 is computed
Number = Any  # an mpmath number: mpmath has no types
Numbers = Sequence[Number]


@dataclass(frozen=True)
class Format:
    """What a floating dtype can hold, as numbers of mpmath."""

    dtype: Any
    flushes: bool = False  # subnormal numbers to 0, as compiled programs may

    @property
    def eps(self) -> Number:
        """The distance from 1 to the next number."""
        return mpmath.mpf(float(np.finfo(self.dtype).eps))

    @property
    def least(self) -> Number:
        """The smallest positive number."""
        limits = np.finfo(self.dtype)
        return mpmath.mpf(float(limits.tiny if self.flushes else limits.smallest_subnormal))

    @property
    def normal(self) -> Number:
        """The smallest positive number of full precision."""
        return mpmath.mpf(float(np.finfo(self.dtype).tiny))

    @property
    def most(self) -> Number:
        """The largest number."""
        return mpmath.mpf(float(np.finfo(self.dtype).max))


@dataclass(frozen=True)
class Slope:
    """A derivative of one number by another.

    Attributes:
        value: the number, or `BAD`.
        scale: the size of the terms that it is a difference of; 0 for no more than its own.
        lost: how far it moves when a number on the way, perhaps subnormal, moves by one.
        floor: how far a gradient moves when a product with it moves by one.
        way: a number on the way to it, of float32 at least, or to its product with a gradient.
        free: nothing is promised of it.
    """

    value: Number
    scale: Number = 0
    lost: Number = 0
    floor: Number = 0
    way: Number = 0
    free: bool = False


Term = tuple[int, int, int, Slope]  # input, its element, element of the output, slope


@dataclass(frozen=True)
class Exact:
    """An operation in extended precision.

    Attributes:
        name: how it is called in reports.
        function: it, on tensors.
        inputs: how many arrays it takes.
        value: the elements of the result, from the lists of those of the inputs.
        slopes: the terms of its gradient, from the same.
        ulps: how many units in the last place values and slopes may be off.
        value_ulps: the same of values; infinite for what NumPy itself computes.
        slack: how many ulps of its `scale` a slope may be off, too.
        way: the largest number on the way from a row to the result, where NumPy's function may
            overflow though the result could be held.
        of_value: whether slopes are computed from the value, and mean nothing when that overflows.
    """

    name: str
    function: Callable[..., Any]
    inputs: int
    value: Callable[[Sequence[Numbers]], list[Number]]
    slopes: Callable[[Sequence[Numbers]], Iterator[Term]]
    ulps: float = 8.0
    value_ulps: float = math.inf
    slack: float = 8.0
    way: Callable[[Numbers], Number] | None = None
    of_value: bool = True

    def __repr__(self) -> str:
        return self.name

    def overflows(self, inputs: Sequence[Numbers], format: Format) -> list[bool]:
        """For each element, whether it or a number on the way is too large for the format."""
        values = self.value(inputs)
        if self.way is not None and all(mpmath.isfinite(x) for x in inputs[0]):
            values = [max(abs(value), self.way(inputs[0])) for value in values]
        return [mpmath.isfinite(v) and abs(v) > format.most / 4 for v in values]


def real(function: Callable[..., Number], *xs: Number) -> Number:
    """A number that a function gives, `BAD` where it gives none."""
    try:
        found = function(*xs)
    except (ZeroDivisionError, ValueError):
        return BAD
    found = mpmath.mpmathify(found)
    return found if isinstance(found, mpmath.mpf) else BAD


@dataclass(frozen=True)
class Gradient:
    """What is known of a gradient.

    Attributes:
        kind: "finite", when it has to be within `error` of `value`; "bad", when it must not be
            finite; "open", when nothing can be promised.
        value, error: numbers of mpmath.
    """

    kind: str
    value: Number = 0
    error: Number = 0

    def times(self, slope: Slope, ulps: float, slack: float, format: Format) -> "Gradient":
        """It after one rule."""
        if self.kind == "open" or slope.free:
            return Gradient("open")
        if not mpmath.isfinite(slope.value):
            return Gradient("open" if self.kind == "finite" and self.value == 0 else "bad")
        size = abs(slope.value)
        off = format.eps * (ulps * size + slack * slope.scale) + format.normal
        off += 4 * slope.lost * format.least
        if self.kind == "bad":  # 0 times an infinity is NaN, but a rule may choose 0
            return Gradient("open" if size <= off else "bad")
        if size > format.most / 4 or abs(slope.way) * max(1, abs(self.value)) > max(
            format.most, WIDE
        ):
            return Gradient("open")
        value = self.value * slope.value
        error = self.error * (size + off) + abs(self.value) * off
        error += 4 * format.eps * abs(value) + 4 * (1 + slope.floor) * format.least
        return Gradient("finite", value, error).within(format)

    def within(self, format: Format) -> "Gradient":
        """It, open when it may be too large for the format."""
        return Gradient("open") if abs(self.value) + self.error > format.most / 4 else self

    @staticmethod
    def total(parts: "Sequence[Gradient]", format: Format) -> "Gradient":
        """The sum, added up in any order."""
        kinds = {part.kind for part in parts}
        if "bad" in kinds or "open" in kinds:
            return Gradient("bad" if "bad" in kinds else "open")
        size = sum((abs(part.value) + part.error for part in parts), mpmath.mpf(0))
        if size > format.most / 4:
            return Gradient("open")
        rounding = format.eps * len(parts) * size if len(parts) > 1 else 0
        value = sum((part.value for part in parts), mpmath.mpf(0))
        return Gradient("finite", value, sum((part.error for part in parts), rounding))

    def fault(self, found: float) -> str:
        """What is wrong with a gradient that was found; empty for nothing."""
        if self.kind == "bad" and math.isfinite(found):
            return f"{found!r} is finite, the true gradient is not"
        if self.kind == "finite":
            if not math.isfinite(found):
                return f"{found!r}, the true gradient is {mpmath.nstr(self.value, 6)}"
            if abs(mpmath.mpf(found) - self.value) > self.error:
                return (
                    f"{found!r}, the true gradient is {mpmath.nstr(self.value, 12)}, within "
                    f"{mpmath.nstr(self.error, 3)}"
                )
        return ""
