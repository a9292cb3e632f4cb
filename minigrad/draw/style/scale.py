"""How a gradient norm becomes a pen: width and colour, both linear in log10 of the norm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from minigrad.draw.graph.records import Contribution
from minigrad.draw.style.theme import Theme

# Control points of matplotlib's cividis, evenly spaced from 0 to 1; they came out of
#   python -c "import matplotlib, numpy; c = matplotlib.colormaps['cividis'];
#              print([[round(255 * v) for v in c(x)[:3]] for x in numpy.linspace(0, 1, 9)])"
# Nunez, Anderton, Renslow, "Optimizing colormaps with consideration for color vision deficiency
# to enable accurate interpretation of scientific data", PLOS ONE 13(7), 2018.
CIVIDIS: Final = (
    (0, 34, 78),
    (26, 56, 111),
    (67, 78, 108),
    (97, 101, 111),
    (125, 124, 120),
    (155, 148, 118),
    (188, 174, 108),
    (222, 201, 88),
    (254, 232, 56),
)

THINNEST: Final = 1.2
THICKEST: Final = 8.0
WIDEST_DOMAIN: Final = 12.0
"""Decades that an automatic domain spans at most; what lies below is clamped and marked."""


def cividis(position: float) -> tuple[int, int, int]:
    """Return the colour at `position` in [0, 1] as red, green, blue in 0..255."""
    place = min(max(position, 0.0), 1.0) * (len(CIVIDIS) - 1)
    left = min(int(place), len(CIVIDIS) - 2)
    weight = place - left
    red, green, blue = (
        round(low + weight * (high - low))
        for low, high in zip(CIVIDIS[left], CIVIDIS[left + 1], strict=True)
    )
    return red, green, blue


def hexadecimal(colour: tuple[int, int, int]) -> str:
    """Return a colour as `#rrggbb`."""
    return "#" + "".join(f"{channel:02x}" for channel in colour)


def contrasting(colour: tuple[int, int, int]) -> str:
    """Return black or white, whichever reads better on `colour` (relative luminance, WCAG 2)."""
    linear = [
        channel / 255 / 12.92 if channel <= 10 else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in colour
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if luminance < 0.18 else "#000000"


def number_text(value: float) -> str:
    """Return `value` in at most three digits: `0.42`, `12.3`, `3.1e-7`, `0`, `NaN`, `Inf`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 1000:
        text = f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"
        return text if "e" not in text else "1000"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


@dataclass(frozen=True, slots=True)
class Pen:
    """How one gradient is drawn.

    `kind` is `scaled`, `low` or `high` (beyond an end of the domain), `zero`, `nonfinite` or
    `unknown`; `color` and `style` are values for the DOT attributes of those names.
    """

    kind: str
    width: float
    color: str
    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Scale:
    """One domain of norms, in log10, for a whole picture or for several that are compared."""

    low: float
    high: float
    theme: Theme

    quantity: ClassVar[str] = "norm of the gradient flowing back"

    def measured(self, contribution: Contribution) -> float | None:
        """Return the number of a contribution that is drawn."""
        return contribution.norm

    def sample_text(self, value: float) -> str:
        """Return what the legend writes beside a sample."""
        return number_text(value)

    @classmethod
    def spanning(cls, norms: Iterable[float], theme: Theme) -> Self:
        """Return the scale from the smallest to the largest of the finite, positive `norms`."""
        logs = [math.log10(norm) for norm in norms if norm > 0 and math.isfinite(norm)]
        if not logs:
            return cls(-1.0, 0.0, theme)
        high = max(logs)
        low = max(min(logs), high - WIDEST_DOMAIN)
        if high - low < 1.0:
            # Less than a decade apart is close together, and must not look like a collapse.
            middle = (low + high) / 2
            low, high = middle - 0.5, middle + 0.5
        return cls(low, high, theme)

    def position(self, norm: float) -> float:
        """Return where a positive `norm` lies: 0 at the low end, 1 at the high end, not clamped."""
        return (math.log10(norm) - self.low) / (self.high - self.low)

    def color(self, norm: float) -> tuple[int, int, int]:
        """Return the colour of a positive, finite `norm`."""
        start, end = self.theme.ramp
        place = min(max(self.position(norm), 0.0), 1.0)
        return cividis(start + place * (end - start))

    def pen(self, norm: float | None) -> Pen:
        """Return the pen for a gradient norm; None stands for a norm that is not known."""
        theme = self.theme
        if norm is None:
            return Pen("unknown", 1.2, theme.zero, "solid", "")
        if not math.isfinite(norm):
            double = f"{theme.alarm}:{theme.alarm}"
            return Pen("nonfinite", 1.2, double, "solid", number_text(norm))
        if norm <= 0:
            return Pen("zero", 1.6, theme.zero, "dotted", "0")
        place = self.position(norm)
        kind = "low" if place < -1e-9 else "high" if place > 1 + 1e-9 else "scaled"
        width = THINNEST + min(max(place, 0.0), 1.0) * (THICKEST - THINNEST)
        return Pen(
            kind,
            round(width, 2),
            hexadecimal(self.color(norm)),
            "solid" if kind == "scaled" else "dashed",
            number_text(norm),
        )

    def samples(self, count: int = 6) -> list[float]:
        """Return norms for a legend: whole decades where there are at least three of them."""
        first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        decades = last - first + 1
        if decades >= 3:
            stride = max(1, math.ceil((decades - 1) / (count - 1)))
            return [power_of_ten(decade) for decade in range(last, first - 1, -stride)][::-1]
        steps = [self.low + index * (self.high - self.low) / (count - 1) for index in range(count)]
        return [power_of_ten(step) for step in steps]


@dataclass(frozen=True, slots=True)
class ShareScale(Scale):
    """Width and colour by the share of a gradient, from 0 to 1, instead of by its norm."""

    @classmethod
    def of_theme(cls, theme: Theme) -> ShareScale:
        """Return the scale of shares; it is the same in every picture."""
        return cls(0.0, 1.0, theme)

    quantity: ClassVar[str] = "share of the gradient at the arrow's end"

    def measured(self, contribution: Contribution) -> float | None:
        """Return the number that is drawn: the share, or None where the whole is 0."""
        if not math.isfinite(contribution.norm):
            return contribution.norm
        return 0.0 if contribution.norm == 0 else contribution.share

    def position(self, norm: float) -> float:
        """Return where a share lies, by its size alone."""
        return abs(norm)

    def pen(self, norm: float | None) -> Pen:
        """Return the pen for a share; a negative one, against the sum of all, is dashed."""
        theme = self.theme
        if norm is None or norm == 0 or not math.isfinite(norm):
            return Scale.pen(self, norm)
        place = abs(norm)
        kind = "negative" if norm < 0 else "high" if place > 1 + 1e-9 else "scaled"
        width = THINNEST + min(place, 1.0) * (THICKEST - THINNEST)
        start, end = theme.ramp
        color = hexadecimal(cividis(start + min(place, 1.0) * (end - start)))
        style = "solid" if kind == "scaled" else "dashed"
        return Pen(kind, round(width, 2), color, style, share_text(norm))

    def samples(self, count: int = 6) -> list[float]:
        """Return shares for a legend."""
        return [0.0625, 0.25, 0.5, 0.75, 1.0][-count:]

    def sample_text(self, value: float) -> str:
        """Return what the legend writes beside a sample."""
        return share_text(value)


@dataclass(frozen=True, slots=True)
class TimeScale(Scale):
    """The colours of boxes by the milliseconds that they took."""

    quantity: ClassVar[str] = "time, forward and backward, in ms"

    def fill(self, seconds: float) -> tuple[str, str]:
        """Return the colour of a box that took so long, and that of the text in it."""
        if seconds <= 0:
            return self.theme.box, self.theme.text
        color = self.color(1000 * seconds)
        return hexadecimal(color), contrasting(color)

    def sample_text(self, value: float) -> str:
        """Return what the legend writes beside a sample."""
        return f"{number_text(value)} ms"


def share_text(share: float) -> str:
    """Return a share in percent: `62 %`, `-3.1 %`, `0.04 %`."""
    percent = 100 * share
    if abs(percent) >= 9.95:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if abs(percent) >= 0.095 else f"{number_text(percent)} %"


def power_of_ten(logarithm: float) -> float:
    """Return 10 to a power, kept within what a float holds."""
    return float(10.0 ** min(max(logarithm, -323.0), 308.25))
