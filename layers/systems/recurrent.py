"""Systems 4, 7 and 8: the vanilla RNN, the LSTM and the GRU, by hand and on the text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.cells.gated_cells import LSTMCell
from layers.examples.pictures import draw_gradient_path
from layers.models import CharacterConfig, CharacterModel
from layers.recurrent.layers import GRU, LSTM, RNN
from layers.systems.results import Figure, Setting, at_most, noted
from layers.systems.texts import Text, same_without_cache, train_text
from layers.training.plots import plot_table
from minigrad.core.nodes import PlainArray

__all__ = [
    "constant_carousel",
    "gru_by_hand",
    "lstm_by_hand",
    "plot_text_gates",
    "rnn_by_hand",
    "run_gru",
    "run_lstm",
    "run_rnn",
]

LINE_SHOWN = "ROMEO: But soft, what light through yonder window"  # while its gates are looked at
TEXT_SHOWN = "the question"  # what the drawn networks read: as many characters as steps

LARGER_LSTM: Final[Mapping[str, Any]] = {"cell": "lstm", "hidden_size": 384, "dropout": 0.1}
LARGER_LSTM_TRAINING: Final[Mapping[str, Any]] = {
    "steps": 2500, "batch_size": 32, "rate": 5e-3, "final": 0.0, "weight_decay": 0.0,
}  # fmt: skip


def sigmoid(x: PlainArray) -> PlainArray:
    """1 / (1 + exp(-x))."""
    result: PlainArray = 1 / (1 + np.exp(-x))
    return result


# -- the equations, by hand ------------------------------------------------------------------------


def rnn_by_hand(
    x: PlainArray, gradient: PlainArray, w: dict[str, PlainArray]
) -> tuple[PlainArray, dict[str, PlainArray]]:
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), and backpropagation through time.

    Args:
        x: (batch, time, features).
        gradient: of the loss by every h_t, (batch, time, hidden).
        w: the weights by their names in `layers.RNN`.

    Returns:
        The states (batch, time, hidden), and the gradients of the weights by name, with that of
        the inputs under "x".

    Source: Werbos (1990), "Backpropagation through time: what it does and how to do it".
    """
    batch, time, _ = x.shape
    wi, wh = w["weight_ih_l0"], w["weight_hh_l0"]
    h = np.zeros((batch, time + 1, len(wh)))  # h[:, t + 1] is the state after step t
    for t in range(time):
        z = x[:, t] @ wi.T + w["bias_ih_l0"] + h[:, t] @ wh.T + w["bias_hh_l0"]
        h[:, t + 1] = np.tanh(z)
    found = {name: np.zeros_like(value) for name, value in w.items()}
    found["x"] = np.zeros_like(x)
    back = np.zeros((batch, len(wh)))  # what flows into h_t from the step after it
    for t in reversed(range(time)):
        dz = (gradient[:, t] + back) * (1 - h[:, t + 1] ** 2)
        found["weight_ih_l0"] += dz.T @ x[:, t]
        found["weight_hh_l0"] += dz.T @ h[:, t]
        found["bias_ih_l0"] += dz.sum(axis=0)
        found["bias_hh_l0"] += dz.sum(axis=0)
        found["x"][:, t] = dz @ wi
        back = dz @ wh
    return h[:, 1:], found


def lstm_by_hand(x: PlainArray, w: dict[str, PlainArray]) -> PlainArray:
    """The LSTM's equations, gates in the order input, forget, candidate, output.

    i, f, o = sigmoid(...), g = tanh(...), c_t = f c_(t-1) + i g, h_t = o tanh(c_t): Hochreiter and
    Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    """
    batch, time, _ = x.shape
    size = w["weight_hh_l0"].shape[1]
    h, c, states = np.zeros((batch, size)), np.zeros((batch, size)), []
    for t in range(time):
        z = x[:, t] @ w["weight_ih_l0"].T + w["bias_ih_l0"]
        z = z + h @ w["weight_hh_l0"].T + w["bias_hh_l0"]  # (batch, 4 hidden)
        i, f, g, o = np.split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)


def gru_by_hand(x: PlainArray, w: dict[str, PlainArray]) -> PlainArray:
    """The GRU's equations in the form r * (W h + b), gates in the order reset, update, candidate.

    r, z = sigmoid(...), n = tanh(W x + b + r (W h + b)), h_t = (1 - z) n + z h_(t-1): Cho et al.
    (2014), with the reset gate after the product, as in cuDNN and PyTorch.
    """
    batch, time, _ = x.shape
    h, states = np.zeros((batch, w["weight_hh_l0"].shape[1])), []
    for t in range(time):
        a = np.split(x[:, t] @ w["weight_ih_l0"].T + w["bias_ih_l0"], 3, axis=1)
        b = np.split(h @ w["weight_hh_l0"].T + w["bias_hh_l0"], 3, axis=1)
        r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        n = np.tanh(a[2] + r * b[2])
        h = (1 - z) * n + z * h
        states.append(h)
    return np.stack(states, axis=1)


def plain_weights(layer: Any) -> dict[str, PlainArray]:
    """The weights of a layer as arrays, by name."""
    return {name: value.numpy() for name, value in layer.named_parameters()}


def small_layer(kind: Any, seed: int) -> tuple[Any, PlainArray]:
    """A layer of 5 units in float64, and an input (4, 9, 3)."""
    mg.seed(seed)
    with mg.default_dtype("float64"):
        layer = kind(3, 5)
    return layer, np.random.default_rng(seed).standard_normal((4, 9, 3))


def gradient_of(tensor: Any) -> PlainArray:
    """The gradient that a backward pass left with a leaf."""
    found: PlainArray = tensor.grad.numpy()
    return found


def largest(*pairs: tuple[PlainArray, PlainArray]) -> float:
    """The largest difference of all pairs."""
    return max(float(np.abs(one - other).max()) for one, other in pairs)


# -- the systems -----------------------------------------------------------------------------------


def text_model(
    setting: Setting,
    sizes: Mapping[str, Any],
    title: str,
    text: Text,
    label: str = "",
    **options: Any,
) -> tuple[CharacterModel, float]:
    """A character model, trained, and its nats per character; draws its gradient's path."""
    mg.seed(setting.seed)
    config = CharacterConfig(len(text.tokenizer), **sizes)
    model = CharacterModel(config, text.tokenizer)
    _, nats = train_text(setting, text, model, title, label, **options)
    token_ids, target = text.tokenizer.encode(TEXT_SHOWN)[None], int(text.tokenizer.encode(",")[0])
    setting.picture(
        f"gradient-path{label}.svg",
        f"the gradient's way back through {len(TEXT_SHOWN)} steps of the trained network",
        lambda path: draw_gradient_path(model, token_ids, target).save(path),
    )
    return model, nats


def run_rnn(setting: Setting) -> list[Figure]:
    """System 4: the vanilla RNN against backpropagation through time by hand, and on the text.

    >>> layer, x = small_layer(RNN, 0)
    >>> output, h = layer(x)
    >>> output.sum().backward()
    >>> states, gradients = rnn_by_hand(x, np.ones((4, 9, 5)), plain_weights(layer))
    >>> bool(np.allclose(layer.weight_hh_l0.grad.numpy(), gradients["weight_hh_l0"], atol=1e-10))
    True
    """
    layer, values = small_layer(RNN, setting.seed)
    x = mg.Tensor(values, requires_grad=True)
    output, _ = layer(x)
    weight = np.random.default_rng(setting.seed + 1).standard_normal(output.shape)
    (output * weight).sum().backward()
    states, found = rnn_by_hand(values, weight, plain_weights(layer))
    named = {"x": x, **dict(layer.named_parameters())}
    text = Text()
    model, nats = text_model(setting, {"cell": "rnn"}, "RNN 128", text)
    return [
        at_most("states, difference from equations by hand", largest((output.numpy(), states)),
                1e-10),
        at_most("gradients, difference from backpropagation by hand",
                largest(*((gradient_of(named[name]), found[name]) for name in found)), 1e-10),
        at_most("text, nats per character", nats, 1.826 + 0.05, "1.826; trigram 2.044"),
        noted("parameters", model.parameter_count(), "37k"),
        same_without_cache(model, 200),
    ]  # fmt: skip


def run_lstm(setting: Setting) -> list[Figure]:
    """System 7: the LSTM's equations, its gates, its constant gradient, and two on the text.

    >>> layer, x = small_layer(LSTM, 0)
    >>> output, state, more = layer(x, return_states="all", return_gates=True)
    >>> more.gates._fields
    ('input', 'forget', 'candidate', 'output')
    >>> bool(np.allclose(output.numpy(), lstm_by_hand(x, plain_weights(layer)), atol=1e-10))
    True
    """
    layer, x = small_layer(LSTM, setting.seed)
    difference = largest((layer(x)[0].numpy(), lstm_by_hand(x, plain_weights(layer))))
    constant = constant_carousel(setting)
    text = Text()
    small, nats = text_model(setting, {"cell": "lstm"}, "LSTM 128", text)
    draw_gates(setting, small)
    larger, better = text_model(
        setting, LARGER_LSTM, "LSTM 384", text, "-384", **LARGER_LSTM_TRAINING
    )
    return [
        at_most("states, difference from the standard equations", difference, 1e-10),
        at_most("gradient along c, forget gate frozen at 1: largest change in 50 steps", constant,
                1e-10),
        at_most("text, nats per character, 128 units", nats, 1.694 + 0.05, "1.694"),
        at_most("text, nats per character, 384 units", better, 1.54, "PyTorch 1.510; 5-gram 1.648"),
        noted("parameters, 128 units", small.parameter_count()),
        noted("parameters, 384 units", larger.parameter_count()),
        same_without_cache(larger, 200),
    ]  # fmt: skip


def constant_carousel(setting: Setting, steps: int = 50) -> float:
    """How much the gradient along c changes in the lag when the forget gate stays at 1.

    The forget gate's weights are 0 and its bias is so large that the sigmoid is 1 in float64; the
    recurrent weights are 0, so that c is the only way back.
    """
    size = 5
    mg.seed(setting.seed)
    with mg.default_dtype("float64"):
        cell = LSTMCell(3, size)
    forget = slice(size, 2 * size)
    with mg.no_grad():
        cell.weight_hh.write(np.zeros_like(cell.weight_hh.numpy()))
        for name, value in (("weight_ih", 0.0), ("bias_ih", 60.0), ("bias_hh", 0.0)):
            array = getattr(cell, name).numpy().copy()
            array[forget] = value
            getattr(cell, name).write(array)
    x = np.random.default_rng(setting.seed).standard_normal((4, steps + 1, 3))
    h = c = mg.Tensor(np.zeros((4, size)))
    kept = []
    for t in range(steps + 1):
        c = mg.Tensor(c.numpy(), requires_grad=True) if t == 0 else c
        h, c = cell(x[:, t], (h, c))
        kept.append(c)
    norms = [float(np.linalg.norm(g.numpy())) for g in mg.gradients((c * c).sum(), kept)]
    return max(norms) / min(norms) - 1


def draw_gates(setting: Setting, model: CharacterModel) -> None:
    """What the gates of the trained LSTM do while it reads a line."""
    setting.picture(
        "gates.png",
        "how far the gates are open, on average over the units, at each character",
        lambda path: plot_text_gates(path, model, LINE_SHOWN),
    )


def plot_text_gates(path: Path | None, model: CharacterModel, shown: str) -> Any:
    """How far an LSTM's gates are open, on average over its units, at each character of a text.

    Args:
        path: the file, or None.
        model: with an LSTM and a tokenizer.
        shown: the text that it reads.

    Returns:
        The matplotlib Figure.
    """
    assert model.tokenizer is not None
    with mg.no_grad():
        token_ids = model.tokenizer.encode(shown)[None]
        _, _, more = model.recurrent(model.embedding(token_ids), return_gates=True)
    gates = more.gates
    names = [name for name in gates._fields if name != "candidate"]
    means = [getattr(gates, name).numpy()[0, 0].mean(axis=-1) for name in names]
    return plot_table(
        path, means, title="Gates of the LSTM, mean of its units", x="character read", y="gate",
        rows=names, columns=list(shown), highest=1.0,
    )  # fmt: skip


def run_gru(setting: Setting) -> list[Figure]:
    """System 8: the GRU's equations in the form r * (W h + b), and on the text.

    >>> layer, x = small_layer(GRU, 0)
    >>> output, h = layer(x)
    >>> bool(np.allclose(output.numpy(), gru_by_hand(x, plain_weights(layer)), atol=1e-10))
    True
    """
    layer, x = small_layer(GRU, setting.seed)
    difference = largest((layer(x)[0].numpy(), gru_by_hand(x, plain_weights(layer))))
    text = Text()
    model, nats = text_model(setting, {"cell": "gru"}, "GRU 128", text)
    lstm = CharacterModel(CharacterConfig.preset("lstm", vocabulary_size=len(text.tokenizer)))
    saved = lstm.parameter_count() - model.parameter_count()
    return [
        at_most("states, difference from the standard equations", difference, 1e-10),
        at_most("text, nats per character", nats, 1.667 + 0.05, "1.667"),
        Figure("parameters fewer than the LSTM's", saved, "above 0", "", saved > 0),
        noted("parameters", model.parameter_count()),
        same_without_cache(model, 200),
    ]
