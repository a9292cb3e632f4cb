"""How parameters begin."""

import math
from typing import Any

import numpy as np

from minigrad.mode import current_mode
from minigrad.randomness import default_generator

__all__ = ["normal", "uniform"]


def _generator(generator: "np.random.Generator | None") -> "np.random.Generator":
    return default_generator() if generator is None else generator


def uniform(
    shape: tuple[int, ...], bound: float, generator: "np.random.Generator | None" = None
) -> "np.ndarray[Any, Any]":
    """Numbers drawn evenly from [-bound, bound], in the default dtype."""
    numbers = _generator(generator).uniform(-bound, bound, shape)
    return numbers.astype(current_mode().dtype)


def normal(
    shape: tuple[int, ...], scale: float = 1.0, generator: "np.random.Generator | None" = None
) -> "np.ndarray[Any, Any]":
    """Normally distributed numbers with mean 0, in the default dtype."""
    return (_generator(generator).standard_normal(shape) * scale).astype(current_mode().dtype)


def fan_in_bound(fan_in: int) -> float:
    """1 / sqrt(fan_in), the bound of PyTorch's default initialisation of linear layers."""
    return 1 / math.sqrt(fan_in) if fan_in else 0.0
