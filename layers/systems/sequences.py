"""System 1: sequences of different lengths, and sequences too long for one go."""

from typing import Any

import numpy as np

import minigrad as mg
from layers.base.module import Module
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear
from layers.datasets import CharacterTokenizer, names, pad
from layers.recurrent.layers import GRU, LSTM, RNN
from layers.recurrent.stepping import run_in_chunks
from layers.systems.recurrent import gradient_of, largest
from layers.systems.results import Figure, Setting, at_most
from minigrad import Tensor

__all__ = ["NextLetter", "run_sequences"]


class NextLetter(Module):
    """Logits of the next letter of names.

    Shapes: token_ids (batch, time), lengths (batch,) -> logits (batch, time, letters).
    """

    def __init__(self, kind: Any, letters: int, size: int = 6) -> None:
        super().__init__()
        self.embedding = Embedding(letters, size)
        self.recurrent = kind(size, size)
        self.readout = Linear(size, letters)

    def forward(self, token_ids: Any, lengths: Any = None) -> Tensor:
        """Logits after each letter."""
        output, _ = self.recurrent(self.embedding(token_ids), lengths=lengths)
        logits: Tensor = self.readout(output)
        return logits


def run_sequences(setting: Setting) -> list[Figure]:
    """System 1: a padded batch against a loop over sequences; carried state against one sequence.

    >>> tokenizer = CharacterTokenizer.from_text("annabelle")
    >>> token_ids, lengths = pad([tokenizer.encode(name) for name in ("anna", "bell", "al")])
    >>> model = NextLetter(GRU, len(tokenizer))
    >>> model(token_ids, lengths=lengths).shape
    (3, 4, 5)
    """
    figures = []
    for kind in (RNN, LSTM, GRU):
        loss, gradients = padding_difference(kind, setting.seed)
        figures.append(at_most(f"{kind.__name__}, padded batch: loss", loss, 1e-10))
        figures.append(at_most(f"{kind.__name__}, padded batch: all gradients", gradients, 1e-10))
        output, state = chunk_difference(kind, setting.seed)
        figures.append(at_most(f"{kind.__name__}, in chunks: output", output, 1e-10))
        figures.append(at_most(f"{kind.__name__}, in chunks: last state", state, 1e-10))
    setting.picture(
        "padded-batch.svg",
        "the gradient's way back through a padded batch of names",
        lambda path: draw_batch(path, setting.seed),
    )
    return figures


def some_names(seed: int, count: int = 12) -> tuple[CharacterTokenizer, list[Any]]:
    """The letters, and names of different lengths as token ids."""
    listed = names()
    tokenizer = CharacterTokenizer.from_text("".join(listed))
    chosen = np.random.default_rng(seed).choice(len(listed), count, replace=False)
    return tokenizer, [tokenizer.encode(listed[i]) for i in chosen]


def small_model(kind: Any, letters: int, seed: int) -> NextLetter:
    """A model in float64."""
    mg.seed(seed)
    with mg.default_dtype("float64"):
        return NextLetter(kind, letters)


def padding_difference(kind: Any, seed: int) -> tuple[float, float]:
    """Loss and gradients of a padded batch, less those of one sequence after the other."""
    tokenizer, sequences = some_names(seed)
    model = small_model(kind, len(tokenizer), seed)
    inputs, lengths = pad([token_ids[:-1] for token_ids in sequences])
    targets, _ = pad([token_ids[1:] for token_ids in sequences], value=-100)
    count = int(lengths.sum())
    whole = mg.cross_entropy(model(inputs, lengths), targets)
    whole.backward()
    together = {name: gradient_of(p).copy() for name, p in model.named_parameters()}
    model.zero_grad()
    total = 0.0
    for token_ids in sequences:
        logits = model(token_ids[None, :-1])
        loss = mg.cross_entropy(logits, token_ids[None, 1:]) * ((len(token_ids) - 1) / count)
        loss.backward()  # adds into the gradients
        total += loss.item()
    gradients = largest(*((gradient_of(p), together[n]) for n, p in model.named_parameters()))
    return abs(whole.item() - total), gradients


def chunk_difference(kind: Any, seed: int) -> tuple[float, float]:
    """Output and last state of chunks with carried state, less those of one long sequence."""
    generator = np.random.default_rng(seed)
    mg.seed(seed)
    with mg.default_dtype("float64"):
        layer = kind(3, 5)
    x = generator.standard_normal((2, 50, 3))
    output, state = layer(x)
    parts = list(run_in_chunks(layer, x, 8))
    joined = np.concatenate([part.numpy() for _, part, _ in parts], axis=1)
    last = parts[-1][2]
    pairs = zip(state, last, strict=True) if isinstance(state, tuple) else [(state, last)]
    return (
        largest((output.numpy(), joined)),
        largest(*((one.numpy(), other.numpy()) for one, other in pairs)),
    )


def draw_batch(path: Any, seed: int) -> None:
    """Draw how the gradient flows through a padded batch."""
    from minigrad.draw import draw

    tokenizer, sequences = some_names(seed, 4)
    model = small_model(LSTM, len(tokenizer), seed)
    inputs, lengths = pad([token_ids[:-1] for token_ids in sequences])
    targets, _ = pad([token_ids[1:] for token_ids in sequences], value=-100)
    loss = mg.cross_entropy(model(inputs, lengths), targets)
    draw(loss, level="cells", grad="norm").save(path)
