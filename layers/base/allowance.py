"""How much new parameters may take, while a model is made as a file says."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minigrad.core.errors import ShapeError

__all__ = ["allowing", "take"]


class _Allowance:
    """What is left.

    Args:
        tensors: how many more may be made.
        numbers: how many more they may hold in all.
    """

    def __init__(self, tensors: int, numbers: int) -> None:
        self.tensors, self.numbers = tensors, numbers


_allowance: ContextVar[_Allowance | None] = ContextVar("layers_allowance", default=None)


@contextmanager
def allowing(tensors: int, numbers: int) -> Iterator[None]:
    """A block in which no more parameters are made than a file has values for.

    Their shapes follow from sizes in a configuration; sizes that are wrong are noticed before
    memory is asked for.

    Args:
        tensors: how many parameters and buffers may be made.
        numbers: how many numbers they may hold in all.
    """
    token = _allowance.set(_Allowance(tensors, numbers))
    try:
        yield
    finally:
        _allowance.reset(token)


def take(shape: tuple[int, ...]) -> None:
    """Count a new parameter.

    Raises:
        ShapeError: when it is more than the block around allows.
    """
    left = _allowance.get()
    if left is None:
        return
    left.tensors -= 1
    left.numbers -= math.prod(map(int, shape))
    if left.tensors < 0:
        raise ShapeError(f"there are fewer tensors than parameters; {shape} is one too many")
    if left.numbers < 0:
        raise ShapeError(f"there are too few numbers for a parameter of shape {shape}")
