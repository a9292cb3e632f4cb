"""Sequences of different lengths: filling them up, and putting those of like length together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layers.datasets.checks import as_count, as_generator, as_integers


def pad(sequences: Sequence[ArrayLike], value: float = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Fill sequences up to the longest, and say how long each is.

    Args:
        sequences: arrays of shape (time,) or (time, features), alike but for the time.
        value: what to fill up with; a number that the dtype can hold.

    Returns:
        ``(batch, lengths)``: the batch has shape (sequences, longest) or (sequences, longest,
        features) and the sequences' common dtype; lengths is int64 of shape (sequences,), for the
        argument ``lengths=`` of the layers.

    Raises:
        ValueError: there are no sequences, their other axes differ, or whole numbers were to be
            filled up with a value that is none, or too large for their dtype.

    >>> batch, lengths = pad([[1, 2, 3], [4]])
    >>> batch.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    # An empty list has no dtype of its own: it takes that of the others.
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("sequences is empty; pass at least one sequence")
    for position, array in enumerate(arrays):
        if array.ndim < 1:
            raise ValueError(
                f"sequences[{position}] is {array!r}, not a sequence; pass a list of sequences, "
                "each of shape (time,) or (time, features)"
            )
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"sequences[{position}] has shape {array.shape} and sequences[0] "
                f"{arrays[0].shape}: they may differ in the first axis, the time, alone"
            )
    kinds = [array.dtype for array in arrays if array.size] or [arrays[0].dtype]
    dtype = np.result_type(*kinds)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max or value != int(value):
            raise ValueError(
                f"value={value!r} cannot fill up sequences of dtype {dtype}; pass a whole number "
                f"from {limits.min} to {limits.max}, or turn the sequences into floats"
            )
    lengths = np.array([len(array) for array in arrays], np.int64)
    shape = (len(arrays), int(lengths.max()), *arrays[0].shape[1:])
    batch = np.full(shape, value, dtype)
    for row, array in zip(batch, arrays, strict=True):
        row[: len(array)] = array
    return batch, lengths


def length_batches(
    lengths: ArrayLike, batch_size: int, generator: np.random.Generator | None = None
) -> list[NDArray[np.int64]]:
    """Put sequences of like length into the same batch, so that little has to be filled up.

    Args:
        lengths: of all sequences, whole numbers of shape (sequences,).
        batch_size: sequences of a batch; the last one may have fewer.
        generator: draws the order of equally long sequences and of the batches; None leaves the
            batches in the order of their lengths.

    Returns:
        The numbers of the sequences of each batch, int64; each sequence is in one of them.

    Raises:
        TypeError: the lengths or the batch size are not whole numbers.
        ValueError: the batch size is below 1.

    >>> [batch.tolist() for batch in length_batches([5, 1, 4, 1], batch_size=2)]
    [[1, 3], [2, 0]]
    """
    counts, batch_size = as_integers("lengths", lengths), as_count("batch_size", batch_size)
    order = np.arange(len(counts))
    if generator is not None:
        order = as_generator(generator).permutation(len(counts))
    order = order[np.argsort(counts[order], kind="stable")]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if generator is not None:
        batches = [batches[place] for place in generator.permutation(len(batches))]
    return batches
