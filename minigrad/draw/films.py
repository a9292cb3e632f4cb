"""A film of learning: the gradient's way back and the gates, every few steps of training.

One gradient picture shows what a network can learn from at one moment. A film shows how that
changes: an LSTM that learns to remember opens its forget gate, and then the gradient reaches back
to where the task needs it (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from minigrad.core.tensors import Tensor
from minigrad.draw.analysis.gates import GateSeries
from minigrad.draw.analysis.gradient_routes import RouteNames
from minigrad.draw.drawing import notebook_bundle, suffix_of
from minigrad.draw.graph.errors import DrawError
from minigrad.draw.graph.film_frames import (
    FilmFrame,
    FilmRecord,
    GateCurve,
    check_same,
    frame_of,
    norms_by_lag,
    outline,
)
from minigrad.draw.graph.interaction import Interaction, thinned
from minigrad.draw.graph.records import Picture
from minigrad.draw.pages import (
    PageFrame,
    PagePicture,
    few_places,
    interaction_of,
    norms_for_each,
    page,
    strip,
)
from minigrad.draw.pictures import view
from minigrad.draw.style import labels
from minigrad.draw.style.scale import number_text, power_of_ten
from minigrad.draw.style.theme import theme_named
from minigrad.draw.time_gradients import TimeGradients, backprop_through_time
from minigrad.draw.views.diagnosis import gate_sentence
from minigrad.io.serialize import write_atomically

__all__ = ["Film"]

_SUFFIXES = (".html", ".svg", ".json", ".txt")
_MOST_NUMBERS = 10_000
"""Norms by loss step that one frame keeps: 50 loss steps of 50 steps and two states are 5,000."""


class Film:
    """Frames of training: what `backprop_through_time` measures, every few steps.

    A frame keeps numbers only, no arrays of the model and no graph. All frames are of the same
    model on the same batch, so that only the weights differ. Recording touches no `.grad`. For
    models of `layers`, `layers.training.filming` is a callback of `fit` that records.

    Args:
        every: the steps of training between frames.
        most: frames that are kept. When there are more, every second one is dropped and `every`
            is doubled, so that a film takes no more memory however long the training.
        loss_steps, routes: see `backprop_through_time`.
        title: heading of the pictures; empty for what the graph is.

    Raises ValueError for an `every` below 1, or a `most` below 2.

    >>> import minigrad as mg
    >>> w = mg.Tensor(0.5, dtype="float64", requires_grad=True)
    >>> film = Film(every=1)
    >>> for step in range(3):
    ...     h = mg.Tensor(1.0, dtype="float64", requires_grad=True)
    ...     for t in range(4):
    ...         with mg.step(t), mg.scope("cell"):
    ...             h = mg.label_state(w * h, "h")
    ...     loss = (h - 1) ** 2
    ...     frame = film.record(loss, step)
    ...     loss.backward()
    ...     w = mg.Tensor(w.numpy() - 0.1 * w.grad.numpy(), dtype="float64", requires_grad=True)
    >>> film
    Film(3 frames, steps 0 to 2, every 1)
    >>> [row["norms_at_longest_lag"]["h"] > 0.2 for row in film.summary()]
    [True, True, True]
    """

    def __init__(
        self,
        every: int = 25,
        *,
        most: int = 120,
        loss_steps: Literal["auto", "all"] | Sequence[int] = "auto",
        routes: RouteNames = None,
        title: str = "",
    ) -> None:
        if every < 1 or most < 2:
            raise ValueError(
                f"a film needs every >= 1 and most >= 2, got every={every} and most={most}"
            )
        self.every, self.most = every, most
        self.title = title  # empty for that of the graph
        self._options: dict[str, Any] = {"loss_steps": loss_steps, "routes": routes}
        self._graph: Picture | None = None
        self._frames: dict[int, FilmFrame] = {}

    @property
    def frames(self) -> tuple[FilmFrame, ...]:
        """All frames, by rising steps."""
        return tuple(self._frames[step] for step in sorted(self._frames))

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of training of which there are frames."""
        return tuple(sorted(self._frames))

    def wants(self, step: int) -> bool:
        """Whether a step of training is one of which there should be a frame."""
        return step % self.every == 0

    def record(self, loss: Tensor | TimeGradients, step: int) -> FilmFrame:
        """Add the frame of a step of training, and return it.

        Args:
            loss: before its backward, or with `retain_graph=True`; always of the same model on
                the same batch. What `backprop_through_time` found of it will do, too.
            step: how many steps of training were made. One that there is already is replaced, so
                that a run that was resumed can go on with its film.

        Raises DrawError for a graph that is not that of the frames before, and what
        `backprop_through_time` raises; the film is then as it was. ValueError for a step below 0.
        """
        if step < 0:
            raise ValueError(f"step must be 0 or more, got {step}")
        times = loss
        if not isinstance(times, TimeGradients):
            times = backprop_through_time(times, **self._options)
        graph = view(list(times.tape.outputs), level="cells", grad="norm", max_nodes=10**9)
        bare = outline(graph)
        if self._graph is not None:
            check_same(dataclasses.replace(self._graph, title=bare.title), bare, step)
        found = interaction_of(times, graph)
        several = len({lane.lane.cell for lane in times.lanes}) > 1
        words = [_gate_words(gate, several) for gate in times.gates]
        frame = frame_of(
            graph,
            step,
            float(times.tape.outputs[0].item()),
            diagnosis=(*graph.diagnosis, *(w[0].upper() + w[1:] for w in words if w)),
            loss_norms=tuple(thinned(found.loss_norms, _MOST_NUMBERS)),
            route_products=found.route_products,
            gates=tuple(_curve(gate) for gate in times.gates),
        )
        # All at once and at the end, so that an interruption leaves no half of a frame.
        every, frames = self._thinned({**self._frames, step: frame})
        self._graph, self.every, self._frames = bare, every, frames
        return frame

    def _thinned(self, frames: dict[int, FilmFrame]) -> tuple[int, dict[int, FilmFrame]]:
        every = self.every
        while len(frames) > self.most:
            every *= 2
            frames = {step: frames[step] for step in sorted(frames)[::2]}
        return every, frames

    def empty(self) -> Film:
        """A film with the same settings and no frames."""
        return type(self)(self.every, most=self.most, title=self.title, **self._options)

    def replace(self, other: Film) -> None:
        """Take the frames of another film, which may have none, in the place of one's own."""
        self._graph, self.every, self._frames = other._graph, other.every, dict(other._frames)

    # -- what is known -----------------------------------------------------------------------------

    def summary(self) -> list[dict[str, Any]]:
        """Each frame's step and loss, and what is known of its states and gates, for tests.

        Of a state, the norm at the longest lag; of a gate, the mean over the time steps, of all
        units and of the most open one. All by name, and with the layer or the cell where there
        are several.
        """
        return [self._row(frame) for frame in self.frames]

    def _row(self, frame: FilmFrame) -> dict[str, Any]:
        layers = len({lane.layer for lane in frame.loss_norms}) > 1
        cells = len({gate.cell for gate in frame.gates}) > 1
        far: dict[str, float] = {}
        for lane in frame.loss_norms:
            name = f"{lane.state}, layer {lane.layer}" if layers else lane.state
            norms = norms_by_lag(lane)[1]
            if norms:
                far[f"{name}{', reverse' * lane.reverse}"] = norms[-1]
        names = [f"{gate.cell} {gate.name}" if cells else gate.name for gate in frame.gates]
        gates = [(gate.mean, gate.most_open) for gate in frame.gates]
        means, open_units = (
            {
                name: math.fsum(pair[part]) / len(pair[part])
                for name, pair in zip(names, gates, strict=True)
            }
            for part in (0, 1)
        )
        return {
            "step": frame.step,
            "loss": frame.loss,
            "norms_at_longest_lag": far,
            "gates": means,
            "most_open_units": open_units,
        }

    def picture(self, step: int) -> Picture:
        """The graph with the numbers of a frame, as `draw` takes it. Raises KeyError without it."""
        return self._whole().picture(self.steps.index(self._frames[step].step))

    # -- pictures ----------------------------------------------------------------------------------

    def html(self, theme: Literal["auto", "light", "dark"] = "auto") -> str:
        """The film as a self-contained page with a slider over the steps of training.

        Raises DrawError for a film without frames, and what `minigrad.draw.pages.page` raises.
        """
        film = self._whole()
        pictures = [film.picture(place) for place in range(len(film.frames))]
        scale = labels.common_scale(pictures, theme_named("light"))
        last = film.frames[-1]
        # The slider offers the loss steps that every frame has.
        lanes = thinned(last.loss_norms, norms_for_each(film))
        shown = Interaction(tuple(lanes), last.route_products)
        return page(
            [PagePicture(pictures[-1], interaction=shown, film=film)],
            theme=theme,
            domain=(power_of_ten(scale.low), power_of_ten(scale.high)),
        )

    def frame(self, height: int = 640) -> PageFrame:
        """The page that `html` makes, to be shown in a notebook, so many pixels high.

        Raises ValueError for a height below 1, and what `html` raises.
        """
        return PageFrame(self.html(), height)

    def svg(
        self,
        frames: int | Sequence[int] = 5,
        theme: Literal["light", "dark"] = "light",
    ) -> str:
        """A few frames side by side, for print.

        Args:
            frames: how many, evenly spaced, or the steps of training of those to show.
            theme: `light` or `dark`.

        Raises ValueError for no frame, a step without one or an unknown theme, and DrawError for
        a film without frames.
        """
        film = self._whole()
        if isinstance(frames, int):
            if frames < 1:
                raise ValueError(f"frames must be 1 or more, got {frames}")
            return strip(film, few_places(len(film.frames), frames), theme)
        missing = [step for step in frames if step not in self._frames]
        if missing or not len(frames):
            raise ValueError(
                f"frames must name steps of the film, got {missing[0] if missing else 'none'}; "
                f"there are {', '.join(str(step) for step in self.steps[:10])}"
                f"{' and more' if len(self.steps) > 10 else ''}"
            )
        return strip(film, [self.steps.index(step) for step in frames], theme)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        frames: int | Sequence[int] = 5,
        theme: Literal["light", "dark"] | None = None,
    ) -> Path:
        """Write the film to `path` and return it; the suffix chooses what is written.

        Args:
            path: .html for the page, .svg for a few frames side by side, .json for all numbers,
                which `from_json` reads, .txt for a table.
            frames: of an .svg, see `svg`.
            theme: None for `light`, or for what the reader's system prefers on a page.

        Raises ValueError for another suffix, DrawError for a film without frames, and OSError
        where the file cannot be written.
        """
        target = Path(path)
        suffix = suffix_of(target, _SUFFIXES)
        if suffix == ".html":
            content = self.html(theme or "auto")
        elif suffix == ".svg":
            content = self.svg(frames, theme or "light")
        else:
            content = self.to_json() if suffix == ".json" else f"{self.text()}\n"
        write_atomically(target, lambda file: file.write_text(content, encoding="utf-8"))
        return target

    def text(self) -> str:
        """The frames as a table: step, loss, gradient at the longest lag, mean of each gate."""
        rows = self.summary()
        if not rows:
            return repr(self)
        first = rows[0]
        heads = ["step", "loss", *(f"|dL/d{name}| at the longest lag" for name in first[_FAR])]
        heads += list(first["gates"])
        lines = [heads] + [
            [str(row["step"]), number_text(row["loss"])]
            + [number_text(row[_FAR].get(name, float("nan"))) for name in first[_FAR]]
            + [number_text(row["gates"].get(name, float("nan"))) for name in first["gates"]]
            for row in rows
        ]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )

    # -- JSON --------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The film as JSON text, with every number exact. Raises DrawError without frames."""
        return self._whole().to_json()

    @classmethod
    def from_json(cls, text: str | bytes, **options: Any) -> Film:
        """The film stored in JSON `text`; recording may go on, with the other options of a film.

        Raises GraphFormatError if it is not one.
        """
        record = FilmRecord.from_json(text)
        film = cls(record.every, **{"title": record.title} | options)
        film._graph = record.graph()
        film.every, film._frames = film._thinned({one.step: one for one in record.frames})
        return film

    def _whole(self) -> FilmRecord:
        if self._graph is None or not self._frames:
            raise DrawError("the film has no frame yet: record a loss first")
        graph = self._graph
        return FilmRecord(
            self.every,
            self.title or _film_title(graph.title),
            graph.readings,
            graph.scopes,
            graph.nodes,
            graph.edges,
            self.frames,
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if not self._frames:
            return {"text/plain": repr(self)}
        return notebook_bundle(self.svg(), self.text())

    def __len__(self) -> int:
        return len(self._frames)

    def __repr__(self) -> str:
        count = len(self._frames)
        frames = f"{count} frame{'s' * (count != 1)}"
        span = f", steps {self.steps[0]} to {self.steps[-1]}" if count > 1 else ""
        return f"Film({frames}{span}, every {self.every})"


def _film_title(title: str) -> str:
    return f"A film of learning: {title[:1].lower()}{title[1:]}" if title else "A film of learning"


_FAR = "norms_at_longest_lag"


def _gate_words(gate: GateSeries, several: bool) -> str:
    """The mean of a forget or update gate, and how far its most open unit is open."""
    sentence = gate_sentence(gate, several)
    if not sentence:
        return ""
    mean = float(gate.most_open.mean())
    words = f" In its most open unit it is {number_text(mean)}"
    if 0 < mean < 1:
        words += f": half every {number_text(math.log(0.5) / math.log(mean))} steps"
    return f"{sentence}{words}."


def _curve(gate: GateSeries) -> GateCurve:
    low, median, high = gate.quantiles.tolist()
    return GateCurve(
        gate.cell,
        gate.name,
        gate.op,
        tuple(int(step) for step in gate.steps),
        tuple(gate.mean.tolist()),
        tuple(low),
        tuple(median),
        tuple(high),
        tuple(gate.most_open.tolist()),
    )
