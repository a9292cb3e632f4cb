"""Synthetic tasks, each made to need one ability: a long memory, positions, or exact steps."""

import math

import numpy as np
from numpy.typing import NDArray

from layers.base.renamed import renamed_arguments
from layers.datasets.checks import as_count, as_generator
from minigrad.restoring import new_generator

TokenIds = NDArray[np.int64]


def adding_problem(
    batch_size: int, length: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw sequences of numbers in which two are marked; their sum is to be given at the end.

    Args:
        batch_size: how many sequences.
        length: steps of each, at least 2.
        generator: draws the numbers and the places.

    Returns:
        ``(x, y)``: x float32 of shape (batch_size, length, 2) with numbers from 0 to 1 in the
        first feature, and in the second a 1 at a random place in each half; y float32 of shape
        (batch_size, 1). Giving 1 always has the mean squared error 1/6.

    Raises:
        TypeError: a size is not a whole number, or the generator is not a NumPy generator.
        ValueError: the batch size is below 1, or the length below 2.

    Source: Hochreiter and Schmidhuber (1997), experiment 4; in the form of Le, Jaitly and Hinton
    (2015), "A simple way to initialize recurrent networks of rectified linear units".

    >>> x, y = adding_problem(3, 10, np.random.default_rng(0))
    >>> x.shape, bool(np.allclose((x[..., 0] * x[..., 1]).sum(axis=1), y[:, 0]))
    ((3, 10, 2), True)
    """
    batch_size, length = as_count("batch_size", batch_size), as_count("length", length)
    generator = as_generator(generator)
    if length < 2:
        raise ValueError(
            f"length must be at least 2, for two marked places, got {length}; pass a larger length"
        )
    half, rows = length // 2, np.arange(batch_size)
    x = np.zeros((batch_size, length, 2), np.float32)
    # Rounding to float32 would make a few numbers 1.0, which is outside the range.
    below_one = np.nextafter(np.float32(1), np.float32(0))
    x[:, :, 0] = np.minimum(generator.random((batch_size, length)), below_one)
    first = generator.integers(half, size=batch_size)
    second = half + generator.integers(length - half, size=batch_size)
    x[rows, first, 1] = x[rows, second, 1] = 1.0
    return x, (x[rows, first, 0] + x[rows, second, 0])[:, None]


@renamed_arguments(symbols="tokens")
def copy_memory(
    batch_size: int,
    delay: int,
    generator: np.random.Generator,
    *,
    tokens: int = 8,
    length: int = 10,
) -> tuple[TokenIds, TokenIds]:
    """Draw tokens that are to be written again after a delay.

    Args:
        batch_size: how many sequences.
        delay: steps between the last token and the first to be written.
        generator: draws the tokens.
        tokens: how many different ones there are; after them come those of the blank,
            ``tokens``, and of the sign to begin, ``tokens + 1``.
        length: how many tokens there are to remember.

    Returns:
        ``(inputs, targets)``, both int64 of shape (batch_size, delay + 2 * length). The inputs are
        the tokens, blanks, the sign, and blanks; the targets are blanks, and last the tokens.

    Raises:
        TypeError: a size is not a whole number, or the generator is not a NumPy generator.
        ValueError: a size is below 1.

    Source: Arjovsky, Shah and Bengio (2016), "Unitary evolution recurrent neural networks".

    >>> inputs, targets = copy_memory(1, 3, np.random.default_rng(0), length=2)
    >>> inputs.tolist(), targets.tolist()
    ([[6, 5, 8, 8, 9, 8, 8]], [[8, 8, 8, 8, 8, 6, 5]])
    """
    batch_size, delay = as_count("batch_size", batch_size), as_count("delay", delay)
    tokens, length = as_count("tokens", tokens), as_count("length", length)
    drawn = as_generator(generator).integers(tokens, size=(batch_size, length))
    inputs = np.full((batch_size, delay + 2 * length), tokens)
    targets = inputs.copy()
    inputs[:, :length] = targets[:, delay + length :] = drawn
    inputs[:, delay + length - 1] = tokens + 1
    return inputs, targets


@renamed_arguments(symbols="tokens")
def copy_memory_baseline(delay: int, *, tokens: int = 8, length: int = 10) -> float:
    """Return the nats per step of blanks, and then guesses, in `copy_memory`.

    Raises:
        TypeError: a size is not a whole number.
        ValueError: a size is below 1.

    >>> round(copy_memory_baseline(delay=100), 4)
    0.1733
    """
    delay, length = as_count("delay", delay), as_count("length", length)
    return length * math.log(as_count("tokens", tokens)) / (delay + 2 * length)


def reversal(
    batch_size: int, length: int, generator: np.random.Generator, vocabulary_size: int = 10
) -> tuple[TokenIds, TokenIds]:
    """Draw sequences, and give them reversed: what stands where matters, and nothing else.

    Returns:
        ``(inputs, targets)``, both int64 of shape (batch_size, length).

    Raises:
        TypeError: a size is not a whole number, or the generator is not a NumPy generator.
        ValueError: a size is below 1.

    >>> inputs, targets = reversal(1, 4, np.random.default_rng(0))
    >>> inputs.tolist(), targets.tolist()
    ([[8, 6, 5, 2]], [[2, 5, 6, 8]])
    """
    inputs = _random_tokens(batch_size, length, generator, vocabulary_size)
    return inputs, inputs[:, ::-1].copy()


def sorting(
    batch_size: int, length: int, generator: np.random.Generator, vocabulary_size: int = 10
) -> tuple[TokenIds, TokenIds]:
    """Draw sequences, and give them sorted.

    Returns, Raises: as `reversal`.

    >>> inputs, targets = sorting(1, 4, np.random.default_rng(0))
    >>> inputs.tolist(), targets.tolist()
    ([[8, 6, 5, 2]], [[2, 5, 6, 8]])
    """
    inputs = _random_tokens(batch_size, length, generator, vocabulary_size)
    return inputs, np.sort(inputs, axis=1)


def _random_tokens(
    batch_size: int, length: int, generator: np.random.Generator, vocabulary_size: int
) -> TokenIds:
    shape = (as_count("batch_size", batch_size), as_count("length", length))
    count = as_count("vocabulary_size", vocabulary_size)
    return as_generator(generator).integers(count, size=shape)


def addition_problems(held_out: int = 500, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return all 10,000 additions of two two-digit numbers as texts, some of them held out.

    Each text is such as ``"07+45=250\\n"``: the sum has three digits and begins with the last one,
    as one adds by hand. So every digit depends on what is already written, by one carry; in the
    usual order the first digit would have to foresee all carries.

    Args:
        held_out: how many problems to hold out, 1 to 9,999.
        seed: of the order.

    Returns:
        ``(training, held_out)``.

    Raises:
        TypeError: ``held_out`` is not a whole number.
        ValueError: when one of the two would be empty.

    >>> training, test = addition_problems(held_out=500)
    >>> len(training), len(test), "07+45=250\\n" in training + test
    (9500, 500, True)
    """
    held_out = as_count("held_out", held_out)
    if held_out >= 10_000:
        raise ValueError(
            f"held_out must be at most 9999, got {held_out}: of the 10,000 problems, at least one "
            "must be left for training"
        )
    problems = [
        f"{one:02d}+{other:02d}={f'{one + other:03d}'[::-1]}\n"
        for one in range(100)
        for other in range(100)
    ]
    order = new_generator(seed).permutation(len(problems))
    shuffled = [problems[place] for place in order]
    return shuffled[held_out:], shuffled[:held_out]
