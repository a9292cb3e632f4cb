"""Character n-grams with Witten-Bell interpolation: the count model a network has to beat."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layers.base.renamed import renamed_arguments
from layers.basic.linear import check_sizes
from layers.datasets import CharacterTokenizer
from layers.datasets.checks import as_count, as_generator, as_integers
from layers.models.configuration import Config
from layers.models.generation.writing import TextModel
from layers.models.ngram_levels import Level, read_levels
from minigrad.ops.randomness import draw_numbers

__all__ = ["NGram", "NGramConfig", "NGramModel"]


class NGram:
    """An n-gram model of a sequence of tokens, smoothed by Witten and Bell's interpolation.

    The probability of a token w after a context h of k tokens mixes what was counted with the
    probability after the context that is one token shorter::

        P_k(w | h) = (c(h w) + T(h) P_(k-1)(w | h')) / (N(h) + T(h))

    c(h w) counts w after h, N(h) counts anything after h, T(h) is the number of distinct tokens
    seen after h, and h' is h without its oldest token. The chain starts at the uniform
    distribution 1 / vocabulary_size; after a context never seen in training, the probability is
    that of the shorter one. At the start of a sequence the context is as long as the sequence.

    After Witten and Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37
    (1991); in the interpolated form of Chen and Goodman, "An empirical study of smoothing
    techniques for language modeling" (1999), section 2.4.

    Args:
        order: n, the number of tokens in a gram, at least 1: a context has n - 1 tokens.
        vocabulary_size: the number of distinct tokens; token ids are 0 to vocabulary_size - 1.

    Raises:
        TypeError: an argument is not a whole number.
        ValueError: an argument is below 1.

    >>> model = NGram(order=2, vocabulary_size=2).fit([0, 1, 0, 1, 0, 1])
    >>> model.probabilities([0]).round(3)
    array([0.125, 0.875])
    >>> model.generate(6, np.random.default_rng(0), context=[0], temperature=0.1)
    array([1, 0, 1, 0, 1, 0])
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        self.order = as_count("order", order)
        self.vocabulary_size = as_count("vocabulary_size", vocabulary_size)
        self._levels: list[Level] = []

    @renamed_arguments(codes="token_ids")
    def fit(self, token_ids: ArrayLike) -> "NGram":
        """Count the grams of a sequence, in place of what was counted before.

        Args:
            token_ids: whole numbers of shape (time,), at least one.

        Returns:
            The model itself.

        Raises:
            TypeError: the token ids are not whole numbers.
            ValueError: there are none, or one is outside the vocabulary.
        """
        token_ids = as_integers("token_ids", token_ids, self.vocabulary_size)
        if not len(token_ids):
            raise ValueError("token_ids is empty; fit the model to at least one token")
        levels: list[Level] = []
        contexts, context_count = np.zeros(len(token_ids), dtype=np.int64), 1  # the empty context
        for length in range(min(self.order, len(token_ids))):
            keys, grams, counts = np.unique(
                contexts * self.vocabulary_size + token_ids[length:],
                return_inverse=True,
                return_counts=True,
            )
            levels.append(Level.of(self.vocabulary_size, context_count, keys, counts))
            # The gram that ends at one position is the context, one token longer, of the next.
            contexts, context_count = grams[:-1], len(keys)
        self._levels = levels
        return self

    @renamed_arguments(codes="token_ids")
    def log_probabilities(self, token_ids: ArrayLike) -> NDArray[np.float64]:
        """Return the log-probability of every token given those before it.

        Args:
            token_ids: whole numbers of shape (time,).

        Returns:
            float64 of shape (time,), in nats.

        Raises:
            RuntimeError: the model was not fitted.
            TypeError: the token ids are not whole numbers.
            ValueError: a token id is outside the vocabulary.
        """
        levels = self._fitted_levels()
        token_ids = as_integers("token_ids", token_ids, self.vocabulary_size)
        probabilities = np.full(len(token_ids), 1 / self.vocabulary_size)
        contexts = np.zeros(len(token_ids), dtype=np.int64)  # -1 where the context was never seen
        for level in levels:
            seen = contexts >= 0
            index = np.where(seen, contexts, 0)
            grams = np.where(seen, level.find(index * self.vocabulary_size + token_ids), -1)
            counts = np.where(grams >= 0, level.counts[grams], 0)
            # A context at the very end of the training text was seen, yet nothing followed it.
            totals, types = np.where(seen, level.totals[index], 0), level.types[index]
            mixed = (counts + types * probabilities) / np.maximum(totals + types, 1)
            probabilities = np.where(totals > 0, mixed, probabilities)
            contexts = np.concatenate([[-1], grams])[: len(token_ids)]
        log_probabilities: NDArray[np.float64] = np.log(probabilities)
        return log_probabilities

    @renamed_arguments(codes="token_ids")
    def cross_entropy(self, token_ids: ArrayLike) -> float:
        """Return the cross-entropy: the mean negative log-probability, in nats per token.

        Args:
            token_ids: whole numbers of shape (time,), at least one.

        Raises:
            RuntimeError: the model was not fitted.
            TypeError: the token ids are not whole numbers.
            ValueError: there are none, or one is outside the vocabulary.

        >>> model = NGram(order=1, vocabulary_size=4).fit([0, 1, 2, 3])
        >>> round(model.cross_entropy([3, 1, 1]), 4) == round(math.log(4), 4)
        True
        """
        log_probabilities = self.log_probabilities(token_ids)
        if not len(log_probabilities):
            raise ValueError("token_ids is empty; measure the model on at least one token")
        return 0.0 - float(log_probabilities.mean())  # not -0.0, where all are certain

    def probabilities(self, context: ArrayLike = ()) -> NDArray[np.float64]:
        """Return the distribution of the token that follows a context.

        Args:
            context: token ids of shape (time,), possibly none; the last order - 1 of them count.

        Returns:
            float64 of shape (vocabulary_size,); all are above 0, and they sum to 1.

        Raises:
            RuntimeError: the model was not fitted.
            TypeError: the token ids are not whole numbers.
            ValueError: a token id is outside the vocabulary.
        """
        self._fitted_levels()
        return self._distribution(self._contexts_of(context))

    def generate(
        self,
        length: int,
        generator: np.random.Generator,
        *,
        context: ArrayLike = (),
        temperature: float = 1.0,
    ) -> NDArray[np.int64]:
        """Draw tokens one after the other, each from the distribution after those before it.

        Args:
            length: how many tokens to draw.
            generator: draws them.
            context: token ids that come before, of shape (time,), possibly none.
            temperature: above 0; below 1 the likely tokens become likelier, above 1 the rare ones.

        Returns:
            int64 of shape (length,), without the context.

        Raises:
            RuntimeError: the model was not fitted.
            TypeError: the token ids or the length are not whole numbers, or the generator is not a
                NumPy generator.
            ValueError: a token id is outside the vocabulary, the length is below 1, or the
                temperature not above 0.
        """
        self._fitted_levels()
        generator = as_generator(generator)
        if not 0 < temperature < math.inf:
            raise ValueError(
                f"temperature must be a finite number above 0, got {temperature!r}; "
                "use 1.0 for the model's own distribution, 0.01 for nearly always the likeliest"
            )
        contexts = self._contexts_of(context)
        result = np.empty(as_count("length", length), dtype=np.int64)
        for position in range(len(result)):
            log_weights = np.log(self._distribution(contexts)) / temperature
            cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
            threshold = draw_numbers(generator, "random", name="NGram") * cumulative[-1]
            token = int(np.searchsorted(cumulative, threshold, "right"))
            result[position] = token
            contexts = self._advance(contexts, token)
        return result

    def count_of_grams(self) -> int:
        """How many distinct grams of all lengths were counted: the numbers that the model holds."""
        return sum(len(level.counts) for level in self._levels)

    def _fitted_levels(self) -> list[Level]:
        if not self._levels:
            raise RuntimeError("the model has no counts yet; call fit(token_ids) first")
        return self._levels

    def _contexts_of(self, context: ArrayLike) -> list[int]:
        """Return, for every context length, the rank of the context that ends here, or -1."""
        tokens = as_integers("context", context, self.vocabulary_size)
        contexts = [0] + [-1] * (len(self._levels) - 1)
        for token in tokens[len(tokens) - min(len(tokens), self.order - 1) :].tolist():
            contexts = self._advance(contexts, token)
        return contexts

    def _advance(self, contexts: list[int], token: int) -> list[int]:
        """Return the contexts one token later: each grows by it, and the longest falls away."""
        longer = [
            level.find_one(context * self.vocabulary_size + token) if context >= 0 else -1
            for level, context in zip(self._levels[:-1], contexts[:-1], strict=True)
        ]
        return [0, *longer]

    def _distribution(self, contexts: list[int]) -> NDArray[np.float64]:
        """Return the distribution of the next token after contexts found by `_contexts_of`."""
        probabilities = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        for level, context in zip(self._levels, contexts, strict=True):
            if context < 0 or not level.totals[context]:
                continue
            first_key = context * self.vocabulary_size
            first, last = np.searchsorted(level.keys, [first_key, first_key + self.vocabulary_size])
            probabilities *= level.types[context]
            probabilities[level.keys[first:last] - first_key] += level.counts[first:last]
            probabilities /= level.totals[context] + level.types[context]
        return probabilities

    def __repr__(self) -> str:
        return f"NGram(order={self.order}, vocabulary_size={self.vocabulary_size})"


@dataclass(frozen=True)
class NGramConfig(Config):
    """What an n-gram model of text counts.

    Attributes:
        vocabulary_size: the number of distinct characters.
        order: n; 1 counts characters, 2 (a bigram model, of the first-order Markov kind) pairs.
    """

    vocabulary_size: int
    order: int = 5

    UNSEEN: ClassVar[Mapping[str, int]] = {"vocabulary_size": 0x110000, "order": 1_000_000}
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "unigram": {"order": 1},
        "bigram": {"order": 2},
        "trigram": {"order": 3},
        "5-gram": {"order": 5},
    }

    def __post_init__(self) -> None:
        check_sizes("NGramConfig", 1, vocabulary_size=self.vocabulary_size, order=self.order)


class NGramModel(TextModel):
    """A text model of counted n-grams, which writes, and can be saved.

    Args:
        config: the order and the number of characters.
        tokenizer: which number stands for which character; needed to generate text.

    Attributes:
        counts: the `NGram` that counts.

    >>> tokenizer = CharacterTokenizer.from_text("abcabcabc")
    >>> model = NGramModel(NGramConfig.preset("bigram", vocabulary_size=3), tokenizer)
    >>> model.fit(tokenizer.encode("abcabcabc")).complete("a", length=5)
    'bcabc'
    """

    KIND = "n-gram"
    CONFIG = NGramConfig

    config: NGramConfig

    def __init__(self, config: NGramConfig, tokenizer: CharacterTokenizer | None = None) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.counts = NGram(config.order, config.vocabulary_size)

    @renamed_arguments(codes="token_ids")
    def fit(self, token_ids: ArrayLike) -> "NGramModel":
        """Count a text; see `NGram.fit`."""
        self.counts.fit(token_ids)
        return self

    @renamed_arguments(codes="token_ids")
    def cross_entropy(self, token_ids: ArrayLike) -> float:
        """The cross-entropy in nats per character; see `NGram.cross_entropy`."""
        return self.counts.cross_entropy(token_ids)

    def parameter_count(self) -> int:
        """How many numbers the model holds: the counts of all grams that were seen."""
        return self.counts.count_of_grams()

    def decoder(self) -> "NGramDecoder":
        """Logits of the next character; the state is the contexts that end there."""
        self.counts._fitted_levels()
        return NGramDecoder(self.counts)

    def _arrays(self) -> Mapping[str, Any]:
        return {
            f"{number}.{name}": getattr(level, name)
            for number, level in enumerate(self.counts._levels)
            for name in Level.__slots__
        }

    def _take_arrays(self, arrays: Mapping[str, Any]) -> None:
        levels = read_levels(arrays, self.config.order, self.config.vocabulary_size)
        self.counts._levels = levels


@dataclass(frozen=True)
class NGramDecoder:
    """Reads one character after the other and carries the contexts."""

    counts: NGram

    def begin(self, token_ids: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[list[int]]]:
        """As in `layers.models.generation.decoding.Decoder`; the logits are log-probabilities."""
        contexts = [self.counts._contexts_of(row) for row in token_ids]
        return self._logits(contexts), contexts

    def advance(
        self, token_ids: NDArray[np.int64], state: list[list[int]]
    ) -> tuple[NDArray[np.float64], list[list[int]]]:
        """As in `layers.models.generation.decoding.Decoder`."""
        pairs = zip(state, token_ids.tolist(), strict=True)
        contexts = [self.counts._advance(before, token) for before, token in pairs]
        return self._logits(contexts), contexts

    def reorder(self, state: list[list[int]], index: NDArray[np.int64]) -> list[list[int]]:
        """As in `layers.models.generation.decoding.Decoder`."""
        return [state[place] for place in index.tolist()]

    def _logits(self, contexts: list[list[int]]) -> NDArray[np.float64]:
        return np.log(np.stack([self.counts._distribution(row) for row in contexts]))
