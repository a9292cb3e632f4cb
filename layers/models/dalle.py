"""A small DALL-E: a GPT over the characters of a caption and then the codes of a picture.

Comments tell the shape of what a line gives: B captions of L characters (caption_length), N codes
of each picture, V tokens: the characters, one that fills captions up, and the codes of the book.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.module import Module
from layers.base.renamed import OldName, renamed_arguments
from layers.basic.linear import check_sizes
from layers.datasets import CharacterTokenizer
from layers.models.configuration import Config
from layers.models.discrete_vae import DiscreteVAE, DiscreteVAEConfig
from layers.models.generation.decoding import Decoding, decode
from layers.models.generation.targets import IGNORED
from layers.models.gpt import GPT, GPTConfig, GPTDecoder
from layers.models.saving import SavedModel
from minigrad import Tensor
from minigrad.core.nodes import PlainArray

__all__ = ["DALLE", "DALLEConfig"]

CAPTION_WEIGHT = 1 / 8  # of the caption in the loss; the picture has the rest (Ramesh et al. 2021)


@dataclass(frozen=True)
class DALLEConfig(Config):
    """The sizes of a small DALL-E.

    Attributes:
        caption_size: the number of distinct characters in captions.
        caption_length: characters of a caption at most; shorter ones are filled up.
        vae: the sizes of the discrete VAE that gives the codes.
        num_layers, num_heads, width, dropout: of the GPT.

    >>> DALLEConfig.preset("digits", caption_size=20).vae.codes
    16
    """

    caption_size: int
    caption_length: int = 16
    vae: DiscreteVAEConfig = field(default_factory=DiscreteVAEConfig)
    num_layers: int = 3
    num_heads: int = 4
    width: int = 64
    dropout: float = 0.0

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "digits": {},
        "tiny": {
            "vae": DiscreteVAEConfig.preset("tiny"),
            "num_layers": 1,
            "num_heads": 2,
            "width": 16,
        },
    }

    def __post_init__(self) -> None:
        check_sizes(
            "DALLEConfig", 1, caption_size=self.caption_size, caption_length=self.caption_length
        )

    @property
    def gpt(self) -> GPTConfig:
        """The GPT's sizes: its tokens are characters, a filler and the codes of the book."""
        return GPTConfig(
            self.caption_size + 1 + self.vae.book_size,
            self.caption_length + self.vae.codes - 1,
            self.num_layers,
            self.num_heads,
            self.width,
            self.dropout,
        )


class DALLE(SavedModel, Module):
    """Draws the picture of a caption (Ramesh et al. 2021, in small).

    A discrete VAE, trained first, turns every picture into a few codes. The GPT then learns the
    sequences of caption and codes, and continues a caption with codes that the VAE decodes.

    Args:
        config: the sizes.
        tokenizer: which number stands for which character of captions; needed to draw.
        vae: a trained one; a new one if None.

    >>> tokenizer = CharacterTokenizer("a bdefghinorstuvwxz")
    >>> config = DALLEConfig.preset("tiny", caption_size=len(tokenizer), caption_length=8)
    >>> model = DALLE(config, tokenizer)
    >>> model.generate(["a seven", "a two"]).shape
    (2, 8, 8)
    """

    KIND = "DALL-E"
    CONFIG = DALLEConfig
    TOKENIZERS: ClassVar[Mapping[str, str]] = {"tokenizer": "caption_size"}

    config: DALLEConfig

    def __init__(
        self,
        config: DALLEConfig,
        tokenizer: CharacterTokenizer | None = None,
        vae: DiscreteVAE | None = None,
    ) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.vae = DiscreteVAE(config.vae) if vae is None else vae
        self.gpt = GPT(config.gpt)

    @property
    def filler(self) -> int:
        """The token that fills captions up."""
        return self.config.caption_size

    @property
    def first_code(self) -> int:
        """The token of the book's code 0."""
        return self.config.caption_size + 1

    def token_ids(self, captions: Sequence[str]) -> PlainArray:
        """Captions as token ids, int64 (B, L), filled up.

        Raises:
            ValueError: for an unknown character, a caption that is too long, or a model without
                tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("the model has no tokenizer; pass one to DALLE")
        filled = np.full((len(captions), self.config.caption_length), self.filler)
        for row, caption in zip(filled, captions, strict=True):
            if len(caption) > len(row):
                raise ValueError(
                    f"the caption {caption!r} has {len(caption)} characters, and the model reads "
                    f"at most caption_length={len(row)}"
                )
            row[: len(caption)] = self.tokenizer.encode(caption)
        return filled

    symbols = OldName("token_ids")

    @renamed_arguments(symbols="token_ids")
    def forward(self, token_ids: Any) -> Tensor:
        """Logits for the token that follows each of the given ones."""
        logits: Tensor = self.gpt(token_ids)
        return logits

    def loss(self, captions: Any, codes: Any) -> Tensor:
        """The weighted mean of the cross-entropies of captions and codes, in nats per place.

        Places of fillers add nothing, but are counted: so every picture counts alike, however long
        its caption is, and batches may be averaged by their numbers of pictures.

        Args:
            captions: (B, L), as `token_ids` gives them.
            codes: (B, N), as the VAE's `encode` gives them.
        """
        whole = np.concatenate([captions, codes + self.first_code], axis=1)  # (B, L + N)
        logits = self(whole[:, :-1])  # (B, L + N - 1, V)
        targets, border = whole[:, 1:], self.config.caption_length - 1  # (B, L + N - 1), L - 1
        letters = np.where(targets == self.filler, IGNORED, targets)[:, :border]  # (B, L - 1)
        each = mg.cross_entropy(logits[:, :border], letters, reduction="none")  # (B, L - 1)
        caption = each.sum() / max(each.size, 1)  # ()
        picture = mg.cross_entropy(logits[:, border:], targets[:, border:])  # () of (B, N)
        total: Tensor = CAPTION_WEIGHT * caption + (1 - CAPTION_WEIGHT) * picture
        return total

    def generate(self, captions: Sequence[str], **how: Any) -> PlainArray:
        """Pictures of captions, float32 (batch, size, size).

        Args:
            captions: what to draw.
            how: as in `stream`.
        """
        if not len(captions):
            return np.zeros((0, *2 * (self.config.vae.image_size,)), np.float32)
        codes = list(self.stream(captions, **how))
        return self.vae.decode(np.stack(codes, axis=1))

    def stream(
        self,
        captions: Sequence[str],
        *,
        temperature: float = 0.7,
        top_k: int | None = None,
        top_p: float | None = None,
        beams: int = 1,
        cache: bool = True,
        generator: "np.random.Generator | None" = None,
    ) -> Iterator[PlainArray]:
        """The codes of the pictures, place by place: each int64 (B,).

        Args:
            captions: what to draw.
            temperature, top_k, top_p, beams: see `layers.models.generation.decoding.Decoding`.
            cache: False reads all tokens again for each code: slower, with the same result.
            generator: draws; the default one if None.
        """
        if beams > 1:
            temperature = 1.0
        how = Decoding(self.config.vae.codes, temperature, top_k, top_p, beams)
        decoder = DALLEDecoder(GPTDecoder(self.gpt), self.first_code)
        prompt = self.token_ids(captions)
        for chosen in decode(decoder, prompt, how, cache=cache, generator=generator):
            yield chosen - self.first_code


@dataclass(frozen=True)
class DALLEDecoder:
    """The GPT's decoder, which may write codes of pictures alone."""

    gpt: GPTDecoder
    first_code: int

    def begin(self, token_ids: PlainArray) -> tuple[PlainArray, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        return self._codes_alone(*self.gpt.begin(token_ids))

    def advance(self, token_ids: PlainArray, state: Any) -> tuple[PlainArray, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        return self._codes_alone(*self.gpt.advance(token_ids, state))

    def reorder(self, state: Any, index: PlainArray) -> Any:
        """As in `layers.models.generation.decoding.Decoder`."""
        return self.gpt.reorder(state, index)

    def _codes_alone(self, logits: PlainArray, state: Any) -> tuple[PlainArray, Any]:
        allowed = np.arange(logits.shape[1]) >= self.first_code
        return np.where(allowed, logits, -np.inf), state
