"""Checks of arguments that the data sets and the models share."""

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_integers(
    name: str, values: ArrayLike, vocabulary_size: int | None = None
) -> NDArray[np.int64]:
    """Return ``values`` as an int64 array of shape (time,), not copied when it is one already.

    Args:
        name: what the caller calls the argument, for the messages.
        values: whole numbers, one per step.
        vocabulary_size: when given, every one must lie in ``range(vocabulary_size)``.

    Raises:
        TypeError: the values are not whole numbers.
        ValueError: there is not exactly one axis, or a number lies outside the vocabulary.

    >>> as_integers("values", [0, 2, 1], vocabulary_size=3)
    array([0, 2, 1])
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and not (array.size == 0 and array.ndim == 1):
        raise TypeError(
            f"{name} must be whole numbers, got {type(values).__name__} of dtype {array.dtype}; "
            f"encode a text first: {name} = tokenizer.encode(text)"
        )
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have one axis (time,), got shape {array.shape}; "
            f"pass one sequence at a time, or join them: {name}.reshape(-1)"
        )
    array = array.astype(np.int64, copy=False)
    if vocabulary_size is not None and array.size:
        outside = (array < 0) | (array >= vocabulary_size)
        if outside.any():
            position = int(outside.argmax())
            raise ValueError(
                f"{name}[{position}] is {array[position]}, outside 0..{vocabulary_size - 1} "
                f"(vocabulary_size={vocabulary_size}); encode with the tokenizer whose length "
                "gave the vocabulary size"
            )
    return array


def as_count(name: str, value: int) -> int:
    """Return ``value`` as an int when it is a whole number of at least 1.

    Raises:
        TypeError: the value is not a whole number.
        ValueError: the value is below 1.

    >>> as_count("length", 64)
    64
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number, got {value!r} of type {type(value).__name__}; "
            f"pass an int of at least 1"
        ) from None
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}; pass a larger {name}")
    return count


def as_generator(generator: np.random.Generator) -> np.random.Generator:
    """Return ``generator`` when it is a NumPy generator, and refuse a seed.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(generator, np.random.Generator):
        raise TypeError(
            f"generator must be a numpy.random.Generator, got {type(generator).__name__}; "
            "make one from a seed: generator=np.random.default_rng(0)"
        )
    return generator
