"""An encoder-decoder Transformer that turns one text into another, character by character.

Comments tell the shape of what a line gives: B pairs of texts, S source characters, T target
characters, C features of each (the width), V target characters with begin and end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from layers.base.init import normal_
from layers.base.module import Module
from layers.base.renamed import OldName
from layers.basic.embedding import Embedding
from layers.basic.linear import Linear, check_sizes
from layers.datasets import CharacterTokenizer, pad
from layers.models.configuration import Config
from layers.models.generation.decoding import Decoding, decode, reading
from layers.models.generation.targets import IGNORED, count_targets
from layers.models.saving import SavedModel
from layers.transformer.encoder_decoder import Transformer
from layers.transformer.positional import SinusoidalPositions
from minigrad import Tensor
from minigrad.core.nodes import PlainArray

__all__ = ["TranslationConfig", "TranslationModel"]


@dataclass(frozen=True)
class TranslationConfig(Config):
    """The sizes of an encoder-decoder Transformer.

    Attributes:
        source_size, target_size: the numbers of distinct characters.
        width: features of every place; even.
        num_heads: attention heads.
        encoder_layers, decoder_layers: how many layers.
        feedforward: features between the two linear layers of each.
        dropout: the probability of zero, in training.
        norm_first: normalise what goes into each part, and not the sum.
        longest: how many characters are generated at most.

    >>> TranslationConfig.preset("small", source_size=30, target_size=10).width
    64
    """

    source_size: int
    target_size: int
    width: int = 64
    num_heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    feedforward: int = 128
    dropout: float = 0.0
    norm_first: bool = True
    longest: int = 64

    UNSEEN: ClassVar[Mapping[str, int]] = {"longest": 1_000_000}
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 16, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1,
                 "feedforward": 32},
        "small": {},
        "base": {"width": 128, "encoder_layers": 3, "decoder_layers": 3, "feedforward": 512,
                 "dropout": 0.1},
    }  # fmt: skip

    def __post_init__(self) -> None:
        check_sizes(
            "TranslationConfig",
            1,
            source_size=self.source_size,
            target_size=self.target_size,
            num_heads=self.num_heads,
            encoder_layers=self.encoder_layers,
            decoder_layers=self.decoder_layers,
            feedforward=self.feedforward,
            longest=self.longest,
        )
        if self.width < 2 or self.width % 2 or self.width % self.num_heads:
            raise ValueError(
                f"TranslationConfig: width={self.width} must be even, and a multiple of "
                f"num_heads={self.num_heads}"
            )


class TranslationModel(SavedModel, Module):
    """Reads a source with masks for its padding, and writes a target (Vaswani et al. 2017).

    The encoder is a stack of layers with self-attention over the source. The decoder predicts the
    next character of the target by self-attention over those before it, and by attention to what
    the topmost encoder layer gives. Both stacks are those of `layers.Transformer`; one block is
    written out in `layers.models.gpt`. The target has two more tokens than characters: begin and
    end.

    Args:
        config: the sizes.
        source, target: which number stands for which character; needed for texts.

    Shapes: source (B, S), lengths (B,), target (B, T) -> logits (B, T, V), where V is
    target_size + 2.

    >>> letters, digits = CharacterTokenizer("abc"), CharacterTokenizer("123")
    >>> config = TranslationConfig.preset("tiny", source_size=3, target_size=3, longest=4)
    >>> model = TranslationModel(config, letters, digits)
    >>> model.translate(["ab", "c"]) == model.translate(["ab", "c"], cache=False)
    True
    """

    KIND = "encoder-decoder Transformer"
    CONFIG = TranslationConfig
    TOKENIZERS: ClassVar[Mapping[str, str]] = {
        "source": "source_size",
        "target": "target_size",
    }

    config: TranslationConfig

    def __init__(
        self,
        config: TranslationConfig,
        source: CharacterTokenizer | None = None,
        target: CharacterTokenizer | None = None,
    ) -> None:
        super().__init__()
        self.config, self.source, self.target = config, source, target
        width = config.width
        self.source_embedding = Embedding(config.source_size, width)
        self.target_embedding = Embedding(config.target_size + 2, width)
        self.positions = SinusoidalPositions(width, dropout=config.dropout)
        self.transformer = Transformer(
            width,
            config.num_heads,
            config.encoder_layers,
            config.decoder_layers,
            config.feedforward,
            config.dropout,
            norm_first=config.norm_first,
        )
        self.readout = Linear(width, config.target_size + 2)
        for embedding in (self.source_embedding, self.target_embedding):
            normal_(embedding.weight, 0.0, 0.5)  # about as large as the positions

    @property
    def begin_token_id(self) -> int:
        """The target's token before the first character."""
        return self.config.target_size

    @property
    def end_token_id(self) -> int:
        """The target's token after the last character."""
        return self.config.target_size + 1

    begin_code, end_code = OldName("begin_token_id"), OldName("end_token_id")

    def encode(self, source: Any, lengths: Any) -> Tensor:
        """Read sources: the output of the topmost encoder layer, (B, S, C).

        Args:
            source: (B, S) integers, padded.
            lengths: (B,), how many characters of each are not padding.
        """
        x = self.source_embedding(source)  # (B, S, C)
        x = self.positions(x)  # (B, S, C): plus sines and cosines of the place
        memory: Tensor = self.transformer.encoder(x, lengths=lengths)  # (B, S, C)
        return memory

    def decode(self, target: Any, memory: Tensor, lengths: Any, cache: Any = None) -> Tensor:
        """Logits for what follows each target token, (B, T, V).

        Args:
            target: (B, T) integers, beginning with `begin_token_id`.
            memory: (B, S, C), as `encode` gives it.
            lengths: (B,), of the sources.
            cache: keys and values of the target's characters before these.
        """
        before = 0 if cache is None else len(cache)
        y = self.target_embedding(target)  # (B, T, C)
        y = self.positions(y, before)  # (B, T, C)
        y = self.transformer.decoder(  # (B, T, C)
            y, memory, causal=True, memory_lengths=lengths, cache=cache
        )
        logits: Tensor = self.readout(y)  # (B, T, V)
        return logits

    def forward(self, source: Any, lengths: Any, target: Any) -> Tensor:
        """Logits for what follows each target token, all places at once (teacher forcing)."""
        memory = self.encode(source, lengths)  # (B, S, C)
        return self.decode(target, memory, lengths)  # (B, T, V)

    def loss(self, source: Any, lengths: Any, inputs: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per target character; see `batch` for the arguments."""
        logits = self(source, lengths, inputs)  # (B, T, V)
        return mg.cross_entropy(logits, targets)

    def loss_weight(self, source: Any, lengths: Any, inputs: Any, targets: Any) -> int:
        """How many characters the mean of `loss` is over: those that are not padding."""
        return count_targets(targets)

    def batch(
        self, pairs: Sequence[tuple[str, str]]
    ) -> tuple[PlainArray, PlainArray, PlainArray, PlainArray]:
        """Texts as arrays: source token ids and lengths, decoder inputs and targets, padded.

        Raises:
            ValueError: for a character that a tokenizer does not know, or a model without them.
        """
        source, target = self._tokenizers()
        token_ids, lengths = pad([source.encode(text) for text, _ in pairs])  # (B, S), (B,)
        begin, end = [self.begin_token_id], [self.end_token_id]
        written = [target.encode(text) for _, text in pairs]
        inputs, _ = pad([np.concatenate([begin, text]) for text in written])  # (B, T)
        targets, _ = pad([np.concatenate([text, end]) for text in written], IGNORED)  # (B, T)
        return token_ids, lengths, inputs, targets

    def translate(
        self,
        texts: Sequence[str],
        *,
        length: int | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        beams: int = 1,
        length_penalty: float = 1.0,
        cache: bool = True,
        generator: "np.random.Generator | None" = None,
    ) -> list[str]:
        """Translate texts, greedily unless told otherwise.

        Args:
            texts: at least one character each.
            length: how many characters at most; the configuration's `longest` if None.
            temperature, top_k, top_p, beams, length_penalty: see
            `layers.models.generation.decoding.Decoding`.
            cache: False computes everything again for each character: slower, same result.
            generator: draws; the default one if None.

        Raises:
            ValueError: for an empty text or an unknown character.
        """
        source, target = self._tokenizers()
        if not len(texts):
            return []
        for i, text in enumerate(texts):
            if not text:
                raise ValueError(f"translate: texts[{i}] is empty")
        token_ids, lengths = pad([source.encode(text) for text in texts])
        limit = self.config.longest if length is None else length
        stop = (self.end_token_id,)
        if beams > 1 and temperature == 0:
            temperature = 1.0
        how = Decoding(limit, temperature, top_k, top_p, beams, length_penalty, stop)
        with reading(self):
            decoder = TranslationDecoder(self, self.encode(token_ids, lengths), lengths)
        start = np.full((len(texts), 1), self.begin_token_id)
        written: list[list[int]] = [[] for _ in texts]
        for chosen in decode(decoder, start, how, cache=cache, generator=generator):
            for ids, token in zip(written, chosen.tolist(), strict=True):
                if 0 <= token < self.config.target_size:
                    ids.append(token)
        return [target.decode(ids) for ids in written]

    def _tokenizers(self) -> tuple[CharacterTokenizer, CharacterTokenizer]:
        if self.source is None or self.target is None:
            raise ValueError("the model has no tokenizers; pass source and target to it")
        return self.source, self.target


@dataclass(frozen=True)
class TranslationDecoder:
    """Writes targets for encoded sources; the state is keys and values, and the sources."""

    model: TranslationModel
    memory: Tensor  # (batch, source time, width)
    lengths: PlainArray  # (batch,)

    def begin(self, token_ids: PlainArray) -> tuple[PlainArray, Any]:
        """As in `decoding.Decoder`; `token_ids` has as many sequences as the sources."""
        cache = self.model.transformer.make_cache()
        memory, lengths = self._sources(len(token_ids))
        with reading(self.model):
            logits = self.model.decode(token_ids, memory, lengths, cache)
        return logits.numpy()[:, -1], (cache, memory, lengths)

    def advance(self, token_ids: PlainArray, state: Any) -> tuple[PlainArray, Any]:
        """As in `layers.models.generation.decoding.Decoder`."""
        cache, memory, lengths = state
        with reading(self.model):
            logits = self.model.decode(token_ids[:, None], memory, lengths, cache)
        return logits.numpy()[:, -1], state

    def reorder(self, state: Any, index: PlainArray) -> Any:
        """As in `layers.models.generation.decoding.Decoder`."""
        cache, memory, lengths = state
        cache.reorder(index)
        return cache, memory[index], lengths[index]

    def _sources(self, count: int) -> tuple[Tensor, PlainArray]:
        """The sources, each as often as a search without cache has candidates for it."""
        repeats = count // len(self.lengths)
        if repeats == 1:
            return self.memory, self.lengths
        index = np.repeat(np.arange(len(self.lengths)), repeats)
        return self.memory[index], self.lengths[index]
