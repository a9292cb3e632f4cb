"""How much new parameters may take, while a model is made as a file says."""

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from minigrad.core.errors import ShapeError
from minigrad.io.memory import require_memory
from minigrad.restoring import Setting

if TYPE_CHECKING:
    import numpy as np

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


class allowing(Setting):
    """A block in which no more parameters are made than a file has values for.

    Their shapes follow from sizes in a configuration; sizes that are wrong are noticed before
    memory is asked for.

    Args:
        tensors: how many parameters and buffers may be made.
        numbers: how many numbers they may hold in all.
    """

    def __init__(self, tensors: int, numbers: int) -> None:
        super().__init__(_allowance)
        self._most = tensors, numbers

    def value(self, before: object) -> _Allowance:
        """All of it is left."""
        return _Allowance(*self._most)


def take(name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> None:
    """Count a new parameter.

    Args:
        name: of its module and of itself, for messages.
        shape, dtype: of it.

    Raises:
        ShapeError: when it is more than the block around allows.
        MemoryError: when it is more than this process can have.
    """
    numbers = math.prod(map(int, shape))
    left = _allowance.get()
    if left is not None:
        left.tensors -= 1
        left.numbers -= numbers
        if left.tensors < 0:
            raise ShapeError(f"there are fewer tensors than parameters; {name} is one too many")
        if left.numbers < 0:
            raise ShapeError(f"there are too few numbers for {name} of shape {shape}")
    require_memory(
        f"{name} of shape {shape} in {dtype}",
        numbers * dtype.itemsize,
        "while its first numbers are made",
        "Choose smaller sizes, or free what is not needed.",
    )
