"""The LSTM over a sequence as one fused operation.

The four gates pass through one tanh, since sigmoid(a) = tanh(a / 2) / 2 + 1 / 2: the rows of the
sigmoid gates are halved before. They stand in the order i, f, o, g, so that those rows are one
piece of memory.
"""

from typing import Any

import numpy as np

from layers.cells.cell_equations import Weights, lstm_step
from layers.kernels.packing import Packing, gate_rows, row_sums, scratch, view
from layers.kernels.references import run_equations
from minigrad.core.nodes import Array
from minigrad.ops.fusing import fused

__all__ = ["lstm_sequence"]

SIGMOIDS_FIRST = (0, 1, 3, 2)  # from i, f, g, o to i, f, o, g, and back


def lstm_sequence_reference(
    x: Any,
    h0: Any,
    c0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Any, ...]:
    """`lstm_sequence` step by step."""
    weights = Weights(w_ih, w_hh, b_ih, b_hh)
    return run_equations(lstm_step, ("h", "c"), x, (h0, c0), weights, lengths, reverse)


def _backward(
    grads: Any,
    residuals: Any,
    inputs: Any,
    needed: tuple[bool, ...],
    lengths: Any,
    reverse: bool,
) -> list[Array | None]:
    x, _, _, w_ih, w_hh, _, _ = inputs
    packing, h0, c0, gates, cells, tanh_cells, hiddens = residuals
    n, dtype = w_hh.shape[1], h0.dtype
    d_hidden, d_cell = (packing.columns(g, dtype) for g in grads[1:])  # (H, batch)
    flat = np.empty((4 * n, packing.total), dtype)  # gradients before the gates, of all steps
    cells_before = packing.before(c0, cells)
    d_outputs = packing.steps(grads[0])
    w_hh_t = np.ascontiguousarray(gate_rows(w_hh, n, SIGMOIDS_FIRST).T)
    d_gates, slopes = (scratch(4 * n, packing.batch, dtype) for _ in range(2))
    parts = scratch(n, packing.batch, dtype)
    for t in reversed(range(len(gates))):
        gate, tanh_c, count = gates[t], tanh_cells[t], packing.counts[t]
        d_gate, slope, part = (
            view(d_gates, 4 * n, count),
            view(slopes, 4 * n, count),
            view(parts, n, count),
        )
        d_h, d_c = d_hidden[:, :count], d_cell[:, :count]
        d_h += d_outputs[t]
        # dc += dh * o * (1 - tanh(c)^2), in which o * tanh(c) = h
        np.multiply(hiddens[t], tanh_c, out=part)
        np.subtract(gate[2 * n : 3 * n], part, out=part)
        part *= d_h
        d_c += part
        np.multiply(d_c, gate[3 * n :], out=d_gate[:n])
        np.multiply(d_c, cells_before[t], out=d_gate[n : 2 * n])
        np.multiply(d_h, tanh_c, out=d_gate[2 * n : 3 * n])
        np.multiply(d_c, gate[:n], out=d_gate[3 * n :])
        # the slopes of the gates: s - s^2 for sigmoid, 1 - g^2 for tanh
        np.multiply(gate, gate, out=slope)
        np.subtract(gate[: 3 * n], slope[: 3 * n], out=slope[: 3 * n])
        np.subtract(1, slope[3 * n :], out=slope[3 * n :])
        d_gate *= slope
        flat[:, packing.spans[t]] = d_gate
        d_c *= gate[n : 2 * n]
        np.matmul(w_hh_t, d_gate, out=d_h)
    d_x = d_w_ih = d_w_hh = d_bias = None
    if needed[0]:
        d_x = packing.unpack(flat.T @ gate_rows(w_ih, n, SIGMOIDS_FIRST))
    if needed[3]:
        d_w_ih = gate_rows(flat @ packing.pack(x), n, SIGMOIDS_FIRST)
    if needed[4]:
        before = packing.side_by_side(packing.before(h0, hiddens), h0)  # (H, total)
        d_w_hh = gate_rows(flat @ before.T, n, SIGMOIDS_FIRST)
    if needed[5] or needed[6]:
        d_bias = gate_rows(row_sums(flat), n, SIGMOIDS_FIRST)
    d_h0, d_c0 = packing.rows(d_hidden), packing.rows(d_cell)
    return [d_x, d_h0, d_c0, d_w_ih, d_w_hh, d_bias, d_bias]


@fused(
    reference=lstm_sequence_reference,
    backward=_backward,
    outputs=("output", "h", "c"),
    whole_from=5000,  # below, calls cost more than numbers, and a loop makes fewer
)
def lstm_sequence(
    x: Array,
    h0: Array,
    c0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array,
    b_hh: Array,
    /,
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    """One layer of an LSTM over a sequence (see `layers.cells.cell_equations.lstm_step`).

    Args:
        x: the inputs, (batch, time, inputs), one step or more; padding is not looked at.
        h0, c0: the initial states, (batch, H).
        w_ih, w_hh, b_ih, b_hh: the parameters, (4 H, inputs), (4 H, H), (4 H,) and (4 H,).
        lengths: integers (batch,), or None when all sequences are full.
        reverse: from the last step of each sequence to the first.

    Returns the hidden states of all steps (batch, time, H), zero in the padding, and the last h
    and c.
    """
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, dtype = w_hh.shape[1], np.result_type(x, h0, c0, w_ih, w_hh, b_ih, b_hh)
    half = np.ones((4 * n, 1), dtype)
    half[: 3 * n] = 0.5
    bias = gate_rows(b_ih + b_hh, n, SIGMOIDS_FIRST)[:, None] * half
    # A product for each gate: BLAS libraries are faster at four small ones.
    recurrent = (gate_rows(w_hh, n, SIGMOIDS_FIRST) * half).reshape(4, n, n)
    h = h_start = packing.columns(h0, dtype)
    c = c_start = packing.columns(c0, dtype)
    gates = packing.blocks(4 * n, dtype)
    cells, tanh_cells, hiddens = (packing.blocks(n, dtype) for _ in range(3))
    parts = scratch(n, packing.batch, dtype)
    for t, share in enumerate(
        packing.projections(gate_rows(w_ih, n, SIGMOIDS_FIRST) * half, bias, x)
    ):
        gate, count = gates[t], packing.counts[t]
        part = view(parts, n, count)
        np.matmul(recurrent, h[:, :count], out=gate.reshape(4, n, count))
        gate += share
        np.tanh(gate, out=gate)
        sigmoids = gate[: 3 * n]
        sigmoids *= 0.5
        sigmoids += 0.5
        np.multiply(gate[n : 2 * n], c[:, :count], out=cells[t])
        np.multiply(gate[:n], gate[3 * n :], out=part)
        cells[t] += part
        np.tanh(cells[t], out=tanh_cells[t])
        np.multiply(gate[2 * n : 3 * n], tanh_cells[t], out=hiddens[t])
        h, c = hiddens[t], cells[t]
    last = (packing.rows(packing.last(*s)) for s in ((h_start, hiddens), (c_start, cells)))
    residuals = (packing, h_start, c_start, gates, cells, tanh_cells, hiddens)
    return packing.output(hiddens, n, dtype), *last, residuals
