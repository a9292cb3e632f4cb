"""What a film of training holds: one graph, and for each frame the numbers on it.

The boxes and lines are the same at every step of a training, so they are kept once, and a frame
has a number for each of them. Plain records again, with JSON in and out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from minigrad.draw.graph.codec import read_document, write_document
from minigrad.draw.graph.errors import DrawError, GraphFormatError
from minigrad.draw.graph.interaction import LossNorms, RouteProducts
from minigrad.draw.graph.records import (
    Contribution,
    Edge,
    Picture,
    PictureNode,
    PictureScope,
    Statistics,
    well_formed,
)

__all__ = [
    "FilmFrame",
    "FilmRecord",
    "GateCurve",
    "check_same",
    "frame_of",
    "norms_by_lag",
    "outline",
]

SCHEMA: Final = "minigrad.film"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class GateCurve:
    """One gate of one cell over the time steps, over the batch and the units.

    Fields:
        cell, name, op: the cell's path, the gate's name, its activation.
        steps: the time steps.
        mean, low, median, high: its mean, and its 10, 50 and 90 % quantiles, at each of them.
        most_open: the mean over the batch of the unit that is open widest over all steps.
    """

    cell: str
    name: str
    op: str
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    most_open: tuple[float, ...]

    def __post_init__(self) -> None:
        for field in ("cell", "name", "op"):
            object.__setattr__(self, field, well_formed(getattr(self, field)))
        for field in ("mean", "low", "median", "high", "most_open"):
            if len(getattr(self, field)) != len(self.steps):
                raise GraphFormatError(
                    f"GateCurve.{field} must have {len(self.steps)} numbers, one for each step, "
                    f"got {len(getattr(self, field))}"
                )


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """The numbers of one step of training.

    Fields:
        step: how many steps of the optimiser were made before.
        loss: what was measured.
        diagnosis: sentences about this frame.
        edge_norms, edge_shares: of each edge of the film, what it carries back; None where
            unknown. See `Contribution`.
        gradient_norms, value_norms: of each box of the film; None where unknown.
        loss_norms, route_products: of each lane, see `minigrad.draw.graph.interaction`.
        gates: one curve for each gate.
    """

    step: int
    loss: float
    diagnosis: tuple[str, ...] = ()
    edge_norms: tuple[float | None, ...] = ()
    edge_shares: tuple[float | None, ...] = ()
    gradient_norms: tuple[float | None, ...] = ()
    value_norms: tuple[float | None, ...] = ()
    loss_norms: tuple[LossNorms, ...] = ()
    route_products: tuple[RouteProducts, ...] = ()
    gates: tuple[GateCurve, ...] = ()

    def __post_init__(self) -> None:
        if self.step < 0:
            raise GraphFormatError(f"FilmFrame.step must not be negative, got {self.step}")
        object.__setattr__(self, "diagnosis", tuple(well_formed(line) for line in self.diagnosis))


@dataclass(frozen=True, slots=True)
class FilmRecord:
    """A whole film.

    Fields:
        every: the steps of training between frames.
        title, readings, scopes, nodes, edges: of the graph, which has no numbers.
        frames: by rising steps.

    Raises GraphFormatError if the steps do not rise, or a frame has not one number for each box
    and edge; and what `Picture` raises.
    """

    every: int
    title: str = ""
    readings: tuple[str, ...] = ()
    scopes: tuple[PictureScope, ...] = ()
    nodes: tuple[PictureNode, ...] = ()
    edges: tuple[Edge, ...] = ()
    frames: tuple[FilmFrame, ...] = ()

    def __post_init__(self) -> None:
        if self.every < 1:
            raise GraphFormatError(f"FilmRecord.every must be at least 1, got {self.every}")
        steps = [frame.step for frame in self.frames]
        if steps != sorted(set(steps)):
            raise GraphFormatError("FilmRecord.frames must be of rising steps")
        for place, frame in enumerate(self.frames):
            for field, count in (
                ("edge_norms", len(self.edges)),
                ("edge_shares", len(self.edges)),
                ("gradient_norms", len(self.nodes)),
                ("value_norms", len(self.nodes)),
            ):
                if len(getattr(frame, field)) != count:
                    raise GraphFormatError(
                        f"frames[{place}].{field} must have {count} numbers, got "
                        f"{len(getattr(frame, field))}"
                    )
        self.graph()

    def graph(self) -> Picture:
        """The graph of all frames, without numbers."""
        return Picture(
            self.nodes, self.edges, self.scopes, "cells", self.title, readings=self.readings
        )

    def to_json(self) -> str:
        """Return the film as JSON text; equal films give equal texts."""
        head = {"every": self.every, "title": self.title, "readings": list(self.readings)}
        sections = {
            "scopes": self.scopes,
            "nodes": self.nodes,
            "edges": self.edges,
            "frames": self.frames,
        }
        return write_document(SCHEMA, SCHEMA_VERSION, head, sections)

    @classmethod
    def from_json(cls, text: str | bytes) -> FilmRecord:
        """Return the film stored in JSON `text`. Raises GraphFormatError if it is not one."""
        sections = {
            "scopes": PictureScope,
            "nodes": PictureNode,
            "edges": Edge,
            "frames": FilmFrame,
        }
        return read_document(text, cls, SCHEMA, SCHEMA_VERSION, sections)

    def picture(self, place: int) -> Picture:
        """The graph with the numbers of the frame at a place."""
        frame = self.frames[place]
        nodes = tuple(
            dataclasses.replace(node, value=_statistics(value), gradient=_statistics(gradient))
            for node, value, gradient in zip(
                self.nodes, frame.value_norms, frame.gradient_norms, strict=True
            )
        )
        edges = tuple(
            edge
            if norm is None
            else dataclasses.replace(edge, contribution=Contribution(norm, share))
            for edge, norm, share in zip(
                self.edges, frame.edge_norms, frame.edge_shares, strict=True
            )
        )
        graph = self.graph()
        return dataclasses.replace(graph, nodes=nodes, edges=edges, diagnosis=frame.diagnosis)


def _statistics(norm: float | None) -> Statistics | None:
    return None if norm is None else Statistics(norm=norm, finite=math.isfinite(norm))


def outline(graph: Picture) -> Picture:
    """A graph without the numbers that change while a model learns."""
    nodes = (
        dataclasses.replace(node, value=None, gradient=None, lowest=None, highest=None, fault="")
        for node in graph.nodes
    )
    edges = (dataclasses.replace(edge, contribution=None) for edge in graph.edges)
    return dataclasses.replace(graph, nodes=tuple(nodes), edges=tuple(edges), diagnosis=())


def frame_of(graph: Picture, step: int, loss: float, **more: Any) -> FilmFrame:
    """The numbers of a graph as a frame; `more` are its other fields."""
    terms = [edge.contribution for edge in graph.edges]
    return FilmFrame(
        step,
        loss,
        edge_norms=tuple(None if term is None else term.norm for term in terms),
        edge_shares=tuple(None if term is None else term.share for term in terms),
        gradient_norms=tuple(_norm(node.gradient) for node in graph.nodes),
        value_norms=tuple(_norm(node.value) for node in graph.nodes),
        **more,
    )


def _norm(statistics: Statistics | None) -> float | None:
    return None if statistics is None else statistics.norm


def norms_by_lag(lane: LossNorms) -> tuple[Sequence[int], Sequence[float]]:
    """Lags from 0 on, and the norm of the last loss step's gradient at each of them.

    >>> norms_by_lag(LossNorms("h", (0, 1, 2), (1,), ((0.25, 0.5, 0.0),)))
    ((0, 1), (0.5, 0.25))
    """
    if not lane.loss_steps:
        return (), ()
    last = 0 if lane.reverse else -1
    sign = -1 if lane.reverse else 1
    pairs = zip(lane.steps, lane.norms[last], strict=True)
    found = sorted((sign * (lane.loss_steps[last] - step), norm) for step, norm in pairs)
    kept = [(lag, norm) for lag, norm in found if lag >= 0]
    return tuple(lag for lag, _ in kept), tuple(norm for _, norm in kept)


def check_same(film: Picture, graph: Picture, step: int) -> None:
    """Raise DrawError unless a frame's graph is that of the film."""
    if film == graph:
        return
    counts = [f"{len(g.nodes)} boxes and {len(g.edges)} lines" for g in (film, graph)]
    what = "other names or shapes" if counts[0] == counts[1] else f"{counts[1]}, not {counts[0]}"
    raise DrawError(
        f"step {step} does not belong to this film: its graph has {what}; record the same model "
        "on the same batch each time, or begin another film"
    )
