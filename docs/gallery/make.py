"""Makes every picture of the gallery, light and dark: `python docs/gallery/make.py`.

With a folder as its argument it writes there instead. Everything follows from fixed seeds, so the
same machine writes the same files again.
"""

import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from layers.positional import sinusoidal_positions
from layers.showcase import build

import minigrad as mg
from layers import Embedding, Linear, LSTMCell, Module, TransformerEncoderLayer
from layers.training import one_blas_thread
from minigrad.draw import (
    attention_map,
    backprop_through_time,
    compare,
    draw,
    jacobian_spectra,
    plot_gates,
    plot_gradient_norms,
    plot_jacobians,
    plot_parameter_gradients,
    plot_routes,
    plot_triangle,
)
from minigrad.optim import Adam

THEMES = ("light", "dark")


def network():
    """Two layers and a loss, written with NumPy's names."""
    generator = np.random.default_rng(0)

    def leaf(name, *shape):
        tensor = mg.Tensor(generator.standard_normal(shape), requires_grad=True)
        tensor.name = name
        return tensor

    x, w1, b1, w2 = leaf("x", 8, 3), leaf("W1", 3, 5), leaf("b1", 5), leaf("W2", 5, 1)
    with mg.scope("hidden layer"):
        hidden = np.tanh(x @ w1 + b1)
    with mg.scope("squared error"):
        return np.mean((hidden @ w2 - np.ones((8, 1))) ** 2)


def lstm_step():
    """One step of an LSTM from the states before it."""
    mg.seed(0)
    cell = LSTMCell(3, 4)
    generator = np.random.default_rng(0)
    x, h, c = (
        mg.Tensor(generator.standard_normal((2, size)).astype(np.float32), requires_grad=True)
        for size in (3, 4, 4)
    )
    x.name, h.name, c.name = "x", "h before", "c before"
    h, c = cell(x, (h, c))
    return (h * h).sum() + (c * c).sum()


def paths(steps):
    """The losses at the last step of recurrent models whose gates are open to keep, by name.

    The forget gate of the LSTM, as `build` makes it, and the update gate of the GRU begin with a
    bias of 3, as one would start them to learn long dependencies (Jozefowicz et al. 2015 take 1).
    A plain RNN has no gate.
    """
    losses = {}
    for name in ("rnn", "gru", "lstm"):
        module, (x,), _ = build(name, steps=steps)
        if name == "gru":
            bias = module.recurrent.bias_ih_l0
            values = bias.numpy().copy()
            values[8:16] += 3.0  # hidden_size is 8: the second gate, z of r z n
            bias.write(values)
        losses[name.upper()] = mg.cross_entropy(module(x), [0, 1])
    return losses


class Reverse(Module):
    """One Transformer layer that learns to say a sequence backwards."""

    def __init__(self, symbols, size):
        super().__init__()
        self.embedding = Embedding(symbols, size)
        self.layer = TransformerEncoderLayer(size, 2, 2 * size, dropout=0.0)
        self.readout = Linear(size, symbols)

    def placed(self, codes):
        """Symbols with their places, (batch, time, size)."""
        positions = sinusoidal_positions(codes.shape[1], self.embedding.weight.shape[1])
        return self.embedding(codes) + positions

    def forward(self, codes):
        """Scores (batch, time, symbols)."""
        return self.readout(self.layer(self.placed(codes)))


def attention():
    """The weights of both heads of a layer that was trained to reverse letters."""
    mg.seed(1)
    letters = "abcdefghijkl"
    model, generator = Reverse(len(letters), 32), np.random.default_rng(0)
    optimizer = Adam(model.parameters(), rate=3e-3)
    for _ in range(400):
        codes = generator.integers(len(letters), size=(32, 8))
        loss = mg.cross_entropy(model(codes).reshape(-1, len(letters)), codes[:, ::-1].ravel())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = np.array([[letters.index(c) for c in "bighdace"]])
    with mg.no_grad():
        placed = model.placed(codes)
        _, weights = model.layer.self_attn(placed, average_attn_weights=False)
        said = "".join(letters[k] for k in model(codes).numpy()[0].argmax(axis=-1))
    return weights.numpy()[0], list("bighdace"), said


def not_a_number():
    """A mean of logarithms, one of them of a number below zero."""
    x = mg.Tensor([[0.5, 2.0], [1.0, -0.1]], requires_grad=True)
    x.name = "x"
    with mg.scope("encoder"):
        scaled = x * 3.0
    with mg.scope("likelihood"), np.errstate(all="ignore"):
        return np.mean(np.log(scaled))


def detached():
    """An LSTM whose states someone detached after step 3."""
    mg.seed(0)
    cell, state = LSTMCell(3, 4), None
    x = np.random.default_rng(0).standard_normal((2, 8, 3)).astype(np.float32)
    for t in range(8):
        with mg.step(t):
            state = cell(x[:, t], state)
        if t == 3:
            state = tuple(value.detach() for value in state)
    return (state[0] ** 2).sum()


def drawings(theme):
    """All pictures laid out by Graphviz, by file name."""
    weights, letters, said = attention()
    transformer = build("transformer", steps=6, layers=3).loss
    return {
        "operations": draw(
            network(), level="ops", grad="norm", theme=theme, title="Every operation"
        ),
        "lstm-step": draw(
            lstm_step(), level="ops", grad="norm", theme=theme, title="One step of an LSTM"
        ),
        "paths": compare(paths(7), theme=theme, level="cells"),
        "relu-explosion": compare(
            {
                f"ReLU, recurrent gain {gain:.3g}": build(
                    "rnn-relu", steps=8, hidden_size=256, gain=gain
                ).loss
                for gain in (1.0, 2**0.5, 2.0)
            },
            theme=theme,
            level="cells",
        ),
        "lstm-rolled": draw(
            build("lstm", steps=50).loss,
            level="cells",
            roll=True,
            grad="norm",
            theme=theme,
            title="An LSTM over 50 steps, rolled up",
        ),
        "long-lstm": draw(
            build("lstm", steps=200, layers=2).loss,
            level="cells",
            grad="norm",
            steps=(0, 150, 198, 199),
            theme=theme,
            title="An LSTM of two layers over 200 steps",
        ),
        "transformer": draw(
            transformer,
            level="layers",
            roll=True,
            depth=3,
            grad="norm",
            theme=theme,
            title="Encoder and decoder, three layers each",
        ),
        "decoder-layer": draw(
            transformer,
            level="layers",
            focus="stack.decoder.layers.1",
            grad="norm",
            theme=theme,
            title="The second layer of the decoder, and what it reads",
        ),
        "attention": attention_map(
            weights, letters, letters, theme=theme, title=f"Reversing: the model says {said}"
        ),
        "xray-nan": draw(
            not_a_number(), level="ops", grad="norm", theme=theme, title="Where the NaN began"
        ),
        "xray-detached": draw(
            detached(), level="cells", grad="norm", theme=theme, title="Who cut the chain"
        ),
    }


def plots(theme):
    """All plots with matplotlib, by file name: functions that draw into Axes."""
    found = {name: backprop_through_time(t) for name, t in paths(50).items()}
    every = build("lstm", steps=40, forget_bias=1.0)
    loss = (every.module.recurrent(every.inputs[0])[0] ** 2).sum()  # every step is a loss step
    triangle = backprop_through_time(loss)
    spectra = jacobian_spectra(build("rnn", steps=40, gain=0.9).loss)
    return {
        "norm-by-lag": plot_gradient_norms(found, theme=theme),
        "triangle": plot_triangle(triangle.lane("c"), theme=theme),
        "routes": plot_routes(found["LSTM"], theme=theme),
        "gates": plot_gates(found["LSTM"], theme=theme),
        "gate-saturation": plot_gates(found["LSTM"], saturation=True, theme=theme),
        "jacobians": plot_jacobians(spectra, theme=theme),
        "parameters": plot_parameter_gradients(found["RNN"], theme=theme),
    }


def main(folder):
    """Write all pictures into a folder."""
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "minigrad"  # ids of clip paths would be random otherwise
    with one_blas_thread():  # sums come out alike
        for theme in THEMES:
            for name, drawing in drawings(theme).items():
                drawing.save(folder / f"{name}-{theme}.svg")
            for name, axes in plots(theme).items():
                path = folder / f"{name}-{theme}.svg"
                axes.figure.savefig(path, metadata={"Date": None}, facecolor=axes.get_facecolor())
    files = sorted(folder.glob("*.svg"))
    total = sum(path.stat().st_size for path in files)
    seconds = time.perf_counter() - start
    print(f"{len(files)} pictures, {total / 1e6:.2f} MB, {seconds:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
