"""From one long sequence of token ids to training and validation parts and batches of windows."""

import math
from fractions import Fraction
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layers.datasets.checks import as_count, as_generator, as_integers
from minigrad.restoring import new_generator


class Sliceable(Protocol):
    """What `split` needs of its data: a length, and slices along the first axis."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: slice, /) -> Any: ...


Data = TypeVar("Data", bound=Sliceable)


def split(data: Data, fraction: float = 0.9) -> tuple[Data, Data]:
    """Cut data into a training part, its beginning, and a validation part, the rest.

    The cut is not random: neighbouring windows of a text overlap, so a random cut would let the
    model see what it is measured on.

    Args:
        data: a string, a list, or an array, which is cut along its first axis.
        fraction: the share of the training part, between 0 and 1. It is taken as the decimal it is
            written as, and where the cut falls inside an item, the item goes to training.

    Returns:
        ``(training, validation)``, slices of the data (views of an array).

    Raises:
        ValueError: the fraction is not between 0 and 1, or one part would be empty.

    >>> split("abcdefghij")
    ('abcdefghi', 'j')
    >>> split(np.arange(6), fraction=0.5)
    (array([0, 1, 2]), array([3, 4, 5]))
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"fraction must lie between 0 and 1, got {fraction!r}; write 90 % as fraction=0.9"
        )
    # In binary 0.7 * 10 is a little more than 7, and rounding it up would give 8: hence exact
    # arithmetic.
    training_length = math.ceil(Fraction(repr(float(fraction))) * len(data))
    if not 0 < training_length < len(data):
        raise ValueError(
            f"data of length {len(data)} is too short to split at fraction={fraction!r}: "
            "one part would be empty; pass more data, or a fraction nearer to 0.5"
        )
    return data[:training_length], data[training_length:]


def random_windows(
    data: ArrayLike, batch_size: int, length: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut windows at random places out of one long sequence, for predicting each next token.

    Args:
        data: token ids, whole numbers of shape (time,).
        batch_size: how many windows.
        length: tokens per window.
        generator: draws the places, each with the same probability.

    Returns:
        ``(inputs, targets)``, both int64 of shape (batch_size, length); ``targets[i, t]`` is the
        token that follows ``inputs[i, t]``.

    Raises:
        TypeError: the token ids are not whole numbers, or the generator is not a NumPy generator.
        ValueError: a size is below 1, or the data has fewer than length + 1 tokens.

    >>> inputs, targets = random_windows(np.arange(100), 2, 4, np.random.default_rng(0))
    >>> inputs.shape, bool((targets == inputs + 1).all())
    ((2, 4), True)
    """
    token_ids = as_integers("data", data)
    batch_size, length = as_count("batch_size", batch_size), as_count("length", length)
    if len(token_ids) < length + 1:
        shorter = f", or a length of at most {len(token_ids) - 1}" if len(token_ids) > 1 else ""
        raise ValueError(
            f"data has {len(token_ids)} tokens, but windows of length={length} with their targets "
            f"need at least {length + 1}; pass a longer sequence{shorter}"
        )
    starts = as_generator(generator).integers(len(token_ids) - length, size=batch_size)  # (batch,)
    inputs_at = starts[:, None] + np.arange(length)  # (batch, time)
    return token_ids[inputs_at], token_ids[inputs_at + 1]


def validation_batches(
    data: ArrayLike, seed: int = 0, *, count: int = 20, batch_size: int = 64, length: int = 64
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cut the batches on which a model is validated, the same at every call with one seed.

    The model starts each batch from a zero state, and its figure is the mean over all tokens of
    all batches. Because the windows do not change, two figures differ only by the models.

    Args:
        data: token ids of the validation part, whole numbers of shape (time,).
        seed: of the generator that draws the windows.
        count: how many batches.
        batch_size: windows per batch.
        length: tokens per window.

    Returns:
        A list of ``count`` pairs ``(inputs, targets)`` as `random_windows` gives them.

    Raises:
        TypeError: the token ids or a size are not whole numbers.
        ValueError: a size is below 1, or the data has fewer than length + 1 tokens.

    >>> batches = validation_batches(np.arange(1000))
    >>> len(batches), batches[0][0].shape
    (20, (64, 64))
    """
    token_ids = as_integers("data", data)
    generator = new_generator(seed)
    count = as_count("count", count)
    return [random_windows(token_ids, batch_size, length, generator) for _ in range(count)]
