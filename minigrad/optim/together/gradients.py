"""The sum of squares of all gradients, and gradients times a number, by native code."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from minigrad.compiled.backends import array_looks, list_builder
from minigrad.compiled.recipes import Recipe
from minigrad.core.nodes import PlainArray

__all__ = ["contiguous", "is_plain", "scaled", "sum_of_squares"]

_SINGLE: Final = np.dtype(np.float32)
_DOUBLE: Final = np.dtype(np.float64)


def is_plain(array: PlainArray) -> bool:
    """Whether native code can run over an array as it lies in memory."""
    dtype = array.dtype
    return (
        array.__class__ is np.ndarray
        and (dtype is _SINGLE or dtype is _DOUBLE or dtype in (_SINGLE, _DOUBLE))
        and array.flags.c_contiguous
    )


def contiguous(array: PlainArray) -> PlainArray:
    """The array, or a copy that lies in memory in the order of its axes."""
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def sum_of_squares(arrays: Sequence[PlainArray]) -> float | None:
    """Of all elements, added in float64; None where there is no native code for it."""
    given = tuple(arrays)
    plan = _plan_of(given)
    if plan is not None:
        return plan.squares(given)
    apart = _by_dtype(given)
    return None if apart is None else math.fsum(_Plan(some).squares(some) for some in apart)


def scaled(arrays: Sequence[PlainArray], factor: float) -> list[PlainArray] | None:
    """New arrays, multiplied with a number; None where there is no native code for it."""
    given = tuple(arrays)
    plan = _plan_of(given)
    if plan is not None:
        return plan.scaled(given, factor)
    apart = _by_dtype(given)
    if apart is None:
        return None
    made = {some[0].dtype: iter(_Plan(some).scaled(some, factor)) for some in apart}
    return [next(made[array.dtype]) for array in given]


class _Plan:
    """What native code does with arrays of one dtype, whatever their elements are."""

    def __init__(self, arrays: tuple[PlainArray, ...]) -> None:
        build = list_builder()
        assert build is not None, "nobody plans for code that is not there"
        dtype = arrays[0].dtype
        self._squares, self._times = _squares(build, dtype), _times(build, dtype)
        self._chunks = self._squares.cut(arrays)
        looks = array_looks()
        self.kinds: Any = looks and looks.Kinds([(a.shape, a.dtype) for a in arrays])

    def squares(self, arrays: tuple[PlainArray, ...]) -> float:
        """The sum of all squares."""
        total: float = self._squares(self._chunks, (), arrays, ())[0]
        return total

    def scaled(self, arrays: tuple[PlainArray, ...], factor: float) -> list[PlainArray]:
        """New arrays, multiplied with a number."""
        made = list(map(np.empty_like, arrays))
        self._times(self._chunks, made, arrays, (factor,))
        return made


_plans: Final[dict[int, _Plan]] = {}
"""For some numbers of arrays, the plan of the last ones: at each step, gradients are alike."""

_MOST_PLANS: Final = 64


def _plan_of(arrays: tuple[PlainArray, ...]) -> _Plan | None:
    """A plan for arrays of one dtype; None for others, and where there is no native code."""
    plan = _plans.get(len(arrays))
    if plan is not None and list_builder() is not None and plan.kinds.are_of(arrays):
        return plan
    apart = _by_dtype(arrays)
    if apart is None or len(apart) != 1:
        return None
    plan = _Plan(arrays)
    if plan.kinds is not None:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[len(arrays)] = plan
    return plan


def _by_dtype(arrays: tuple[PlainArray, ...]) -> list[tuple[PlainArray, ...]] | None:
    """Those of each dtype together; None where there is no native code for one of them."""
    if list_builder() is None or not all(map(is_plain, arrays)):
        return None
    found: dict[Any, list[PlainArray]] = {}
    for array in arrays:
        found.setdefault(array.dtype, []).append(array)
    return list(map(tuple, found.values()))


@functools.cache
def _squares(build: Callable[[Recipe], Any], dtype: Any) -> Any:
    steps = ("array", (), dtype.name), ("convert", (0,), "float64"), ("square", (1,), "float64")
    return build(Recipe(steps, (), 2))


@functools.cache
def _times(build: Callable[[Recipe], Any], dtype: Any) -> Any:
    name = dtype.name
    steps = ("array", (), name), ("number", (), name), ("multiply", (0, 1), name)
    return build(Recipe(steps, (2,)))
