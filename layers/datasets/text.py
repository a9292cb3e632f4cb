"""Texts as numbers: a tokenizer that gives every character a token id."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from layers.base.renamed import renamed_arguments
from layers.datasets.checks import as_integers


def _code_points(text: str) -> NDArray[np.uint32]:
    """Return the Unicode code point of every character, without a Python loop."""
    # Lone surrogates are allowed: they are valid in a Python string, and the tokenizer need not
    # judge them.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32)


class CharacterTokenizer:
    """Give every distinct character of a text a token id, and turn ids back into text.

    Args:
        characters: the vocabulary; the token id of a character is its position in this string.

    Attributes:
        characters: the vocabulary, as given.

    Raises:
        TypeError: the characters are not a string.
        ValueError: there are none, or one stands there twice.

    >>> tokenizer = CharacterTokenizer.from_text("banana")
    >>> tokenizer.characters, len(tokenizer)
    ('abn', 3)
    >>> tokenizer.encode("nab")
    array([2, 0, 1])
    >>> tokenizer.decode([1, 0, 2])
    'ban'
    """

    __slots__ = ("_id_of_rank", "_points", "_sorted_points", "characters")

    def __init__(self, characters: str) -> None:
        if not isinstance(characters, str):
            raise TypeError(
                f"characters must be a string, got {type(characters).__name__}; "
                "join them first: ''.join(characters)"
            )
        if not characters:
            raise ValueError(
                "characters is empty; pass at least one, or a text to CharacterTokenizer.from_text"
            )
        if len(set(characters)) < len(characters):
            twice = Counter(characters).most_common(1)[0][0]
            raise ValueError(
                f"characters has {twice!r} twice, so its token id would be ambiguous; "
                "build the tokenizer of a text with CharacterTokenizer.from_text(text)"
            )
        self.characters = characters
        self._points = _code_points(characters)  # (vocabulary,)
        self._id_of_rank = np.argsort(self._points).astype(np.int64)
        self._sorted_points = self._points[self._id_of_rank]

    @classmethod
    def from_text(cls, text: str) -> "CharacterTokenizer":
        """Build the tokenizer of the distinct characters of ``text``, sorted by code point.

        Raises:
            TypeError: the text is not a string.
            ValueError: the text is empty.

        >>> len(CharacterTokenizer.from_text("to be or not to be"))
        7
        """
        if not isinstance(text, str):
            raise TypeError(
                f"text must be a string, got {type(text).__name__}; "
                "join a list of texts first: ''.join(texts)"
            )
        if not text:
            raise ValueError("text is empty; pass a text with at least one character")
        return cls("".join(sorted(set(text))))

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the token ids of ``text``: int64 of shape (len(text),).

        Raises:
            TypeError: the text is not a string.
            ValueError: a character is not in the vocabulary; the message names it and its position.

        >>> CharacterTokenizer("ab").encode("abba")
        array([0, 1, 1, 0])
        """
        if not isinstance(text, str):
            raise TypeError(
                f"text must be a string, got {type(text).__name__}; encode one string at a time"
            )
        points = _code_points(text)
        ranks = np.searchsorted(self._sorted_points, points)
        ranks[ranks == len(self)] = 0  # past the last character: the comparison below refuses it
        unknown = self._sorted_points[ranks] != points
        if unknown.any():
            position = int(unknown.argmax())
            character = text[position]
            raise ValueError(
                f"text[{position}] is {character!r} (U+{ord(character):04X}), which is not among "
                f"the {len(self)} characters of this tokenizer; replace it first, "
                f"text.replace({character!r}, ' '), or build the tokenizer from a text that has "
                "it, CharacterTokenizer.from_text(text)"
            )
        return self._id_of_rank[ranks]

    @renamed_arguments(codes="token_ids")
    def decode(self, token_ids: ArrayLike) -> str:
        """Return the text of ``token_ids``, whole numbers of shape (time,).

        Raises:
            TypeError: the token ids are not whole numbers.
            ValueError: there is not exactly one axis, or an id is not in the vocabulary.

        >>> CharacterTokenizer("ab").decode([0, 1, 1, 0])
        'abba'
        """
        points = self._points[as_integers("token_ids", token_ids, len(self))]
        return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def to_dict(self) -> dict[str, str]:
        """Return a dictionary for JSON, from which `from_dict` builds an equal tokenizer.

        >>> CharacterTokenizer("ab").to_dict()
        {'characters': 'ab'}
        """
        return {"characters": self.characters}

    @classmethod
    def from_dict(cls, data: object) -> "CharacterTokenizer":
        """Build the tokenizer that `to_dict` described.

        Raises:
            TypeError: there is no dictionary, or the characters are not a string.
            ValueError: there are no characters under that name, or there is something else; there
                are none, or one stands there twice.

        >>> CharacterTokenizer.from_dict({"characters": "ab"})
        CharacterTokenizer('ab')
        """
        if not isinstance(data, Mapping):
            raise TypeError(
                f"data must be a dictionary, got {type(data).__name__}; "
                "pass what CharacterTokenizer.to_dict() returned"
            )
        if set(data) != {"characters"}:
            raise ValueError(
                f"data must have 'characters' and nothing else, got {list(data)[:10]}; "
                "pass what CharacterTokenizer.to_dict() returned"
            )
        characters = data["characters"]
        if not isinstance(characters, str):
            raise TypeError(
                f"data['characters'] must be a string, got {type(characters).__name__}; "
                "pass what CharacterTokenizer.to_dict() returned"
            )
        return cls(characters)

    def __len__(self) -> int:
        return len(self.characters)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CharacterTokenizer):
            return NotImplemented
        return self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"CharacterTokenizer({self.characters!r})"
