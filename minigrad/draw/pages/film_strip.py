"""A few frames of a film side by side, as SVG for print.

Each column is a step of training; its rows share the time axis of the sequence: the way back of
the gradient along each state as a band, its norm as a curve, and the gates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from minigrad.draw.graph.film_frames import FilmFrame, FilmRecord, GateCurve
from minigrad.draw.graph.interaction import LossNorms
from minigrad.draw.pages.film_data import MEMORY_GATES, gate_of, shown_gates
from minigrad.draw.pages.page_numbers import size_span
from minigrad.draw.pages.page_static import text
from minigrad.draw.style import escape, labels
from minigrad.draw.style.palette import DASHES, curve_colors
from minigrad.draw.style.scale import Scale, number_text, power_of_ten
from minigrad.draw.style.theme import FONT, Theme, theme_named

__all__ = ["few_places", "strip"]

_LEFT: Final = 56
_WIDE: Final = 158
_GAP: Final = 14
_HEAD: Final = 74
_BAND: Final = 9
_CHART: Final = 92
_NARROWEST: Final = 420
_MOST_LANES: Final = 6
_DECADES: Final = 30.0


class _Pen:
    """Collects the elements of an SVG."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self.parts: list[str] = []

    def write(
        self, x: float, y: float, content: str, size: float = 9, anchor: str = "start", **more: str
    ) -> None:
        looks = {"fill": self.theme.faint_text} | more
        self.parts.append(
            f'<text x="{_tidy(x)}" y="{_tidy(y)}" font-size="{size:g}" text-anchor="{anchor}"'
            f"{_attributes(looks)}>{text(content)}</text>"
        )

    def path(self, d: str, **looks: str) -> None:
        self.parts.append(f'<path d="{d}"{_attributes({"fill": "none"} | looks)}/>')

    def line(self, points: Sequence[tuple[float, float] | None], **looks: str) -> None:
        """A line through points; None is a gap."""
        d, open_ = "", False
        for point in points:
            if point is None:
                open_ = False
                continue
            d += f"{'L' if open_ else 'M'}{_tidy(point[0])} {_tidy(point[1])}"
            open_ = True
        if d:
            self.path(d, **{"stroke_width": "1.5", "stroke_linejoin": "round"} | looks)


def _tidy(value: float) -> str:
    return f"{round(value, 1) + 0.0:g}"


def _attributes(looks: dict[str, str]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in looks.items())


def few_places(frames: int, count: int = 5) -> list[int]:
    """Places of a few frames, evenly spaced, with the first and the last.

    >>> few_places(41), few_places(3), few_places(9, 1)
    ([0, 10, 20, 30, 40], [0, 1, 2], [8])
    """
    count = min(count, frames)
    if count == 1:
        return [frames - 1]
    return sorted({round(k * (frames - 1) / (count - 1)) for k in range(count)})


def strip(film: FilmRecord, places: Sequence[int], theme: str = "light") -> str:
    """Return an SVG of the frames at some places.

    Args:
        film: has at least one frame.
        places: of frames, from left to right.
        theme: `light` or `dark`.

    Raises ValueError for an unknown theme.
    """
    return _Strip(film, places, theme_named(theme)).svg()


class _Strip:
    def __init__(self, film: FilmRecord, places: Sequence[int], theme: Theme) -> None:
        self.film, self.theme = film, theme
        self.frames = [film.frames[place] for place in places]
        self.pen = _Pen(theme)
        self.colors = curve_colors(theme.name)
        lanes = self.frames[0].loss_norms
        self.lanes = lanes[-_MOST_LANES:]
        gates = shown_gates(film)
        cell = gates[-1].cell if gates else ""
        self.gates = [gate for gate in gates if gate.cell == cell]
        steps = sorted({step for lane in self.lanes for step in lane.steps})
        self.first, self.last = (steps[0], steps[-1]) if steps else (0, 0)
        norms = [n for f in self.frames for lane in self._lanes(f) for n in _total(lane)]
        low, high, _ = size_span([norm for norm in norms if not math.isnan(norm)])
        self.low, self.high = max(low, high - _DECADES), high
        if self.high - self.low < 1:
            middle = (self.low + self.high) / 2
            self.low, self.high = middle - 0.5, middle + 0.5
        self.scale = Scale(self.low, self.high, theme)

    def _lanes(self, frame: FilmFrame) -> Sequence[LossNorms]:
        return frame.loss_norms[-_MOST_LANES:]

    def svg(self) -> str:
        width = max(_NARROWEST, _LEFT + len(self.frames) * (_WIDE + _GAP))
        heading = self.film.title or "A film of learning"
        lines = labels.wrap(escape.shorten(heading, 300), int(width / 7.2))
        head = 16 * (len(lines) - 1)
        bands = head + _HEAD
        norms = bands + len(self.lanes) * (_BAND + 5) + 16
        gates = norms + _CHART + 26
        bottom = (gates + _CHART if self.gates else norms + _CHART) + 12
        height = self._legend(bottom + 26, width) + 12
        for column, frame in enumerate(self.frames):
            x = _LEFT + column * (_WIDE + _GAP)
            self._head(frame, x, head)
            self._bands(frame, x, bands, column == 0)
            self._norms(frame, x, norms, column == 0)
            if self.gates:
                self._gates(frame, x, gates, column == 0)
            self._time_axis(x, bottom)
        for row, line in enumerate(lines):
            y = 17 + 16 * row
            self.pen.write(4, y, line, 13, fill=self.theme.text, font_weight="bold")
        self._titles(norms, gates)
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}"'
                f' width="{width}" height="{height}" font-family="{FONT}">',
                f"<title>{text(escape.shorten(heading, 200))}</title>",
                f"<desc>{text(self._description())}</desc>",
                f'<rect width="{width}" height="{height}" fill="{self.theme.background}"/>',
                *self.pen.parts,
                "</svg>\n",
            )
        )

    def _description(self) -> str:
        lines = [
            f"After {frame.step} steps of training the loss is {number_text(frame.loss)}. "
            f"{' '.join(frame.diagnosis)}"
            for frame in (self.frames[0], self.frames[-1])
        ]
        return " ".join(lines)

    def _x(self, step: float, left: float) -> float:
        return left + (step - self.first) / max(1, self.last - self.first) * _WIDE

    def _head(self, frame: FilmFrame, x: float, down: float) -> None:
        words = f"step {frame.step:,}"
        self.pen.write(x, down + 40, words, 12, fill=self.theme.text, font_weight="bold")
        self.pen.write(x, down + 55, f"loss {number_text(frame.loss)}", 10)

    def _titles(self, norms: float, gates: float) -> None:
        self.pen.write(_LEFT, norms - 5, "norm of the gradient at each time step")
        if self.gates:
            cells = {gate.cell for gate in shown_gates(self.film)}
            of = f" of {escape.shorten(self.gates[0].cell, 60)}" if len(cells) > 1 else ""
            self.pen.write(
                _LEFT, gates - 5, f"gates{of}: means over units and batch; band: 10 to 90 %"
            )

    def _bands(self, frame: FilmFrame, x: float, top: float, named: bool) -> None:
        """The gradient along each state, as wide and as coloured as its norm."""
        for row, lane in enumerate(self._lanes(frame)):
            y = top + row * (_BAND + 5) + _BAND / 2
            if named:
                self.pen.write(_LEFT - 6, y + 3, _lane_name(lane), anchor="end")
            half = _WIDE / max(1, self.last - self.first) / 2
            for step, norm in zip(lane.steps, _total(lane), strict=True):
                pen = self.scale.pen(norm)
                at = self._x(step, x)
                left, right = max(x, at - half), min(x + _WIDE, at + half)
                color = pen.color.partition(":")[0]
                # A pen of 8 fills the band.
                self.pen.path(
                    f"M{_tidy(left)} {_tidy(y)}H{_tidy(min(right + 0.8, x + _WIDE))}",
                    stroke=color,
                    stroke_width=_tidy(pen.width * _BAND / 8),
                )

    def _frame(self, x: float, top: float) -> None:
        self.pen.path(
            f"M{_tidy(x)} {_tidy(top)}h{_WIDE}v{_CHART}h-{_WIDE}z",
            stroke=self.theme.cluster_line,
            stroke_width="0.8",
        )

    def _norms(self, frame: FilmFrame, x: float, top: float, named: bool) -> None:
        self._frame(x, top)

        def height(norm: float) -> float:
            place = (math.log10(norm) - self.low) / (self.high - self.low)
            return top + _CHART * (1 - place)

        for norm in Scale(self.low, self.high, self.theme).samples(4):
            y = height(norm)
            if named:
                self.pen.write(_LEFT - 6, y + 3, number_text(norm), anchor="end")
            self.pen.path(
                f"M{_tidy(x)} {_tidy(y)}h{_WIDE}",
                stroke=self.theme.cluster_line,
                stroke_width="0.6",
            )
        if frame is not self.frames[0]:
            for row, lane in enumerate(self._lanes(self.frames[0])):
                self._curve(lane, x, height, row, stroke_width="0.9", stroke=self.theme.box_line)
        for row, lane in enumerate(self._lanes(frame)):
            self._curve(lane, x, height, row, stroke=self.theme.text)
            bad = [
                (step, norm)
                for step, norm in zip(lane.steps, _total(lane), strict=True)
                if not math.isfinite(norm)
            ]
            if bad:
                at = min(max(self._x(bad[-1][0], x), x + 14), x + _WIDE - 14)
                words = number_text(bad[-1][1])
                self.pen.write(at, top + 10, words, anchor="middle", fill=self.theme.alarm)

    def _curve(self, lane: LossNorms, x: float, height: Any, row: int, **looks: str) -> None:
        points = [
            (self._x(step, x), height(norm))
            if norm > 0 and math.isfinite(norm) and math.log10(norm) >= self.low
            else None
            for step, norm in zip(lane.steps, _total(lane), strict=True)
        ]
        self.pen.line(points, stroke_dasharray=DASHES[row % len(DASHES)], **looks)

    def _gates(self, frame: FilmFrame, x: float, top: float, named: bool) -> None:
        self._frame(x, top)
        for value in (0, 0.5, 1):
            y = top + _CHART * (1 - value)
            if named:
                self.pen.write(_LEFT - 6, y + 3, f"{value:g}", anchor="end")
            if value == 0.5:
                self.pen.path(
                    f"M{_tidy(x)} {_tidy(y)}h{_WIDE}",
                    stroke=self.theme.cluster_line,
                    stroke_width="0.6",
                )
        for number, wanted in enumerate(self.gates):
            gate = gate_of(frame, wanted)
            if gate is not None:
                self._gate(gate, number, x, top)

    def _gate(self, gate: GateCurve, number: int, x: float, top: float) -> None:
        color = self.colors[number % len(self.colors)]

        def points(values: Sequence[float]) -> list[tuple[float, float] | None]:
            return [
                (self._x(step, x), top + _CHART * (1 - value)) if math.isfinite(value) else None
                for step, value in zip(gate.steps, values, strict=True)
            ]

        if gate.name in MEMORY_GATES:
            edge = [*points(gate.low), *reversed(points(gate.high))]
            if None not in edge:
                self.pen.line(edge, fill=color, fill_opacity="0.16", stroke_width="0")
            self.pen.line(points(gate.most_open), stroke=color, stroke_width="2.6")
        self.pen.line(points(gate.mean), stroke=color, **_dash(number))

    def _time_axis(self, x: float, y: float) -> None:
        self.pen.write(x, y, f"t = {self.first}")
        self.pen.write(x + _WIDE, y, f"{self.last}", anchor="end")

    def _legend(self, y: float, width: float) -> float:
        """Write the legend in as many lines as it takes, and return where it ends."""
        x: float = 4

        def entry(label: str, **looks: str) -> None:
            nonlocal x, y
            if x > 4 and x + 34 + 5 * len(label) > width:
                x, y = 4, y + 20
            self.pen.path(f"M{_tidy(x)} {_tidy(y - 3)}h24", **{"stroke_width": "1.8"} | looks)
            self.pen.write(x + 30, y, label)
            x += 48 + 5 * len(label)

        for row, lane in enumerate(self.lanes):
            dash = DASHES[row % len(DASHES)]
            label = f"gradient along {_lane_name(lane)}"
            entry(label, stroke=self.theme.text, stroke_dasharray=dash)
        entry("the first frame shown", stroke=self.theme.box_line, stroke_width="0.9")
        if self.gates:
            x, y = 4, y + 20
        for number, gate in enumerate(self.gates):
            color = self.colors[number % len(self.colors)]
            entry(escape.shorten(gate.name, 30), stroke=color, **_dash(number))
            if gate.name in MEMORY_GATES:
                entry("its most open unit", stroke=color, stroke_width="2.6")
        for norm in (power_of_ten(self.low), power_of_ten(self.high)):
            pen = self.scale.pen(norm)
            thick = _tidy(pen.width * _BAND / 8)
            entry(f"norm {number_text(norm)}", stroke=pen.color, stroke_width=thick)
        return y


def _dash(number: int) -> dict[str, str]:
    """Gates differ by more than their colours."""
    dash = DASHES[number % len(DASHES)]
    return {} if dash == "none" else {"stroke_dasharray": dash}


def _total(lane: LossNorms) -> Sequence[float]:
    """The norms of what the last loss step sends back; in a reverse layer, the first one's."""
    if not lane.norms:
        return (0.0,) * len(lane.steps)
    return lane.norms[0 if lane.reverse else -1]


def _lane_name(lane: LossNorms) -> str:
    where = "" if not lane.layer else f" {lane.layer}"
    return f"{lane.state[:6]}{where}{' rev' * lane.reverse}"
