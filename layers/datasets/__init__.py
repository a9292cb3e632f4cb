"""Small data sets that ship with the package, synthetic tasks, and the way to batches.

Nothing is downloaded: the files lie beside the code, with their sources (``data/SOURCES.md``) and
their licences (``data/LICENSES.md``).
"""

from layers.datasets.batching import length_batches, pad
from layers.datasets.captions import (
    CAPTION_TEMPLATES,
    DIGIT_NAMES,
    digit_captions,
    draw_captions,
)
from layers.datasets.pairs import NumberWords, number_words, read_pairs, split_number_words
from layers.datasets.pronouns import (
    PRONOUN_TWINS,
    PRONOUN_VOCABULARY,
    PronounSentence,
    pronoun_sentences,
)
from layers.datasets.series import Series, read_series
from layers.datasets.shipped import digits, names, shakespeare, sunspots
from layers.datasets.tasks import (
    adding_problem,
    addition_problems,
    copy_memory,
    copy_memory_baseline,
    reversal,
    sorting,
)
from layers.datasets.text import CharacterTokenizer
from layers.datasets.text_files import read_text
from layers.datasets.windows import random_windows, split, validation_batches

__all__ = [
    "CAPTION_TEMPLATES",
    "CharacterTokenizer",
    "DIGIT_NAMES",
    "NumberWords",
    "PRONOUN_TWINS",
    "PRONOUN_VOCABULARY",
    "PronounSentence",
    "Series",
    "adding_problem",
    "addition_problems",
    "copy_memory",
    "copy_memory_baseline",
    "digit_captions",
    "digits",
    "draw_captions",
    "length_batches",
    "names",
    "number_words",
    "pad",
    "pronoun_sentences",
    "random_windows",
    "read_pairs",
    "read_series",
    "read_text",
    "reversal",
    "shakespeare",
    "sorting",
    "split",
    "split_number_words",
    "sunspots",
    "validation_batches",
]
