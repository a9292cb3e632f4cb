"""Pairs of texts, for models that turn one into the other: numbers in words, and your own."""

import numbers
from importlib.resources import files
from typing import NamedTuple

from layers.datasets.text_files import TextSource, read_text, source_name
from minigrad.restoring import new_generator


class NumberWords(NamedTuple):
    """A number in words.

    Attributes:
        language: its code, such as "de".
        words: the number, written out in lower case.
        digits: the number.
    """

    language: str
    words: str
    digits: str


def number_words() -> tuple[NumberWords, ...]:
    """Read numbers below 10,000 written out in English, French, German, Korean and Spanish.

    Returns:
        3,500 numbers in each language: all below 1,000, and 2,500 drawn from those above.

    Source: written by the package num2words; see ``data/SOURCES.md``.

    >>> [item for item in number_words() if item.digits == "21"][0]
    NumberWords(language='de', words='einundzwanzig', digits='21')
    """
    # Some builds of Python lack lzma; only packed data need it.
    import lzma

    packed = files("layers.datasets").joinpath("data", "number_words.tsv.xz").read_bytes()
    lines = lzma.decompress(packed).decode("utf-8").splitlines()
    return tuple(NumberWords(*line.split("\t")) for line in lines)


def split_number_words(
    held_out: float = 0.1, *, seed: int = 0
) -> tuple[list[NumberWords], list[NumberWords]]:
    """Split the numbers in words by number: one held out is not seen in any language.

    Args:
        held_out: the share of the numbers to hold out, between 0 and 1; at least one number is
            in each part.
        seed: of the choice.

    Returns:
        ``(training, held_out)``.

    Raises:
        TypeError: the share is not a number.
        ValueError: the share is not between 0 and 1.

    >>> training, test = split_number_words()
    >>> {item.digits for item in training} & {item.digits for item in test}
    set()
    """
    if not isinstance(held_out, numbers.Real):
        raise TypeError(
            f"held_out must be a number, got {held_out!r} of type {type(held_out).__name__}; "
            "write 10 % as held_out=0.1"
        )
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out must lie between 0 and 1, got {held_out!r}; write 10 % as held_out=0.1"
        )
    items = number_words()
    all_digits = sorted({item.digits for item in items}, key=int)
    count = min(max(1, round(held_out * len(all_digits))), len(all_digits) - 1)
    chosen = new_generator(seed).permutation(len(all_digits))[:count]
    apart = {all_digits[place] for place in chosen}
    training = [item for item in items if item.digits not in apart]
    return training, [item for item in items if item.digits in apart]


def read_pairs(path: TextSource, encoding: str | None = None) -> list[tuple[str, str]]:
    """Read pairs of your own: a line each, source and target with a tab between them.

    What follows a second tab is passed over when lines have it throughout, as the attribution in
    published files of sentence pairs. Of four cells with numbers in the first and the third, as
    Tatoeba exports them, the second and the fourth are the pair.

    Args:
        path: a file, or one opened for reading bytes. Empty lines are passed over, and tabs at the
            end of a line.
        encoding: as in `read_text`.

    Raises:
        FileNotFoundError, IsADirectoryError: as `read_text`.
        ValueError: the file is empty or no text, or a line is not such a pair; the message names
            the line.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "numbers.tsv")
    ...     _ = file.write_text("one\\t1\\ntwo\\t2\\n")
    ...     read_pairs(file)
    [('one', '1'), ('two', '2')]
    """
    name = source_name(path)
    lines = read_text(path, encoding).split("\n")
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip("\t")]
    if not rows:
        raise ValueError(f"{name} has no pairs; write a source, a tab and a target a line")
    # A third cell is an attribution where most lines have it, and a stray tab where few do.
    further = [any(cells[2:]) for _, cells in rows]
    attributed = 2 * sum(further) > len(rows) or len(rows) == 1
    numbered = all(
        len(cells) >= 4 and cells[0].strip().isdecimal() and cells[2].strip().isdecimal()
        for _, cells in rows
    )
    pairs = []
    for (number, cells), more in zip(rows, further, strict=True):
        shown = lines[number - 1].rstrip()[:60]
        pair = (cells[1], cells[3]) if numbered else tuple(cells[:2])
        if len(pair) != 2 or not all(pair):
            raise ValueError(
                f"{name}, line {number}: {shown!r:.80} is not a source, a tab and a target"
            )
        if more and not attributed:
            raise ValueError(
                f"{name}, line {number}: {shown!r:.80} has text after a second tab, "
                "and most lines have not; take the tab out of the source or the target"
            )
        pairs.append(pair)
    return pairs
