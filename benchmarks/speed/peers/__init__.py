"""How each library computes the cases: `build(case, size, inputs, form)` of each module here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Absent", "Program"]


class Absent(Exception):
    """A contestant does not take part in a case; the message says why."""


class Program(NamedTuple):
    """One case, ready to run.

    Attributes:
        step: what is timed. Nothing may be left to do in the background when it returns.
        results: after exactly one step: what was computed, by name.
    """

    step: Callable[[], Any]
    results: Callable[[], dict[str, np.ndarray[Any, Any]]]
