"""Normalize axes and counts; shapes are plain tuples."""

import operator
from typing import Any, TypeAlias

from minigrad.core.errors import AxisError, DtypeError, ShapeError, describe

__all__ = ["Axis", "normalize_axes", "normalize_axis", "restore_axes", "whole_number"]

Axis: TypeAlias = Any  # an int or a tuple of them; None where all axes are meant


def whole_number(value: Any, name: str, least: int | None = None) -> int:
    """An integer argument, such as a count, as a Python integer.

    Raises:
        DtypeError: when it is not an integer; `name` begins the message.
        ValueError: when it is less than `least`.

    >>> whole_number(3, "diff: n")
    3
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise DtypeError(f"{name} must be an integer, got {describe(value)}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be {least} or more, got {number}")
    return number


def normalize_axis(axis: int, ndim: int, name: str = "axis") -> int:
    """An axis counted from 0.

    Raises:
        AxisError: when there is no such axis.
        TypeError: when it is not an integer.

    >>> normalize_axis(-1, 3)
    2
    """
    try:
        axis = operator.index(axis)
    except TypeError:
        raise DtypeError(f"{name}: an axis must be an integer, got {describe(axis)}") from None
    if not -ndim <= axis < ndim:
        raise AxisError(f"{name}: {axis} is out of bounds for {ndim} axes")
    return axis % ndim


def normalize_axes(axis: Any, ndim: int, name: str = "axis") -> tuple[int, ...]:
    """Axes counted from 0, each of them once; None stands for all.

    Raises:
        AxisError: when there is no such axis.
        ShapeError: when an axis is named twice.

    >>> normalize_axes(None, 2), normalize_axes((-1, 0), 3)
    ((0, 1), (2, 0))
    """
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, (tuple, list)):
        axes = tuple(normalize_axis(a, ndim, name) for a in axis)
        if len(set(axes)) < len(axes):
            raise ShapeError(f"{name}: {axis!r} names an axis twice, of {ndim} axes")
        return axes
    return (normalize_axis(axis, ndim, name),)


def restore_axes(value: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """Give a reduced value its reduced axes back, with length 1, so that it broadcasts."""
    if keepdims:
        return value
    axes = normalize_axes(axis, len(shape))
    return value.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))
