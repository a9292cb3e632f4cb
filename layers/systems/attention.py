"""Systems 9 to 12: self-attention step by step, its cost, its heads, and positions."""

import gc
import math
import time
import tracemalloc
from typing import Any, Final, NamedTuple

import numpy as np

import minigrad as mg
from layers.base.init import normal_
from layers.base.module import Module
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear
from layers.datasets import reversal
from layers.recurrent.layers import RNN
from layers.systems.pronouns import pronoun_figures
from layers.systems.recurrent import gradient_of
from layers.systems.results import Figure, Setting, at_least, at_most, noted, within
from layers.systems.whole_runs import fit
from layers.training import History, TrainingOptions
from layers.training.plots import plot_curves, plot_table
from layers.transformer.attention import MultiheadAttention, attention_steps
from layers.transformer.encoder_decoder import TransformerEncoder
from layers.transformer.positional import (
    LearnedPositions,
    SinusoidalPositions,
    sinusoidal_positions,
)
from layers.transformer.transformer_layers import TransformerEncoderLayer
from minigrad import Tensor
from minigrad.core.nodes import PlainArray

__all__ = [
    "Tagger",
    "attention_by_loop",
    "held_bytes",
    "learn_reversal",
    "run_attention_cost",
    "run_multi_head",
    "run_positions",
    "run_self_attention",
]

TOKENS: Final = 10
LENGTH: Final = 16  # of the sequences to reverse


def attention_by_loop(q: PlainArray, k: PlainArray, v: PlainArray) -> PlainArray:
    """Scaled dot-product attention in a loop over queries: softmax(q k^T / sqrt(d_k)) v.

    Args:
        q, k, v: (time, features).

    Source: Vaswani et al. (2017), equation 1.
    """
    outputs = []
    for query in q:
        scores = [query @ key / math.sqrt(len(key)) for key in k]
        exponentials = [math.exp(score - max(scores)) for score in scores]
        weights = [exponential / sum(exponentials) for exponential in exponentials]
        outputs.append(sum(weight * value for weight, value in zip(weights, v, strict=True)))
    return np.array(outputs)


def run_self_attention(setting: Setting) -> list[Figure]:
    """System 9: every step of self-attention, against a loop.

    >>> attention = MultiheadAttention(8, 1).eval()
    >>> steps = attention_steps(attention, np.ones((1, 3, 8), np.float32))
    >>> steps._fields[:4]
    ('query', 'key', 'value', 'scores')
    """
    mg.seed(setting.seed)
    generator = np.random.default_rng(setting.seed)
    with mg.default_dtype("float64"):
        attention = MultiheadAttention(16, 1).eval()
    x = generator.standard_normal((1, 7, 16))
    steps = attention_steps(attention, x)
    q, k, v = (part.numpy()[0, 0] for part in (steps.query, steps.key, steps.value))
    difference = float(np.abs(steps.heads.numpy()[0, 0] - attention_by_loop(q, k, v)).max())
    weights = steps.weights.numpy()
    features = 64
    q, k = generator.standard_normal((2, 4000, features))
    raw = (q * k).sum(axis=1)
    setting.picture(
        "attention.png",
        "the weights of each query",
        lambda path: plot_table(
            path, weights[0, 0], title="Attention weights: rows sum to 1", x="key", y="query"
        ),
    )
    return [
        at_most("weighted sum, difference from a ten-line loop", difference, 1e-12),
        at_most("weights, largest difference of a row's sum from 1",
                float(np.abs(weights.sum(axis=-1) - 1).max()), 1e-12),
        within(f"variance of scores before scaling, d_k = {features}", float(raw.var()), features,
               0.1 * features, "d_k"),
        within("variance of scores after scaling", float((raw / math.sqrt(features)).var()), 1.0,
               0.1, "1"),
        noted("intermediates by name", len(steps._fields)),
    ]  # fmt: skip


# -- cost ------------------------------------------------------------------------------------------

LENGTHS: Final = (1024, 2048, 4096)
FEATURES: Final = 8


class Held(NamedTuple):
    """What a forward pass keeps for its backward pass.

    Attributes:
        arrays: bytes of arrays, the same in every run.
        total: bytes with Python's objects, and with what other threads allocated meanwhile.
        seconds: of forward and backward.
    """

    arrays: int
    total: int
    seconds: float


def held_bytes(method: str, length: int, generator: np.random.Generator) -> Held:
    """What a forward pass keeps for its backward pass.

    Args:
        method: "plain" or "blockwise" attention, or "rnn".
        length: of the sequence.
        generator: draws the inputs.
    """
    values = generator.standard_normal((3, 1, 1, length, FEATURES)).astype(np.float32)
    x = [mg.Tensor(value, requires_grad=True) for value in values]
    layer = RNN(FEATURES, FEATURES) if method == "rnn" else None
    if layer is not None:
        layer(x[0][0])  # what a layer makes once, as its programs, is not counted
    gc.collect()
    begun = time.perf_counter()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        if layer is not None:
            y, _ = layer(x[0][0])
        else:
            q, k, v = x
            y = mg.scaled_dot_product_attention(q, k, v, method=method)
        total = tracemalloc.get_traced_memory()[0] - before
        seconds = time.perf_counter() - begun
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    begun = time.perf_counter()
    y.sum().backward()
    seconds += time.perf_counter() - begun
    arrays = snapshot.filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
    return Held(sum(trace.size for trace in arrays.traces), total, seconds)


def run_attention_cost(setting: Setting) -> list[Figure]:
    """System 10: the N x N weights, and attention in blocks that does not hold them.

    >>> generator = np.random.default_rng(0)
    >>> short, long = (held_bytes("plain", n, generator).arrays for n in (256, 1024))
    >>> long > 12 * short
    True
    """
    mg.seed(setting.seed)
    generator = np.random.default_rng(setting.seed)
    figures, curves = [], {}
    for method, target, tolerance in (
        ("plain", 2.0, 0.05),
        ("blockwise", 1.0, 0.1),
        ("rnn", 1.0, 0.1),
    ):
        held_bytes(method, 64, generator)  # what is made once is not counted
        runs = [held_bytes(method, length, generator) for length in LENGTHS]
        held = [run.arrays for run in runs]
        slope = float(np.polyfit(np.log(LENGTHS), np.log(held), 1)[0])
        name = {"rnn": "RNN"}.get(method, f"{method} attention")
        curves[name] = (LENGTHS, held)
        label = f"slope of log bytes of arrays held against log N, {name}"
        figures.append(within(label, slope, target, tolerance))
        figures.append(noted(f"MB held at N = {LENGTHS[-1]}, {name}", runs[-1].total / 1e6))
        figures.append(noted(f"seconds at N = {LENGTHS[-1]}, {name}", runs[-1].seconds))
    setting.picture(
        "memory.png",
        "bytes held for the backward pass against the length",
        lambda path: plot_curves(
            path, curves, title="What attention holds for N places", x="N", y="bytes held",
            log="xy", marker="o",
        ),
    )  # fmt: skip
    values = generator.standard_normal((3, 1, 2, 300, FEATURES))
    weight = generator.standard_normal((1, 2, 300, FEATURES))
    found = {}
    for method in ("plain", "blockwise"):
        q, k, v = x = [mg.Tensor(value, requires_grad=True) for value in values]
        y = mg.scaled_dot_product_attention(q, k, v, method=method, causal=True)
        (y * weight).sum().backward()
        found[method] = [y.numpy(), *(gradient_of(part) for part in x)]
    pairs = zip(found["plain"], found["blockwise"], strict=True)
    differences = [float(np.abs(one - other).max()) for one, other in pairs]
    return [
        *figures,
        at_most("blockwise against plain, outputs", differences[0], 1e-12),
        at_most("blockwise against plain, gradients", max(differences[1:]), 1e-10),
    ]


# -- heads and positions ---------------------------------------------------------------------------


class Tagger(Module):
    """An encoder that gives every place a token.

    Args:
        positions: "sinusoidal", "learned" or "none".
        tokens: how many there are.
        width, num_heads, feedforward: of the encoder.
        num_layers: how many layers.
        length: places at most, for learned positions.

    Shapes: token_ids (batch, time) -> logits (batch, time, tokens).

    >>> Tagger("sinusoidal")(np.zeros((2, 16), np.int64)).shape
    (2, 16, 10)
    """

    def __init__(
        self,
        positions: str,
        tokens: int = TOKENS,
        width: int = 32,
        num_heads: int = 4,
        feedforward: int = 128,
        num_layers: int = 1,
        length: int = LENGTH,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(tokens, width)
        normal_(self.embedding.weight, 0.0, 0.3)  # smaller than the positions, which matter more
        self.positions: Module | None = None
        if positions == "sinusoidal":
            self.positions = SinusoidalPositions(width)
        elif positions == "learned":
            self.positions = LearnedPositions(length, width)
        self.encoder = TransformerEncoder(
            lambda: TransformerEncoderLayer(width, num_heads, feedforward, 0.0), num_layers
        )
        self.readout = Linear(width, tokens)

    def forward(self, token_ids: Any) -> Tensor:
        """Scores at every place."""
        x = self.embedding(token_ids)  # (batch, time, width)
        if self.positions is not None:
            x = self.positions(x)
        logits: Tensor = self.readout(self.encoder(x))
        return logits

    def loss(self, token_ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per place."""
        return mg.cross_entropy(self(token_ids), targets)

    def exact(self, token_ids: PlainArray, targets: PlainArray) -> float:
        """The share of sequences with all tokens right."""
        with mg.no_grad():
            best = self(token_ids).numpy().argmax(axis=-1)
        return float((best == targets).all(axis=1).mean())

    def right(self, token_ids: PlainArray, targets: PlainArray) -> float:
        """The share of tokens that are right."""
        with mg.no_grad():
            best = self(token_ids).numpy().argmax(axis=-1)
        return float((best == targets).mean())


def learn_reversal(
    positions: str, steps: int = 250, seed: int = 0, progress: bool = False
) -> tuple[Tagger, History]:
    """Train an encoder to reverse 16 tokens.

    >>> model, history = learn_reversal("sinusoidal", steps=2)
    >>> history.step
    2
    """
    mg.seed(seed)
    model = Tagger(positions)
    options = TrainingOptions(steps=steps, rate=1e-2, warmup=20, seed=seed)
    history = fit(
        model,
        lambda generator: reversal(128, LENGTH, generator, TOKENS),
        options,
        progress=progress,
    )
    return model, history


def run_multi_head(setting: Setting) -> list[Figure]:
    """System 11: several heads, on reversing 16 tokens and on what *it* stands for.

    >>> model = Tagger("sinusoidal")
    >>> attention = model.encoder.layers[0].self_attn
    >>> x = model.embedding(np.zeros((1, 16), np.int64))
    >>> attention_steps(attention, x).weights.shape  # (batch, heads, query, key)
    (1, 4, 16, 16)
    """
    model, history = learn_reversal("sinusoidal", setting.steps(250), setting.seed,
                                    setting.progress)  # fmt: skip
    test = reversal(1000, LENGTH, np.random.default_rng(setting.seed + 1000), TOKENS)
    assert model.positions is not None
    x = model.positions(model.embedding(test[0][:1]))
    layer: Any = model.encoder.layers[0]
    heads = attention_steps(layer.self_attn, x).weights.numpy()[0]
    setting.picture(
        "heads.png",
        "the weights of each head while reversing",
        lambda path: plot_table(
            path, heads, title="Heads of the encoder that reverses", x="key", y="query"
        ),
    )
    return [
        at_least("reverse 16 tokens, share exact after 250 steps", model.exact(*test), 1.0, "1"),
        at_most("parameters", model.parameter_count(), 13_700, "13.6k"),
        at_most("heads joined by hand, difference from the layer", heads_by_hand(setting.seed),
                1e-12),
        noted("seconds of training", history.seconds),
        *pronoun_figures(setting),
    ]  # fmt: skip


def heads_by_hand(seed: int) -> float:
    """Multi-head attention from its weights and the loop, less what the layer gives."""
    mg.seed(seed)
    with mg.default_dtype("float64"):
        layer = MultiheadAttention(12, 3).eval()
    x = np.random.default_rng(seed).standard_normal((5, 12))
    weights = {name: value.numpy() for name, value in layer.named_parameters()}
    q, k, v = np.split(x @ weights["in_proj_weight"].T + weights["in_proj_bias"], 3, axis=1)
    cut = [np.split(part, 3, axis=1) for part in (q, k, v)]
    joined = np.concatenate(
        [attention_by_loop(*parts) for parts in zip(*cut, strict=True)], axis=1
    )  # (time, features)
    output = joined @ weights["out_proj.weight"].T + weights["out_proj.bias"]
    return float(np.abs(layer(x[None])[0].numpy()[0] - output).max())


def run_positions(setting: Setting) -> list[Figure]:
    """System 12: what positions are for.

    >>> sinusoidal_positions(50, 32).shape
    (50, 32)
    """
    figures = []
    test = reversal(1000, LENGTH, np.random.default_rng(setting.seed + 1000), TOKENS)
    for positions in ("sinusoidal", "learned"):
        model, _ = learn_reversal(positions, setting.steps(400), setting.seed, setting.progress)
        figures.append(
            at_least(f"reverse 16 tokens, share exact, {positions}", model.exact(*test), 1.0)
        )
    without, _ = learn_reversal("none", setting.steps(400), setting.seed, setting.progress)
    mg.seed(setting.seed)
    with mg.default_dtype("float64"):
        plain = Tagger("none").eval()
    generator = np.random.default_rng(setting.seed)
    order = generator.permutation(LENGTH)
    token_ids = test[0][:20]
    with mg.no_grad():
        moved = np.abs(
            plain(token_ids[:, order]).numpy() - plain(token_ids).numpy()[:, order]
        ).max()
    setting.picture(
        "positions.png",
        "sinusoidal positions",
        lambda path: plot_table(
            path, sinusoidal_positions(50, 32), title="Sinusoidal positions", x="feature",
            y="position", center=True,
        ),
    )  # fmt: skip
    counts = (test[0][:, :, None] == np.arange(TOKENS)).sum(axis=1)  # (sequences, tokens)
    guess = float(counts.max(axis=1).mean()) / LENGTH
    return [
        *figures,
        at_most("reverse 16 tokens without positions, share exact", without.exact(*test), 0.0),
        at_most("reverse 16 tokens without positions, share of tokens right",
                without.right(*test), guess + 0.01, f"{guess:.3f}: the most frequent token"),
        at_most("without positions: outputs of permuted inputs, difference", float(moved), 1e-12),
    ]  # fmt: skip
