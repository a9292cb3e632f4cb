"""minigrad: losses of `ours_losses`; whole steps, generation and many lengths are here."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

import layers
import minigrad as mg
from benchmarks.speed.cases import Case
from benchmarks.speed.inputs import GENERATED, VOCABULARY, Inputs
from benchmarks.speed.peers import Program, ours_losses
from benchmarks.speed.peers.ours_losses import Model, encoder, from_modules, gradients, only
from layers.models import GPT, GPTConfig
from layers.models.generation.decoding import Decoding, decode
from minigrad.optim import Adam, AdamW, clip_grad_norm

__all__ = ["build"]

RATE: Final = 1e-3
STEPS: Final = 3  # are compared


def adam(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    only(form, "eager")
    parameters = {k: mg.Tensor(v, requires_grad=True) for k, v in inputs.leaves.items()}
    for name, parameter in parameters.items():
        parameter.grad = inputs.constants[name]
    optimizer = Adam(list(parameters.values()), RATE)

    def results() -> dict[str, Any]:
        for _ in range(STEPS - 1):
            optimizer.step()
        return {name: parameter.numpy() for name, parameter in parameters.items()}

    return Program(optimizer.step, results)


def training(model: Model, inputs: Inputs, form: str) -> Program:
    """Forward, backward, clipping and AdamW; the losses of the first steps are compared."""
    one = gradients(model, inputs.constants, form)
    optimizer = AdamW(list(model.held.values()), RATE)
    losses: list[float] = []

    def step() -> None:
        value = one.step()  # and gradients
        if form == "value_and_grad":
            value, found = value
            for parameter, gradient in zip(model.held.values(), found, strict=True):
                parameter.grad = gradient
        clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
        losses.append(value.item())

    def results() -> dict[str, Any]:
        for _ in range(STEPS - 1):
            step()
        return {"losses": np.array(losses[:STEPS])}

    return Program(step, results)


def train_lstm(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    _, _, width, hidden = sizes
    return trained(layers.LSTM(width, hidden), lambda y: y[0], width, hidden, inputs, form)


def train_transformer(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    return trained(encoder(sizes), lambda y: y, sizes[2], sizes[2], inputs, form)


def trained(
    body: layers.Module,
    output: Callable[[Any], Any],
    width: int,
    hidden: int,
    inputs: Inputs,
    form: str,
) -> Program:
    embedding = layers.Embedding(VOCABULARY, width)
    head = layers.Linear(hidden, VOCABULARY)

    def loss(p: Any, c: Any) -> Any:
        logits = head(output(body(embedding(c["tokens"]))))  # (B, T, V)
        return mg.cross_entropy(logits, c["targets"])

    modules = {"embedding.": embedding, "body.": body, "head.": head}
    return training(from_modules(modules, inputs, loss), inputs, form)


def generate(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    """The likeliest tokens, one by one, with keys and values kept; by a program or by the model."""
    only(form, "eager", "value_and_grad")  # there are no gradients: compiled, or not
    width, heads, count, block = sizes
    model = GPT(GPTConfig(VOCABULARY, block, count, heads, width))
    model.load_state_dict(inputs.leaves)
    model.eval()
    prompt = inputs.constants["prompt"]
    if form == "value_and_grad":
        how = Decoding(GENERATED, temperature=0.0)

        def step() -> list[int]:
            return [int(token) for token in np.concatenate([*decode(model.decoder(), prompt, how)])]

    else:

        def step() -> list[int]:
            tokens: list[int] = []
            with mg.no_grad():
                cache, now = model.make_cache(), prompt
                for _ in range(GENERATED):
                    now = model(now, cache).numpy()[:, -1:].argmax(axis=2)  # (1, 1)
                    tokens.append(int(now[0, 0]))
            return tokens

    return Program(step, lambda: {"tokens": np.array(step())})


def random_lengths(inputs: Inputs, sizes: tuple[int, ...], form: str) -> Program:
    """Each batch has its own number of steps; the gradients of the last one are compared."""
    layer = layers.LSTM(*sizes[2:], batch_first=False)
    model = from_modules({"": layer}, inputs, lambda p, c: (layer(c["x"])[0] ** 2).mean())
    batch = {"x": inputs.constants["x"][0]}
    one = gradients(model, batch, form)
    pairs = list(zip(inputs.constants["x"], inputs.constants["lengths"].tolist(), strict=True))

    def step() -> list[float]:
        found = []
        for x, length in pairs:
            batch["x"] = x[:length]
            value = one.step()
            found.append((value[0] if isinstance(value, tuple) else value).item())
        return found

    return Program(step, lambda: {"losses": np.array(step())} | one.results())


WHOLE: Final[dict[str, Callable[[Inputs, tuple[int, ...], str], Program]]] = {
    "adam": adam,
    "train-lstm": train_lstm,
    "train-transformer": train_transformer,
    "generate": generate,
    "lengths": random_lengths,
}


def build(case: Case, size: str, inputs: Inputs, form: str) -> Program:
    """A case in one of the forms "eager", "backward" and "value_and_grad" (both compiled)."""
    if case.name not in WHOLE:
        return ours_losses.build(case, size, inputs, form)
    return WHOLE[case.name](inputs, case.sizes[size], form)
