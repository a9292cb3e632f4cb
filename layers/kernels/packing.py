"""Padded batches in packed form: only the steps that sequences have, one after the other.

Sequences are sorted by falling length, so that those which have a step t are the first columns of
the states. A step is a block (features, sequences that have it), contiguous in memory.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from minigrad.core.nodes import Array

__all__ = ["Packing", "gate_rows", "row_sums", "scratch", "view"]

CHUNK = 256
"""Columns of inputs that are projected at once: enough for a fast product, and the result stays
in the cache until its steps have read it."""


class Packing:
    """Where the steps of a padded batch stand in packed form.

    Args:
        batch, time: the lengths of the padded array's first two axes.
        lengths: integers (batch,), or None when all sequences are full.
        reverse: each sequence from its last step to its first.

    Attributes:
        counts: how many sequences have each step.
        spans: of each step its slice of the packed columns.
        total: the number of packed columns.
    """

    def __init__(
        self, batch: int, time: int, lengths: "np.ndarray[Any, Any] | None", reverse: bool
    ) -> None:
        self.batch, self.time, self.reverse = batch, time, reverse
        self.order: Array = None
        self.places: list[Any]  # of each step, where it stands in the padded array
        if lengths is None:
            self.counts = [batch] * time
            times = range(time)[::-1] if reverse else range(time)
            self.places = [(slice(None), t) for t in times]
        else:
            self.order = np.argsort(-lengths, kind="stable")
            steps = np.arange(int(lengths.max(initial=0)))
            self.counts = (steps[:, None] < lengths).sum(axis=1).tolist()
            rows = [self.order[:count] for count in self.counts]
            self.places = [
                (row, lengths[row] - 1 - t if reverse else np.full(len(row), t))
                for t, row in enumerate(rows)
            ]
        ends = np.cumsum([0, *self.counts]).tolist()
        self.total = ends[-1]
        self.spans = [slice(a, b) for a, b in pairwise(ends)]

    # -- sequences -------------------------------------------------------------------------------

    def pack(self, x: Array) -> Array:
        """From (batch, time, features) to (total, features)."""
        if self.order is not None:
            if not self.places:
                return x[:0, 0]
            rows, times = (np.concatenate(parts) for parts in zip(*self.places, strict=True))
            return x[rows, times]
        steps = x.transpose(1, 0, 2)
        return (steps[::-1] if self.reverse else steps).reshape(self.total, x.shape[2])

    def unpack(self, flat: Array) -> Array:
        """From (total, features) to (batch, time, features), with zeros in the padding."""
        if self.order is None:
            steps = flat.reshape(self.time, self.batch, flat.shape[1])
            return (steps[::-1] if self.reverse else steps).transpose(1, 0, 2)
        return self.output([flat[span].T for span in self.spans], flat.shape[1], flat.dtype)

    def steps(self, x: Array) -> list[Array]:
        """From (batch, time, features) to one block (features, count) for each step."""
        if self.order is not None:
            return [x[place].T for place in self.places]
        blocks = list(np.ascontiguousarray(x.transpose(1, 2, 0)))
        return blocks[::-1] if self.reverse else blocks

    def output(self, blocks: list[Array], features: int, dtype: Any) -> Array:
        """From one block for each step to (batch, time, features), with zeros in the padding."""
        make = np.empty if self.order is None else np.zeros
        out = make((self.batch, self.time, features), dtype)
        for place, block in zip(self.places, blocks, strict=True):
            out[place] = block.T
        return out

    def projections(self, weight: Array, bias: Array, x: Array) -> Iterator[Array]:
        """W x + b of each step, (rows of W, count), computed many steps at a time."""
        packed, first = self.pack(x), 0
        for t, span in enumerate(self.spans):
            start = self.spans[first].start
            if span.stop - start >= CHUNK or t + 1 == len(self.spans):
                projected = weight @ packed[start : span.stop].T
                projected += bias
                for each in self.spans[first : t + 1]:
                    yield projected[:, each.start - start : each.stop - start]
                first = t + 1

    # -- states ----------------------------------------------------------------------------------

    def columns(self, state: Array, dtype: Any) -> Array:
        """From (batch, features) to sorted columns (features, batch), as a copy."""
        sorted_rows = state if self.order is None else state[self.order]
        return np.array(sorted_rows.T, dtype, order="C")

    def rows(self, columns: Array) -> Array:
        """From sorted columns (features, batch) to (batch, features), as a copy."""
        if self.order is None:
            return columns.T.copy()
        out = np.empty(columns.shape[::-1], columns.dtype)
        out[self.order] = columns.T
        return out

    def blocks(self, features: int, dtype: Any) -> list[Array]:
        """One uninitialised block (features, count) for each step, in one piece of memory."""
        if self.order is None:
            return list(np.empty((self.time, features, self.batch), dtype))
        flat = np.empty(features * self.total, dtype)
        return [
            flat[features * span.start : features * span.stop].reshape(features, count)
            for span, count in zip(self.spans, self.counts, strict=True)
        ]

    def before(self, start: Array, blocks: list[Array]) -> list[Array]:
        """The state before each step, from the initial columns and the blocks after each step."""
        sources = [start, *blocks[:-1]] if blocks else []
        return [
            source if source.shape[1] == count else source[:, :count]
            for source, count in zip(sources, self.counts, strict=True)
        ]

    def last(self, start: Array, blocks: list[Array]) -> Array:
        """The columns after the last step of each sequence, from those after every step."""
        last = start.copy()
        for block, count, following in zip(blocks, self.counts, [*self.counts, 0][1:], strict=True):
            if following < count:
                last[:, following:count] = block[:, following:]
        return last

    def side_by_side(self, blocks: list[Array], like: Array) -> Array:
        """The blocks of all steps as one matrix (features, total)."""
        return np.concatenate(blocks, axis=1) if blocks else like[:, :0]


def gate_rows(array: Array, n: int, order: tuple[int, ...]) -> Array:
    """A copy of a parameter, or of its gradient, with the blocks of n rows in another order."""
    return np.concatenate([array[k * n : (k + 1) * n] for k in order])


def row_sums(flat: Array) -> Array:
    """The sum of each row of a matrix (features, total); as a product, which is faster."""
    return flat @ np.ones(flat.shape[1], flat.dtype)


def scratch(features: int, batch: int, dtype: Any) -> Array:
    """Memory for temporary blocks, to be cut with `view`."""
    return np.empty(features * batch, dtype)


def view(memory: Array, features: int, count: int) -> Array:
    """A contiguous block (features, count) of scratch memory."""
    return memory[: features * count].reshape(features, count)
