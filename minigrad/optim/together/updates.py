"""Updates of all parameters in one pass of native code, where there is some."""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from minigrad.compiled.backends import list_builder
from minigrad.compiled.flags import INVALID, report
from minigrad.compiled.graph import COMPARISONS, Unsupported
from minigrad.compiled.recipes import Recipe
from minigrad.core.nodes import PlainArray, written_in_place
from minigrad.optim.together.numbers import Unfollowed
from minigrad.optim.together.ready import Job, Point
from minigrad.optim.together.recorded import recorded

__all__ = ["update_together"]

_ORDERED: Final = COMPARISONS | {"maximum", "minimum", "sign"}


def update_together(
    optimizer: Any, points: Iterable[Point], keep: bool, handling: Mapping[str, str]
) -> list[Job]:
    """Update what can be updated by native code, with the bits of NumPy.

    Args:
        optimizer: its `update` is the rule; the states of parameters are in its `_state`.
        points: parameters that have gradients.
        keep: undo it where NumPy would warn, and leave that to NumPy.
        handling: what NumPy does about overflow and the like, as `numpy.geterr` tells it.

    Returns:
        What is left: what is not computed element by element, or all of it.
    """
    build = list_builder()
    if build is None or handling["under"] != "ignore" or {"print", "log"} & {*handling.values()}:
        return [job for point in points for job in point.jobs]
    left: list[Job] = []
    for point in points:
        if not _updated(optimizer, point, build, keep):
            left += point.jobs
    return left


def _updated(optimizer: Any, point: Point, build: Any, keep: bool) -> bool:
    """Update the parameters of a point; False, with nothing written, if it cannot."""
    values, gradients, kept = point.values, point.gradients, point.kept
    try:
        recipe, program, (numbers, plain) = _recorded(optimizer, point, build)
    except (Unfollowed, Unsupported):
        return False
    if point.chunks is None:
        point.chunks = program.cut(values)
    new = _new_values(point, keep)
    old = tuple([array.copy() for array in kept]) if keep else kept
    written, read = (*new, *kept), (*values, *gradients, *old)
    _, status = program(point.chunks, written, read, numbers)
    if status and keep:  # NumPy warns or raises, where and as it does
        for array, before in zip(kept, old, strict=True):
            np.copyto(array, before)
        return False
    for state in point.states:
        state.update(plain)
    if not point.known:
        optimizer._state.update(zip(point.parameters, point.states, strict=True))
    if new is values:
        written_in_place(point.leaves)
    else:
        for parameter, leaf, array in zip(point.parameters, point.leaves, new, strict=True):
            leaf.write(array)
            parameter._array = array
    if status:
        _warn(f"{type(optimizer).__name__}.step", status, recipe, gradients)
    return True


def _recorded(
    optimizer: Any, point: Point, build: Any
) -> tuple[Recipe, Any, tuple[list[float], dict[str, Any]]]:
    """The recipe for a point, its program, its numbers, and plain values of the state afterwards.

    Raises:
        Unfollowed, Unsupported: there is none.
    """
    state, group, rules = point.states[0], point.group, optimizer._ready.rules
    rule, program = rules.get(point.kind, (None, None))
    found = None if rule is None else rule.numbers(state, group)
    if rule is None or found is None:
        dtype = point.values[0].dtype.name
        rule, found = recorded(optimizer.update, dtype, state, group)
        program = build(rule.recipe)
        rules[point.kind] = rule, program
    return rule.recipe, program, found


def _new_values(point: Point, keep: bool) -> tuple[PlainArray, ...]:
    """Arrays for the new values: the old ones, where nobody could see that they are written.

    That is where no view and no tape holds them.
    """
    values = point.values
    if keep:
        return tuple(map(np.empty_like, values))
    counts = list(map(_count, values))
    if point.own and counts.count(_ALONE) == len(counts):
        return values
    new = []
    for value, leaf, count in zip(values, point.leaves, counts, strict=True):
        flags = value.flags
        own = value is leaf.value and flags.owndata and flags.writeable
        new.append(value if own and count == _ALONE else np.empty_like(value))
    return tuple(new)


def _warn(where: str, status: int, recipe: Recipe, gradients: Iterable[PlainArray]) -> None:
    """Warn of what NumPy would have warned of."""
    ordered = any(op in _ORDERED for op, _, _ in recipe.steps)
    if ordered and any(np.isnan(gradient).any() for gradient in gradients):
        status &= ~INVALID  # processors call it invalid to compare with NaN, NumPy does not
    report(status, where, 5)


class _Holder:
    """What holds an array twice, as a parameter does."""

    def __init__(self) -> None:
        self._array = self.value = np.zeros(1)


_count: Final[Callable[[Any], int]] = getattr(sys, "getrefcount", lambda _: 0)
"""How often an array is held; 0 where Python does not count."""

_HOLDER: Final = _Holder()
_ALONE: Final = max(map(_count, (_HOLDER._array,))) or -1
"""The count of an array that nobody holds but a parameter, its leaf, and a tuple."""
