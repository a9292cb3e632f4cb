"""Numbers and columns of the interactive page's data, written in few characters.

Integers that rise become differences, and a column whose values are all alike a single one. Many
numbers become characters that tell their size in log10.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from minigrad.draw.graph.codec import nonfinite_word

__all__ = ["DIGITS", "WIDE", "column", "json_for_page", "number", "size_code", "size_span"]

DIGITS: Final = "".join(chr(code) for code in range(35, 127) if chr(code) not in "&<>\\")
"""The digits of numbers whose size is written as its place between two others, in log10."""
_LONG: Final = 48
"""Columns of more values than this are written in characters."""
_WORDS: Final = ("NaN", "Infinity", "-Infinity")
WIDE: Final = 16.0
"""Decades beyond which a norm needs three digits, to be exact in the digits that are shown."""


def json_for_page(content: object) -> str:
    """Return JSON in ASCII that can stand inside any element of a page and ends none of them."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def number(value: float | None, digits: int = 4) -> float | str | None:
    """Return a number for JSON, rounded; what JSON lacks becomes a word."""
    if value is None:
        return None
    if not math.isfinite(value):
        return nonfinite_word(value)
    rounded = float(f"{value:.{digits - 1}e}")
    if not math.isfinite(rounded):
        return value
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded


def column(values: Sequence[Any]) -> Any:
    """Return the shortest of several notations for a list of plain values."""
    if not values:
        return []
    first = values[0]
    if all(value == first and type(value) is type(first) for value in values):
        return {"all": first}
    if all(type(value) is int for value in values):
        return _integers(values)
    missing = sum(value is None for value in values)
    if missing > len(values) // 2:
        known = [(place, value) for place, value in enumerate(values) if value is not None]
        places = [place for place, _ in known]
        return {
            "at": column(places),
            "values": column([value for _, value in known]),
            "n": len(values),
        }
    if all(value is None or type(value) is int for value in values):
        none = min(value for value in values if value is not None) - 1
        return {"none": none, "in": column([none if v is None else v for v in values])}
    if len(values) > _LONG and not any(isinstance(v, str) and v not in _WORDS for v in values):
        return _sizes(values)
    return values


def _integers(values: Sequence[int]) -> dict[str, Any]:
    """Return integers as differences; where these are small and many, as one character each."""
    steps = [b - a for a, b in zip([0, *values], values, strict=False)]
    half = len(DIGITS) // 2
    if len(values) > _LONG:
        for places in (1, 2):
            most = half if places == 1 else len(DIGITS) * half
            far = [place for place, step in enumerate(steps) if not -most <= step < most]
            if len(far) * 20 <= len(steps):
                codes = (
                    _digits(0 if p in far else step + most, places) for p, step in enumerate(steps)
                )
                return {
                    "near": "".join(codes),
                    "places": places,
                    "far": [[place, steps[place]] for place in sorted(far)],
                }
    return {"steps": steps}


def _sizes(values: Sequence[Any]) -> dict[str, Any]:
    """Return many numbers by their sizes, as accurately as the page shows them."""
    numbers = [float(value) if type(value) is str else value for value in values]
    low, high, span = size_span([value for value in numbers if value is not None])
    places = 3 if span < 2 * WIDE else 4
    codes = (size_code(value, low, high, places) for value in numbers)
    return {"sizes": "".join(codes), "low": low, "high": high, "places": places}


def size_span(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the smallest and largest size among values, in log10, and their distance."""
    logs = [math.log10(abs(value)) for value in values if value and math.isfinite(value)]
    low, high = round(min(logs, default=0.0) - 5e-5, 4), round(max(logs, default=1.0) + 5e-5, 4)
    return low, high, high - low


def size_code(
    value: float | None, low: float, high: float, places: int, signed: bool = True
) -> str:
    """Return a number as a few characters: its size's place in log10, and its sign in the last bit.

    Blanks are 0, `!` and blanks NaN, `!!` infinity, `!-` minus infinity, `!?` what is not known.
    """
    if value is None:
        return "!?".ljust(places)
    if math.isnan(value):
        return "!".ljust(places)
    if value == 0:
        return " " * places
    if math.isinf(value):
        return ("!!" if value > 0 else "!-").ljust(places)
    most = len(DIGITS) ** places // (1 + signed) - 1
    place = round((math.log10(abs(value)) - low) / (high - low) * most)
    return _digits(2 * place + (value < 0) if signed else place, places)


def _digits(number: int, places: int) -> str:
    """Return a number from 0 on in so many digits."""
    base = len(DIGITS)
    return "".join(DIGITS[number // base**power % base] for power in range(places - 1, -1, -1))
