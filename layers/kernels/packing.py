"""Padded batches in packed form: only the steps that sequences have, one after the other.

Sequences are sorted by falling length, so that those which have a step t are the first columns of
the states. A step is a block (features, sequences that have it), contiguous in memory.
"""

from typing import Any

import numpy as np

__all__ = ["Packing"]

Array = Any


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
        if lengths is None:
            self.counts = [batch] * time
        else:
            self.order = np.argsort(-lengths, kind="stable")
            longest = int(lengths.max(initial=0))
            self.counts = (np.arange(longest)[:, None] < lengths).sum(axis=1).tolist()
            step = np.repeat(np.arange(longest), self.counts)
            self.rows = np.concatenate(
                [self.order[:count] for count in self.counts] or [self.order[:0]]
            )
            self.times = lengths[self.rows] - 1 - step if reverse else step
        ends = np.cumsum([0, *self.counts]).tolist()
        self.total = ends[-1]
        self.spans = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]

    def pack(self, x: Array) -> Array:
        """From (batch, time, features) to (total, features)."""
        if self.order is not None:
            return x[self.rows, self.times]
        steps = x.transpose(1, 0, 2)
        return (steps[::-1] if self.reverse else steps).reshape(self.total, x.shape[2])

    def unpack(self, flat: Array) -> Array:
        """From (total, features) to (batch, time, features), with zeros in the padding."""
        if self.order is None:
            steps = flat.reshape(self.time, self.batch, flat.shape[1])
            return (steps[::-1] if self.reverse else steps).transpose(1, 0, 2)
        out = np.zeros((self.batch, self.time, flat.shape[1]), flat.dtype)
        out[self.rows, self.times] = flat
        return out

    def columns(self, state: Array, dtype: Any) -> Array:
        """From (batch, features) to sorted columns (features, batch), as a copy."""
        sorted_rows = state if self.order is None else state[self.order]
        return np.array(sorted_rows.T, dtype, order="C")

    def rows_of(self, columns: Array) -> Array:
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
            flat[features * span.start : features * span.stop].reshape(features, -1)
            if span.stop > span.start
            else flat[:0].reshape(features, 0)
            for span in self.spans
        ]

    def flatten(self, blocks: list[Array], features: int, dtype: Any) -> Array:
        """The blocks of all steps side by side, (features, total)."""
        return np.concatenate([np.empty((features, 0), dtype), *blocks], axis=1)

    def before(self, start: Array, blocks: list[Array]) -> list[Array]:
        """The state before each step, from the initial columns and the blocks after each step."""
        return [
            source[:, :count] for source, count in zip([start, *blocks], self.counts, strict=False)
        ]

    def last(self, start: Array, blocks: list[Array]) -> Array:
        """The columns after the last step of each sequence, from those after every step."""
        last = start.copy()
        for block, count, following in zip(
            blocks, self.counts, [*self.counts[1:], 0], strict=True
        ):
            if following < count:
                last[:, following:count] = block[:, following:]
        return last


def scratch(features: int, batch: int, dtype: Any) -> Array:
    """Memory for temporary blocks, to be cut with `view`."""
    return np.empty(features * batch, dtype)


def view(memory: Array, features: int, count: int) -> Array:
    """A contiguous block (features, count) of scratch memory."""
    return memory[: features * count].reshape(features, count)
