"""Captions for the pictures of digits."""

import operator
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

import numpy as np

from layers.datasets.checks import as_generator

DIGIT_NAMES: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip

CAPTION_TEMPLATES: Final = (
    "a {name}",
    "draw a {name}",
    "the digit {digit}",
    "number {name}",
    "{digit}",
)
"""How a digit is asked for; *a* is *an* before *eight*. A caption has at most 13 characters."""


def digit_captions(label: int) -> tuple[str, ...]:
    """Return all captions of a digit.

    Args:
        label: 0 to 9.

    Raises:
        TypeError: the label is not a whole number.
        ValueError: it is not a digit.

    >>> digit_captions(7)
    ('a seven', 'draw a seven', 'the digit 7', 'number seven', '7')
    >>> digit_captions(8)[:2]
    ('an eight', 'draw an eight')
    """
    try:
        number = operator.index(label)
    except TypeError:
        raise TypeError(
            f"label must be a whole number, got {label!r} of type {type(label).__name__}; "
            "pass an int from 0 to 9"
        ) from None
    if not 0 <= number < 10:
        raise ValueError(f"label must be a digit, got {number}; pass an int from 0 to 9")
    name, digit = DIGIT_NAMES[number], str(number)
    captions = (template.format(name=name, digit=digit) for template in CAPTION_TEMPLATES)
    return tuple(caption.replace("a eight", "an eight") for caption in captions)


def check_caption(caption: str) -> None:
    """Refuse what is no caption of a digit, as a model that learned those cannot draw it.

    Raises:
        ValueError: as said; the message names the captions, and the nearest one.

    >>> check_caption("draw a seven")
    """
    known = [known for label in range(10) for known in digit_captions(label)]
    if caption in known:
        return
    near = get_close_matches(caption.lower(), known, n=1, cutoff=0.85)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    ways = ", ".join(
        repr(template.format(name="seven", digit="7")) for template in CAPTION_TEMPLATES
    )
    raise ValueError(
        f"{caption!r} is no caption that this model learned: it draws the digits {DIGIT_NAMES[0]} "
        f"to {DIGIT_NAMES[-1]}, asked for as {ways}{hint}"
    )


def draw_captions(
    labels: Iterable[int], generator: np.random.Generator, without: Collection[str] = ()
) -> list[str]:
    """Draw one of the captions of each label.

    Args:
        labels: whole numbers, 0 to 9.
        generator: draws the captions, each with the same probability.
        without: captions to leave out.

    Raises:
        TypeError: a label is not a whole number, or the generator is not a NumPy generator.
        ValueError: a label is not a digit, or none of its captions is left.

    >>> draw_captions([7, 7], np.random.default_rng(1))
    ['the digit 7', 'the digit 7']
    >>> draw_captions([7, 7], np.random.default_rng(1), without=["the digit 7"])
    ['draw a seven', 'number seven']
    """
    generator = as_generator(generator)
    listed = [digit_captions(label) for label in labels]
    if without:
        listed = [tuple(each for each in known if each not in without) for known in listed]
        if not all(listed):
            raise ValueError("without leaves no caption of a label; leave out fewer")
    chosen = generator.integers([len(captions) for captions in listed])
    return [captions[place] for captions, place in zip(listed, chosen, strict=True)]
