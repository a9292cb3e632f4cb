"""Margin losses and distances: ranking, hinge, triplet, cosine similarity."""

from typing import Any

import numpy as np

from minigrad.core.errors import ShapeError, describe
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_tensor, as_tensors, quiet, widen
from minigrad.ops.axis_utils import normalize_axis
from minigrad.ops.checks import check_same_shape
from minigrad.ops.elementwise.comparisons import minimum, where
from minigrad.ops.elementwise.piecewise import clip
from minigrad.ops.elementwise.powers import sqrt
from minigrad.ops.linalg.norms import vector_norm
from minigrad.ops.manipulation.reshaping import broadcast_arrays
from minigrad.ops.nn.activations import softplus
from minigrad.ops.nn.class_targets import (
    check_reduction,
    class_numbers,
    class_weights,
    per_class,
)
from minigrad.ops.nn.loss_parts import reduced, signs

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "pairwise_distance",
    "soft_margin_loss",
    "triplet_margin_loss",
]


TINY = 1e-12  # what PyTorch adds to the squares of the vectors of `cosine_embedding_loss`


def _vectors(name: str, **values: Any) -> tuple[list[Tensor], Any]:
    """Vectors of equal shapes as tensors, float16 widened, and the dtype of the result."""
    tensors = as_tensors(name, **values)
    check_same_shape(name, **dict(zip(values, tensors, strict=True)))
    return [widen(t) for t in tensors], np.result_type(*(t.dtype for t in tensors))


@quiet
def cosine_similarity(x1: Any, x2: Any, axis: int = -1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors: x1 x2 / (max(|x1|, eps) max(|x2|, eps)).

    Args:
        x1, x2: floating, of shapes that broadcast together.
        axis: that of the vectors, of the broadcast shape; the last one here, 1 in PyTorch.
        eps: the smallest length that a vector is divided by.

    Returns:
        The broadcast shape without the axis.

    Raises:
        ShapeError: when the shapes do not broadcast, or there is no such axis.

    >>> cosine_similarity(np.array([3.0, 4.0]), np.array([0.0, 2.0])).item()
    0.8
    """
    first, second = as_tensors("cosine_similarity", x1=x1, x2=x2)
    dtype = np.result_type(first.dtype, second.dtype)
    try:
        ndim = len(np.broadcast_shapes(first.shape, second.shape))
    except ValueError:
        raise ShapeError(
            f"cosine_similarity: x1 and x2 must have shapes that broadcast together, got "
            f"{describe(first)} and {describe(second)}"
        ) from None
    if not ndim:
        raise ShapeError("cosine_similarity: x1 and x2 must have an axis of vectors, got numbers")
    place = (
        normalize_axis(axis, ndim, "cosine_similarity: axis") - ndim
    )  # from the end, where shapes are aligned
    first, second = broadcast_arrays(widen(first), widen(second))
    lengths = [clip(vector_norm(v, axis=place, keepdims=True), min=eps) for v in (first, second)]
    # Divided before the product, which then neither overflows nor vanishes.
    cosine = ((first / lengths[0]) * (second / lengths[1])).sum(axis=place)
    return cosine if cosine.dtype == dtype else cosine.astype(dtype)


@quiet
def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last axis.

    Args:
        x1, x2: floating, of shapes that broadcast together.
        p: the order of the norm; see `vector_norm`.
        eps: added to the differences, so that equal vectors have a derivative.
        keepdims: keep the last axis with length 1.
    """
    first, second = as_tensors("pairwise_distance", x1=x1, x2=x2)
    return vector_norm(first - second + eps, axis=-1, keepdims=keepdims, ord=p)


@quiet
def cosine_embedding_loss(
    x1: Any, x2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 - cos(x1, x2) for pairs that belong together, max(0, cos(x1, x2) - margin) for others.

    Args:
        x1, x2: vectors, (batch, features) or (features,), of equal shapes.
        target: 1 for pairs that belong together and -1 for others, (batch,) or ().
        margin: the cosine from which on others cost nothing; between -1 and 1.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: when the shapes do not fit.
        ValueError: when the target holds other numbers than 1 and -1.
    """
    name = "cosine_embedding_loss"
    check_reduction(name, reduction)
    (first, second), dtype = _vectors(name, x1=x1, x2=x2)
    if first.ndim not in (1, 2):
        raise ShapeError(
            f"{name}: x1 and x2 must be (batch, features) or (features,), got {describe(first)}"
        )
    together = signs(name, target, first.shape[:-1], first.dtype)
    squares = ((v * v).sum(axis=-1) + TINY for v in (first, second))
    one, other = (sqrt(square) for square in squares)
    cosine = (first * second).sum(axis=-1) / (one * other)
    rows = where(together > 0, 1 - cosine, clip(cosine - margin, min=0.0))
    return reduced(name, rows, dtype, None, reduction)


@quiet
def margin_ranking_loss(
    x1: Any, x2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """max(0, margin - target (x1 - x2)): which of two scores should be the larger one.

    Args:
        x1, x2: scores, floating, of equal shapes.
        target: 1 where x1 should be larger and -1 where x2 should be; of that shape, or such as
            broadcasts to it.
        margin: by how much.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: when the shapes do not fit.
        ValueError: when the target holds other numbers than 1 and -1.

    >>> margin_ranking_loss(np.array([1.0]), np.array([3.0]), [1]).item()
    2.0
    """
    name = "margin_ranking_loss"
    check_reduction(name, reduction)
    (first, second), dtype = _vectors(name, x1=x1, x2=x2)
    wanted = signs(name, target, first.shape, first.dtype)
    rows = clip((first - second) * -wanted + margin, min=0.0)
    return reduced(name, rows, dtype, None, reduction)


@quiet
def hinge_embedding_loss(
    x: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """x for pairs that belong together (target 1), max(0, margin - x) for others (target -1).

    Args:
        x: distances of pairs, floating, of any shape.
        target: 1 and -1, of that shape, or such as broadcasts to it.
        margin: the distance from which on others cost nothing.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: when the shapes do not fit.
        ValueError: when the target holds other numbers than 1 and -1.
    """
    name = "hinge_embedding_loss"
    check_reduction(name, reduction)
    (distance,), dtype = _vectors(name, x=x)
    together = signs(name, target, distance.shape, distance.dtype)
    rows = where(together > 0, distance, clip(margin - distance, min=0.0))
    return reduced(name, rows, dtype, None, reduction)


@quiet
def soft_margin_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target x)): the logistic loss of scores against 1 and -1.

    Args:
        x: scores, floating, of any shape.
        target: 1 and -1, of that shape, or such as broadcasts to it.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: when the shapes do not fit.
        ValueError: when the target holds other numbers than 1 and -1.
    """
    name = "soft_margin_loss"
    check_reduction(name, reduction)
    (scores,), dtype = _vectors(name, x=x)
    wanted = signs(name, target, scores.shape, scores.dtype)
    return reduced(name, softplus(scores * -wanted), dtype, None, reduction)


@quiet
def multi_margin_loss(
    x: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the classes j of max(0, margin - x[target] + x[j]) ** p, without the target's.

    The hinge loss of several classes (Crammer and Singer 2001).

    Args:
        x: scores (batch, classes) or (classes,), floating.
        target: class numbers, integers (batch,) or ().
        p: 1 or 2.
        margin: by how much the score of the target should be above the others.
        weight: a constant factor for each class, (classes,), that of the target counts; or None.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: when the shapes do not fit, or a class number is out of bounds.
        ValueError: for another `p`.

    >>> multi_margin_loss(np.array([[0.5, 1.0]]), [1]).item()
    0.25
    """
    name = "multi_margin_loss"
    check_reduction(name, reduction)
    if p not in (1, 2):
        raise ValueError(f"{name}: p must be 1 or 2, got {p}")
    scores = as_tensor(x, name, "x")
    if scores.ndim not in (1, 2) or not scores.shape[-1]:
        raise ShapeError(
            f"{name}: x must be (batch, classes) or (classes,), got {describe(scores)}"
        )
    dtype, scores = scores.dtype, widen(scores)
    classes = scores.shape[-1]
    codes = class_numbers(name, scores, target, None, -1)
    own = codes[..., None] == np.arange(classes)  # (..., classes), True at the target
    right = (scores * own).sum(axis=-1, keepdims=True)
    short = where(own, 0, margin - right + scores)
    costs = where(short > 0, short, 0)
    costs = costs * costs if p == 2 else costs
    factors = class_weights(name, weight, scores, -1)
    rows = costs.sum(axis=-1) * (1 / classes)
    if factors is not None:
        rows = rows * per_class(factors, codes)
    return reduced(name, rows, dtype, None, reduction)


@quiet
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin + |anchor - positive| - |anchor - negative|) (Schroff et al. 2015).

    Args:
        anchor, positive, negative: vectors (..., features), of equal shapes.
        margin: by how much the negative should be farther than the positive.
        p, eps: see `pairwise_distance`.
        swap: take the distance of positive and negative where it is the smaller one.
        reduction: "mean", "sum" or "none".

    Raises:
        ShapeError: when the shapes differ, or there is no axis of features.
    """
    name = "triplet_margin_loss"
    check_reduction(name, reduction)
    given = {"anchor": anchor, "positive": positive, "negative": negative}
    (own, near, far), dtype = _vectors(name, **given)
    if not own.ndim:
        raise ShapeError(f"{name}: anchor must have an axis of features, got {describe(own)}")
    to_far = pairwise_distance(own, far, p, eps)
    if swap:
        to_far = minimum(to_far, pairwise_distance(near, far, p, eps))
    rows = clip(pairwise_distance(own, near, p, eps) - to_far + margin, min=0.0)
    return reduced(name, rows, dtype, None, reduction)
