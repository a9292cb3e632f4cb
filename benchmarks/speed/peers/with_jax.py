"""JAX: losses of `with_jax_losses`; whole steps, generation and many lengths are here.

JAX has no optimisers of its own: Adam and AdamW are written here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from benchmarks.speed.cases import Case
from benchmarks.speed.inputs import GENERATED, Inputs
from benchmarks.speed.peers import Program, with_jax_losses
from benchmarks.speed.peers.with_jax_losses import (
    cross_entropy,
    encode,
    layer_norm,
    layer_rows,
    linear,
)

__all__ = ["build"]

RATE: Final = 1e-3
STEPS: Final = 3  # are compared


def updated(p: Any, g: Any, state: Any, decay: float) -> Any:
    """One step of Adam, or of AdamW with a decay."""
    count, mean, square = state
    count = count + 1
    mean = jax.tree.map(lambda m, d: 0.9 * m + 0.1 * d, mean, g)
    square = jax.tree.map(lambda s, d: 0.999 * s + 0.001 * d * d, square, g)
    along = RATE / (1 - 0.9**count)
    root = jnp.sqrt(1 - 0.999**count)

    def move(w: Any, m: Any, s: Any) -> Any:
        return w * (1 - RATE * decay) - along * m / (jnp.sqrt(s) / root + 1e-8)

    return jax.tree.map(move, p, mean, square), (count, mean, square)


def beginning(p: Any) -> Any:
    return jnp.zeros(()), jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)


def adam(inputs: Inputs, sizes: tuple[int, ...]) -> Program:
    run = jax.jit(partial(updated, decay=0.0), donate_argnums=(0, 2))
    p, g = jax.device_put((inputs.leaves, inputs.constants))
    now = [p, beginning(p)]

    def step() -> None:
        now[:] = jax.block_until_ready(run(now[0], g, now[1]))

    def results() -> dict[str, Any]:
        for _ in range(STEPS - 1):
            step()
        return {name: np.array(value) for name, value in now[0].items()}

    return Program(step, results)


def trained(body: Callable[..., Any], inputs: Inputs, sizes: tuple[int, ...]) -> Program:
    def loss(p: Any, c: Any) -> Any:
        y = body(p, p["embedding.weight"][c["tokens"]], sizes)
        return cross_entropy(linear(p, "head.", y), c["targets"])

    @partial(jax.jit, donate_argnums=(0, 1))
    def run(p: Any, state: Any, c: Any) -> Any:
        value, g = jax.value_and_grad(loss)(p, c)
        norm = jnp.sqrt(sum(jnp.sum(each**2) for each in g.values()))
        g = jax.tree.map(lambda each: each * jnp.minimum(1.0, 1.0 / (norm + 1e-6)), g)
        return value, *updated(p, g, state, decay=0.01)

    p, c = jax.device_put((inputs.leaves, inputs.constants))
    now = [p, beginning(p)]
    found: list[float] = []

    def step() -> None:
        value, *now[:] = jax.block_until_ready(run(*now, c))
        found.append(float(value))

    def results() -> dict[str, Any]:
        for _ in range(STEPS - 1):
            step()
        return {"losses": np.array(found[:STEPS])}

    return Program(step, results)


def lstm_body(p: Any, x: Any, sizes: Any) -> Any:
    return layer_rows("lstm", p, "body.", x.swapaxes(0, 1)).swapaxes(0, 1)


def generate(inputs: Inputs, sizes: tuple[int, ...]) -> Program:
    """Keys and values are kept in arrays of the full length, so that shapes never change."""
    width, heads, count, block = sizes
    p, prompt = jax.device_put((inputs.leaves, inputs.constants["prompt"]))
    empty = jnp.zeros((count, 2, 1, heads, block, width // heads))

    def read(p: Any, tokens: Any, kept: Any, before: Any) -> Any:
        new = tokens.shape[1]
        x = p["embedding.weight"][tokens]
        x = x + lax.dynamic_slice(p["positions.weight"], (before, 0), (new, width))
        seen = jnp.arange(block) <= before + jnp.arange(new)[:, None]  # (T, block)
        for layer in range(count):
            at = f"stack.layers.{layer}."
            y = layer_norm(p, at + "norm1.", x)
            parts = jnp.split(linear(p, at + "self_attn.in_proj_", y), 3, -1)
            q, k, v = (y.reshape(1, new, heads, -1).swapaxes(1, 2) for y in parts)
            kept = lax.dynamic_update_slice(
                kept, jnp.stack([k, v])[None], (layer, 0, 0, 0, before, 0)
            )
            scores = q @ kept[layer, 0].swapaxes(2, 3) / (width // heads) ** 0.5
            weights = nn.softmax(jnp.where(seen, scores, -jnp.inf))
            y = (weights @ kept[layer, 1]).swapaxes(1, 2).reshape(x.shape)
            x = x + linear(p, at + "self_attn.out_proj.", y)
            y = linear(p, at + "linear1.", layer_norm(p, at + "norm2.", x))
            x = x + linear(p, at + "linear2.", nn.gelu(y, approximate=False))
        logits = layer_norm(p, "stack.norm.", x) @ p["embedding.weight"].T
        return logits[:, -1:].argmax(2), kept

    run = jax.jit(read)

    def step() -> list[int]:
        now, kept, before, found = prompt, empty, 0, []
        for _ in range(GENERATED):
            length = now.shape[1]
            now, kept = run(p, now, kept, before)
            before += length
            found.append(int(now[0, 0]))
        return found

    return Program(step, lambda: {"tokens": np.array(step())})


def random_lengths(inputs: Inputs, sizes: tuple[int, ...]) -> Program:
    """Each batch is padded to the next power of two, so that few shapes are compiled."""

    def loss(p: Any, x: Any, length: Any) -> Any:
        squares = layer_rows("lstm", p, "", x) ** 2  # (T, B, H)
        counts = jnp.arange(len(x))[:, None, None] < length
        return jnp.sum(jnp.where(counts, squares, 0.0)) / (length * squares[0].size)

    run = jax.jit(jax.value_and_grad(loss))
    p = jax.device_put(inputs.leaves)
    batches = []
    for x, length in zip(inputs.constants["x"], inputs.constants["lengths"].tolist(), strict=True):
        padded = np.zeros((1 << (length - 1).bit_length(), *x.shape[1:]), np.float32)
        padded[:length] = x[:length]
        batches.append((padded, length))
    last: list[Any] = []

    def step() -> list[float]:
        found = []
        for x, length in batches:
            last[:] = jax.block_until_ready(run(p, x, length))
            found.append(float(last[0]))
        return found

    def results() -> dict[str, Any]:
        losses = np.array(step())
        value, gradients = last
        arrays = {name: np.asarray(each) for name, each in gradients.items()}
        return {"losses": losses, "": np.asarray(value)} | arrays

    return Program(step, results)


WHOLE: Final[dict[str, Callable[[Inputs, tuple[int, ...]], Program]]] = {
    "adam": adam,
    "train-lstm": partial(trained, lstm_body),
    "train-transformer": partial(
        trained, lambda p, x, sizes: encode(p, "body.", x, sizes)
    ),
    "generate": generate,
    "lengths": random_lengths,
}  # fmt: skip


def build(case: Case, size: str, inputs: Inputs, form: str) -> Program:
    """A case; there is one form."""
    if case.name not in WHOLE:
        return with_jax_losses.build(case, size, inputs)
    return WHOLE[case.name](inputs, case.sizes[size])
