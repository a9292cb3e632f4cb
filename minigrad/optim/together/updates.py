"""Updates of all parameters in one pass of native code, where there is some."""

import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from minigrad.compiled.backends import list_builder
from minigrad.compiled.flags import INVALID, report
from minigrad.compiled.graph import COMPARISONS, Unsupported
from minigrad.compiled.recipes import Recipe
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.optim.together.gradients import contiguous
from minigrad.optim.together.ready import Job
from minigrad.optim.together.recorded import Recorder, Unfollowed

__all__ = ["update_together"]

_ORDERED: Final = COMPARISONS | {"maximum", "minimum", "sign"}


def update_together(optimizer: Any, alike: Mapping[Any, list[Job]], keep: bool) -> list[Job]:
    """Update what can be updated by native code, with the bits of NumPy.

    Args:
        optimizer: its `update` is the rule; the states of parameters are in its `_state`.
        alike: parameters that have gradients, checked, and those together that are alike.
        keep: undo it where NumPy would warn, and leave that to NumPy.

    Returns:
        What is left: of other dtypes, or all of it.
    """
    build = list_builder()
    handling = np.geterr()
    if build is None or handling["under"] != "ignore" or {"print", "log"} & {*handling.values()}:
        return [job for jobs in alike.values() for job in jobs]
    left: list[Job] = []
    for point, jobs in alike.items():
        if point is None or not _updated(optimizer, jobs, build, keep):
            left += jobs
    return left


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
    arrays_of = operator.itemgetter(*names) if len(names) > 1 else None
    entries: list[tuple[PlainArray, ...]] = []
    before: list[tuple[PlainArray, PlainArray]] = []
    for parameter, leaf, state, _ in jobs:
        own = not keep and _held_alone(parameter, leaf)
        value, gradient = parameter._array, leaf.grad._array
        arrays = arrays_of(state) if arrays_of else tuple([state[name] for name in names])
        old = tuple([array.copy() for array in arrays]) if keep else arrays
        before += zip(arrays, old, strict=True) if keep else ()
        new = value if own else np.empty_like(value)
        entries.append((new, *arrays, value, contiguous(gradient), *old))
    _, status = program(entries, recorder.numbers)
    if status and keep:  # NumPy warns or raises, where and as it does
        for array, kept in before:
            np.copyto(array, kept)
        return False
    for (parameter, leaf, state, _), (new, *_) in zip(jobs, entries, strict=True):
        state.update(plain)
        optimizer._state[parameter] = state
        leaf.write(new)
        parameter._array = new
    if status:
        _warn(f"{type(optimizer).__name__}.step", status, recipe, jobs)
    return True


def _warn(where: str, status: int, recipe: Recipe, jobs: list[Job]) -> None:
    """Warn of what NumPy would have warned of."""
    ordered = any(op in _ORDERED for op, _, _ in recipe.steps)
    if ordered and any(np.isnan(leaf.grad._array).any() for _, leaf, _, _ in jobs):
        status &= ~INVALID  # processors call it invalid to compare with NaN, NumPy does not
    report(status, where, 5)


class _Holder:
    """What holds an array twice, as a parameter does."""

    def __init__(self) -> None:
        self._array = self.value = np.zeros(1)


_count: Final[Callable[[Any], int]] = getattr(sys, "getrefcount", lambda _: 0)
"""How often an array is held; 0 where Python does not count."""

_HOLDER: Final = _Holder()
_ALONE: Final = _count(_HOLDER._array) or -1
"""The count of an array that nobody holds but a parameter and its leaf."""


def _held_alone(parameter: Tensor, leaf: Leaf) -> bool:
    """Whether nobody could see that the array of a parameter is written: no view, no tape."""
    if _count(parameter._array) != _ALONE:
        return False
    value = parameter._array
    flags = value.flags
    return bool(value is leaf.value and flags.owndata and flags.writeable)
