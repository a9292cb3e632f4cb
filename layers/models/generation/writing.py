"""What all models that write text have in common: `generate`, one character after the other."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from layers.base.renamed import renamed_arguments
from layers.datasets import CharacterTokenizer
from layers.models.generation.decoding import Decoder, Decoding, decode
from layers.models.generation.targets import count_targets
from layers.models.saving import SavedModel

__all__ = ["TextModel"]


class TextModel(SavedModel):
    """A model of text that predicts the next character from those before it.

    A subclass gives a `decoder`, and has the attribute `tokenizer`.
    """

    TOKENIZERS: ClassVar[Mapping[str, str]] = {"tokenizer": "vocabulary_size"}

    tokenizer: CharacterTokenizer | None

    @abstractmethod
    def decoder(self) -> Decoder:
        """What gives the logits of the next character."""

    @renamed_arguments(codes="token_ids")
    def loss_weight(self, token_ids: Any, targets: Any) -> int:
        """How many targets the mean of `loss` is over."""
        return count_targets(targets)

    def generate(
        self,
        prompt: str | None = None,
        length: int = 300,
        temperature: float = 1.0,
        *,
        top_k: int | None = None,
        top_p: float | None = None,
        beams: int = 1,
        length_penalty: float = 1.0,
        stop: str | Sequence[str] = "",
        cache: bool = True,
        generator: "np.random.Generator | None" = None,
    ) -> Iterator[str]:
        """Characters that go on from the prompt, one by one as they are found.

        Args:
            prompt: what to continue, at least one character; a new line if None, or, where the
                model knows none, its first character.
            length: how many characters at most.
            temperature: divides the logits; below 1 bolder, 0 always the likeliest character.
            top_k: draw from the k likeliest characters alone.
            top_p: draw from the fewest characters that have this probability together.
            beams: above 1, search for the likeliest text with so many candidates; the characters
                then come all at once.
            length_penalty: see `layers.models.generation.decoding.Decoding`.
            stop: a string that ends the text, and is not given, or several of them. What may be
                the beginning of one is held back until it is known not to be; the prompt does
                not count. Strings with unknown characters cannot occur, and are ignored.
            cache: False reads the whole text again for every character: slower, with the same
                result.
            generator: the source of randomness; the default one if None.

        Raises:
            ValueError: for an empty prompt, an unknown character, an option out of range, an empty
                string among several stops, or a model without tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(
                f"generate: the model has no tokenizer; pass one to {type(self).__name__}"
            )
        if prompt is None:
            known_characters = self.tokenizer.characters
            prompt = "\n" if "\n" in known_characters else known_characters[0]
        if not prompt:
            raise ValueError('generate: prompt is empty; "\\n" starts a new line')
        stops = [stop] if isinstance(stop, str) and stop else stop
        known = [text for text in stops if all(c in self.tokenizer.characters for c in text)]
        how = Decoding(
            length,
            temperature,
            top_k,
            top_p,
            beams,
            length_penalty,
            tuple(tuple(self.tokenizer.encode(text).tolist()) for text in known),
        )
        return self._stream(self.tokenizer, self.tokenizer.encode(prompt), how, cache, generator)

    def _stream(
        self,
        tokenizer: CharacterTokenizer,
        token_ids: np.ndarray[Any, Any],
        how: Decoding,
        cache: bool,
        generator: "np.random.Generator | None",
    ) -> Iterator[str]:
        for chosen in decode(
            self.decoder(), token_ids[None], how, cache=cache, generator=generator
        ):
            if chosen[0] < 0:
                return
            yield tokenizer.decode(chosen)

    def complete(
        self, prompt: str, length: int = 300, temperature: float = 0.0, **how: object
    ) -> str:
        """The text that follows a prompt, all at once and greedily unless told otherwise.

        Args:
            prompt, length, temperature, how: as in `generate`.
        """
        return "".join(self.generate(prompt, length, temperature, **how))  # type: ignore[arg-type]
