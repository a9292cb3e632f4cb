"""Losses of classification: the cross entropy between scores and classes, fused and in parts.

The class axis is the last one, as in softmax and all layers here; PyTorch's is axis 1 as soon as
there are two or more axes, which `axis=1` says.
"""

import math
from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import Array, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_numbers, as_tensor, as_tensors, named, quiet, widen
from minigrad.ops.checks import check_probabilities
from minigrad.ops.fusing import fused
from minigrad.ops.manipulation.selecting import along_axis
from minigrad.ops.nn.class_targets import (
    check_reduction,
    class_axis,
    class_numbers,
    class_weights,
    per_class,
)
from minigrad.ops.primitives import primitive
from minigrad.ops.reduction.softmaxes import (
    below,
    log_partition,
    log_softmax,
    partition,
    shares,
)

__all__ = ["cross_entropy", "nll_loss"]


def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """The cross entropy between softmax(logits) and the target, in nats.

    Args:
        logits: scores, with the classes along `axis`; a floating dtype.
        target: class numbers, integers in the shape of the logits without `axis`; or floating
            probabilities in the shape of the logits, by which it is differentiated too. A class
            of probability 0 adds nothing, even where its score is -inf.
        weight: a factor for each class (classes,), or None; a constant.
        ignore_index: a class number whose places add nothing to the loss.
        reduction: "mean", over the weights of the target classes as in PyTorch (with
            probabilities: over the places); "sum"; or "none" for one loss for each place. The
            mean over no places at all is NaN, with zero gradients.
        label_smoothing: how much of the target to spread uniformly over all classes, 0 to 1.
        axis: the class axis; the last one by default. For PyTorch's layout (batch, classes, ...)
            pass 1.

    Raises:
        ShapeError: when the shapes do not fit or a class number is out of bounds.
        DtypeError: when the dtypes are not as said.

    >>> cross_entropy(np.array([[0.0, 0.0], [0.0, np.log(3.0)]]), np.array([0, 1])).item()
    0.490414626505863
    """
    scores = as_tensor(logits, "cross_entropy", "logits")
    axis = class_axis("cross_entropy", scores, axis)
    factors = class_weights("cross_entropy", weight, scores, axis)
    check_reduction("cross_entropy", reduction)
    check_probabilities("cross_entropy", label_smoothing=label_smoothing)
    options: dict[str, Any] = {
        "weight": factors,
        "reduction": reduction,
        "label_smoothing": float(label_smoothing),
        "axis": axis,
    }
    given = target if isinstance(target, Tensor) else np.asarray(target)
    if given.dtype.kind != "f":
        codes = class_numbers("cross_entropy", scores, given, ignore_index, axis)
        return _of_classes(scores, target=codes, ignore_index=ignore_index, **options)
    if given.shape != scores.shape:
        raise ShapeError(
            f"cross_entropy: a floating target must hold probabilities in the logits' shape "
            f"{scores.shape}, got {describe(given)}. Class numbers must be integers: use "
            "astype(int)."
        )
    scores, probabilities = as_tensors("cross_entropy", logits=scores, target=target)
    return _of_probabilities(scores, probabilities, **options)


def nll_loss(
    log_probabilities: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    axis: int = -1,
) -> Tensor:
    """The negative log likelihood of classes: minus the log probability of each target class.

    `cross_entropy` without its softmax; the arguments and errors are the same.

    >>> nll_loss(np.log([[0.25, 0.75]]), np.array([1])).item()
    0.287682072451781
    """
    scores = as_tensor(log_probabilities, "nll_loss", "log_probabilities")
    axis = class_axis("nll_loss", scores, axis)
    factors = class_weights("nll_loss", weight, scores, axis)
    check_reduction("nll_loss", reduction)
    codes = class_numbers("nll_loss", scores, target, ignore_index, axis)
    return _negative_log_likelihood(
        scores,
        target=codes,
        weight=factors,
        ignore_index=ignore_index,
        reduction=reduction,
        axis=axis,
    )


# -- what both kinds of target share ---------------------------------------------------------------


def _along(values: PlainArray, ndim: int, axis: int) -> PlainArray:
    """One value for each class, to broadcast against the scores."""
    return values.reshape(tuple(-1 if a == ndim + axis else 1 for a in range(ndim)))


def _kept(
    codes: PlainArray, weight: PlainArray | None, ignore_index: int, dtype: Any
) -> tuple[PlainArray, PlainArray, PlainArray]:
    """Which places are not ignored, their classes (0 at the others), and the weight of each."""
    codes = as_numbers(codes, codes)
    kept = codes != ignore_index
    places = np.where(kept, codes, 0)
    if weight is None:
        return kept, places, kept.astype(dtype)
    return kept, places, np.where(kept, per_class(weight, places), 0)


def _spread(
    codes: PlainArray,
    shape: tuple[int, ...],
    dtype: Any,
    weight: PlainArray | None,
    ignore_index: int,
    label_smoothing: float,
    axis: int,
) -> tuple[PlainArray, PlainArray]:
    """The coefficients of -log p in the loss of each place, and the weight of each place."""
    kept, places, count = _kept(codes, weight, ignore_index, dtype)
    chosen = np.expand_dims(count * (1 - label_smoothing), axis)
    classes = _along(np.arange(shape[axis]), len(shape), axis)
    q = np.where(np.expand_dims(places, axis) == classes, chosen, dtype.type(0))
    if label_smoothing:
        every = np.ones(shape[axis], dtype) if weight is None else weight
        rest = _along(every, len(shape), axis) * (label_smoothing / shape[axis])
        q = q + rest * np.expand_dims(kept, axis)
    return q, count


def _total(count: PlainArray) -> float:
    """By what the mean divides the sum of the losses."""
    return float(count.sum(dtype=np.float64))


def _reduced(rows: Array, reduction: str, count: PlainArray) -> Array:
    """The losses of the places, summed or averaged as asked."""
    if reduction == "none":
        return rows
    if reduction == "sum":
        return rows.sum()
    total = _total(count)
    return rows.sum() / total if total else rows.sum() * 0.0 + math.nan


def _row_gradient(g: Array, reduction: str, count: PlainArray, axis: int) -> Array:
    """The gradient of the loss of each place, with the class axis back as length 1."""
    wide = widen(g)
    if reduction == "none":
        return wide.reshape(_with_axis(g.shape, axis))
    total = _total(count) if reduction == "mean" else 1.0
    return wide * (1 / total if total else 0.0)


def _with_axis(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """A shape with the class axis back as length 1."""
    place = len(shape) + 1 + axis
    return (*shape[:place], 1, *shape[place:])


def _surprise(log_p: Array, q: Array) -> Array:
    """-log p, without the infinity where a class is impossible and not asked for."""
    return np.where((log_p == -math.inf) * (q == 0), 0, -log_p)


def _reference(logits: Any, q: Any, reduction: str, count: PlainArray, axis: int) -> Any:
    log_p = log_softmax(logits, axis=axis)
    return _mean_or_sum((_surprise(log_p, q) * q).sum(axis=axis), reduction, count)


def _mean_or_sum(rows: Any, reduction: str, count: PlainArray) -> Any:
    """`_reduced` in operations."""
    if reduction != "mean":
        return _reduced(rows, reduction, count)
    total = count.sum(dtype=np.float64).astype(count.dtype)  # an array: it may be traced
    divisor = np.where(total == 0, count.dtype.type(np.inf), total)
    return rows.sum() / divisor + np.where(total == 0, count.dtype.type(np.nan), 0 * total)


# -- class numbers ---------------------------------------------------------------------------------


@quiet
def _of_classes_reference(
    logits: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> Any:
    wide = widen(logits)
    dtype = np.finfo(wide.dtype).dtype  # of a complex dtype, that of its parts
    if label_smoothing:
        q, count = _spread(target, wide.shape, dtype, weight, ignore_index, label_smoothing, axis)
        return _reference(wide, q, reduction, count, axis).astype(logits.dtype)
    _, places, count = _kept(target, weight, ignore_index, dtype)
    index = along_axis(np.expand_dims(places, axis), wide.shape, wide.ndim + axis)
    chosen = log_softmax(wide, axis=axis)[index].reshape(places.shape)
    rows = np.where(count == 0, 0, -chosen * count)
    return _mean_or_sum(rows, reduction, count).astype(logits.dtype)


def _of_classes_backward(
    grads: Any,
    residuals: Any,
    inputs: Any,
    needed: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> tuple[Any, ...]:
    e, top, total, count = residuals
    g = _row_gradient(grads[0], reduction, count, axis)
    if label_smoothing:
        q, _ = _spread(target, e.shape, e.dtype, weight, ignore_index, label_smoothing, axis)
        return (e * (g * q.sum(axis=axis, keepdims=True) / total) - g * q,)
    row = g * np.expand_dims(count, axis)
    d = shares(widen(inputs[0]), top, row / total) if e is None else e * (row / total)
    places = np.expand_dims(np.where(target == ignore_index, 0, target), axis)
    at = np.take_along_axis(d, places, axis)
    np.put_along_axis(d, places, at - row, axis)
    return (d,)


@fused(reference=_of_classes_reference, backward=_of_classes_backward)
@named("cross_entropy")
@quiet
def _of_classes(
    logits: Array,
    /,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> Array:
    x = widen(logits)
    found = None if label_smoothing else partition(x, axis)
    difference = e = top = None
    if found is None:
        difference, e, total = log_partition(x, axis)
    else:
        top, total = found  # and nothing of the size of the scores is kept
    if label_smoothing:
        q, count = _spread(target, x.shape, x.dtype, weight, ignore_index, label_smoothing, axis)
        rows = (_surprise(difference - np.log(total), q) * q).sum(axis=axis)
    else:
        _, places, count = _kept(target, weight, ignore_index, x.dtype)
        index = np.expand_dims(places, axis)
        chosen = np.take_along_axis(x if difference is None else difference, index, axis)
        chosen = chosen if top is None else below(chosen, top)
        rows = np.where(count == 0, 0, np.squeeze(np.log(total) - chosen, axis) * count)
    loss = _reduced(rows, reduction, count)
    return loss.astype(logits.dtype), (e, top, total, count)


# -- probabilities ---------------------------------------------------------------------------------


def _blend(target: Any, weight: Any, label_smoothing: float, axis: int) -> Any:
    """The coefficients of -log p in the loss of each place."""
    q = target
    if label_smoothing:
        q = q * (1 - label_smoothing) + label_smoothing / target.shape[axis]
    return q if weight is None else q * _along(weight, target.ndim, axis)


def _places(shape: tuple[int, ...], axis: int) -> PlainArray:
    """A one for each place, without memory."""
    return np.broadcast_to(np.float32(1), shape[:axis] + shape[axis:][1:])


@quiet
def _of_probabilities_reference(
    logits: Any, target: Any, weight: Any, reduction: str, label_smoothing: float, axis: int
) -> Any:
    q = _blend(widen(target), weight, label_smoothing, axis)
    loss = _reference(widen(logits), q, reduction, _places(logits.shape, axis), axis)
    return loss.astype(np.result_type(logits.dtype, target.dtype))


def _of_probabilities_backward(
    grads: Any,
    residuals: Any,
    inputs: Any,
    needed: Any,
    weight: Any,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> tuple[Any, ...]:
    difference, e, total = residuals
    g = _row_gradient(grads[0], reduction, _places(e.shape, axis), axis)
    q = _blend(widen(inputs[1]), weight, label_smoothing, axis)
    d_logits = d_target = None
    if needed[0]:
        d_logits = e * (g * q.sum(axis=axis, keepdims=True) / total) - g * q
    if needed[1]:
        d_q = g * _surprise(difference - np.log(total), q)
        d_target = _blend_gradient(d_q, weight, label_smoothing, axis)
    return d_logits, d_target


def _blend_gradient(d_q: PlainArray, weight: Any, label_smoothing: float, axis: int) -> Any:
    if weight is not None:
        d_q = d_q * _along(weight, d_q.ndim, axis)
    return d_q * (1 - label_smoothing) if label_smoothing else d_q


@fused(reference=_of_probabilities_reference, backward=_of_probabilities_backward)
@named("cross_entropy_of_probabilities")
@quiet
def _of_probabilities(
    logits: Array,
    target: Array,
    /,
    weight: Any,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> Array:
    difference, e, total = log_partition(widen(logits), axis)
    q = _blend(widen(target), weight, label_smoothing, axis)
    rows = (_surprise(difference - np.log(total), q) * q).sum(axis=axis)
    loss = _reduced(rows, reduction, _places(e.shape, axis))
    return loss.astype(np.result_type(logits, target)), (difference, e, total)


# -- log probabilities -----------------------------------------------------------------------------


def _negative_log_likelihood_rule(
    g: Array,
    x_shape: tuple[int, ...],
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    axis: int,
) -> Array:
    dtype = widen(g).dtype
    q, count = _spread(target, x_shape, dtype, weight, ignore_index, 0.0, axis)
    return -q * _row_gradient(g, reduction, count, axis)


@primitive
@named("nll_loss")
@quiet
def _negative_log_likelihood(
    x: Array, /, target: Any, weight: Any, ignore_index: int, reduction: str, axis: int
) -> Array:
    wide = widen(x)
    _, places, count = _kept(target, weight, ignore_index, wide.real.dtype)
    chosen = np.squeeze(np.take_along_axis(wide, np.expand_dims(places, axis), axis), axis)
    rows = np.where(count == 0, 0, -chosen * count)
    return _reduced(rows, reduction, count).astype(x.dtype)


_negative_log_likelihood.vjp(x=_negative_log_likelihood_rule)
