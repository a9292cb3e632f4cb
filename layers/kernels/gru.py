"""The GRU over a sequence as one fused operation.

The reset and the update gate pass through one tanh, since sigmoid(a) = tanh(a / 2) / 2 + 1 / 2:
their rows are halved before.
"""

from typing import Any

import numpy as np

from layers.cells.cell_equations import Weights, gru_step
from layers.kernels.packing import Packing, gate_rows, row_sums, scratch, view
from layers.kernels.references import run_equations
from minigrad.core.nodes import Array
from minigrad.ops.fusing import fused

__all__ = ["gru_sequence"]

CANDIDATE_FIRST, CANDIDATE_LAST = (2, 0, 1), (1, 2, 0)  # from r, z, n to n, r, z, and back


def gru_sequence_reference(
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Any, ...]:
    """`gru_sequence` step by step."""
    weights = Weights(w_ih, w_hh, b_ih, b_hh)
    return run_equations(gru_step, ("h",), x, (h0,), weights, lengths, reverse)


def _backward(
    grads: Any,
    residuals: Any,
    inputs: Any,
    needed: tuple[bool, ...],
    lengths: Any,
    reverse: bool,
) -> list[Array | None]:
    x, _, w_ih, w_hh, _, _ = inputs
    packing, start, gates, candidates, shares, hiddens = residuals
    n, dtype = w_hh.shape[1], start.dtype
    d_state = packing.columns(grads[1], dtype)  # (H, batch)
    # Rows n, r, z reach the inputs; rows r, z and the candidate's recurrent share reach the state.
    flat = np.empty((4 * n, packing.total), dtype)
    d_sums = scratch(4 * n, packing.batch, dtype)
    hiddens_before = packing.before(start, hiddens)
    d_outputs = packing.steps(grads[0])
    w_hh_t = np.ascontiguousarray(w_hh.T)
    slopes, parts = scratch(2 * n, packing.batch, dtype), scratch(n, packing.batch, dtype)
    for t in reversed(range(len(gates))):
        gate, candidate, count = gates[t], candidates[t], packing.counts[t]
        d_sum = view(d_sums, 4 * n, count)
        slope, part = view(slopes, 2 * n, count), view(parts, n, count)
        d_h = d_state[:, :count]
        d_h += d_outputs[t]
        d_n, d_r, d_z, d_share = (d_sum[k * n : (k + 1) * n] for k in range(4))
        # h' = n + z (h - n)
        np.subtract(hiddens_before[t], candidate, out=d_z)
        d_z *= d_h
        np.multiply(d_h, gate[n:], out=part)
        np.subtract(d_h, part, out=d_n)
        d_h[...] = part
        np.multiply(candidate, candidate, out=part)
        np.subtract(1, part, out=part)
        d_n *= part
        np.multiply(d_n, gate[:n], out=d_share)
        np.multiply(d_n, shares[t], out=d_r)
        np.multiply(gate, gate, out=slope)
        np.subtract(gate, slope, out=slope)
        d_sum[n : 3 * n] *= slope
        flat[:, packing.spans[t]] = d_sum
        np.matmul(w_hh_t, d_sum[n:], out=part)
        d_h += part
    to_inputs, to_states = flat[: 3 * n], flat[n:]
    d_x = d_w_ih = d_w_hh = d_b_ih = d_b_hh = None
    if needed[0]:
        d_x = packing.unpack(to_inputs.T @ gate_rows(w_ih, n, CANDIDATE_FIRST))
    if needed[2]:
        d_w_ih = gate_rows(to_inputs @ packing.pack(x), n, CANDIDATE_LAST)
    if needed[3]:
        before = packing.side_by_side(hiddens_before, start)  # (H, total)
        d_w_hh = to_states @ before.T
    if needed[4] or needed[5]:
        sums = row_sums(flat)
        d_b_ih, d_b_hh = gate_rows(sums[: 3 * n], n, CANDIDATE_LAST), sums[n:]
    return [d_x, packing.rows(d_state), d_w_ih, d_w_hh, d_b_ih, d_b_hh]


@fused(
    reference=gru_sequence_reference,
    backward=_backward,
    outputs=("output", "h"),
    whole_from=5000,  # below, calls cost more than numbers, and a loop makes fewer
)
def gru_sequence(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array,
    b_hh: Array,
    /,
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    """One layer of a GRU over a sequence (see `layers.cells.cell_equations.gru_step`).

    Args:
        x: the inputs, (batch, time, inputs), one step or more; padding is not looked at.
        h0: the initial state, (batch, H).
        w_ih, w_hh, b_ih, b_hh: the parameters, (3 H, inputs), (3 H, H), (3 H,) and (3 H,).
        lengths: integers (batch,), or None when all sequences are full.
        reverse: from the last step of each sequence to the first.

    Returns the hidden states of all steps (batch, time, H), zero in the padding, and the last h.
    """
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, dtype = w_hh.shape[1], np.result_type(x, h0, w_ih, w_hh, b_ih, b_hh)
    half = np.ones((3 * n, 1), dtype)
    half[: 2 * n] = 0.5
    bias = b_ih.astype(dtype)
    bias[: 2 * n] += b_hh[: 2 * n]
    bias = bias[:, None] * half
    share_bias = b_hh[2 * n :, None]
    # A product for each gate: BLAS libraries are faster at three small ones.
    recurrent = (w_hh * half).reshape(3, n, n)
    h = start = packing.columns(h0, dtype)
    gates = packing.blocks(2 * n, dtype)
    candidates, shares, hiddens = (packing.blocks(n, dtype) for _ in range(3))
    for t, projected in enumerate(packing.projections(w_ih * half, bias, x)):
        gate, count = gates[t], packing.counts[t]
        candidate, share, new, h = candidates[t], shares[t], hiddens[t], h[:, :count]
        np.matmul(recurrent[:2], h, out=gate.reshape(2, n, count))
        np.matmul(recurrent[2], h, out=share)
        gate += projected[: 2 * n]
        np.tanh(gate, out=gate)
        gate *= 0.5
        gate += 0.5
        share += share_bias
        np.multiply(gate[:n], share, out=candidate)
        candidate += projected[2 * n :]
        np.tanh(candidate, out=candidate)
        np.subtract(h, candidate, out=new)
        new *= gate[n:]
        new += candidate
        h = new
    residuals = (packing, start, gates, candidates, shares, hiddens)
    last = packing.rows(packing.last(start, hiddens))
    return packing.output(hiddens, n, dtype), last, residuals
