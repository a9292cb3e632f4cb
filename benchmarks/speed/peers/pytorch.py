"""PyTorch: losses of `pytorch_losses`; whole steps, generation and many lengths are here."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.speed.cases import Case
from benchmarks.speed.inputs import GENERATED, VOCABULARY, Inputs
from benchmarks.speed.peers import Program, pytorch_losses
from benchmarks.speed.peers.pytorch_losses import encoder, gradients, loaded, tensors

__all__ = ["build"]

RATE: Final = 1e-3
STEPS: Final = 3  # are compared


def adam(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    leaves = loaded({}, inputs)
    for name, gradient in tensors(inputs.constants).items():
        leaves[name].grad = gradient
    optimizer = torch.optim.Adam(leaves.values(), RATE)
    step = torch.compile(optimizer.step) if form == "compiled" else optimizer.step

    def results() -> dict[str, Any]:
        for _ in range(STEPS - 1):
            step()
        return {name: leaf.detach().numpy().copy() for name, leaf in leaves.items()}

    return Program(step, results)


def trained(
    make: Callable[[tuple[int, ...]], Any], inputs: Inputs, sizes: Any, form: str
) -> Program:
    body = make(sizes)
    embedding = nn.Embedding(VOCABULARY, sizes[2])
    head = nn.Linear(inputs.leaves["head.weight"].shape[1], VOCABULARY)
    leaves = loaded({"embedding.": embedding, "body.": body, "head.": head}, inputs)
    constants = tensors(inputs.constants)

    def loss(tokens: Any, targets: Any) -> Any:
        y = body(embedding(tokens))
        logits = head(y[0] if isinstance(y, tuple) else y)  # (B, T, V)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    function = torch.compile(loss) if form == "compiled" else loss
    optimizer = torch.optim.AdamW(leaves.values(), RATE)
    losses: list[float] = []

    def step() -> None:
        value = function(constants["tokens"], constants["targets"])
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(leaves.values(), 1.0)
        optimizer.step()
        losses.append(value.item())

    def results() -> dict[str, Any]:
        for _ in range(STEPS - 1):
            step()
        return {"losses": np.array(losses[:STEPS])}

    return Program(step, results)


def lstm(sizes: tuple[int, ...]) -> Any:
    return nn.LSTM(*sizes[2:], batch_first=True)


def attend(x: Any, p: Any, at: str, heads: int, kept: list[Any]) -> Any:
    """Attention of new tokens (1, T, C) to themselves and to those kept."""
    weight, bias = p[at + "in_proj_weight"], p[at + "in_proj_bias"]
    parts = functional.linear(x, weight, bias).chunk(3, -1)
    q, k, v = (y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in parts)  # (1, H, T, D)
    first = not kept
    if kept:
        k, v = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
    kept[:] = k, v
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=first)
    y = y.transpose(1, 2).flatten(2)
    return functional.linear(y, p[at + "out_proj.weight"], p[at + "out_proj.bias"])


def generate(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    width, heads, count, _ = sizes
    p, prompt = tensors(inputs.leaves), torch.from_numpy(inputs.constants["prompt"])

    def norm(x: Any, at: str) -> Any:
        return functional.layer_norm(x, (width,), p[at + "weight"], p[at + "bias"])

    def linear(x: Any, at: str) -> Any:
        return functional.linear(x, p[at + "weight"], p[at + "bias"])

    def read(tokens: Any, kept: list[list[Any]], before: int) -> Any:
        places = p["positions.weight"][before : before + tokens.shape[1]]
        x = p["embedding.weight"][tokens] + places  # (1, T, C)
        for layer in range(count):
            at = f"stack.layers.{layer}."
            x = x + attend(norm(x, at + "norm1."), p, at + "self_attn.", heads, kept[layer])
            y = functional.gelu(linear(norm(x, at + "norm2."), at + "linear1."))
            x = x + linear(y, at + "linear2.")
        return (norm(x, "stack.norm.") @ p["embedding.weight"].T)[:, -1:].argmax(2)  # (1, 1)

    function = torch.compile(read) if form == "compiled" else read

    def step() -> list[int]:
        with torch.no_grad():
            return generated()

    def generated() -> list[int]:
        kept: list[list[Any]] = [[] for _ in range(count)]
        found: list[int] = []
        now, before = prompt, 0
        for _ in range(GENERATED):
            now, before = function(now, kept, before), before + now.shape[1]
            found.append(int(now))
        return found

    return Program(step, lambda: {"tokens": np.array(step())})


def random_lengths(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    layer = nn.LSTM(*sizes[2:])
    leaves = loaded({"": layer}, inputs)
    x = torch.from_numpy(inputs.constants["x"])
    batches = [row[:length] for row, length in zip(x, inputs.constants["lengths"], strict=True)]
    batch = {"x": batches[0]}
    one = gradients(lambda p, c: layer(c["x"])[0].square().mean(), leaves, batch, form)

    def step() -> list[float]:
        found = []
        for each in batches:
            batch["x"] = each
            found.append(one.step().item())
        return found

    return Program(step, lambda: {"losses": np.array(step())} | one.results())


WHOLE: Final[dict[str, Callable[[Inputs, tuple[int, ...], str], Program]]] = {
    "adam": adam,
    "train-lstm": partial(trained, lstm),
    "train-transformer": partial(trained, encoder),
    "generate": generate,
    "lengths": random_lengths,
}


def build(case: Case, size: str, inputs: Inputs, form: str) -> Program:
    """A case in one of the forms "eager" and "compiled"."""
    if case.name not in WHOLE:
        return pytorch_losses.build(case, size, inputs, form)
    return WHOLE[case.name](inputs, case.sizes[size], form)
