"""Fit the polynomials of the vector functions, and write them down.

    python -m tools.fit_functions minigrad/compiled/llvm/vectors/coefficients.py

Polynomials are Chebyshev fits, computed by mpmath with 40 digits: within a small factor of the
best ones of their degree. The rational ones of float32 are minimax fits by Lawson's method:
linearised least squares, weighted again and again towards the largest errors. The relative error of
each stands beside it. Takes half a minute.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mpmath
import numpy as np

Function = Callable[[Any], Any]

HEAD: Final = '''"""The coefficients of the vector functions, lowest power first.

Written by tools/fit_functions.py, which says how they are found; do not edit.
"""

from typing import Final

'''
HALF_LN2: Final = 0.3501
"""A little more than ln(2) / 2, because the reduced argument is rounded."""


def polynomial(f: Function, low: float, high: float, degree: int) -> list[float]:
    """A Chebyshev fit of `f` between two numbers."""
    with mpmath.workdps(40):
        fitted = mpmath.chebyfit(f, [low, high], degree + 1)
        return [float(c) for c in reversed(fitted)]


def worst(f: Function, g: Function, low: float, high: float) -> float:
    """The largest |f / g - 1| in a sample of the interval."""
    with mpmath.workdps(40):
        xs = [low + (high - low) * mpmath.mpf(i) / 997 for i in range(1, 997)]
        return float(max(abs(f(x) / g(x) - 1) for x in xs if x))


def at(coefficients: list[float], x: Any) -> Any:
    """The polynomial at x, in mpmath."""
    return mpmath.polyval([mpmath.mpf(c) for c in reversed(coefficients)], x)


def rational(
    f: Function, high: float, over: int, under: int, rounds: int = 200
) -> tuple[list[float], list[float], float]:
    """P and Q of these degrees with f(x) close to x P(x^2) / Q(x^2) up to `high`, and the error."""
    angles = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    x = (high - 1e-3) / 2 * angles + (high + 1e-3) / 2
    y = np.array([float(f(v)) for v in x])
    scale = high * high
    powers = (x * x / scale)[:, None] ** np.arange(max(over, under) + 1)
    weight, divisor = np.ones_like(x), np.ones_like(x)
    best: tuple[float, Any, Any] = (np.inf, None, None)
    for _ in range(rounds):
        left = (x / (y * divisor))[:, None] * powers[:, : over + 1]
        right = -powers[:, 1 : under + 1] / divisor[:, None]
        root = np.sqrt(weight)
        matrix = np.concatenate([left, right], axis=1) * root[:, None]
        solution = np.linalg.lstsq(matrix, root / divisor)[0]
        p, q = solution[: over + 1], np.concatenate([[1.0], solution[over + 1 :]])
        divisor = np.abs(powers[:, : under + 1] @ q)
        error = np.abs(x * (powers[:, : over + 1] @ p) / (powers[:, : under + 1] @ q) / y - 1)
        if error.max() < best[0]:
            steps = scale ** np.arange(max(over, under) + 1)
            best = float(error.max()), p / steps[: over + 1], q / steps[: under + 1]
        weight = weight * (error / error.max() + 1e-3)
        weight /= weight.mean()
    return best[1].tolist(), best[2].tolist(), best[0]


def _series(terms: Function, start: int) -> Function:
    """The sum of terms(k) * x ** (k - start) from k = start on: no cancellation near zero."""
    return lambda x: mpmath.fsum(terms(k) * x ** (k - start) for k in range(start, start + 40))


def _log_tail(z: Any) -> Any:
    """(log(1 + z) - z + z^2 / 2) / z^3."""
    if abs(z) < 0.01:
        return _series(lambda k: mpmath.mpf((-1) ** (k + 1)) / k, 3)(z)
    return (mpmath.log1p(z) - z + z * z / 2) / z**3


def _atanh_tail(z: Any) -> Any:
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 where z = s^2."""
    return mpmath.fsum(2 * z ** (k - 1) / (2 * k + 1) for k in range(1, 40))


def _sin_tail(u: Any) -> Any:
    """(sin(r) - r) / r^3 where u = r^2."""
    return mpmath.fsum((-1) ** k * u ** (k - 1) / mpmath.factorial(2 * k + 1) for k in range(1, 25))


def _cos_tail(u: Any) -> Any:
    """(cos(r) - 1 + r^2 / 2) / r^4 where u = r^2."""
    return mpmath.fsum((-1) ** k * u ** (k - 2) / mpmath.factorial(2 * k) for k in range(2, 25))


def _erf_ratio(u: Any) -> Any:
    """erf(x) / x where u = x^2."""
    terms = ((-1) ** k * u**k / (mpmath.factorial(k) * (2 * k + 1)) for k in range(40))
    return 2 / mpmath.sqrt(mpmath.pi) * mpmath.fsum(terms)


ERFC_SHIFT: Final = 2.5


def _erfc_scaled(t: Any) -> Any:
    """exp(x^2) erfc(x) where t = (x - s) / (x + s) and s = `ERFC_SHIFT`."""
    x = ERFC_SHIFT * (1 + t) / (1 - t)
    return mpmath.exp(x * x) * mpmath.erfc(x)


def _turned(x: float) -> float:
    return (x - ERFC_SHIFT) / (x + ERFC_SHIFT)


def fits() -> dict[str, tuple[list[float], str]]:
    """All coefficients by name, and what they are in words."""
    exp_tail = _series(lambda k: 1 / mpmath.factorial(k), 2)
    quarter = float(mpmath.pi / 4) * 1.001
    root = float(mpmath.sqrt(0.5))
    found: dict[str, tuple[list[float], str]] = {}

    def add(name: str, f: Function, low: float, high: float, degree: int, what: str) -> None:
        coefficients = polynomial(f, low, high, degree)
        error = worst(lambda x: at(coefficients, x), f, low, high)
        found[name] = coefficients, f"{what};\nrelative error {error:.1e}"

    for bits, degrees in ((32, (4, 8, 3, 2)), (64, (9, 0, 6, 6))):
        exp_degree, log_degree, sin_degree, cos_degree = degrees
        what = "(exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2"
        add(f"EXP_{bits}", exp_tail, -HALF_LN2, HALF_LN2, exp_degree, what)
        if log_degree:
            what = "(log(1 + z) - z + z^2 / 2) / z^3 for 1 + z within a factor of sqrt(2) of 1"
            add(f"LOG_{bits}", _log_tail, root - 1, 2 * root - 1, log_degree, what)
        what = "(sin(r) - r) / r^3 in r^2 for |r| <= pi / 4"
        add(f"SIN_{bits}", _sin_tail, 0, quarter**2, sin_degree, what)
        what = "(cos(r) - 1 + r^2 / 2) / r^4 in r^2 for |r| <= pi / 4"
        add(f"COS_{bits}", _cos_tail, 0, quarter**2, cos_degree, what)
    what = "(exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 32"
    add("EXP_32_OF_STEP", exp_tail, -HALF_LN2 / 16, HALF_LN2 / 16, 1, what)
    steps = [float(mpmath.mpf(2) ** (mpmath.mpf(k) / 16)) for k in range(16)]
    found["EXP_32_STEPS"] = steps, "2 ** (k / 16) for k from 0 to 15"
    what = "(log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2 for |s| <= 3 - 2 sqrt(2)"
    add("LOG_64", _atanh_tail, 0, (3 - 4 * root) ** 2 * 1.001, 7, what)
    add("ERF_64", _erf_ratio, 0, 1.001, 13, "erf(x) / x in x^2 up to 1")
    what = f"exp(x^2) erfc(x) in (x - {ERFC_SHIFT}) / (x + {ERFC_SHIFT}) for x from 1 to 6"
    add("ERFC_64", _erfc_scaled, _turned(0.999), _turned(6.001), 18, what)
    for name, f, high, over, under in (
        ("TANH_32", mpmath.tanh, 9.02, 4, 4),
        ("ERF_32", mpmath.erf, 3.93, 6, 4),
    ):
        p, q, error = rational(f, high, over, under)
        word = name.partition("_")[0].lower()
        what = f"{word}(x) = x P(x^2) / Q(x^2) up to {high}"
        found[f"{name}_P"] = p, f"P of {what};\nrelative error {error:.1e}"
        found[f"{name}_Q"] = q, f"Q of {what}"
    return found


def main() -> None:
    """Write the file that the command line names."""
    parts = [HEAD]
    for name, (coefficients, what) in fits().items():
        lines = "".join(f"    {c!r},\n" for c in coefficients)
        parts.append(f'{name}: Final = (\n{lines})\n"""{what}."""\n\n')
    parts.append(f'ERFC_SHIFT: Final = {ERFC_SHIFT!r}\n"""The s of `ERFC_64`."""\n')
    Path(sys.argv[1]).write_text("".join(parts), "utf-8")


if __name__ == "__main__":
    main()
