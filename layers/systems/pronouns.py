"""A small model that finds out which noun *it* stands for, and shows where it looked."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import minigrad as mg
from layers.base.init import normal_
from layers.base.module import Module
from layers.basic.embedding import Embedding
from layers.datasets import (
    PRONOUN_TWINS,
    PRONOUN_VOCABULARY,
    PronounSentence,
    pronoun_sentences,
)
from layers.systems.results import Figure, Setting, at_least, noted
from layers.systems.whole_runs import fit
from layers.training import History, ShuffledBatches, TrainingOptions
from layers.transformer.attention import AttentionSteps, MultiheadAttention, attention_steps
from layers.transformer.encoder_decoder import TransformerEncoder
from layers.transformer.positional import SinusoidalPositions
from layers.transformer.transformer_layers import TransformerEncoderLayer
from minigrad import Tensor
from minigrad.core.nodes import PlainArray
from minigrad.draw import attention_map

__all__ = ["PronounModel", "learn_pronouns", "pronoun_figures"]

STEPS: Final = 300
BATCH: Final = 64
PRONOUN: Final = PRONOUN_VOCABULARY.index("it")


class PronounModel(Module):
    """Names the noun that *it* stands for, from a sentence of `pronoun_sentences`.

    One layer of an encoder lets the words read each other: a noun learns which word ends the
    sentence, and *it* does. Then comes self-attention of one head, whose queries and keys are made
    from what the layer gave, and whose values are made from the bare words. Its output at *it* is
    compared with the embedding of every word. So the model can name a noun only by looking at its
    place: nothing but the weights chooses between the two. That they fall on the noun is not part
    of the loss.

    Args:
        width: features of a word; even.
        num_heads: of the encoder's layer.

    Shapes: token_ids (batch, time) -> logits (batch, words of `PRONOUN_VOCABULARY`).

    Source: Vaswani et al. (2017), section 3; read out with the embedding's own weights, as in their
    section 3.4.

    >>> model, (first, *_) = PronounModel(), pronoun_sentences()[1]
    >>> model(first.token_ids[None]).shape, model.steps(first.token_ids[None]).weights.shape
    ((1, 54), (1, 1, 11, 11))
    """

    def __init__(self, width: int = 32, num_heads: int = 2) -> None:
        super().__init__()
        self.embedding = Embedding(len(PRONOUN_VOCABULARY), width)
        normal_(self.embedding.weight)
        self.positions = SinusoidalPositions(width)
        self.encoder = TransformerEncoder(
            lambda: TransformerEncoderLayer(width, num_heads, 2 * width, 0.0), 1
        )
        self.attention = MultiheadAttention(width, 1)

    def steps(self, token_ids: Any) -> AttentionSteps:
        """Every intermediate of the last self-attention, by name.

        Args:
            token_ids: (batch, time).
        """
        words = self.embedding(token_ids)  # (batch, time, width)
        x = self.encoder(self.positions(words))  # (batch, time, width)
        return attention_steps(self.attention, x, x, words)

    def forward(self, token_ids: Any) -> Tensor:
        """Logits over the vocabulary: how likely each word is what *it* stands for."""
        token_ids = np.asarray(token_ids)
        place = (token_ids == PRONOUN).argmax(axis=1)  # (batch,)
        output = self.steps(token_ids).output[np.arange(len(token_ids)), place]  # (batch, width)
        logits: Tensor = output @ self.embedding.weight.T
        return logits

    def loss(self, token_ids: Any, targets: Any) -> Tensor:
        """The mean cross-entropy in nats per sentence."""
        return mg.cross_entropy(self(token_ids), targets)

    def resolve(self, sentences: Sequence[PronounSentence]) -> list[str]:
        """The likeliest noun for the pronoun of each sentence."""
        with mg.no_grad():
            best = self(token_ids_of(sentences)).numpy().argmax(axis=1)
        return [PRONOUN_VOCABULARY[token_id] for token_id in best]

    def share_right(self, sentences: Sequence[PronounSentence]) -> float:
        """The share of sentences whose noun it names."""
        pairs = zip(self.resolve(sentences), sentences, strict=True)
        return float(np.mean([found == sentence.answer for found, sentence in pairs]))

    def looks(self, sentences: Sequence[PronounSentence]) -> PlainArray:
        """The weights with which *it* looks at every word, (sentences, words)."""
        with mg.no_grad():
            weights: PlainArray = self.steps(token_ids_of(sentences)).weights.numpy()
        places = [sentence.pronoun for sentence in sentences]
        looks: PlainArray = weights[np.arange(len(sentences)), 0, places]
        return looks


def token_ids_of(sentences: Sequence[PronounSentence]) -> PlainArray:
    """The token ids of sentences that are equally long, (sentences, words)."""
    return np.stack([sentence.token_ids for sentence in sentences])


def learn_pronouns(
    sentences: Sequence[PronounSentence], steps: int = STEPS, seed: int = 0, progress: bool = False
) -> tuple[PronounModel, History]:
    """Train a model to name what *it* stands for.

    Args:
        sentences: to learn from.
        steps: of training, with 64 sentences each.
        seed: of weights and batches.
        progress: whether to show a bar.

    >>> training, _ = pronoun_sentences()
    >>> model, history = learn_pronouns(training, steps=2)
    >>> history.step
    2
    """
    mg.seed(seed)
    model = PronounModel()
    targets = [PRONOUN_VOCABULARY.index(sentence.answer) for sentence in sentences]
    history = fit(
        model,
        ShuffledBatches([token_ids_of(sentences), np.array(targets)], BATCH),
        TrainingOptions(steps=steps, rate=5e-3, warmup=20, weight_decay=0.1, seed=seed),
        progress=progress,
    )
    return model, history


def pronoun_figures(setting: Setting) -> list[Figure]:
    """What the model gets right of sentences about nouns that it never saw together."""
    training, held_out = pronoun_sentences(seed=setting.seed)
    steps = setting.steps(STEPS)
    model, history = learn_pronouns(training, steps, setting.seed, setting.progress)
    figures = []
    for name, place in (("first", 1), ("second", 5)):
        part = [sentence for sentence in held_out if sentence.referent == place]
        figures.append(
            at_least(f"it, share of {len(part)} held-out sentences about the {name} noun",
                     model.share_right(part), 0.95, "always the first noun: 0.5")
        )  # fmt: skip
    looks = model.looks(held_out)
    nouns = np.array([sentence.referent for sentence in held_out])
    weights = model.looks(PRONOUN_TWINS)
    setting.picture(
        "pronouns.svg",
        "where it looks in two sentences that differ in one word",
        lambda path: attention_map(
            weights,
            [f"it ({sentence.words[-1]})" for sentence in PRONOUN_TWINS],
            [*PRONOUN_TWINS[0].words[:-1], "tired / wide"],
            title="The animal didn't cross the street because it was too ...",
        ).save(path),
    )
    return [
        *figures,
        at_least("it looks most at the noun that it stands for, share of held-out sentences",
                 float((looks.argmax(axis=1) == nouns).mean()), 0.9),
        noted("seconds of training on the sentences", history.seconds),
    ]  # fmt: skip
