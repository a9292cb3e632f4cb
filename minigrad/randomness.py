"""The default random generator: besides the mode, the only state that the package keeps."""

from typing import Any

import numpy as np

__all__ = ["default_generator", "generator_state", "seed", "set_generator_state"]

_generator: "np.random.Generator | None" = None  # made at first use: numpy.random is slow to import


def seed(number: int | None) -> None:
    """Start the default generator anew from a seed (None: from the system's entropy).

    >>> seed(3)
    >>> first = default_generator().random()
    >>> seed(3)
    >>> default_generator().random() == first
    True
    """
    global _generator
    _generator = np.random.default_rng(number)


def default_generator() -> "np.random.Generator":
    """The generator that operations and layers use when they are given none."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


def generator_state() -> dict[str, Any]:
    """The state of the default generator, for checkpoints; made of numbers and text only."""
    return dict(default_generator().bit_generator.state)


def set_generator_state(state: dict[str, Any]) -> None:
    """Put the default generator back into a state that `generator_state` gave."""
    global _generator
    bit_generator = getattr(np.random, state["bit_generator"])()
    bit_generator.state = state
    _generator = np.random.Generator(bit_generator)
