"""Dropout."""

import numpy as np

import minigrad as mg
from layers.base.module import Module
from minigrad import Tensor
from minigrad.core.tensors import TensorLike
from minigrad.ops.checks import check_probabilities
from minigrad.ops.randomness import choose_generator

__all__ = ["Dropout"]


class Dropout(Module):
    """While training, zeroes each number with probability p and divides the others by 1 - p.

    In evaluation (`model.eval()`) it gives its input as it is (Srivastava et al. 2014).

    Args:
        p: the probability of zero, 0 to 1.
        generator: draws the mask at every call; the default generator (see `minigrad.seed`) if
            None.

    Shapes: any, and the same; a floating dtype, which stays.

    Raises:
        ValueError: when `p` is not within 0 to 1.
        DtypeError: when `generator` is not a `numpy.random.Generator`.

    >>> Dropout(0.5).eval()(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, *, generator: "np.random.Generator | None" = None) -> None:
        super().__init__()
        check_probabilities("Dropout", p=p)
        choose_generator(generator, "Dropout")
        self.p = p
        self.generator = generator

    def forward(self, x: TensorLike) -> Tensor:
        """Apply the layer."""
        return mg.dropout(x, self.p, self.training, self.generator)
