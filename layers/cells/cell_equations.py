"""The equations of the built-in cells, on tensors or arrays: one step of each, defined once.

The modules of `layers.cells.gated_cells` run them, and the kernels of `layers.kernels` have them,
step by step, as their references.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import minigrad as mg
from layers.cells.steps import freeze_finished
from minigrad import Tensor

__all__ = [
    "NONLINEARITIES",
    "GRUGates",
    "LSTMGates",
    "Weights",
    "gru_step",
    "lstm_step",
    "rnn_step",
]

NONLINEARITIES: dict[str, Callable[[Any], Tensor]] = {
    "tanh": mg.tanh,
    "relu": mg.relu,
    "sigmoid": mg.sigmoid,
}


class Weights(NamedTuple):
    """The parameters of one cell; None for those that it does not have.

    Attributes:
        ih: of the inputs, (gates x H, inputs).
        hh: of the hidden state, (gates x H, H), or (4 H, P) with a projection.
        b_ih, b_hh: the two biases, (gates x H,).
        hr: the projection of the hidden state, (P, H).
        norm_ih, norm_hh: the gains of layer normalisation, (gates x H,).
        norm_c, norm_c_bias: gain and bias of the normalised cell state, (H,).
    """

    ih: Any
    hh: Any
    b_ih: Any = None
    b_hh: Any = None
    hr: Any = None
    norm_ih: Any = None
    norm_hh: Any = None
    norm_c: Any = None
    norm_c_bias: Any = None


class LSTMGates(NamedTuple):
    """The gates of an LSTM: how much is written, kept and shown, and what would be written."""

    input: Any
    forget: Any
    candidate: Any
    output: Any


class GRUGates(NamedTuple):
    """The gates of a GRU: how much of the state is read and kept, and what would replace it."""

    reset: Any
    update: Any
    candidate: Any


def rnn_step(
    x: Any,
    states: tuple[Any, ...],
    weights: Weights,
    keep: Any = None,
    active: Any = None,
    nonlinearity: str = "tanh",
) -> tuple[tuple[Tensor], tuple[()]]:
    """One step of a plain recurrent network (Elman 1990).

        h' = tanh(W x + b + U h + b')

    Args:
        x: the inputs, (batch, inputs).
        states: (h,), of shape (batch, H).
        weights: the parameters W, U, b and b'; see `Weights`.
        keep: multiplies what the products read of h: a mask of recurrent dropout.
        active: where False, (batch,), the states stay as they are; None when all go on.
        nonlinearity: "tanh", "relu" or "sigmoid".

    Returns (h',) and no gates.
    """
    from_input, from_state = _shares(x, states[0], weights, keep)
    h = NONLINEARITIES[nonlinearity](from_input + from_state)
    return (freeze_finished(active, h, states[0]),), ()


def lstm_step(
    x: Any, states: tuple[Any, ...], weights: Weights, keep: Any = None, active: Any = None
) -> tuple[tuple[Tensor, Tensor], LSTMGates]:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, o = sigmoid(W x + b + U h + b'),  g = tanh(W x + b + U h + b')
        c' = f * c + i * g,  h' = o * tanh(c')

    With a projection R (Sak et al. 2014) h' = R (o * tanh(c')); with layer normalisation (Ba et
    al. 2016, equations 20 to 22) both products and the c' within tanh are normalised.

    Args:
        x: the inputs, (batch, inputs).
        states: (h, c), of shape (batch, H) each.
        weights: the parameters, with rows in the order i, f, g, o; see `Weights`.
        keep: multiplies what the products read of h: a mask of recurrent dropout.
        active: where False, (batch,), the states stay as they are; None when all go on.

    Returns (h', c') and the gates.
    """
    h_before, c_before = states
    from_input, from_state = _shares(x, h_before, weights, keep)
    a = from_input + from_state  # (batch, 4 H)
    n = a.shape[-1] // 4
    with mg.scope("input gate"):
        i = mg.sigmoid(a[..., :n])
    with mg.scope("forget gate"):
        f = mg.sigmoid(a[..., n : 2 * n])
    with mg.scope("candidate"):
        g = mg.tanh(a[..., 2 * n : 3 * n])
    with mg.scope("output gate"):
        o = mg.sigmoid(a[..., 3 * n :])
    c = freeze_finished(active, f * c_before + i * g, c_before)
    shown = c
    if weights.norm_c is not None:
        shown = mg.layer_norm(c, weights.norm_c, weights.norm_c_bias)
    h = o * mg.tanh(shown)
    if weights.hr is not None:
        h = mg.matmul(h, weights.hr.T)  # (batch, P)
    return (freeze_finished(active, h, h_before), c), LSTMGates(i, f, g, o)


def gru_step(
    x: Any, states: tuple[Any, ...], weights: Weights, keep: Any = None, active: Any = None
) -> tuple[tuple[Tensor], GRUGates]:
    """One step of a GRU (Cho et al. 2014), with the reset after the product, as in PyTorch.

        r, z = sigmoid(W x + b + U h + b'),  n = tanh(W x + b + r * (U h + b'))
        h' = (1 - z) * n + z * h

    Args:
        x: the inputs, (batch, inputs).
        states: (h,), of shape (batch, H).
        weights: the parameters, with rows in the order r, z, n; see `Weights`.
        keep: multiplies what the products read of h: a mask of recurrent dropout.
        active: where False, (batch,), the states stay as they are; None when all go on.

    Returns (h',) and the gates.
    """
    (h,) = states
    a, b = _shares(x, h, weights, keep)  # (batch, 3 H)
    size = a.shape[-1] // 3
    with mg.scope("reset gate"):
        r = mg.sigmoid(a[..., :size] + b[..., :size])
    with mg.scope("update gate"):
        z = mg.sigmoid(a[..., size : 2 * size] + b[..., size : 2 * size])
    with mg.scope("candidate"):
        n = mg.tanh(a[..., 2 * size :] + r * b[..., 2 * size :])
    return (freeze_finished(active, (1 - z) * n + z * h, h),), GRUGates(r, z, n)


def _shares(x: Any, h: Any, weights: Weights, keep: Any) -> tuple[Tensor, Tensor]:
    """What the inputs and what the hidden state contribute to the gates, before any activation."""
    from_input = mg.matmul(x, weights.ih.T)
    from_state = mg.matmul(h if keep is None else h * keep, weights.hh.T)
    if weights.norm_ih is not None:
        from_input = mg.layer_norm(from_input, weights.norm_ih)
        from_state = mg.layer_norm(from_state, weights.norm_hh)
    if weights.b_ih is not None:
        from_input = from_input + weights.b_ih
        from_state = from_state + weights.b_hh
    return from_input, from_state
