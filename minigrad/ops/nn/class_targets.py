"""Check the targets of classification losses: class axis, class numbers, class weights."""

from typing import Any, cast

import numpy as np

from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_constant, as_numbers, widen
from minigrad.ops.axis_utils import normalize_axis

__all__ = ["check_reduction", "class_axis", "class_numbers", "class_weights", "per_class"]


def check_reduction(name: str, reduction: str, *more: str) -> None:
    """Refuse unknown reductions.

    Raises:
        ValueError: naming the known ones.
    """
    known = ("mean", "sum", "none", *more)
    if reduction not in known:
        raise ValueError(f"{name}: reduction must be one of {known}, got {reduction!r}")


def class_axis(name: str, scores: Tensor, axis: int) -> int:
    """The class axis, counted from the end."""
    if not scores.ndim:
        raise ShapeError(f"{name}: the scores must have a class axis, got {describe(scores)}")
    return normalize_axis(axis, scores.ndim, f"{name}: axis") - scores.ndim


def class_weights(name: str, weight: Any, scores: Tensor, axis: int) -> PlainArray | None:
    """One constant factor for each class, in the dtype that the loss is computed in."""
    if weight is None:
        return None
    array = as_constant(weight, name, "weight")
    classes = scores.shape[axis]
    if array.shape != (classes,):
        raise ShapeError(
            f"{name}: weight must hold one factor for each of the {classes} classes, got "
            f"{describe(array)}"
        )
    return cast(PlainArray, array.astype(widen(scores._array).real.dtype))


def per_class(weight: PlainArray, codes: PlainArray) -> PlainArray:
    """The weight of the class at each place."""
    if codes.__class__ is np.ndarray:
        return cast(PlainArray, weight[codes])
    at = codes[..., None] == np.arange(len(weight))  # followed by a trace, it can be no index
    return cast(PlainArray, np.where(at, weight, weight.dtype.type(0)).sum(axis=-1))


def class_numbers(
    name: str, scores: Tensor, target: Any, ignore_index: int | None, axis: int
) -> PlainArray:
    """The class numbers, checked against the scores."""
    codes = as_numbers(target, target._array if isinstance(target, Tensor) else np.asarray(target))
    shape = list(scores.shape)
    classes = shape.pop(axis)
    if not codes.size and codes.shape == tuple(shape):
        return codes.astype(np.intp)  # an empty list is of floats
    if codes.dtype.kind not in "iu":
        raise DtypeError(f"{name}: target must hold integer class numbers, got {describe(codes)}")
    if codes.shape != tuple(shape):
        fitting = [
            a for a in range(scores.ndim) if scores.shape[:a] + scores.shape[a + 1 :] == codes.shape
        ]
        raise ShapeError(
            f"{name}: target must have the shape {tuple(shape)} of the scores {describe(scores)} "
            f"without their class axis {axis}, got {describe(codes)}."
            + (
                f" It fits classes along axis {fitting[0]}: pass axis={fitting[0]} if that is how "
                "the scores are laid out; here the class axis is the last one unless said."
                if fitting
                else ""
            )
        )
    outside = (codes < 0) | (codes >= classes)
    if ignore_index is not None:
        outside &= codes != ignore_index
    if outside.any():
        raise ShapeError(
            f"{name}: target has the class number {codes[outside].flat[0]}, but the scores "
            f"{describe(scores)} are for classes 0 to {classes - 1} (axis {axis})"
            + (f", and ignore_index is {ignore_index}" if ignore_index is not None else "")
        )
    return codes.astype(np.intp)
