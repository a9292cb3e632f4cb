"""Decoding: from scores of the next symbol to sequences; greedy, by sampling, by beam search.

A model that writes gives a `Decoder`. What the decoder remembers between symbols (the states of a
recurrent network, the keys and values of a Transformer) is its state, and `Rereading` forgets it
on purpose, so that one can see that remembering changes nothing but the time it takes.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

import minigrad as mg
from layers.module import Module
from minigrad.randomness import choose_generator, draw_numbers

__all__ = [
    "Decoder",
    "Decoding",
    "Rereading",
    "beam_search",
    "choose",
    "decode",
    "probabilities",
    "reading",
]

PlainArray = np.ndarray[Any, Any]


@contextmanager
def reading(model: Module) -> Iterator[None]:
    """A block in which a model reads: nothing is recorded, and nothing dropped out.

    It is left before a symbol is given to the caller, whose own modes are as they were.
    """
    learning = [module for module in model.modules() if module.training]
    for module in learning:
        module.training = False
    try:
        with mg.no_grad():
            yield
    finally:
        for module in learning:
            module.training = True


class Decoder(Protocol):
    """Scores of the next symbol, and a state that goes on with every symbol.

    Its methods compute within `reading`.
    """

    def begin(self, codes: PlainArray) -> tuple[PlainArray, Any]:
        """Read codes (batch, time); give the scores (batch, vocabulary) after them, and a state."""

    def advance(self, codes: PlainArray, state: Any) -> tuple[PlainArray, Any]:
        """Read one more code of each sequence, (batch,)."""

    def reorder(self, state: Any, index: PlainArray) -> Any:
        """The state of these sequences of the batch; one may come repeatedly."""


@dataclass(frozen=True)
class Rereading:
    """A decoder without memory: it reads the whole sequence again for every symbol.

    Attributes:
        decoder: whose `begin` does the reading.
    """

    decoder: Decoder

    def begin(self, codes: PlainArray) -> tuple[PlainArray, PlainArray]:
        """As `Decoder.begin`; the state is the codes so far, (batch, time)."""
        scores, _ = self.decoder.begin(codes)
        return scores, codes

    def advance(self, codes: PlainArray, state: PlainArray) -> tuple[PlainArray, PlainArray]:
        """As `Decoder.advance`."""
        return self.begin(np.concatenate([state, codes[:, None]], axis=1))

    def reorder(self, state: PlainArray, index: PlainArray) -> PlainArray:
        """As `Decoder.reorder`."""
        chosen: PlainArray = state[index]
        return chosen


@dataclass(frozen=True)
class Decoding:
    """How symbols are chosen.

    Attributes:
        length: how many symbols at most.
        temperature: divides the scores; 1 takes the model's own distribution, less is bolder, and
            0 always takes the likeliest symbol (greedy decoding).
        top_k: draw from the k likeliest symbols alone.
        top_p: draw from the fewest symbols that have this probability together (nucleus sampling,
            Holtzman et al. 2020).
        beams: above 1, beam search: keep so many candidates, and give the likeliest sequence;
            nothing is drawn, so temperature, top_k and top_p must be left alone.
        length_penalty: finished candidates are compared by log-probability / length ** penalty
            (Wu et al. 2016 in its simplest form); 0 compares sums, 1 means per symbol.
        stop: symbols that end a sequence; they are not part of it.

    Raises:
        ValueError: for a value out of range, and for beams together with drawing.
    """

    length: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    beams: int = 1
    length_penalty: float = 1.0
    stop: tuple[int, ...] = ()

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
        if self.beams > 1 and (
            self.top_k is not None or self.top_p is not None or self.temperature not in (0, 1)
        ):
            raise ValueError(
                f"beams={self.beams} draws nothing, so temperature, top_k and top_p have no effect "
                "with it; leave them out, or beams"
            )


def decode(
    decoder: Decoder,
    codes: PlainArray,
    how: Decoding,
    *,
    cache: bool = True,
    generator: "np.random.Generator | None" = None,
) -> Iterator[PlainArray]:
    """Go on from some symbols, one at a time, until all sequences stopped or are long enough.

    Args:
        decoder: gives the scores.
        codes: (batch, time), at least one symbol.
        how: see `Decoding`.
        cache: False reads the whole sequence again at each symbol.
        generator: draws; the default one if None.

    Yields:
        codes (batch,), and -1 for sequences that stopped before.
    """
    draws = choose_generator(generator, "generate")
    reader = decoder if cache else Rereading(decoder)
    if how.beams > 1:
        yield from beam_search(reader, codes, how).T
        return
    if not how.length:
        return
    going = np.ones(len(codes), bool)  # (batch,)
    scores, state = reader.begin(codes)
    for count in range(how.length):
        chosen = choose(scores, how, draws)  # (batch,)
        going &= ~np.isin(chosen, how.stop)
        if not going.any():
            return
        yield np.where(going, chosen, -1)
        if count + 1 < how.length:
            scores, state = reader.advance(chosen, state)


def choose(scores: PlainArray, how: Decoding, generator: "np.random.Generator") -> PlainArray:
    """One symbol of each row of scores (batch, vocabulary): int64 (batch,).

    Raises:
        ValueError: when a row has NaN, or nothing but -inf.
    """
    check_scores(scores)
    if how.temperature == 0:
        likeliest: PlainArray = scores.argmax(axis=1)
        return likeliest
    cumulative = probabilities(scores, how).cumsum(axis=1)  # (batch, vocabulary)
    threshold = (
        draw_numbers(generator, "random", (len(scores), 1), name="generate") * cumulative[:, -1:]
    )
    chosen: PlainArray = (cumulative <= threshold).sum(axis=1)
    return chosen


def check_scores(scores: PlainArray) -> None:
    """Refuse scores from which no symbol can be chosen.

    Raises:
        ValueError: when a row has NaN, or nothing but -inf.
    """
    if np.isnan(scores).any() or not (scores.max(axis=1) > -np.inf).all():
        raise ValueError(
            "the model's scores are not finite, so no symbol can be chosen: its weights may have "
            "diverged in training"
        )


def probabilities(scores: PlainArray, how: Decoding) -> PlainArray:
    """The distribution to draw from, (batch, vocabulary) in float64, after temperature and cuts.

    >>> scores = np.log([[0.5, 0.3, 0.15, 0.05]])
    >>> probabilities(scores, Decoding(1, top_k=2)).round(3).tolist()
    [[0.625, 0.375, 0.0, 0.0]]
    >>> probabilities(scores, Decoding(1, top_p=0.75)).round(3).tolist()
    [[0.625, 0.375, 0.0, 0.0]]
    """
    highest = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    weights: PlainArray = np.exp(highest / how.temperature)  # (batch, vocabulary)
    weights /= weights.sum(axis=1, keepdims=True)
    if how.top_k is None and how.top_p is None:
        return weights
    order = np.argsort(-weights, axis=1, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=1)  # from the likeliest down
    if how.top_k is not None:
        ranked[:, how.top_k :] = 0.0
        ranked /= ranked.sum(axis=1, keepdims=True)
    if how.top_p is not None:
        before = ranked.cumsum(axis=1) - ranked  # the probability of all that are likelier
        ranked[(before >= how.top_p) & (np.arange(ranked.shape[1]) > 0)] = 0.0
        ranked /= ranked.sum(axis=1, keepdims=True)
    cut = np.zeros_like(weights)
    np.put_along_axis(cut, order, ranked, axis=1)
    return cut


def beam_search(decoder: Decoder, codes: PlainArray, how: Decoding) -> PlainArray:
    """The likeliest continuation that is found with `how.beams` candidates for each sequence.

    At every step the best candidates among all continuations of all candidates are kept; those
    that end are set aside. The search of a sequence is over when it has as many finished ones as
    beams, and none that still grows can overtake them.

    Args:
        decoder: gives the scores.
        codes: (batch, time).
        how: length, beams, length_penalty and stop.

    Returns:
        (batch, longest) without stop symbols, filled up with -1.
    """
    batch, beams = len(codes), how.beams
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
    texts: list[list[int]] = [[] for _ in range(batch * beams)]
    totals = np.full((batch, beams), -np.inf)
    totals[:, 0] = 0.0  # at the start all candidates are the same: one is enough
    open_ = np.ones(batch, bool)
    if how.length:
        scores, state = decoder.begin(codes)
        state = decoder.reorder(state, np.repeat(np.arange(batch), beams))
        scores = np.repeat(scores, beams, axis=0)  # (batch x beams, vocabulary)
    for count in range(how.length):
        check_scores(scores)
        vocabulary = scores.shape[1]
        logarithms = mg.log_softmax(scores.astype(np.float64), axis=-1).numpy()
        longer = totals[:, :, None] + logarithms.reshape(batch, beams, vocabulary)
        flat = longer.reshape(batch, -1)  # (batch, beams x vocabulary)
        # So many that beams are left even if every one of them ends here by each of the stops.
        most_needed = beams * (1 + len(how.stop))
        best = np.argsort(-flat, axis=1, kind="stable")[:, :most_needed]
        source, chosen = np.zeros((batch, beams), np.int64), np.zeros((batch, beams), np.int64)
        following = np.full((batch, beams), -np.inf)
        for row in range(batch):
            kept = 0
            for rank, place in enumerate(best[row].tolist()):
                total, beam, code = flat[row, place], place // vocabulary, place % vocabulary
                if total == -np.inf or kept == beams:
                    break
                if code in how.stop:
                    if rank < beams and open_[row]:  # one of the best
                        text = texts[row * beams + beam]
                        finished[row].append(
                            (total / max(count + 1, 1) ** how.length_penalty, text)
                        )
                    continue
                source[row, kept], chosen[row, kept], following[row, kept] = beam, code, total
                kept += 1
        index = (np.arange(batch)[:, None] * beams + source).reshape(-1)
        texts = [[*texts[i], int(c)] for i, c in zip(index, chosen.reshape(-1), strict=True)]
        totals = following
        for row in range(batch):
            if len(finished[row]) >= beams or totals[row, 0] == -np.inf:
                # Sums only fall, so the best that can still come of a growing candidate is this.
                most = totals[row, 0] / how.length**how.length_penalty
                open_[row] = len(finished[row]) == 0 or most > max(finished[row])[0]
                open_[row] &= totals[row, 0] > -np.inf
        if not open_.any() or count + 1 == how.length:
            break
        scores, state = decoder.advance(chosen.reshape(-1), decoder.reorder(state, index))
    results = []
    for row in range(batch):
        grown = texts[row * beams]
        candidates = list(finished[row])
        if totals[row, 0] > -np.inf and (open_[row] or not candidates):
            candidates.append((totals[row, 0] / max(len(grown), 1) ** how.length_penalty, grown))
        results.append(max(candidates, key=lambda pair: pair[0])[1] if candidates else [])
    longest = max((len(text) for text in results), default=0)
    padded = np.full((batch, longest), -1, np.int64)
    for row, text in enumerate(results):
        padded[row, : len(text)] = text
    return padded
