"""JAX: losses as pure functions, with `jit` around the value and all gradients."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from benchmarks.speed.cases import KINDS, Case
from benchmarks.speed.inputs import Inputs
from benchmarks.speed.peers import Absent, Program
from benchmarks.speed.peers.written import GENERAL, gru_step, lstm_step

__all__ = ["build", "cross_entropy", "encode", "evaluated", "layer_norm", "linear", "rows"]

LIB: Final = SimpleNamespace(
    tanh=jnp.tanh, sigmoid=nn.sigmoid, mean=jnp.mean, sum=jnp.sum, zeros=jnp.zeros
)
Loss = Callable[[Any, Any], Any]


def rows(kind: str, x: Any, wx: Any, wh: Any, bx: Any, bh: Any) -> Any:
    """All outputs (T, B, H) of a recurrent layer over x (T, B, I); weights are (I, gates H)."""
    of_x = x @ wx + bx
    h0 = jnp.zeros((x.shape[1], wh.shape[0]))

    def rnn(h: Any, gates: Any) -> Any:
        h = jnp.tanh(gates + h @ wh + bh)
        return h, h

    def lstm(state: Any, gates: Any) -> Any:
        h, c = lstm_step(LIB, gates + state[0] @ wh + bh, state[1])
        return (h, c), h

    def gru(h: Any, gates: Any) -> Any:
        h = gru_step(LIB, gates, h @ wh + bh, h)
        return h, h

    step = {"rnn": rnn, "lstm": lstm, "gru": gru}[kind]
    start = (h0, h0) if kind == "lstm" else h0
    return lax.scan(step, start, of_x)[1]


def recurrent(kind: str, p: Any, c: Any) -> Any:
    x = layer_rows(kind, p, "", p["x"])
    return jnp.mean(x**2)


def layer_rows(kind: str, p: Any, at: str, x: Any) -> Any:
    """A layer whose parameters have PyTorch's names after a prefix."""
    wx, wh = p[at + "weight_ih_l0"].T, p[at + "weight_hh_l0"].T
    return rows(kind, x, wx, wh, p[at + "bias_ih_l0"], p[at + "bias_hh_l0"])


def padded(p: Any, c: Any) -> Any:
    y = layer_rows("lstm", p, "", p["x"])  # (T, B, H)
    counts = jnp.arange(len(y))[:, None] < c["lengths"]  # (T, B)
    return jnp.mean(jnp.where(counts[..., None], y, 0.0) ** 2)


def own_scan(kind: str, p: Any, c: Any) -> Any:
    return jnp.mean(rows(kind, p["x"], p["wx"], p["wh"], p["b"], p.get("bh", 0.0)) ** 2)


def linear(p: Any, at: str, x: Any) -> Any:
    return x @ p[at + "weight"].T + p[at + "bias"]


def cross_entropy(logits: Any, classes: Any) -> Any:
    found = nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(found, classes[..., None], -1))


def mlp(p: Any, c: Any) -> Any:
    x = nn.relu(linear(p, "0.", p["x"]))
    return cross_entropy(linear(p, "4.", nn.relu(linear(p, "2.", x))), c["y"])


def layer_norm(p: Any, at: str, x: Any) -> Any:
    x = x - x.mean(-1, keepdims=True)
    x = x * lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * p[at + "weight"] + p[at + "bias"]


def encode(p: Any, at: str, x: Any, sizes: tuple[int, ...]) -> Any:
    """A Transformer encoder over x (B, T, C), as PyTorch's."""
    _, _, width, heads, _, count = sizes
    for layer in range(count):
        here = f"{at}layers.{layer}."
        projected = linear(p, here + "self_attn.in_proj_", x)
        parts = jnp.split(projected, 3, -1)
        q, k, v = (y.reshape(*y.shape[:2], heads, -1).swapaxes(1, 2) for y in parts)
        weights = nn.softmax(q @ k.swapaxes(2, 3) / (width // heads) ** 0.5)  # (B, H, T, T)
        y = (weights @ v).swapaxes(1, 2).reshape(x.shape)
        x = layer_norm(p, here + "norm1.", x + linear(p, here + "self_attn.out_proj.", y))
        y = linear(p, here + "linear2.", nn.relu(linear(p, here + "linear1.", x)))
        x = layer_norm(p, here + "norm2.", x + y)
    return x


def attention(p: Any, c: Any) -> Any:
    length, features = p["q"].shape[-2:]
    scores = p["q"] @ p["k"].swapaxes(2, 3) / features**0.5
    seen = jnp.tril(jnp.ones((length, length), bool))
    return jnp.mean(nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ p["v"] * c["r"])


def losses(sizes: tuple[int, ...]) -> dict[str, Loss]:
    return {
        **{name: partial(function, LIB) for name, function in GENERAL.items()},
        **{kind: partial(recurrent, kind) for kind in KINDS},
        "lstm-scan": partial(own_scan, "lstm"),
        "gru-scan": partial(own_scan, "gru"),
        "lstm-lengths": padded,
        "mlp": mlp,
        "transformer": lambda p, c: jnp.mean(encode(p, "", p["x"], sizes) ** 2),
        "attention": attention,
        "cross-entropy": lambda p, c: cross_entropy(p["x"], c["y"]),
        "layer-norm": lambda p, c: jnp.mean(layer_norm(p, "", p["x"]) * c["r"]),
        "gelu": lambda p, c: jnp.mean(nn.gelu(p["x"], approximate=False) * c["r"]),
        "softmax": lambda p, c: jnp.mean(nn.softmax(p["x"]) * c["r"]),
    }


def build(case: Case, size: str, inputs: Inputs) -> Program:
    """A loss and its gradients."""
    loss = losses(case.sizes[size]).get(case.name)
    if loss is None:
        raise Absent("not written for JAX")
    return evaluated(loss, inputs)


def evaluated(loss: Loss, inputs: Inputs) -> Program:
    """The value and all gradients of a loss."""
    run = jax.jit(jax.value_and_grad(loss))
    p, c = jax.device_put((inputs.leaves, inputs.constants))

    def step() -> Any:
        return jax.block_until_ready(run(p, c))

    def results() -> dict[str, Any]:
        value, found = step()
        return {"": np.asarray(value)} | {name: np.asarray(g) for name, g in found.items()}

    return Program(step, results)
