"""How long a training step of each model of text takes, beside PyTorch's when it is installed.

A step is forward, loss, backward, clipping and AdamW, as `layers.training.fit` makes it, in the
settings of `minigrad run`. Both libraries get one thread; their steps take turns within one run,
and medians are compared. The ratio is PyTorch's time by ours: above 1 we are faster.

    python benchmarks/training_steps.py [--repeats 15]
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np

import minigrad as mg
from layers.models import GPT, CharacterConfig, CharacterModel, GPTConfig
from layers.training.run import decay_groups
from layers.training.texts import text_batch_size
from minigrad.optim import AdamW, clip_grad_norm

try:
    import torch
except ImportError:
    torch = None

TOKENS, LENGTH = 64, 64
Step = Callable[[], None]


def ours(model: Any, token_ids: Any, targets: Any) -> Step:
    optimizer = AdamW(decay_groups(model, 0.1), 1e-3, (0.9, 0.99))

    def step() -> None:
        loss = model.loss(token_ids, targets)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()

    return step


def recurrent_of(kind: str, hidden: int) -> Any:
    """PyTorch's character model."""
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(TOKENS, 64)
            self.recurrent = getattr(nn, kind.upper())(64, hidden, batch_first=True)
            self.readout = nn.Linear(hidden, TOKENS)

        def forward(self, token_ids: Any) -> Any:
            return self.readout(self.recurrent(self.embedding(token_ids))[0])

    return Model()


def gpt_of(config: GPTConfig) -> Any:
    """PyTorch's GPT of the same sizes."""
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(TOKENS, config.width)
            self.positions = nn.Parameter(torch.zeros(config.block_size, config.width))
            layer = nn.TransformerEncoderLayer(
                config.width, config.num_heads, 4 * config.width, 0.0, "gelu",
                batch_first=True, norm_first=True,
            )  # fmt: skip
            self.stack = nn.TransformerEncoder(
                layer, config.num_layers, nn.LayerNorm(config.width), enable_nested_tensor=False
            )
            self.mask = nn.Transformer.generate_square_subsequent_mask(config.block_size)

        def forward(self, token_ids: Any) -> Any:
            x = self.embedding(token_ids) + self.positions
            return self.stack(x, mask=self.mask, is_causal=True) @ self.embedding.weight.T

    return Model()


def theirs(model: Any, token_ids: Any, targets: Any) -> Step:
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, (0.9, 0.99), weight_decay=0.1)
    x, y = torch.tensor(token_ids), torch.tensor(targets).reshape(-1)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(x).reshape(-1, TOKENS), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def measure(steps: list[Step], repeats: int) -> list[float]:
    """The median milliseconds of each step, taken in turns."""
    times: list[list[float]] = [[] for _ in steps]
    for repeat in range(repeats + 3):
        for step, taken in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            if repeat >= 3:  # the first steps warm up
                taken.append(1e3 * (time.perf_counter() - start))
    return [median(taken) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    mg.seed(0)
    generator = np.random.default_rng(0)
    config = GPTConfig.preset("small", vocabulary_size=TOKENS)
    models: dict[str, Any] = {
        name: CharacterModel(CharacterConfig.preset(name, vocabulary_size=TOKENS))
        for name in ("rnn", "gru", "lstm", "lstm-256")
    }
    models["gpt"] = GPT(config)
    print("milliseconds of a training step")
    for name, model in models.items():
        batch = text_batch_size(model)
        token_ids = generator.integers(TOKENS, size=(batch, LENGTH))
        targets = generator.integers(TOKENS, size=(batch, LENGTH))
        steps = [ours(model, token_ids, targets)]
        if torch is not None:
            other = (
                gpt_of(config)
                if name == "gpt"
                else recurrent_of(model.config.cell, model.config.hidden_size)
            )
            steps.append(theirs(other, token_ids, targets))
        found = measure(steps, given.repeats)
        line = f"{name:10} {found[0]:7.1f}"
        if torch is not None:
            line += f"   PyTorch {found[1]:7.1f}   ratio {found[1] / found[0]:.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
