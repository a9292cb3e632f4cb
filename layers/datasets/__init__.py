"""Small data sets that ship with the package, and the way from a text to batches.

Nothing is downloaded: the files lie beside the code, with their sources (``data/SOURCES.md``) and
their licences (``data/LICENSES.md``).
"""

from layers.datasets.shipped import digits, names, shakespeare, sunspots
from layers.datasets.text import CharacterTokenizer, read_text
from layers.datasets.windows import random_windows, split, validation_batches

__all__ = [
    "CharacterTokenizer",
    "digits",
    "names",
    "random_windows",
    "read_text",
    "shakespeare",
    "split",
    "sunspots",
    "validation_batches",
]
