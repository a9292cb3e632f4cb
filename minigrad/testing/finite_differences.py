"""Derivatives at 0 of a function of one number, by finite differences and complex steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Kink", "Sides", "Steps", "complex_step", "sides", "slope"]

COMPLEX_STEP = 1e-40
SAME = 1e-3  # how much slopes from the two sides of a smooth point may differ, relatively,
NEGLIGIBLE = 1e-6  # and absolutely, where they are nearly 0


class Kink(Exception):
    """There is no slope; the sentence says why."""


class Sides(NamedTuple):
    """Slopes extrapolated to step 0: from values on the left, on both sides, and on the right."""

    left: float
    central: float
    right: float


class Steps(NamedTuple):
    """Sizes of difference steps, and the rounding errors that they bring.

    Attributes:
        large: what differences are taken with.
        small: what they are taken with where the large step runs over a kink nearby.
        noise: the rounding error of a slope with step 1.
    """

    large: float
    small: float
    noise: float

    @classmethod
    def of(cls, eps: float, magnitude: float) -> "Steps":
        """For values that are sums of numbers of a magnitude, with a relative spacing `eps`."""
        # Extrapolation leaves an error of order step ** 6, rounding one of eps / step.
        large = 1.35 * float(eps) ** 0.2
        return cls(large, large / (100 if eps < 1e-12 else 8), 20 * float(eps) * magnitude)


def complex_step(function: Callable[[complex], complex]) -> float:
    """The imaginary part at a tiny imaginary step: exact to rounding for analytic functions."""
    return float(np.imag(function(1j * COMPLEX_STEP)) / COMPLEX_STEP)


def sides(function: Callable[[float], float], middle: float, h: float) -> Sides:
    """Differences with the steps h, h / 2 and h / 4, extrapolated (Richardson 1911)."""
    up = [function(h / k) for k in (1, 2, 4)]
    down = [function(-h / k) for k in (1, 2, 4)]

    def one_sided(values: list[float], step: float) -> float:
        d1, d2, d3 = ((v - middle) * k / step for v, k in zip(values, (1, 2, 4), strict=True))
        e1, e2 = 2 * d2 - d1, 2 * d3 - d2
        return (4 * e2 - e1) / 3

    d1, d2, d3 = ((u - d) * k / (2 * h) for u, d, k in zip(up, down, (1, 2, 4), strict=True))
    e1, e2 = (4 * d2 - d1) / 3, (4 * d3 - d2) / 3
    return Sides(one_sided(down, -h), (16 * e2 - e1) / 15, one_sided(up, h))


def slope(function: Callable[[float], float], middle: float, steps: Steps) -> float:
    """The slope at 0; `middle` is the value there.

    Raises:
        Kink: where it differs between the two sides, or one of them has no values.
    """
    found = Sides(0.0, 0.0, 0.0)
    for h in (steps.large, steps.small):
        found = sides(function, middle, h)
        if not np.isfinite(middle) or agree(found, steps.noise / h):
            return found.central
    for side, value in (("below", found.left), ("above", found.right)):
        if not np.isfinite(value):
            raise Kink(f"the function is not finite just {side} the point: its domain ends there")
    raise Kink(f"its slope is {found.left:.6g} from the left and {found.right:.6g} from the right")


def agree(found: Sides, noise: float) -> bool:
    """Whether the slopes from both sides are one, up to rounding."""
    largest = max(abs(found.left), abs(found.right))
    return bool(abs(found.right - found.left) <= SAME * largest + NEGLIGIBLE + noise)
