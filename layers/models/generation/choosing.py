"""How the next token is chosen from logits: greedily, or drawn, from all tokens or the likeliest.

Logits are those of a softmax. One of +inf has all of the probability, and several share it equally;
one of -inf has none. NaN, and rows of nothing but -inf, are refused.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import minigrad as mg
from layers.base.renamed import renamed_arguments
from layers.models.generation.stopping import sequences
from minigrad.core.nodes import PlainArray
from minigrad.ops.randomness import draw_numbers
from minigrad.restoring import errstate

__all__ = ["Decoding", "choose", "log_probabilities", "probabilities"]


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    Attributes:
        length: how many tokens at most.
        temperature: divides the logits; 1 takes the model's own distribution, less is bolder, and
            0 always takes the likeliest token (greedy decoding).
        top_k: draw from the k likeliest tokens alone.
        top_p: draw from the fewest tokens that have this probability together (nucleus sampling,
            Holtzman et al. 2020).
        beams: above 1, beam search: keep so many candidates, and give the likeliest sequence;
            nothing is drawn, so temperature, top_k and top_p must be left alone.
        length_penalty: finished candidates are compared by log-probability / length ** penalty
            (Wu et al. 2016 in its simplest form); 0 compares sums, 1 means per token.
        stop: what ends a sequence, and is not part of it: tokens, and sequences of tokens that
            come one after the other.

    Raises:
        ValueError: for a value out of range, and for beams together with drawing.
    """

    length: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    beams: int = 1
    length_penalty: float = 1.0
    stop: Sequence[int | Sequence[int]] = ()

    def __post_init__(self) -> None:
        if self.length < 0:
            raise ValueError(f"length must be 0 or more, got {self.length}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 or more, and finite, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}; None draws from all")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.beams < 1:
            raise ValueError(f"beams must be at least 1, got {self.beams}")
        if not math.isfinite(self.length_penalty):
            raise ValueError(f"length_penalty must be finite, got {self.length_penalty}")
        if () in sequences(self.stop):
            raise ValueError("stop has an empty sequence, which would end every text at once")
        if self.beams > 1 and (
            self.top_k is not None or self.top_p is not None or self.temperature not in (0, 1)
        ):
            raise ValueError(
                f"beams={self.beams} draws nothing, so temperature, top_k and top_p have no effect "
                "with it; leave them out, or beams"
            )


@renamed_arguments(scores="logits")
def choose(logits: PlainArray, how: Decoding, generator: "np.random.Generator") -> PlainArray:
    """One token of each row of logits (batch, vocabulary): int64 (batch,).

    Raises:
        ValueError: when a row has NaN, or nothing but -inf.
    """
    if how.temperature == 0:
        exact = np.asarray(logits, np.float64)
        likeliest: PlainArray = exact.argmax(axis=1)  # of NaN, too, where a row has some
        for row, token in enumerate(likeliest.tolist()):
            if not exact.item(row, token) > -math.inf:
                checked(exact)  # raises
        return likeliest
    weights = probabilities(logits, how)
    cumulative = weights.cumsum(axis=1)  # (batch, vocabulary)
    drawn = draw_numbers(generator, "random", (len(logits), 1), name="generate")
    threshold = drawn * cumulative[:, -1:]
    # Where rounding lifts the threshold to the sum, the last token that may come is meant.
    last = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=1)
    chosen: PlainArray = np.minimum((cumulative <= threshold).sum(axis=1), last)
    return chosen


def checked(logits: PlainArray) -> PlainArray:
    """Logits in float64, without +inf: tokens that share all of the probability have 0 instead.

    Raises:
        ValueError: when a row has NaN, or nothing but -inf.
    """
    exact = np.asarray(logits, np.float64)
    highest = exact.max(axis=1, initial=-np.inf, keepdims=True)  # (batch, 1)
    what = "NaN" if np.isnan(exact).any() else "nothing but -inf"
    if what == "NaN" or (highest == -np.inf).any():
        raise ValueError(
            f"the model's logits are not finite ({what}), so no token can be chosen: its weights "
            "may have diverged in training"
        )
    certain = np.where(exact == np.inf, 0.0, -np.inf)
    return np.where(highest == np.inf, certain, exact)


@renamed_arguments(scores="logits")
def log_probabilities(logits: PlainArray) -> PlainArray:
    """The logarithms of the softmax of logits (batch, vocabulary), in float64.

    Raises:
        ValueError: when a row has NaN, or nothing but -inf.
    """
    return mg.log_softmax(checked(logits), axis=-1).numpy()


@renamed_arguments(scores="logits")
def probabilities(logits: PlainArray, how: Decoding) -> PlainArray:
    """The distribution to draw from, (batch, vocabulary) in float64, after temperature and cuts.

    At temperature 0 it is all on the likeliest token, the first one of several.

    Raises:
        ValueError: when a row has NaN, or nothing but -inf.

    >>> logits = np.log([[0.5, 0.3, 0.15, 0.05]])
    >>> probabilities(logits, Decoding(1, top_k=2)).round(3).tolist()
    [[0.625, 0.375, 0.0, 0.0]]
    >>> probabilities(logits, Decoding(1, top_p=0.75)).round(3).tolist()
    [[0.625, 0.375, 0.0, 0.0]]
    """
    exact = checked(logits)
    if how.temperature == 0:
        certain: PlainArray = np.eye(exact.shape[1])[exact.argmax(axis=1)]
        return certain
    # A tiny temperature divides beyond the largest number: -inf, as it should be.
    with errstate(over="ignore"):
        lower = (exact - exact.max(axis=1, keepdims=True)) / how.temperature
    weights: PlainArray = np.exp(lower)  # (batch, vocabulary)
    weights /= weights.sum(axis=1, keepdims=True)
    if how.top_k is None and how.top_p in (None, 1):
        return weights
    order = np.argsort(-weights, axis=1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=1)  # from the likeliest down
    if how.top_k is not None:
        ranked[:, how.top_k :] = 0.0
        ranked /= ranked.sum(axis=1, keepdims=True)
    if how.top_p is not None and how.top_p < 1:
        before = ranked.cumsum(axis=1) - ranked  # the probability of all that are likelier
        ranked[(before >= how.top_p) & (np.arange(ranked.shape[1]) > 0)] = 0.0
        ranked /= ranked.sum(axis=1, keepdims=True)
    cut = np.zeros_like(weights)
    np.put_along_axis(cut, order, ranked, axis=1)
    return cut
