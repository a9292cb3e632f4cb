"""The LSTM over a whole sequence as one fused operation.

Inside, arrays are (features, batch), so that the gates are contiguous rows of one matrix, and the
projection of the inputs is done for all time steps before the loop. The four gates pass through
one tanh, since sigmoid(a) = tanh(a / 2) / 2 + 1 / 2: the rows of sigmoid gates are halved before.
"""

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.kernels import fused

__all__ = ["lstm_gates", "lstm_sequence", "lstm_step"]

Array = Any


def lstm_gates(a: Any, hidden_size: int) -> tuple[Any, Any, Any, Any]:
    """Input gate, forget gate, candidate and output gate from their pre-activations (..., 4 H)."""
    n = hidden_size
    with mg.scope("input gate"):
        i = mg.sigmoid(a[..., :n])
    with mg.scope("forget gate"):
        f = mg.sigmoid(a[..., n : 2 * n])
    with mg.scope("candidate"):
        g = mg.tanh(a[..., 2 * n : 3 * n])
    with mg.scope("output gate"):
        o = mg.sigmoid(a[..., 3 * n :])
    return i, f, g, o


def lstm_step(
    x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
) -> tuple[Tensor, Tensor]:
    """One step of the LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, o = sigmoid(W x + b + U h + b'),  g = tanh(W x + b + U h + b')
        c' = f * c + i * g,  h' = o * tanh(c')

    Shapes: x (batch, inputs), h and c (batch, H), w_ih (4 H, inputs), w_hh (4 H, H), b_ih and
    b_hh (4 H,), with the rows in the order i, f, g, o.
    """
    a = mg.matmul(x, w_ih.T) + b_ih + mg.matmul(h, w_hh.T) + b_hh  # (batch, 4 H)
    i, f, g, o = lstm_gates(a, w_hh.shape[1])
    c = mg.label_state(f * c + i * g, "c")
    h = mg.label_state(o * mg.tanh(c), "h")
    return h, c


def lstm_sequence_reference(
    x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
) -> tuple[Any, Any, Any]:
    """`lstm_sequence` step by step."""
    h, c, outputs = h0, c0, []
    for t in range(x.shape[1]):
        with mg.step(t):
            h, c = lstm_step(x[:, t], h, c, w_ih, w_hh, b_ih, b_hh)
        outputs.append(h)
    return mg.stack(outputs, axis=1), h, c


def _halves(hidden_size: int, dtype: Any) -> Array:
    """1/2 for the rows of sigmoid gates and 1 for those of the candidate, (4 H, 1)."""
    rows = np.full((4 * hidden_size, 1), 0.5, dtype)
    rows[2 * hidden_size : 3 * hidden_size] = 1
    return rows


def _lstm_sequence_backward(
    grads: Any, residuals: Any, inputs: Any, needed: tuple[bool, ...]
) -> list[Array | None]:
    d_output, d_h, d_c = grads
    x, _, _, w_ih, w_hh, _, _ = inputs
    gates, cells, tanh_cells, hiddens = residuals
    steps, _, batch = gates.shape
    n = w_hh.shape[1]
    d_h, d_c = np.array(d_h.T), np.array(d_c.T)  # (H, batch)
    d_outputs = d_output.transpose(1, 2, 0)  # (time, H, batch)
    d_gates = np.empty_like(gates)
    w_hh_t = np.ascontiguousarray(w_hh.T)
    slope, part = np.empty_like(gates[0]), np.empty_like(cells[0])
    for t in range(steps - 1, -1, -1):
        i, f, g, o = (gates[t, k * n : (k + 1) * n] for k in range(4))
        d_i, d_f, d_g, d_o = (d_gates[t, k * n : (k + 1) * n] for k in range(4))
        d_h += d_outputs[t]
        np.multiply(d_h, tanh_cells[t], out=d_o)
        # dc += dh * o * (1 - tanh(c)^2)
        np.multiply(tanh_cells[t], tanh_cells[t], out=part)
        np.subtract(1, part, out=part)
        part *= o
        part *= d_h
        d_c += part
        np.multiply(d_c, g, out=d_i)
        np.multiply(d_c, cells[t], out=d_f)
        np.multiply(d_c, i, out=d_g)
        # the slopes of the gates: s (1 - s) for sigmoid, 1 - g^2 for tanh
        np.multiply(gates[t], gates[t], out=slope)
        np.subtract(gates[t], slope, out=slope)
        candidate = slope[2 * n : 3 * n]
        np.multiply(g, g, out=candidate)
        np.subtract(1, candidate, out=candidate)
        d_gates[t] *= slope
        d_c *= f
        np.matmul(w_hh_t, d_gates[t], out=d_h)
    flat = np.ascontiguousarray(d_gates.transpose(1, 0, 2)).reshape(4 * n, steps * batch)
    d_bias = flat.sum(axis=1) if needed[5] or needed[6] else None
    d_x = d_w_ih = d_w_hh = None
    if needed[0]:
        d_x = np.matmul(d_gates.transpose(2, 0, 1), w_ih)  # (batch, time, inputs)
    if needed[3]:
        d_w_ih = flat @ x.transpose(1, 0, 2).reshape(steps * batch, x.shape[2])
    if needed[4]:
        before = hiddens[:-1].transpose(0, 2, 1).reshape(steps * batch, n)
        d_w_hh = flat @ before
    return [d_x, d_h.T, d_c.T, d_w_ih, d_w_hh, d_bias, d_bias]


@fused(
    reference=lstm_sequence_reference,
    backward=_lstm_sequence_backward,
    outputs=("output", "h", "c"),
)
def lstm_sequence(
    x: Array, h0: Array, c0: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, /
) -> Any:
    """One layer of an LSTM over a sequence.

    Shapes: x (batch, time, inputs), at least one step; h0 and c0 (batch, H); weights as in
    `lstm_step`. Returns the hidden states of all steps (batch, time, H) and the last h and c.
    """
    batch, steps, _ = x.shape
    n = w_hh.shape[1]
    dtype = np.result_type(x, w_hh)
    half = _halves(n, dtype)
    # (time, 4 H, batch): the inputs' share of all pre-activations, biases included
    gates = np.matmul(w_ih * half, x.transpose(1, 2, 0))
    gates += (b_ih + b_hh)[:, None] * half
    recurrent = w_hh * half
    cells = np.empty((steps + 1, n, batch), dtype)
    hiddens = np.empty((steps + 1, n, batch), dtype)
    tanh_cells = np.empty((steps, n, batch), dtype)
    cells[0], hiddens[0] = c0.T, h0.T
    a, part = np.empty((4 * n, batch), dtype), np.empty((n, batch), dtype)
    for t in range(steps):
        np.matmul(recurrent, hiddens[t], out=a)
        gate = gates[t]
        gate += a
        np.tanh(gate, out=gate)
        for rows in (gate[: 2 * n], gate[3 * n :]):
            rows *= 0.5
            rows += 0.5
        np.multiply(gate[n : 2 * n], cells[t], out=cells[t + 1])
        np.multiply(gate[:n], gate[2 * n : 3 * n], out=part)
        cells[t + 1] += part
        np.tanh(cells[t + 1], out=tanh_cells[t])
        np.multiply(gate[3 * n :], tanh_cells[t], out=hiddens[t + 1])
    output = np.ascontiguousarray(hiddens[1:].transpose(2, 0, 1))  # (batch, time, H)
    last_h, last_c = hiddens[-1].T.copy(), cells[-1].T.copy()
    return output, last_h, last_c, (gates, cells, tanh_cells, hiddens)
