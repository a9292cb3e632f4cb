"""Decoding: from logits of the next token to sequences; greedy, by sampling, by beam search.

A model that writes gives a `layers.models.generation.decoders.Decoder`.
"""

from collections.abc import Iterator

import numpy as np

from layers.base.modes import evaluating, learning_parts, switch
from layers.base.module import Module
from layers.base.renamed import renamed_arguments
from layers.models.generation.beams import beam_search
from layers.models.generation.choosing import Decoding, choose, probabilities
from layers.models.generation.decoders import Decoder, Rereading
from layers.models.generation.stopping import Growing
from minigrad.core.modes import Mode, current_mode, set_mode
from minigrad.core.nodes import PlainArray
from minigrad.ops.randomness import choose_generator

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


class reading(evaluating):
    """A block in which a model reads: nothing is recorded, and nothing dropped out.

    It is left before a token is given to the caller, whose own modes are as they were.
    """

    def begin(self) -> None:
        """Switch off the model's training, and recording."""
        learning, mode = learning_parts(self._model), current_mode()
        self.undone_by(_end_reading, learning, mode)
        switch(learning, False)
        set_mode(mode.replace(recording=False))


def _end_reading(learning: list[Module], mode: Mode) -> None:
    switch(learning, True)
    set_mode(mode)


@renamed_arguments(codes="token_ids")
def decode(
    decoder: Decoder,
    token_ids: PlainArray,
    how: Decoding,
    *,
    cache: bool = True,
    generator: "np.random.Generator | None" = None,
) -> Iterator[PlainArray]:
    """Go on from some tokens, one at a time, until all sequences stopped or are long enough.

    What may be the beginning of a stop is held back until it is known not to be one.

    Args:
        decoder: gives the logits.
        token_ids: (batch, time), at least one token.
        how: see `Decoding`.
        cache: False reads the whole sequence again at each token.
        generator: draws; the default one if None.

    Yields:
        token ids (batch,), and -1 for sequences that stopped before.
    """
    draws = choose_generator(generator, "generate")
    reader = decoder if cache else Rereading(decoder)
    if how.beams > 1:
        yield from beam_search(reader, token_ids, how).T
        return
    if not how.length:
        return
    growing = Growing(how.stop, len(token_ids))
    logits, state = reader.begin(token_ids)
    for count in range(how.length):
        chosen = choose(logits, how, draws)  # (batch,)
        growing.add(chosen)
        yield from growing.columns()
        if growing.all_ended or count + 1 == how.length:
            break
        logits, state = reader.advance(chosen, state)
    yield from growing.columns(whole=True)
