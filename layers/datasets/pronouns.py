"""Sentences in which *it* can stand for two nouns, and only the last word tells for which."""

import itertools
import numbers
from typing import Final, NamedTuple

import numpy as np

from minigrad.restoring import new_generator

__all__ = ["PRONOUN_TWINS", "PRONOUN_VOCABULARY", "PronounSentence", "pronoun_sentences"]

ANIMALS: Final = ("animal", "bear", "cat", "cow", "dog", "donkey", "fox", "goat", "horse", "sheep")
WAYS: Final = (
    "alley",
    "avenue",
    "bridge",
    "highway",
    "lane",
    "path",
    "road",
    "slope",
    "street",
    "track",
)
OF_ANIMALS: Final = ("frightened", "hungry", "lazy", "shy", "sleepy", "thirsty", "tired", "weak")
"""What an animal can be, and a way cannot."""
OF_WAYS: Final = ("bumpy", "crowded", "icy", "muddy", "narrow", "slippery", "steep", "wide")
"""What a way can be; of an animal one would not give it as the reason."""
ANIMAL_FIRST: Final = ("cross", "enter", "follow", "leave", "take", "use")
"""Verbs of "the animal didn't ... the street"."""
WAY_FIRST: Final = ("attract", "interest", "please", "suit", "tempt", "tire")
"""Verbs of "the street didn't ... the animal"."""
ALWAYS_HELD_OUT: Final = ("animal", "street")
"""The pair of nouns of the example that is known from the Transformer."""

PRONOUN_VOCABULARY: Final = tuple(
    sorted(
        {"the", "didn't", "because", "it", "was", "too"}.union(
            ANIMALS, WAYS, OF_ANIMALS, OF_WAYS, ANIMAL_FIRST, WAY_FIRST
        )
    )
)
"""All words of the sentences, sorted; the token id of a word is its place here."""


class PronounSentence(NamedTuple):
    """A sentence with a pronoun, and what the pronoun stands for.

    Attributes:
        words: of the sentence, eleven of them, in lower case.
        pronoun: the place of "it".
        referent: the place of the noun that it stands for.
        other: the place of the other noun.
    """

    words: tuple[str, ...]
    pronoun: int
    referent: int
    other: int

    @property
    def answer(self) -> str:
        """The noun that "it" stands for."""
        return self.words[self.referent]

    @property
    def token_ids(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """The words as places in `PRONOUN_VOCABULARY`, int64 (11,)."""
        return np.array([PRONOUN_VOCABULARY.index(word) for word in self.words], np.int64)


def pronoun_sentences(
    held_out: float = 0.2, *, seed: int = 0
) -> tuple[list[PronounSentence], list[PronounSentence]]:
    """All 19,200 sentences like "the animal didn't cross the street because it was too tired".

    An animal and a way are named, in either order, and the last word fits one of them: "tired" the
    animal, "wide" the street. So a sentence has a twin that differs from it in the last word alone
    and is read the other way. In one half of the sentences *it* stands for the first noun, in one
    half for the second, and in one half for the animal: to give always the same one of them is
    right half of the time.

    Args:
        held_out: the share of the pairs of animal and way that are held out, between 0 and 1, with
            all sentences about them. The pair "animal" and "street" is always one of them.
        seed: of the choice of the pairs.

    Returns:
        ``(training, held_out)``, each with as many sentences of either reading.

    Raises:
        TypeError: the share is not a number.
        ValueError: the share is not between 0 and 1.

    Source: the example of Uszkoreit (2017), "Transformer: a novel neural network architecture for
    language understanding"; the kind of test is that of Levesque, Davis and Morgenstern (2012).

    >>> training, test = pronoun_sentences()
    >>> tired, wide = PRONOUN_TWINS
    >>> " ".join(wide.words), wide.answer
    ("the animal didn't cross the street because it was too wide", 'street')
    >>> tired.answer, tired in test, wide in test
    ('animal', True, True)
    """
    if not isinstance(held_out, numbers.Real) or isinstance(held_out, bool):
        raise TypeError(
            f"held_out must be a number, got {held_out!r} of type {type(held_out).__name__}; "
            "write 20 % as held_out=0.2"
        )
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out must lie between 0 and 1, got {held_out!r}; write 20 % as held_out=0.2"
        )
    pairs = list(itertools.product(ANIMALS, WAYS))
    count = min(max(1, round(held_out * len(pairs))), len(pairs) - 1)
    drawn = new_generator(seed).permutation(len(pairs)).tolist()
    known = pairs.index(ALWAYS_HELD_OUT)
    apart = {known, *[place for place in drawn if place != known][: count - 1]}
    parts: tuple[list[PronounSentence], list[PronounSentence]] = [], []
    for place, (animal, way) in enumerate(pairs):
        parts[place in apart].extend(_sentences_about(animal, way))
    return parts


def _sentences_about(animal: str, way: str) -> list[PronounSentence]:
    """All sentences about a pair of nouns, which stand at places 1 and 5."""
    sentences = []
    for subject, thing, verbs in ((animal, way, ANIMAL_FIRST), (way, animal, WAY_FIRST)):
        for verb, adjective in itertools.product(verbs, (*OF_ANIMALS, *OF_WAYS)):
            text = f"the {subject} didn't {verb} the {thing} because it was too {adjective}"
            first = (adjective in OF_ANIMALS) == (subject == animal)
            referent, other = (1, 5) if first else (5, 1)
            sentences.append(PronounSentence(tuple(text.split()), 7, referent, other))
    return sentences


PRONOUN_TWINS: Final = tuple(
    sentence
    for sentence in _sentences_about(*ALWAYS_HELD_OUT)
    if sentence.words[3] == "cross" and sentence.words[-1] in ("tired", "wide")
)
"""The known example in both readings, which is always held out."""
