"""Updates of all parameters in one pass of native code, where there is some."""

import sys
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from minigrad.compiled.backends import list_builder
from minigrad.compiled.flags import INVALID, report
from minigrad.compiled.graph import COMPARISONS, Unsupported
from minigrad.compiled.recipes import Recipe
from minigrad.core.nodes import Leaf, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.optim.states import State
from minigrad.optim.together.gradients import contiguous, is_plain
from minigrad.optim.together.recorded import Recorder, Unfollowed

__all__ = ["Job", "update_together"]

Job: TypeAlias = tuple[Tensor, Leaf, State, dict[str, Any]]
"""A parameter to update: its leaf, its state, and the options of its group."""

_ORDERED: Final = COMPARISONS | {"maximum", "minimum", "sign"}


def update_together(optimizer: Any, jobs: Sequence[Job], keep: bool) -> Sequence[Job]:
    """Update what can be updated by native code, with the bits of NumPy.

    Args:
        optimizer: its `update` is the rule; the states of parameters are in its `_state`.
        jobs: the parameters that have gradients, checked.
        keep: undo it where NumPy would warn, and leave that to NumPy.

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
        point = _point(*job)
        (left if point is None else alike.setdefault(point, [])).append(job)
    for some in alike.values():
        left += some if not _updated(optimizer, some, build, keep) else ()
    return left


def _point(parameter: Tensor, leaf: Leaf, state: State, group: Any) -> tuple[Any, ...] | None:
    """What must be the same of two parameters whose updates differ in arrays alone.

    None for dtypes without native code, and where an array lies in memory in another order than
    that of its axes.
    """
    value = parameter._array
    if not is_plain(value) or leaf.grad._array.__class__ is not np.ndarray:
        return None
    point: list[Any] = [id(group), value.dtype.char]
    for name, entry in state.items():
        if entry.__class__ is not np.ndarray:
            point.append((name, entry))
        elif entry.flags.c_contiguous:
            point.append(name)
        else:
            return None
    return tuple(point)


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
    entries: list[tuple[PlainArray, ...]] = []
    before: list[tuple[PlainArray, PlainArray]] = []
    for parameter, leaf, state, _ in jobs:
        own = not keep and _held_alone(parameter, leaf)
        value, gradient = parameter._array, leaf.grad._array
        arrays = [state[name] for name in names]
        old = [array.copy() for array in arrays] if keep else arrays
        before += zip(arrays, old, strict=True)
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


def _references(holder: Any) -> int:
    """How often an array is held; 0 where Python does not count."""
    return sys.getrefcount(holder._array) if hasattr(sys, "getrefcount") else 0


_ALONE: Final = _references(_Holder()) or -1
"""The count of an array that nobody holds but a parameter and its leaf."""


def _held_alone(parameter: Tensor, leaf: Leaf) -> bool:
    """Whether nobody could see that the array of a parameter is written: no view, no tape."""
    return (
        _references(parameter) == _ALONE
        and parameter._array is leaf.value
        and parameter._array.flags.owndata
        and parameter._array.flags.writeable
    )
