"""What decoding asks of a model: the logits of the next token, and a state that goes on.

What the decoder remembers between tokens (the states of a recurrent network, the keys and values of
a Transformer) is its state, and `Rereading` forgets it on purpose, so that one can see that
remembering changes nothing but the time it takes.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigrad.core.nodes import PlainArray

__all__ = ["Decoder", "Rereading"]


class Decoder(Protocol):
    """Logits of the next token, and a state that goes on with every token.

    Its methods compute within `reading`.
    """

    def begin(self, token_ids: PlainArray, /) -> tuple[PlainArray, Any]:
        """Read (batch, time); give the logits (batch, vocabulary) of the next, and a state."""

    def advance(self, token_ids: PlainArray, state: Any, /) -> tuple[PlainArray, Any]:
        """Read one more token of each sequence, (batch,)."""

    def reorder(self, state: Any, index: PlainArray, /) -> Any:
        """The state of these sequences of the batch; one may come repeatedly."""


@dataclass(frozen=True)
class Rereading:
    """A decoder without memory: it reads the whole sequence again for every token.

    Attributes:
        decoder: whose `begin` does the reading.
    """

    decoder: Decoder

    def begin(self, token_ids: PlainArray) -> tuple[PlainArray, PlainArray]:
        """As `Decoder.begin`; the state is the token ids so far, (batch, time)."""
        logits, _ = self.decoder.begin(token_ids)
        return logits, token_ids

    def advance(self, token_ids: PlainArray, state: PlainArray) -> tuple[PlainArray, PlainArray]:
        """As `Decoder.advance`."""
        return self.begin(np.concatenate([state, token_ids[:, None]], axis=1))

    def reorder(self, state: PlainArray, index: PlainArray) -> PlainArray:
        """As `Decoder.reorder`."""
        chosen: PlainArray = state[index]
        return chosen
