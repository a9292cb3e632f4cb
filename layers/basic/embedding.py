"""Embedding."""

from typing import Any

import numpy as np

import minigrad as mg
from layers.base.init import normal_
from layers.base.module import Module, Parameter
from layers.basic.linear import blank, check_sizes
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe

__all__ = ["Embedding"]


class Embedding(Module):
    """A table with one learned row for every symbol.

    Args:
        num_embeddings: the number of symbols.
        embedding_dim: the length of a row.
        padding_idx: a symbol (from the end if negative) whose row begins as zeros and gets no
            gradient, so that it stays so.
        scale_grad_by_freq: divide the gradient of each row by how often its symbol is in the
            input.

    Shapes: integers (...) -> (..., embedding_dim); weight (num_embeddings, embedding_dim), drawn
    from the standard normal distribution, as in PyTorch. ``head.weight = embedding.weight`` ties
    the table to a `Linear` of the same shape, which is then learned and counted once (Press and
    Wolf 2017).

    Raises:
        ShapeError: when a symbol is out of bounds.
        ValueError: when `padding_idx` is.

    >>> table = Embedding(5, 3, padding_idx=0)
    >>> table(np.array([[1, 0], [4, 0]])).shape, table(np.array(0)).tolist()
    ((2, 2, 3), [0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        scale_grad_by_freq: bool = False,
    ) -> None:
        super().__init__()
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be one of the {num_embeddings} symbols, got "
                    f"{padding_idx}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.scale_grad_by_freq = scale_grad_by_freq
        self.weight = Parameter(blank(self, "weight", num_embeddings, embedding_dim))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        *,
        scale_grad_by_freq: bool = False,
    ) -> "Embedding":
        """A table with given rows.

        Args:
            embeddings: (symbols, length), an array or a tensor; copied.
            freeze: whether they stay as they are instead of being learned.
            padding_idx: a row that gets no gradient; its numbers are kept.
            scale_grad_by_freq: as in the constructor.

        Raises:
            ShapeError: when it is not a table.
        """
        shape = np.shape(embeddings)
        if len(shape) != 2:
            raise ShapeError(
                f"Embedding.from_pretrained: embeddings must be a table (symbols, length), got "
                f"{describe(embeddings)}"
            )
        module = cls(shape[0], shape[1], padding_idx, scale_grad_by_freq=scale_grad_by_freq)
        module.weight = Parameter(embeddings, requires_grad=not freeze)
        return module

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw the rows again, that of `padding_idx` zero."""
        normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            rows = np.array(self.weight.numpy())
            rows[self.padding_idx] = 0
            self.weight.write(rows)

    def forward(self, index: Any) -> Tensor:
        """Look up the rows of an array of symbol numbers."""
        return mg.embedding(self.weight, index, self.padding_idx, self.scale_grad_by_freq)
