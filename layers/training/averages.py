"""Means of losses over batches: each loss is a mean itself, and counts by what it is a mean of."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad import Tensor

__all__ = [
    "batch_length",
    "loss_and_weight",
    "model_loss",
    "own_loss",
    "running_means",
    "weighted_mean",
    "with_weight",
]

LossResult = Tensor | tuple[Tensor, Any]


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """The mean of means: sum(weight * value) / sum(weight); values of weight 0 are ignored.

    Args:
        values: a mean loss for each batch.
        weights: how many examples or tokens each is the mean of, 0 or more.

    Raises:
        ValueError: when nothing counts, or the lengths differ.

    >>> weighted_mean([1.0, 6.0], [4, 1])
    2.0
    """
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if w]
    if not pairs:
        raise ValueError("there is no loss to average: no batch was given, or nothing in it counts")
    return math.fsum(v * w for v, w in pairs) / math.fsum(w for _, w in pairs)


def running_means(
    values: Sequence[float], weights: Sequence[float], width: int
) -> np.ndarray[Any, Any]:
    """`weighted_mean` of every `width` values in a row, (values - width + 1,).

    >>> running_means([1.0, 6.0, 6.0], [4, 1, 1], 2).tolist()
    [2.0, 6.0]
    """
    ones = np.ones(width)
    above = np.convolve(np.multiply(values, weights), ones, mode="valid")
    return np.asarray(above / np.convolve(np.asarray(weights, np.float64), ones, mode="valid"))


def batch_length(batch: Any) -> int:
    """How many examples a batch has: the length of its first array, or of a list of examples.

    >>> batch_length((np.zeros((4, 7)), np.zeros(4))), batch_length({"x": np.zeros((3, 2))})
    (4, 3)
    >>> batch_length([("two", "2"), ("five", "5")])
    2
    """
    if hasattr(batch, "shape"):
        return int(batch.shape[0]) if batch.shape else 1
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, list) and not is_fields(batch):
        return len(batch)
    if isinstance(batch, tuple | list):
        for part in batch:
            if getattr(part, "shape", ()) or isinstance(part, Mapping | tuple | list):
                return batch_length(part)
        return 1
    return len(batch) if hasattr(batch, "__len__") and not isinstance(batch, str | bytes) else 1


def is_fields(batch: "list[Any]") -> bool:
    """Whether a list holds arrays of a batch, one row of each for an example; else examples."""
    lengths = {part.shape[0] if getattr(part, "shape", ()) else None for part in batch}
    return len(lengths) == 1 and None not in lengths


def loss_and_weight(result: LossResult, batch: Any) -> tuple[Tensor, float]:
    """What a loss function gave, as a mean and its weight; the batch's length unless it says so.

    Raises:
        TypeError: when it is neither a tensor nor a pair of tensor and number.
        ValueError: for a weight that is not a single number, negative or not finite.
    """
    weight: Any = None
    if isinstance(result, tuple):
        if len(result) != 2:
            raise TypeError(
                "a loss must return a tensor, or a pair of mean and weight, got a tuple of "
                f"{len(result)}"
            )
        result, weight = result
    if not isinstance(result, Tensor):
        raise TypeError(
            "a loss must return a tensor, or a pair of mean and weight, got "
            f"{type(result).__name__} in the mean's place"
        )
    number = float(batch_length(batch)) if weight is None else _as_number(weight)
    if not 0 <= number < math.inf:
        raise ValueError(
            f"a loss gave the weight {number}; it must be the number of examples or tokens that "
            "the mean is over, 0 or more"
        )
    return result, number


def _as_number(weight: Any) -> float:
    """The weight that a loss function gave.

    Raises:
        TypeError: when it is no number at all.
        ValueError: when it is several numbers.
    """
    array = weight.numpy() if isinstance(weight, Tensor) else np.asarray(weight)
    what = "the weight of a loss must be one number, how much its mean is over"
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what}; got {weight!r}")
    if array.size != 1:
        raise ValueError(f"{what}; got an array of shape {array.shape}; sum it, or take its mean")
    return float(array.item())


def model_loss(model: Any, batch: Sequence[Any]) -> LossResult:
    """`model.loss(*batch)`, with `model.loss_weight(*batch)` unless that gives a weight itself."""
    return with_weight(own_loss(model, batch), model, batch)


def own_loss(model: Any, batch: Sequence[Any]) -> LossResult:
    """`model.loss(*batch)`."""
    result: LossResult = model.loss(*batch)
    return result


def with_weight(result: LossResult, model: Any, batch: Sequence[Any]) -> LossResult:
    """What `own_loss` gave, with the weight that the model says unless it has one already."""
    if isinstance(result, tuple) or not hasattr(model, "loss_weight"):
        return result
    return result, model.loss_weight(*batch)
