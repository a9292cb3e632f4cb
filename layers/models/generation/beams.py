"""Beam search: the likeliest sequence that is found with several candidates."""

import numpy as np

from layers.base.renamed import renamed_arguments
from layers.models.generation.choosing import Decoding, log_probabilities
from layers.models.generation.decoders import Decoder
from layers.models.generation.stopping import ending, sequences
from minigrad.core.nodes import PlainArray

__all__ = ["beam_search"]


@renamed_arguments(codes="token_ids")
def beam_search(decoder: Decoder, token_ids: PlainArray, how: Decoding) -> PlainArray:
    """The likeliest continuation that is found with `how.beams` candidates for each sequence.

    At every step the best candidates among all continuations of all candidates are kept; those
    that end are set aside. The search of a sequence is over when it has as many finished ones as
    beams, and none that still grows can overtake them.

    Args:
        decoder: gives the logits.
        token_ids: (batch, time).
        how: length, beams, length_penalty and stop.

    Returns:
        (batch, longest) without stop tokens, filled up with -1.
    """
    batch, beams, stops = len(token_ids), how.beams, sequences(how.stop)
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
    texts: list[list[int]] = [[] for _ in range(batch * beams)]
    totals = np.full((batch, beams), -np.inf)
    totals[:, 0] = 0.0  # at the start all candidates are the same: one is enough
    open_ = np.ones(batch, bool)
    if how.length:
        logits, state = decoder.begin(token_ids)
        state = decoder.reorder(state, np.repeat(np.arange(batch), beams))
        logits = np.repeat(logits, beams, axis=0)  # (batch x beams, vocabulary)
    for count in range(how.length):
        vocabulary = logits.shape[1]
        longer = totals[:, :, None] + log_probabilities(logits).reshape(batch, beams, vocabulary)
        flat = longer.reshape(batch, beams * vocabulary)
        # So many that beams are left even if every one of them ends here by each of the stops.
        most_needed = beams * (1 + len(stops))
        best = np.argsort(-flat, axis=1, kind="stable")[:, :most_needed]
        source, chosen = np.zeros((batch, beams), np.int64), np.zeros((batch, beams), np.int64)
        following = np.full((batch, beams), -np.inf)
        for row in range(batch):
            kept = 0
            for place in best[row].tolist():
                total, beam, token = flat[row, place], place // vocabulary, place % vocabulary
                if kept == beams:
                    break
                text = [*texts[row * beams + beam], token]
                if length := ending(text, stops):
                    value = total / (count + 1) ** how.length_penalty
                    finished[row].append((value, text[:-length]))
                    continue
                source[row, kept], chosen[row, kept], following[row, kept] = beam, token, total
                kept += 1
        index = (np.arange(batch)[:, None] * beams + source).ravel()
        texts = [[*texts[i], int(c)] for i, c in zip(index, chosen.ravel(), strict=True)]
        totals = following
        for row in range(batch):
            if len(finished[row]) >= beams or totals[row, 0] == -np.inf:
                # Sums only fall, so a growing candidate can become no better than this. One that
                # ends is set aside: when none grows, some have been.
                largest = max(n**how.length_penalty for n in (count + 1, how.length))
                open_[row] = totals[row, 0] / largest > max(finished[row])[0]
        if not open_.any() or count + 1 == how.length:
            break
        logits, state = decoder.advance(chosen.ravel(), decoder.reorder(state, index))
    results = []
    for row in range(batch):
        grown = texts[row * beams]
        candidates = list(finished[row])
        if open_[row]:
            candidates.append((totals[row, 0] / max(len(grown), 1) ** how.length_penalty, grown))
        results.append(max(candidates, key=lambda pair: pair[0])[1])
    longest = max((len(text) for text in results), default=0)
    padded = np.full((batch, longest), -1, np.int64)
    for row, text in enumerate(results):
        padded[row, : len(text)] = text
    return padded
