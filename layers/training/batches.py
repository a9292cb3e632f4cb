"""Batches for `fit`: examples in a new random order at each pass."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.core.nodes import PlainArray
from minigrad.io.state_dicts import StateDictError, entry_of

__all__ = ["ShuffledBatches"]


class ShuffledBatches:
    """Gives examples in batches; every example comes once before any comes again.

    Args:
        arrays: each (examples, ...); a batch is a tuple of their parts.
        batch_size: how many examples; at the end of a pass the batch is filled from the next one.

    Raises:
        ValueError: when there are no examples, or the arrays have different numbers of them.

    >>> batches = ShuffledBatches([np.arange(4)], 2)
    >>> generator = np.random.default_rng(0)
    >>> sorted(np.concatenate([batches(generator)[0], batches(generator)[0]]).tolist())
    [0, 1, 2, 3]
    """

    def __init__(self, arrays: "list[PlainArray]", batch_size: int) -> None:
        counts = [len(array) for array in arrays]
        if not counts or min(counts) < 1 or len(set(counts)) > 1:
            raise ValueError(
                f"ShuffledBatches: arrays must have the same number of examples, at least one, got "
                f"{counts}"
            )
        if batch_size < 1:
            raise ValueError(f"ShuffledBatches: batch_size must be at least 1, got {batch_size}")
        self.arrays, self.batch_size = arrays, batch_size
        self._left = np.zeros(0, np.int64)  # the examples of this pass that did not come yet

    def __call__(self, generator: np.random.Generator) -> tuple[PlainArray, ...]:
        """The next batch."""
        while len(self._left) < self.batch_size:
            self._left = np.concatenate([self._left, generator.permutation(len(self.arrays[0]))])
        chosen, self._left = self._left[: self.batch_size], self._left[self.batch_size :]
        return tuple(array[chosen] for array in self.arrays)

    def state_dict(self) -> dict[str, PlainArray]:
        """The examples that are left of this pass."""
        return {"left": self._left.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            StateDictError: when it belongs to other data.
        """
        left, count = entry_of("ShuffledBatches", state, "left"), len(self.arrays[0])
        if left.ndim != 1 or left.dtype.kind not in "iu":
            raise StateDictError(
                f"ShuffledBatches: the state has examples of shape {left.shape} and {left.dtype}, "
                f"and they must be numbers in a row; it belongs to other data"
            )
        bad = left[(left < 0) | (left >= count)]
        if bad.size:
            raise StateDictError(
                f"ShuffledBatches: the state has example {bad[0]}, and there are {count} in a row; "
                "it belongs to other data"
            )
        self._left = left.astype(np.int64)
