"""The plain recurrent network over a sequence as one fused operation."""

import math
from typing import Any

import numpy as np

from layers.cells.cell_equations import Weights, rnn_step
from layers.kernels.packing import Packing, row_sums, scratch, view
from layers.kernels.references import run_equations
from minigrad.core.nodes import Array
from minigrad.ops.fusing import fused

__all__ = ["rnn_sequence"]


def rnn_sequence_reference(
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    nonlinearity: str = "tanh",
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Any, ...]:
    """`rnn_sequence` step by step."""
    weights = Weights(w_ih, w_hh, b_ih, b_hh)
    return run_equations(
        rnn_step, ("h",), x, (h0,), weights, lengths, reverse, nonlinearity=nonlinearity
    )


def _backward(
    grads: Any,
    residuals: Any,
    inputs: Any,
    needed: tuple[bool, ...],
    nonlinearity: str,
    lengths: Any,
    reverse: bool,
) -> list[Array | None]:
    x, _, w_ih, w_hh, _, _ = inputs
    packing, start, hiddens = residuals
    n, dtype = w_hh.shape[1], start.dtype
    d_state = packing.columns(grads[1], dtype)  # (H, batch)
    flat = np.empty((n, packing.total), dtype)  # gradients before the nonlinearity, all steps
    d_sums = scratch(n, packing.batch, dtype)
    d_outputs = packing.steps(grads[0])
    w_hh_t = np.ascontiguousarray(w_hh.T)
    for t in reversed(range(len(hiddens))):
        h, count = hiddens[t], packing.counts[t]
        d_a, d_h = view(d_sums, n, count), d_state[:, :count]
        d_h += d_outputs[t]
        if nonlinearity == "relu":
            np.multiply(d_h, h > 0, out=d_a)
        else:
            np.multiply(h, h, out=d_a)
            np.subtract(h if nonlinearity == "sigmoid" else 1, d_a, out=d_a)
            d_a *= d_h
        flat[:, packing.spans[t]] = d_a
        np.matmul(w_hh_t, d_a, out=d_h)
    d_bias = row_sums(flat) if needed[4] or needed[5] else None
    before = packing.side_by_side(packing.before(start, hiddens), start)
    return [
        packing.unpack(flat.T @ w_ih) if needed[0] else None,
        packing.rows(d_state),
        flat @ packing.pack(x) if needed[2] else None,
        flat @ before.T if needed[3] else None,
        d_bias,
        d_bias,
    ]


# A loop of programs makes as few calls as the kernel.
@fused(
    reference=rnn_sequence_reference,
    backward=_backward,
    outputs=("output", "h"),
    whole_from=math.inf,
)
def rnn_sequence(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array,
    b_hh: Array,
    /,
    nonlinearity: str = "tanh",
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    """One layer of a plain recurrent network over a sequence (see
    `layers.cells.cell_equations.rnn_step`).

    Args:
        x: the inputs, (batch, time, inputs), one step or more; padding is not looked at.
        h0: the initial state, (batch, H).
        w_ih, w_hh, b_ih, b_hh: the parameters, (H, inputs), (H, H), (H,) and (H,).
        nonlinearity: "tanh", "relu" or "sigmoid".
        lengths: integers (batch,), or None when all sequences are full.
        reverse: from the last step of each sequence to the first.

    Returns the hidden states of all steps (batch, time, H), zero in the padding, and the last h.
    """
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, dtype = w_hh.shape[1], np.result_type(x, h0, w_ih, w_hh, b_ih, b_hh)
    half = 0.5 if nonlinearity == "sigmoid" else 1.0  # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2
    recurrent = w_hh * half
    h = start = packing.columns(h0, dtype)
    hiddens = packing.blocks(n, dtype)
    bias = ((b_ih + b_hh) * half)[:, None]
    for t, share in enumerate(packing.projections(w_ih * half, bias, x)):
        new = hiddens[t]
        np.matmul(recurrent, h[:, : packing.counts[t]], out=new)
        new += share
        if nonlinearity == "relu":
            np.maximum(new, 0, out=new)
        else:
            np.tanh(new, out=new)
            if nonlinearity == "sigmoid":
                new *= 0.5
                new += 0.5
        h = new
    last = packing.rows(packing.last(start, hiddens))
    return packing.output(hiddens, n, dtype), last, (packing, start, hiddens)
