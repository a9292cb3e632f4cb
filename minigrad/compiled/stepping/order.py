"""Which steps of a padded batch run, and in which order."""

from typing import NamedTuple

import numpy as np

from minigrad.compiled.graph import PlainArray

__all__ = ["Order"]


class Order(NamedTuple):
    """Which steps of a padded array run, one after the other.

    Attributes:
        lengths: integers (batch,); None when all sequences are full.
        reverse: from the last step of each sequence to the first.
        skipped: how many steps at the beginning are left out.
    """

    lengths: PlainArray | None = None
    reverse: bool = False
    skipped: int = 0

    @property
    def lengths_are_data(self) -> bool:
        """Whether the lengths are an input of a function that is being traced."""
        return self.lengths is not None and type(self.lengths) is not np.ndarray

    def longest(self) -> int:
        """How many steps the longest sequence has."""
        return 0 if self.lengths is None else int(self.lengths.max(initial=0))

    def times(self, time: int) -> range:
        """The numbers of the steps that some sequence has, one at least, as they run.

        Where lengths are data all steps run, as a program has to serve other lengths too.
        """
        every = self.lengths is None or self.lengths_are_data
        times = range(time if every else max(self.longest(), 1))
        return (times[::-1] if self.reverse else times)[self.skipped :]

    def steps(self, x: PlainArray) -> PlainArray:
        """From (batch, time, ...) to (steps, batch, ...), contiguous."""
        return np.ascontiguousarray(x.swapaxes(0, 1)[self._place(x.shape[1])])

    def padded(self, x: PlainArray, time: int) -> PlainArray:
        """From (steps, batch, ...) to (batch, time, ...), with zeros where no step ran."""
        if len(x) == time:
            return (x[::-1] if self.reverse else x).swapaxes(0, 1)
        whole = np.zeros((time, *x.shape[1:]), x.dtype)
        whole[self._place(time)] = x
        return whole.swapaxes(0, 1)

    def active(self, time: int) -> PlainArray:
        """Which sequences have a step, (steps, batch)."""
        active: PlainArray = np.asarray(self.times(time))[:, None] < self.lengths
        return active

    def _place(self, time: int) -> slice:
        times = self.times(time)
        stop = times.stop if times.stop >= 0 else None
        return slice(times.start, stop, times.step)
