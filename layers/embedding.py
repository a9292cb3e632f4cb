"""Embedding."""

from typing import Any

from layers.init import normal
from layers.module import Module, Parameter
from minigrad import Tensor, embedding

__all__ = ["Embedding"]


class Embedding(Module):
    """A table with one learned row for every symbol.

    Args:
        num_embeddings: the number of symbols.
        embedding_dim: the length of a row.

    Shapes: integers (...) -> (..., embedding_dim); weight (num_embeddings, embedding_dim), drawn
    from the standard normal distribution, as in PyTorch.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(normal((num_embeddings, embedding_dim)))

    def forward(self, index: Any) -> Tensor:
        """Look up the rows of an array of symbol numbers."""
        return embedding(self.weight, index)
