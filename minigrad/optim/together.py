"""Updates of all parameters in one pass of native code, where there is some; gradients likewise."""

import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.backends import list_builder
from minigrad.compiled.flags import DIVISION, INVALID, OVERFLOW
from minigrad.compiled.graph import COMPARISONS, Unsupported
from minigrad.compiled.recipes import Recipe
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.optim.recorded import Recorder, Unfollowed
from minigrad.optim.states import State

__all__ = ["Job", "scaled", "sum_of_squares", "update_together"]

Job: TypeAlias = tuple[Tensor, Leaf, State, dict[str, Any]]
"""A parameter to update: its leaf, its state, and the options of its group."""

_DTYPES: Final = (np.dtype(np.float32), np.dtype(np.float64))
_FLAGS: Final = (
    (OVERFLOW, "over", "overflow"),
    (DIVISION, "divide", "divide by zero"),
    (INVALID, "invalid", "invalid value"),
)
_ORDERED: Final = COMPARISONS | {"maximum", "minimum", "sign"}


def update_together(optimizer: Any, jobs: Sequence[Job], keep: bool) -> Sequence[Job]:
    """Update what can be updated by native code, with the bits of NumPy.

    Args:
        optimizer: its `update` is the rule; the states of parameters are in its `_state`.
        jobs: the parameters that have gradients, checked.
        keep: write everything anew, and nothing at all where NumPy would warn.

    Returns:
        What is left: of other dtypes, or all of it.
    """
    build = list_builder()
    handling = np.geterr()
    if build is None or handling["under"] != "ignore" or {"print", "log"} & {*handling.values()}:
        return jobs
    left: list[Job] = []
    alike: dict[Any, list[Job]] = {}
    for job in jobs:
        parameter, leaf, state, group = job
        if _plain(parameter._array) and _plain(leaf.grad._array, False):
            alike.setdefault((id(group), parameter._array.dtype, *_point(state)), []).append(job)
        else:
            left.append(job)
    for some in alike.values():
        left += some if not _updated(optimizer, some, build, keep) else ()
    return left


def _plain(array: PlainArray, contiguous: bool = True) -> bool:
    return (
        array.__class__ is np.ndarray
        and array.dtype in _DTYPES
        and (array.flags.c_contiguous or not contiguous)
    )


def _point(state: State) -> list[Any]:
    """What must be the same of two parameters whose updates differ in arrays alone."""
    return [
        (name, None if entry.__class__ is np.ndarray else entry) for name, entry in state.items()
    ]


def _updated(optimizer: Any, jobs: list[Job], build: Any, keep: bool) -> bool:
    """Update parameters that are at the same point; False, with nothing written, if it cannot."""
    parameter, _, state, group = jobs[0]
    recorder = Recorder()
    try:
        now = {**state, "steps": state["steps"] + 1}
        recipe, plain = recorder.update(optimizer.update, parameter._array.dtype.name, now, group)
        program = build(recipe)
    except (Unfollowed, Unsupported):
        return False
    names = [name for name, entry in state.items() if entry.__class__ is np.ndarray]
    entries = []
    for parameter, leaf, state, _ in jobs:
        own = not keep and _held_alone(parameter, leaf)
        value, gradient = parameter._array, leaf.grad._array
        arrays = [state[name] for name in names]
        new = value if own else np.empty_like(value)
        written = [np.empty_like(array) for array in arrays] if keep else arrays
        entries.append((new, *written, value, _contiguous(gradient), *arrays))
    _, status = program(entries, recorder.numbers)
    if status and keep:
        return False  # NumPy warns or raises, where and as it does
    for (parameter, leaf, state, _), (new, *rest) in zip(jobs, entries, strict=True):
        state.update(zip(names, rest, strict=False))
        state.update(plain)
        optimizer._state[parameter] = state
        leaf.write(new)
        parameter._array = new
    if status:
        _warn(f"{type(optimizer).__name__}.step", status, recipe, jobs)
    return True


def _contiguous(array: PlainArray) -> PlainArray:
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _warn(where: str, status: int, recipe: Recipe, jobs: list[Job]) -> None:
    """Warn of what NumPy would have warned of."""
    if any(op in _ORDERED for op, _, _ in recipe.steps):
        # processors call it invalid to compare with NaN, NumPy does not
        if any(np.isnan(leaf.grad._array).any() for _, leaf, _, _ in jobs):
            status &= ~INVALID
    handling: dict[str, str] = dict(np.geterr())
    for flag, name, words in _FLAGS:
        if status & flag and handling[name] == "warn":
            warnings.warn(f"{words} encountered in {where}", RuntimeWarning, stacklevel=5)


class _Holder:
    """What holds an array twice, as a parameter does."""

    def __init__(self) -> None:
        self._array = self.value = np.zeros(1)


def _references(holder: Any) -> int:
    return sys.getrefcount(holder._array)


_ALONE: Final = _references(_Holder())
"""The count of an array that nobody holds but a parameter and its leaf."""


def _held_alone(parameter: Tensor, leaf: Leaf) -> bool:
    """Whether nobody could see that the array of a parameter is written: no view, no tape."""
    return (
        _references(parameter) == _ALONE
        and parameter._array is leaf.value
        and parameter._array.flags.owndata
        and parameter._array.flags.writeable
    )


def sum_of_squares(arrays: Sequence[PlainArray]) -> float | None:
    """Of all elements, added in float64; None where there is no native code for it."""
    build = list_builder()
    if build is None or not all(_plain(array, False) for array in arrays):
        return None
    return math.fsum(
        build(_squares(dtype.name))([(_contiguous(a),) for a in arrays if a.dtype == dtype], ())[0]
        for dtype in {array.dtype for array in arrays}
    )


def _squares(dtype: str) -> Recipe:
    steps = (("array", (), dtype), ("convert", (0,), "float64"), ("square", (1,), "float64"))
    return Recipe(steps, (), 2)


def scaled(arrays: Sequence[PlainArray], factor: float) -> list[PlainArray] | None:
    """New arrays, multiplied with a number; None where there is no native code for it."""
    build = list_builder()
    if build is None or not all(map(_plain, arrays)):
        return None
    made = [np.empty_like(array) for array in arrays]
    for dtype in {array.dtype for array in arrays}:
        name = dtype.name
        steps = ("array", (), name), ("number", (), name), ("multiply", (0, 1), name)
        some = [(new, array) for new, array in zip(made, arrays, strict=True) if new.dtype == dtype]
        build(Recipe(steps, (2,)))(some, (factor,))
    return made
