"""The counts of an n-gram model by the length of the gram, and how they are read from a file."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minigrad.core.errors import describe
from minigrad.core.nodes import PlainArray

__all__ = ["Level", "read_levels"]


@dataclass(frozen=True, slots=True)
class Level:
    """The counts of all grams of one length, that is of one context length.

    A gram is its context followed by one token. Its key is ``context * vocabulary_size + token``,
    where the context is named by its rank among the keys of the level below. Keys so stay below the
    text's length times the vocabulary size, whatever the order, and fit in 64 bits for any
    alphabet.
    """

    keys: NDArray[np.int64]  # (grams,), sorted
    counts: NDArray[np.int64]  # (grams,)
    totals: NDArray[np.int64]  # (contexts,): how often something followed the context
    types: NDArray[np.int64]  # (contexts,): how many distinct tokens followed it

    @classmethod
    def of(
        cls,
        vocabulary_size: int,
        context_count: int,
        keys: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> "Level":
        """A level with its sums over the tokens that follow each context."""
        context_of_gram = keys // vocabulary_size
        totals = np.zeros(context_count, dtype=np.int64)
        np.add.at(totals, context_of_gram, counts)
        types = np.bincount(context_of_gram, minlength=context_count)
        return cls(keys, counts, totals, types)

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rank of each key, or -1 where the gram was never seen."""
        ranks = np.searchsorted(self.keys, keys)
        ranks[ranks == len(self.keys)] = 0  # past the last key: the comparison refuses it
        return np.where(self.keys[ranks] == keys, ranks, -1)

    def find_one(self, key: int) -> int:
        """Return the rank of one key, or -1 when the gram was never seen."""
        rank = int(np.searchsorted(self.keys, key))
        return rank if rank < len(self.keys) and self.keys[rank] == key else -1


def read_levels(arrays: Mapping[str, PlainArray], order: int, vocabulary_size: int) -> list[Level]:
    """The levels of a file, which must be as counting would have made them.

    Args:
        arrays: ``number.name`` for every level, from the shortest grams on, and each of its arrays.
        order: the longest gram.
        vocabulary_size: the number of distinct tokens.

    Raises:
        ValueError: naming the array, when it is something else.
    """
    fields = Level.__slots__
    count = len(arrays) // len(fields)
    names = {f"{number}.{name}" for number in range(count) for name in fields}
    if arrays.keys() != names or count > order:
        raise ValueError(
            f"there must be {', '.join(fields)} for each of {order} levels at most, got "
            f"{', '.join(sorted(arrays)[:8])}"
        )
    levels: list[Level] = []
    for number in range(count):
        read = {name: arrays[f"{number}.{name}"] for name in fields}
        for name, array in read.items():
            if array.dtype != np.int64 or array.ndim != 1:
                raise ValueError(f"{number}.{name} must be i64 (n,), got {describe(array)}")
        contexts = len(levels[-1].keys) if levels else 1
        keys, counts = read["keys"], read["counts"]
        if not _are_grams(keys, contexts * vocabulary_size):
            raise ValueError(
                f"{number}.keys are no grams of {contexts} contexts and {vocabulary_size} tokens"
            )
        if counts.shape != keys.shape or counts.min() < 1 or counts.sum(dtype=float) > 2**53:
            raise ValueError(f"{number}.counts are no counts of {len(keys)} grams")
        level = Level.of(vocabulary_size, contexts, keys, counts)
        for name in ("totals", "types"):
            if not np.array_equal(getattr(level, name), read[name]):
                raise ValueError(f"{number}.{name} is not what {number}.counts add up to")
        levels.append(level)
    return levels


def _are_grams(keys: NDArray[np.int64], end: int) -> bool:
    """Whether keys are sorted, each once, from 0 to below the end."""
    rising = bool(len(keys)) and bool((keys[1:] > keys[:-1]).all())
    return rising and keys[0] >= 0 and int(keys[-1]) < end
