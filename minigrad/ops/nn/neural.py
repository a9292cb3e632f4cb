"""Embedding tables, one-hot vectors and dropout."""

from typing import Any

import numpy as np

from minigrad.core.errors import OutOfBoundsError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import Array
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import as_numbers, as_tensor, constant_array, named, quiet, widen
from minigrad.ops.checks import check_probabilities
from minigrad.ops.manipulation.index_places import add_rows
from minigrad.ops.primitives import primitive
from minigrad.ops.randomness import choose_generator, draw_numbers

__all__ = ["dropout", "embedding", "one_hot"]


def dropout(
    x: Any,
    p: float = 0.5,
    training: bool = True,
    generator: "np.random.Generator | None" = None,
) -> Tensor:
    """Zero each number with probability `p` and divide the others by 1 - p (Srivastava 2014).

    The mask is drawn before the operation and enters it as an input, so replay, recomputation
    and second derivatives see the same one.

    Args:
        x: a floating array of any shape.
        p: the probability of zero, 0 to 1; with 1 everything is zero.
        training: False returns `x` as it is.
        generator: draws the mask; the default generator (see `minigrad.seed`) if None.

    Raises:
        ValueError: when `p` is not within 0 to 1.
        DtypeError: when `generator` is not a `numpy.random.Generator`.

    >>> dropout(np.ones(4), p=0.5, generator=np.random.default_rng(3)).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """
    x = as_tensor(x, "dropout", "x")
    keep = draw_mask("dropout", x.shape, p, training, generator)
    return _same(x) if keep is None else _masked(x, keep, scale=keep_scale(p))


def draw_mask(
    name: str,
    shape: tuple[int, ...],
    p: float,
    training: bool,
    generator: "np.random.Generator | None",
) -> "np.ndarray[Any, Any] | None":
    """What dropout keeps, True with probability 1 - p; None when it keeps everything."""
    check_probabilities(name, p=p)
    choose_generator(generator, name)  # refuses what is none, in evaluation, too
    if not training or not p:
        return None
    drawn: np.ndarray[Any, Any] = draw_numbers(generator, "random", shape, np.float32, name=name)
    return drawn >= np.float32(p)


def keep_scale(p: float) -> float:
    """By what the numbers that dropout keeps are multiplied."""
    return 1 / (1 - p) if p < 1 else 0.0


@primitive
@named("dropout")
@quiet
def _masked(x: Array, keep: Array, /, scale: float) -> Array:
    """`x` times `scale` where `keep` holds, and 0 elsewhere."""
    return np.multiply(x, keep) * scale


_masked.vjp(x=lambda g, keep, scale: g * keep * scale)


@primitive(view=True, part=False)
@named("dropout_off")
def _same(x: Array, /) -> Array:
    """`x` as a tensor of its own, so that writing to the result in place leaves `x` alone."""
    return x.view()


_same.vjp(x=lambda g: g)


@primitive
def embedding_gradient(x: Array, /, index: Any, rows: int, padding_idx: int | None) -> Array:
    """Rows of `x` added up by their index, faster than `np.add.at` does it."""
    codes = constant_array(index, "index").reshape(-1)
    features = x.shape[-1]
    flat = widen(x).reshape(codes.size, features)
    out = np.zeros((rows, features), flat.dtype)
    if features:
        add_rows(out, codes.astype(np.intp, copy=False), flat)
    if padding_idx is not None:
        out[padding_idx] = 0
    return out.astype(x.dtype, copy=False)


@primitive
def embedding(
    weight: Array,
    /,
    index: Any,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Array:
    """The rows `weight[index]` of a table.

    Args:
        weight: the table (rows, features).
        index: integers of any shape, 0 to rows - 1.
        padding_idx: a row (from the end if negative) that gets no gradient; its values are used
            like those of any other.
        scale_grad_by_freq: divide the gradient of a row by how often the index has it.

    Raises:
        OutOfBoundsError: when an index or `padding_idx` is out of bounds.
        ShapeError: when the table has not 2 axes.
    """
    if weight.dtype.kind in "iu" and getattr(index, "dtype", weight.dtype).kind == "f":
        raise TypeError("the table comes first: embedding(weight, index)")
    codes = constant_array(index, "index")
    if weight.ndim != 2:
        raise ValueError(f"weight must be a table (rows, features), got {describe(weight)}")
    rows = len(weight)
    if not codes.size and codes.dtype.kind == "f":
        codes = codes.astype(np.intp)  # an empty list is of floats
    if codes.dtype.kind not in "iu" or (codes.size and (codes.min() < 0 or codes.max() >= rows)):
        raise OutOfBoundsError(
            f"index must hold integers from 0 to {rows - 1}, got {describe(codes)}"
            + (f" from {codes.min()} to {codes.max()}" if codes.size else "")
        )
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise OutOfBoundsError(f"padding_idx must be one of the {rows} rows, got {padding_idx}")
    return weight[codes]


def _embedding_rule(
    g: Array, weight_shape: Any, index: Any, padding_idx: int | None, scale_grad_by_freq: bool
) -> Array:
    rows = weight_shape[0]
    if scale_grad_by_freq:
        ones = np.ones_like(g.sum(axis=-1, keepdims=True), dtype=np.float64)  # of what g is made
        counts = embedding_gradient.generic(ones, index, rows, None)  # (rows, 1)
        g = g * (1 / embedding.generic(counts, index)).astype(g.dtype)
    return embedding_gradient.generic(g, index, rows, padding_idx)


embedding.vjp(weight=_embedding_rule)


def _embedding_gradient_rule(g: Array, index: Any, rows: int, padding_idx: int | None) -> Array:
    taken = embedding.generic(g, index)
    if padding_idx is None:
        return taken
    used = as_numbers(index, constant_array(index, "index")) != padding_idx % rows
    return taken * used[..., None]


embedding_gradient.vjp(x=_embedding_gradient_rule)


@primitive(constant=True)
def one_hot(index: Array, /, num_classes: int | None = None, dtype: Any = None) -> Array:
    """A 1 at each index and 0 elsewhere, along a new last axis; a constant.

    Args:
        index: integers of any shape, 0 to num_classes - 1.
        num_classes: the length of the new axis; the largest index plus 1 if None.
        dtype: of the result; the default floating dtype if None (PyTorch's is int64).

    Raises:
        ShapeError: when an index is out of bounds, or `num_classes` cannot be told.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    codes = index if index.size else index.astype(np.intp)  # an empty list is of floats
    if codes.dtype.kind not in "iu":
        raise ValueError(f"index must hold integers, got {describe(codes)}")
    if num_classes is None:
        if not codes.size:
            raise ValueError("num_classes cannot be told from no index at all; pass it")
        num_classes = int(codes.max()) + 1
    if codes.size and (codes.min() < 0 or codes.max() >= num_classes):
        raise OutOfBoundsError(
            f"index must be within 0 to {num_classes - 1}, got {codes.min()} to {codes.max()}"
        )
    resolved = current_mode().dtype if dtype is None else dtype
    return (codes[..., None] == np.arange(num_classes)).astype(resolved)
