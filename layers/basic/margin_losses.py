"""Losses that want a margin, and the similarities and distances that they compare."""

from typing import Any

import minigrad as mg
from layers.base.module import Module
from layers.basic.losses import Loss
from minigrad import Tensor
from minigrad.core.tensors import TensorLike
from minigrad.ops.arguments import refuse_pytorch_names

__all__ = [
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiMarginLoss",
    "PairwiseDistance",
    "SoftMarginLoss",
    "TripletMarginLoss",
]

AXIS = {"dim": "Write axis=, as NumPy names it; it is -1 here and 1 in PyTorch."}


class CosineSimilarity(Module):
    """The cosine of the angle between vectors; see `minigrad.cosine_similarity`.

    Args:
        axis: that of the vectors: the last one, as in all layers here. PyTorch's `dim` is 1, which
            differs once there are more than two axes.
        eps: the smallest length that a vector is divided by.

    >>> CosineSimilarity()([[3.0, 4.0]], [[0.0, 2.0]]).tolist()
    [0.8]
    """

    def __init__(self, axis: int = -1, eps: float = 1e-8, **other: Any) -> None:
        refuse_pytorch_names("CosineSimilarity", other, AXIS)
        super().__init__()
        self.axis, self.eps = axis, eps

    def forward(self, x1: TensorLike, x2: TensorLike) -> Tensor:
        """The cosines of vectors whose shapes broadcast together."""
        return mg.cosine_similarity(x1, x2, self.axis, self.eps)


class PairwiseDistance(Module):
    """The p-norm of the difference of vectors; see `minigrad.pairwise_distance`.

    Args:
        p: the order of the norm.
        eps: added to the differences.
        keepdim: keep the last axis with length 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: TensorLike, x2: TensorLike) -> Tensor:
        """The distances of vectors along the last axis."""
        return mg.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)


class _MarginLoss(Loss):
    """A loss with a margin."""

    def __init__(self, margin: float, reduction: str, **factors: Any) -> None:
        super().__init__(reduction, **factors)
        self.margin = margin


class CosineEmbeddingLoss(_MarginLoss):
    """Which pairs of vectors point in one direction; see `minigrad.cosine_embedding_loss`.

    Args:
        margin: the cosine from which on pairs that do not belong together cost nothing.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, x1: TensorLike, x2: TensorLike, target: Any) -> Tensor:
        """The loss of pairs of vectors, with a target of 1 and -1."""
        return mg.cosine_embedding_loss(x1, x2, target, self.margin, self.reduction)


class HingeEmbeddingLoss(_MarginLoss):
    """Which pairs are near each other; see `minigrad.hinge_embedding_loss`.

    Args:
        margin: the distance from which on pairs that do not belong together cost nothing.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of distances, with a target of 1 and -1."""
        return mg.hinge_embedding_loss(x, target, self.margin, self.reduction)


class MarginRankingLoss(_MarginLoss):
    """Which of two scores should be the larger one; see `minigrad.margin_ranking_loss`.

    Args:
        margin: by how much.
        reduction: "mean", "sum" or "none".

    >>> MarginRankingLoss()([1.0], [3.0], [1]).item()
    2.0
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, x1: TensorLike, x2: TensorLike, target: Any) -> Tensor:
        """The loss of pairs of scores, with a target of 1 and -1."""
        return mg.margin_ranking_loss(x1, x2, target, self.margin, self.reduction)


class MultiMarginLoss(_MarginLoss):
    """The score of a class should be above the others; see `minigrad.multi_margin_loss`.

    Args:
        p: the power of what is short, 1 or 2.
        margin: by how much it should be above.
        weight: a factor for each class (classes,), or None; a buffer.
        reduction: "mean", "sum" or "none".
    """

    weight: Tensor | None

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(margin, reduction, weight=weight)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p}")
        self.p = p

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of scores against class numbers."""
        return mg.multi_margin_loss(x, target, self.p, self.margin, self.weight, self.reduction)


class SoftMarginLoss(Loss):
    """The logistic loss of scores against 1 and -1; see `minigrad.soft_margin_loss`."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, x: TensorLike, target: Any) -> Tensor:
        """The loss of scores, with a target of 1 and -1."""
        return mg.soft_margin_loss(x, target, self.reduction)


class TripletMarginLoss(_MarginLoss):
    """A vector should be nearer to one than to another; see `minigrad.triplet_margin_loss`.

    Args:
        margin: by how much.
        p, eps: as in `PairwiseDistance`.
        swap: take the distance of positive and negative where it is the smaller one.
        reduction: "mean", "sum" or "none".
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, reduction)
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor: TensorLike, positive: TensorLike, negative: TensorLike) -> Tensor:
        """The loss of vectors of equal shapes."""
        options = (self.margin, self.p, self.eps, self.swap, self.reduction)
        return mg.triplet_margin_loss(anchor, positive, negative, *options)
