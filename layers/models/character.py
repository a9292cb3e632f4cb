"""A character language model: embedding, a recurrent network, linear read-out.

Comments tell the shape of what a line gives: B texts of T characters, E features of a character
(embedding_size), N of the recurrent states (hidden_size), V characters in the vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

import minigrad as mg
from layers.base.module import Module
from layers.base.renamed import renamed_arguments
from layers.basic.dropout import Dropout
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear
from layers.datasets import CharacterTokenizer
from layers.models.configuration import Config
from layers.models.generation.decoding import reading
from layers.models.generation.writing import TextModel
from layers.recurrent.layers import GRU, LSTM, RNN
from minigrad import Tensor
from minigrad.ops.checks import check_probabilities, check_sizes

__all__ = ["CharacterConfig", "CharacterModel"]

CELLS: Final[Mapping[str, Any]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


@dataclass(frozen=True)
class CharacterConfig(Config):
    """The sizes of a character language model.

    Attributes:
        vocabulary_size: the number of distinct characters.
        embedding_size: features of a character.
        hidden_size: features of the recurrent states.
        num_layers: recurrent layers.
        cell: "rnn", "gru" or "lstm".
        dropout: the probability of zero, in training: of what goes into each recurrent layer and
            into the read-out, not of what goes from step to step (Zaremba et al. 2014).
        forget_bias: the initial bias of an lstm's forget gates, such as 1.0; see `LSTM`.

    >>> CharacterConfig.preset("lstm-256", vocabulary_size=64).hidden_size
    256
    """

    vocabulary_size: int
    embedding_size: int = 64
    hidden_size: int = 128
    num_layers: int = 1
    cell: str = "lstm"
    dropout: float = 0.0
    forget_bias: float | None = None

    LATER: ClassVar[Mapping[str, Any]] = {"dropout": 0.0, "forget_bias": None}
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rnn": {"cell": "rnn"},
        "gru": {"cell": "gru"},
        "lstm": {"cell": "lstm"},
        "lstm-256": {"cell": "lstm", "hidden_size": 256},
    }

    def __post_init__(self) -> None:
        check_sizes(
            "CharacterConfig",
            1,
            vocabulary_size=self.vocabulary_size,
            embedding_size=self.embedding_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
        )
        check_probabilities("CharacterConfig", dropout=self.dropout)
        if self.cell not in CELLS:
            raise ValueError(
                f"CharacterConfig: cell must be one of {', '.join(CELLS)}, got {self.cell!r}"
            )
        if self.forget_bias is not None and self.cell != "lstm":
            raise ValueError(
                f"CharacterConfig: forget_bias={self.forget_bias} is for the cell 'lstm', and this "
                f"is {self.cell!r}"
            )


class CharacterModel(TextModel, Module):
    """Predicts the next character from all before it (Mikolov et al. 2010; Graves 2013).

    Args:
        config: the sizes.
        tokenizer: which number stands for which character; needed to generate text.

    Shapes: token_ids (B, T) -> logits (B, T, V), and the state: h (num_layers, B, N), or (h, c) of
    an lstm.

    >>> tokenizer = CharacterTokenizer.from_text("to be or not to be")
    >>> model = CharacterModel(CharacterConfig(len(tokenizer), hidden_size=8), tokenizer)
    >>> logits, state = model(tokenizer.encode("to be")[None])
    >>> logits.shape
    (1, 5, 7)
    >>> len(model.complete("to", length=4))
    4
    """

    KIND = "character language model"
    CONFIG = CharacterConfig

    config: CharacterConfig

    def __init__(
        self, config: CharacterConfig, tokenizer: CharacterTokenizer | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.embedding = Embedding(config.vocabulary_size, config.embedding_size)
        options = {} if config.forget_bias is None else {"forget_bias": config.forget_bias}
        self.recurrent = CELLS[config.cell](
            config.embedding_size,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            **options,
        )
        self.dropout = Dropout(config.dropout)
        self.readout = Linear(config.hidden_size, config.vocabulary_size)

    @renamed_arguments(codes="token_ids")
    def forward(self, token_ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """Logits for the character that follows each of the given ones, and the state.

        Args:
            token_ids: (B, T) integers.
            state: what a call for the characters before gave; zeros if None.
        """
        x = self.embedding(token_ids)  # (B, T, E)
        x = self.dropout(x)  # (B, T, E)
        h, state = self.recurrent(x, state)  # (B, T, N): the topmost layer's states
        h = self.dropout(h)  # (B, T, N)
        logits = self.readout(h)  # (B, T, V)
        return logits, state

    @renamed_arguments(codes="token_ids")
    def loss(self, token_ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per character, from a zero state."""
        logits, _ = self(token_ids)  # (B, T, V)
        return mg.cross_entropy(logits, targets)

    def decoder(self) -> "CharacterDecoder":
        """Logits of the next character; the state is that of the recurrent network."""
        return CharacterDecoder(self)


@dataclass(frozen=True)
class CharacterDecoder:
    """Reads one character after the other and carries the recurrent state."""

    model: CharacterModel

    def begin(self, token_ids: np.ndarray[Any, Any], state: Any = None) -> tuple[Any, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        with reading(self.model):
            logits, state = self.model(token_ids, state)
        return logits.numpy()[:, -1], state  # (B, V)

    def advance(self, token_ids: np.ndarray[Any, Any], state: Any) -> tuple[Any, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        return self.begin(token_ids[:, None], state)

    def reorder(self, state: Any, index: np.ndarray[Any, Any]) -> Any:
        """States are (num_layers, B, N): the second axis is the batch."""
        if isinstance(state, tuple):
            return tuple(part[:, index] for part in state)
        return state[:, index]
