"""Helpers of losses: arguments as tensors, weights, targets of 1 and -1, reductions."""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import describe
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_constant, as_tensors, widen
from minigrad.ops.checks import check_broadcasts, check_same_shape
from minigrad.ops.nn.class_targets import check_reduction

__all__ = ["factor", "pair", "reduced", "signs"]


def pair(name: str, x: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor, Any]:
    """Predictions and target as tensors of one shape, float16 widened; the result's dtype."""
    check_reduction(name, reduction)
    predicted, wanted = as_tensors(name, x=x, target=target)
    check_same_shape(name, x=predicted, target=wanted)
    return widen(predicted), widen(wanted), np.result_type(predicted.dtype, wanted.dtype)


def factor(name: str, argument: str, value: Any, like: Tensor) -> "np.ndarray[Any, Any]":
    """A constant factor that broadcasts to the losses without enlarging them."""
    array = as_constant(value, name, argument)
    check_broadcasts(name, argument, array, like.shape, "the losses")
    return array.astype(np.finfo(like.dtype).dtype)


def reduced(name: str, rows: Tensor, dtype: Any, weight: Any, reduction: str) -> Tensor:
    """The losses weighted, summed or averaged, in the dtype of the arguments."""
    if weight is not None:
        rows = rows * factor(name, "weight", weight, rows)
    if reduction == "sum":
        rows = rows.sum()
    elif reduction == "mean":
        rows = rows.mean() if rows.size else rows.sum() + math.nan
    return rows if rows.dtype == dtype else rows.astype(dtype)


def signs(name: str, target: Any, shape: tuple[int, ...], dtype: Any) -> "np.ndarray[Any, Any]":
    """A target of 1 and -1, a constant that broadcasts to the losses without enlarging them.

    Raises:
        ShapeError: when it does not.
        ValueError: when it holds other numbers.
    """
    array = as_constant(target, name, "target")
    check_broadcasts(name, "target", array, shape, "the losses")
    if not (abs(array.astype(np.float64)) == 1).all():
        raise ValueError(
            f"{name}: target must hold 1 and -1, got {describe(array)} with other numbers; of 0 "
            "and 1, or False and True, make 2 * target - 1"
        )
    return array.astype(np.finfo(dtype).dtype)
