"""By which programs a sequence runs: their numbers of steps, and what may run beyond the end."""

import functools
from collections.abc import Iterable
from typing import Final

from minigrad.compiled.graph import ELEMENTWISE, REDUCTIONS, ROWS, Value

__all__ = ["CHUNKS", "parts_of", "programs_of", "raises_nothing", "steps_in_vain"]

CHUNKS: Final = (128, 64, 32, 16, 8, 4, 2, 1)
"""The numbers of steps of programs."""

_WORTH_A_PROGRAM: Final = 400_000
"""Multiplications and the like that take as long as to run one more program."""

_FEW_ROWS: Final = 4
"""Products of so many rows may be summed in another order, and then the number of steps, which are
the rows of some products, would be seen in the bits."""

_SAFE: Final = ELEMENTWISE | ROWS | REDUCTIONS | {"assemble", "matmul"}


def parts_of(count: int) -> list[slice]:
    """The parts of a sequence that run by programs of as many steps."""
    parts, start = [], 0
    for size in CHUNKS:
        while count - start >= size:
            parts.append(slice(start, start + size))
            start += size
    return parts


@functools.lru_cache(1024)
def programs_of(count: int, in_vain: int) -> tuple[tuple[slice, int], ...]:
    """The parts of a sequence that run by one program each, and how many steps that has.

    The last parts may be one, by a program that has more steps.

    Args:
        count: of the steps.
        in_vain: how many may be computed in vain to save a program.

    >>> programs_of(11, 0)
    ((slice(0, 8, None), 8), (slice(8, 10, None), 2), (slice(10, 11, None), 1))
    >>> programs_of(11, 2), programs_of(11, 5)
    (((slice(0, 8, None), 8), (slice(8, 11, None), 4)), ((slice(0, 11, None), 16),))
    """
    parts = parts_of(count)
    whole = tuple((part, part.stop - part.start) for part in parts)
    best, least = whole, in_vain * len(whole)
    for i, (part, size) in enumerate(whole[:-1]):
        rest = slice(part.start, count)
        cost = in_vain * (i + 1) + 2 * size - (count - part.start)
        if 2 * size in CHUNKS and cost < least:
            best, least = (*whole[:i], (rest, 2 * size)), cost
    return best


def steps_in_vain(values: Iterable[Value]) -> int:
    """How many steps may be computed in vain to save a program; 0 where none must be."""
    values = list(values)
    if not all(map(_has_the_same_bits, values)):
        return 0
    return _WORTH_A_PROGRAM // max(sum(map(_work, values)), 1)


def raises_nothing(value: Value) -> bool:
    """Whether a value can be computed whatever the numbers are."""
    return value.op in _SAFE


def _has_the_same_bits(value: Value) -> bool:
    """Whether that is so, and its bits do not depend on the number of steps."""
    return value.op in _SAFE and (value.op != "matmul" or value.shape[-2] > _FEW_ROWS)


def _work(value: Value) -> int:
    """The multiplications and the like of a value."""
    return value.size * next(value.views).shape[-1] if value.op == "matmul" else value.size
