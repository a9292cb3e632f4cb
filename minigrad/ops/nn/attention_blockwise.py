"""Blockwise attention with memory linear in the length: the weights are never held as a whole.

Queries and keys are taken in blocks, and the softmax over the keys is carried on from block to
block by its largest score and its total so far (Rabe and Staats 2021; Dao et al. 2022,
algorithm 1). The backward computes the weights of a block again from the scores and one number for
each query, the logarithm of its total (Dao et al. 2022, appendix B.2).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from minigrad.core.contributions import unbroadcast
from minigrad.core.nodes import Array, PlainArray
from minigrad.core.tensors import Tensor
from minigrad.ops.arguments import named, quiet, result_type, widen
from minigrad.ops.fusing import KeptOperation, fused
from minigrad.ops.natives import native_kernel
from minigrad.ops.nn.attention_plain import (
    AttentionOptions,
    attention_reference,
    causal_mask,
    softmax_of_scores,
)
from minigrad.ops.primitives import declare, primitive

__all__ = ["BLOCK", "blockwise_attention", "kept_attention"]

Lead = tuple[int, ...]

BLOCK = (256, 512)
"""Queries and keys in a block: in float32 its scores take 512 kB, which a core's cache holds."""


class _Scores:
    """The scores of one head, a block at a time, in a buffer that is used again for each block."""

    def __init__(
        self,
        q: PlainArray,
        k: PlainArray,
        bias: Any,
        options: AttentionOptions,
    ) -> None:
        self.q, self.k, self.bias, self.options = q, k, bias, options
        self.queries, self.keys = q.shape[-2], k.shape[-2]
        size = min(options.block[0], self.queries) * min(options.block[1], self.keys)
        self.buffers = [np.empty(size, np.result_type(q, k)) for _ in range(2)]

    def enter(self, lead: Lead) -> None:
        """Turn to another head."""
        self.lead = lead
        self.q_head, self.k_head = head(self.q, lead), head(self.k, lead)
        self.bias_head = None if isinstance(self.bias, float) else head(self.bias, lead)
        self.mask_heads = [head(mask, lead) for mask in self.options.masks]

    def rows(self) -> Iterator[slice]:
        """The blocks of queries."""
        return blocks(self.queries, self.options.block[0])

    def columns(self, rows: slice) -> Iterator[tuple[slice, list[PlainArray]]]:
        """The blocks of keys to which some of these queries may attend, and masks that matter."""
        first = rows.start + self.keys - self.queries  # where the first query stands
        count = rows.stop - rows.start
        end = min(first + count, self.keys) if self.options.causal else self.keys
        for columns in blocks(end, self.options.block[1]):
            found = [part(mask, rows, columns) for mask in self.mask_heads]
            if self.options.causal and columns.stop > first + 1:
                width = columns.stop - columns.start
                found.append(causal_mask(count, width, first, columns.start))
            if all(mask.any() for mask in found):
                yield columns, [mask for mask in found if not mask.all()]

    def compute(self, rows: slice, columns: slice, masks: list[PlainArray]) -> PlainArray:
        """The scores of a block, with -inf where a mask forbids."""
        scores = self.product(0, self.scaled(rows), self.k_head[columns])
        if self.bias_head is not None:
            scores += part(self.bias_head, rows, columns)
        for mask in masks:
            np.copyto(scores, -math.inf, where=~mask)
        return scores

    def scaled(self, rows: slice) -> PlainArray:
        """Some queries times the scale."""
        scaled: PlainArray = self.q_head[rows] * self.options.scale
        return scaled

    def product(self, number: int, left: PlainArray, right: PlainArray) -> PlainArray:
        """left right^T in one of the two buffers."""
        shape = len(left), len(right)
        out = self.buffers[number][: shape[0] * shape[1]].reshape(shape)
        return np.matmul(left, right.T, out=out)

    def drop(self, values: PlainArray, rows: slice, columns: slice) -> PlainArray:
        """Values of a block after dropout."""
        dropout = self.options.dropout
        if dropout is None:
            return values
        index = tuple(i if n > 1 else 0 for i, n in _aligned(self.lead, dropout.rows.shape[:-1]))
        dropped: PlainArray = self.options.drop(values, dropout.tile(index, rows, columns))
        return dropped


def blocks(length: int, size: int) -> Iterator[slice]:
    """The parts of an axis."""
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _aligned(lead: Lead, lengths: Lead) -> "zip[tuple[int, int]]":
    """The index of each of an array's leading axes with its length, aligned at the last one."""
    return zip(lead[len(lead) - len(lengths) :], lengths, strict=True)


def head(array: Any, lead: Lead) -> Any:
    """The matrix of an array at an index of the leading axes, along which it broadcasts."""
    array = array.reshape((1,) * (2 - array.ndim) + array.shape)
    return array[tuple(i if n > 1 else 0 for i, n in _aligned(lead, array.shape[:-2]))]


def part(matrix: Any, rows: slice, columns: slice) -> Any:
    """A block of a matrix; an axis along which it broadcasts stays as it is."""
    whole = slice(None)
    return matrix[rows if len(matrix) > 1 else whole, columns if matrix.shape[1] > 1 else whole]


def _leads(*arrays: Any) -> tuple[Lead, Iterator[Lead]]:
    """The leading axes of all, and the places along them."""
    shape = np.broadcast_shapes(*(array.shape[:-2] for array in arrays))
    return shape, iter(np.ndindex(shape))


def _gradients_of(
    g: Any, y: Any, logs: Any, inputs: Any, needed: Any, options: AttentionOptions
) -> tuple[Any, ...]:
    """The gradients of query, key, value and bias; None for those that are not needed.

    Args:
        g: the gradient of the output.
        y, logs: what `_attend` gave.
        inputs: query, key, value and bias.
        needed: of each, whether its gradient is.
        options: as in the forward pass.
    """
    bias = inputs[3]
    q, k, v = (widen(a) for a in inputs[:3])
    g = widen(g)
    kernel = native_kernel("attention_gradient")
    found = kernel(g, y, logs, q, k, v, bias, options, needed) if kernel is not None else None
    if found is not None:
        return cast(tuple[Any, ...], found)
    scores = _Scores(q, k, bias, options)
    d_q, d_k, d_v, d_bias = (
        np.zeros_like(widen(a), order="C") if wanted else None
        for a, wanted in zip(inputs, needed, strict=True)
    )
    for lead in _leads(q, k, v)[1]:
        scores.enter(lead)
        g_head, y_head, v_head, log_head = (head(a, lead) for a in (g, y, v, logs))
        for rows in scores.rows():
            g_rows = g_head[rows]
            # The sum over keys of weight times gradient is that over features of output times it.
            mean = (g_rows * y_head[rows]).sum(axis=1, keepdims=True)
            for columns, within in scores.columns(rows):
                weights = scores.compute(rows, columns, within)
                weights -= log_head[rows]
                np.exp(weights, out=weights)
                if d_v is not None:
                    head(d_v, lead)[columns] += scores.drop(weights, rows, columns).T @ g_rows
                if d_q is d_k is d_bias is None:
                    continue
                d_scores = scores.product(1, g_rows, v_head[columns])
                d_scores = scores.drop(d_scores, rows, columns)
                d_scores -= mean
                d_scores *= weights
                if d_q is not None:
                    head(d_q, lead)[rows] += d_scores @ scores.k_head[columns] * options.scale
                if d_k is not None:
                    head(d_k, lead)[columns] += d_scores.T @ scores.scaled(rows)
                if d_bias is not None:
                    _add_bias(part(head(d_bias, lead), rows, columns), d_scores)
    return d_q, d_k, d_v, d_bias


def _add_bias(into: PlainArray, d_scores: PlainArray) -> None:
    """Add gradients of scores to those of a bias that broadcasts to them."""
    for axis in (0, 1):
        if into.shape[axis] < d_scores.shape[axis]:
            d_scores = d_scores.sum(axis=axis, keepdims=True)
    into += d_scores


@quiet
def _reference_by_rows(
    query: Any, key: Any, value: Any, bias: Any, options: AttentionOptions
) -> Any:
    """Attention composed of other operations, causal a block of queries at a time.

    Each with the keys up to the last of them: what no query of a block may attend to, about half
    of all pairs, is not computed.
    """
    queries, keys = query.shape[-2], key.shape[-2]
    if not options.causal or queries > keys or queries <= options.block[0]:
        return attention_reference(query, key, value, bias, options=options)
    found = []
    for rows in blocks(queries, options.block[0]):
        columns = slice(0, rows.stop + keys - queries)
        dropout = options.dropout
        if dropout is not None:
            dropout = dropout._replace(
                rows=dropout.rows[..., rows], columns=dropout.columns[..., columns]
            )
        masks = tuple(_part_of_all(mask, rows, columns) for mask in options.masks)
        bias_part = bias if isinstance(bias, float) else _part_of_all(bias, rows, columns)
        found.append(
            attention_reference(
                query[..., rows, :], key[..., columns, :], value[..., columns, :], bias_part,
                options=options._replace(masks=masks, dropout=dropout),
            )
        )  # fmt: skip
    return np.concatenate(found, axis=-2)


def _part_of_all(matrices: Any, rows: slice, columns: slice) -> Any:
    """A block of each matrix of several."""
    whole, shape = slice(None), matrices.shape
    if not shape:
        return matrices
    columns = columns if shape[-1] > 1 else whole
    if len(shape) == 1:
        return matrices[columns]
    return matrices[..., rows if shape[-2] > 1 else whole, columns]


def _attend(
    query: Any, key: Any, value: Any, bias: Any, options: AttentionOptions
) -> tuple[PlainArray, PlainArray]:
    """The output, float16 as float32, and the logarithm of each query's total."""
    q, k, v = widen(query), widen(key), widen(value)
    kernel = native_kernel("attention")
    found = kernel(q, k, v, bias, options) if kernel is not None else None
    if found is not None:
        return cast(tuple[PlainArray, PlainArray], found)
    scores = _Scores(q, k, bias, options)
    shape, leads = _leads(q, k, v)
    dtype = np.result_type(q, k, v)
    y = np.empty((*shape, scores.queries, v.shape[-1]), dtype)
    logs = np.empty((*shape, scores.queries, 1), dtype)
    for lead in leads:
        scores.enter(lead)
        v_head = head(v, lead)
        for rows in scores.rows():
            count = rows.stop - rows.start
            top = np.full((count, 1), -math.inf, dtype)
            total = np.zeros((count, 1), dtype)
            out = np.zeros((count, v.shape[-1]), dtype)
            for columns, within in scores.columns(rows):
                weights = scores.compute(rows, columns, within)
                before, top = top, np.maximum(top, weights.max(axis=1, keepdims=True))
                shift = np.where(top == -math.inf, 0, top)
                weights -= shift
                np.exp(weights, out=weights)
                fade = np.exp(before - shift)
                total *= fade
                total += weights.sum(axis=1, keepdims=True)
                out *= fade
                out += scores.drop(weights, rows, columns) @ v_head[columns]
            y[lead][rows] = out / np.where(total == 0, 1, total)
            # Where nothing may be attended to, infinity makes all weights zero in the backward.
            logs[lead][rows] = np.where(total == 0, math.inf, top + np.log(total))
    return y, logs


@quiet
def _blockwise_backward(
    grads: Any, residuals: Any, inputs: Any, needed: Any, options: AttentionOptions
) -> tuple[Any, ...]:
    y, logs = residuals
    return _gradients_of(grads[0], y, logs, inputs, needed, options)


@fused(reference=_reference_by_rows, backward=_blockwise_backward)
@named("scaled_dot_product_attention")
@quiet
def blockwise_attention(
    query: Array, key: Array, value: Array, bias: Array, /, options: AttentionOptions
) -> Array:
    """Attention that holds a block of weights at a time; its second derivative holds them all, of
    causal attention those of the pairs that may attend."""
    y, logs = _attend(query, key, value, bias, options)
    return y.astype(result_type(query, key, value, bias), copy=False), (y, logs)


# -- in compiled programs --------------------------------------------------------------------------
#
# Spelled out, attention over many keys would be a long graph that holds all weights. So where
# `kernels_kept`, it and its gradient are an operation each.


def kept_attention(query: Any, key: Any, value: Any, bias: Any, /, options: Any) -> Any:
    """Attention of float32 or float64 for a graph of large operations."""
    inputs = (query, key, value, bias)
    needed = tuple(getattr(x, "_node", None) is not None for x in inputs)
    return attention_with_totals(*inputs, options=options, needed=needed)


@primitive(aux=("logs",))
@named("scaled_dot_product_attention")
@quiet
def attention_with_totals(
    query: Array, key: Array, value: Array, bias: Array, /, options: Any, needed: Any
) -> Any:
    """The output, and the logarithm of each query's total for the gradient."""
    y, logs = _attend(query, key, value, bias, _plain(options))
    return y.astype(result_type(query, key, value, bias), copy=False), logs


@attention_with_totals.joint_vjp("query", "key", "value", "bias")
def _attention_vjp(
    g: Any, y: Any, logs: Any, query: Any, key: Any, value: Any, bias: Any, options: Any,
    needed: Any,
) -> tuple[Any, ...]:  # fmt: skip
    # What the gradient depends on are the inputs: y and logs are only there for speed.
    y = y._array if isinstance(y, Tensor) else y
    found = _gradient.generic(
        query, key, value, bias, g, output=y, logs=logs, options=options, needed=needed
    )
    return tuple(d if wanted else None for d, wanted in zip(found, needed, strict=True))


def _gradient_from_others(
    query: Any, key: Any, value: Any, bias: Any, cotangent: Any, /, output: Any, logs: Any,
    options: AttentionOptions, needed: tuple[bool, ...],
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients composed of other operations."""
    weights = softmax_of_scores(query, key, bias, options)
    keep = None if options.dropout is None else options.dropout.keep()
    dropped = options.drop(weights, keep)
    d_weights = options.drop(cotangent @ value.swapaxes(-1, -2), keep)
    mean = (d_weights * weights).sum(axis=-1, keepdims=True)
    d_scores = weights * (d_weights - mean)
    found: tuple[Callable[[], Any], ...] = (
        lambda: (d_scores @ key) * options.scale,
        lambda: d_scores.swapaxes(-1, -2) @ (query * options.scale),
        lambda: dropped.swapaxes(-1, -2) @ cotangent,
        lambda: d_scores,
    )
    inputs = (query, key, value, bias)
    return tuple(
        unbroadcast(make(), x.shape, "attention") if wanted else Tensor(np.empty(0, np.float32))
        for make, x, wanted in zip(found, inputs, needed, strict=True)
    )


@quiet
def scaled_dot_product_attention_gradient(
    query: Array, key: Array, value: Array, bias: Array, cotangent: Array, /, output: Any,
    logs: Any, options: Any, needed: Any,
) -> Any:  # fmt: skip
    """The gradient of each input that needs one, an empty array of each other, and nothing more."""
    inputs = (query, key, value, bias)
    found = _gradients_of(cotangent, output, logs, inputs, needed, _plain(options))
    nothing = np.empty(0, np.float32)
    arrays = (
        nothing if d is None else unbroadcast(d, x.shape, "attention").astype(x.dtype, copy=False)
        for d, x in zip(found, inputs, strict=True)
    )
    return (*arrays, None)


_gradient = declare(
    KeptOperation(
        scaled_dot_product_attention_gradient,
        _gradient_from_others,
        ("d_query", "d_key", "d_value", "d_bias"),
    )
)


def _plain(options: AttentionOptions) -> AttentionOptions:
    """With NumPy's own arrays in the place of those that are followed in a trace."""
    masks = tuple(_array(mask) for mask in options.masks)
    dropout = options.dropout
    if dropout is not None:
        dropout = dropout._replace(rows=_array(dropout.rows), columns=_array(dropout.columns))
    return options._replace(masks=masks, dropout=dropout)


def _array(x: Any) -> PlainArray:
    return np.asarray(x)
