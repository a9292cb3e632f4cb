"""A character language model: embedding, LSTM, linear read-out."""

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from layers.datasets import CharacterTokenizer
from layers.embedding import Embedding
from layers.linear import Linear
from layers.module import Module
from layers.recurrent import LSTM
from minigrad import Tensor, serialize
from minigrad.errors import ShapeError

__all__ = ["CharacterConfig", "CharacterModel"]

State = tuple[Tensor, Tensor]

KIND = "character language model"


@dataclass(frozen=True)
class CharacterConfig:
    """The sizes of a character language model.

    Attributes:
        vocabulary_size: the number of distinct characters.
        embedding_size: features of a character.
        hidden_size: features of the LSTM's states.
        num_layers: LSTM layers.
    """

    vocabulary_size: int
    embedding_size: int = 64
    hidden_size: int = 128
    num_layers: int = 1


class CharacterModel(Module):
    """Predicts the next character from all before it.

    Args:
        config: the sizes.
        tokenizer: which number stands for which character; needed to generate text.

    Shapes: codes (batch, time) -> scores (batch, time, vocabulary_size).

    >>> tokenizer = CharacterTokenizer.from_text("to be or not to be")
    >>> model = CharacterModel(CharacterConfig(len(tokenizer), hidden_size=8), tokenizer)
    >>> scores, state = model(tokenizer.encode("to be")[None])
    >>> scores.shape
    (1, 5, 7)
    """

    def __init__(
        self, config: CharacterConfig, tokenizer: CharacterTokenizer | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.embedding = Embedding(config.vocabulary_size, config.embedding_size)
        self.lstm = LSTM(config.embedding_size, config.hidden_size, config.num_layers)
        self.readout = Linear(config.hidden_size, config.vocabulary_size)

    def forward(self, codes: Any, state: State | None = None) -> tuple[Tensor, State]:
        """Scores for the character that follows each of the given ones, and the LSTM's state."""
        x = self.embedding(codes)  # (batch, time, embedding_size)
        output, state = self.lstm(x, state)  # (batch, time, hidden_size)
        return self.readout(output), state  # (batch, time, vocabulary_size)

    def loss(self, codes: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per character, from a zero state."""
        scores, _ = self(codes)
        return mg.cross_entropy(scores, targets)

    def generate(
        self,
        prompt: str = "\n",
        length: int = 300,
        temperature: float = 1.0,
        generator: "np.random.Generator | None" = None,
    ) -> Iterator[str]:
        """Characters that go on from the prompt, one by one.

        Args:
            prompt: what to continue; at least one character.
            length: how many characters to draw.
            temperature: divides the scores; below 1 bolder, 0 always the likeliest character.
            generator: the source of randomness.

        Raises:
            ValueError: for an empty prompt, an unknown character or a negative temperature.
        """
        if self.tokenizer is None:
            raise ValueError("generate: the model has no tokenizer; pass one to CharacterModel")
        if not prompt:
            raise ValueError('generate: prompt is empty; "\\n" starts a new line')
        if temperature < 0:
            raise ValueError(f"generate: temperature must be 0 or more, got {temperature}")
        draw = np.random.default_rng() if generator is None else generator
        codes = self.tokenizer.encode(prompt)
        state: State | None = None
        for _ in range(length):
            # Inside the loop, so that no block is held open while the caller has the character.
            with mg.no_grad():
                scores, state = self(codes[None], state)
            last = scores.numpy()[0, -1].astype(np.float64)
            if temperature == 0:
                code = int(last.argmax())
            else:
                weights = np.exp((last - last.max()) / temperature)
                code = int(draw.choice(len(last), p=weights / weights.sum()))
            codes = np.array([code])
            yield self.tokenizer.decode(codes)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors into a folder, made when missing."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        content = {"kind": KIND, "config": dataclasses.asdict(self.config)}
        if self.tokenizer is not None:
            content["tokenizer"] = self.tokenizer.to_dict()
        text = json.dumps(content, indent=2, ensure_ascii=True) + "\n"
        serialize.save(path / "model.safetensors", self.state_dict(), {"kind": KIND})
        serialize.write_atomically(
            path / "config.json", lambda temporary: temporary.write_text(text, encoding="utf-8")
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "CharacterModel":
        """The model that `save` wrote into a folder.

        Raises:
            FileNotFoundError: when there is no such folder or file.
            ValueError: when the folder holds another kind of model, or damaged files.
        """
        path = Path(folder)
        config_file = path / "config.json"
        if not config_file.is_file():
            raise FileNotFoundError(
                f"there is no model in {os.fspath(folder)!r}: config.json is missing. "
                "`minigrad demo` and `minigrad train` write one."
            )
        try:
            content = json.loads(config_file.read_text(encoding="utf-8"))
            kind = content["kind"]
            config = CharacterConfig(**content["config"]) if kind == KIND else None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{config_file} is damaged: {error}") from error
        if config is None:
            raise ValueError(f"{config_file} describes a {kind!r}, not a {KIND!r}")
        tokenizer = content.get("tokenizer")
        model = cls(config, CharacterTokenizer.from_dict(tokenizer) if tokenizer else None)
        try:
            model.load_state_dict(serialize.load(path / "model.safetensors"))
        except ShapeError as error:
            raise ValueError(f"model.safetensors does not fit {config_file}: {error}") from error
        return model
