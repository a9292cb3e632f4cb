"""What ends a sequence: a token, or several one after the other."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from minigrad.core.nodes import PlainArray

__all__ = ["Growing", "ending", "sequences"]

Stops = tuple[tuple[int, ...], ...]


def sequences(stop: Iterable[int | Sequence[int]]) -> Stops:
    """Stops as sequences, the longest first.

    >>> sequences([3, (2, 3, 1)])
    ((2, 3, 1), (3,))
    """
    every = {tuple(np.atleast_1d(part).tolist()) for part in stop}
    return tuple(sorted(every, key=len, reverse=True))


def ending(text: Sequence[int], stops: Stops) -> int:
    """How many tokens at the end of a text are a stop; the longest one counts, and 0 is none.

    >>> ending([1, 2, 3], sequences([3, (2, 3), (1, 3)]))
    2
    """
    for stop in stops:
        if tuple(text[-len(stop) :]) == stop:
            return len(stop)
    return 0


def beginning(text: Sequence[int], stops: Stops) -> int:
    """How many tokens at the end of a text may be the beginning of a stop.

    >>> beginning([1, 2, 3], sequences([(2, 3, 4), (3, 5)]))
    2
    """
    longest = 0
    for stop in stops:
        for count in range(min(len(stop) - 1, len(text)), longest, -1):
            if tuple(text[-count:]) == stop[:count]:
                longest = count
                break
    return longest


class Growing:
    """Sequences that grow token by token, each until it ends with a stop.

    A token is given once it is known not to be part of a stop.

    Args:
        stop: tokens, and sequences of tokens.
        batch: how many sequences.

    >>> growing = Growing([(1, 2)], batch=1)
    >>> growing.add(np.array([1])), list(growing.columns())  # it may be the beginning of 1, 2
    (None, [])
    >>> growing.add(np.array([3])), [column.tolist() for column in growing.columns()]
    (None, [[1], [3]])
    """

    def __init__(self, stop: Iterable[int | Sequence[int]], batch: int) -> None:
        self.stops = sequences(stop)
        self.texts: list[list[int]] = [[] for _ in range(batch)]
        self.ended = [False] * batch
        self.given = 0  # columns

    @property
    def all_ended(self) -> bool:
        """Whether no sequence grows any more."""
        return all(self.ended)

    def add(self, chosen: PlainArray) -> None:
        """One more token for each sequence, (batch,); those that ended do not take it."""
        for row, token in enumerate(chosen.tolist()):
            if self.ended[row]:
                continue
            text = self.texts[row]
            text.append(token)
            length = ending(text, self.stops)
            if length:
                del text[-length:]
                self.ended[row] = True

    def columns(self, whole: bool = False) -> Iterator[PlainArray]:
        """The tokens that are known since the last call, each (batch,); -1 past an end.

        Args:
            whole: whether no more tokens come, so that none need to be held back.
        """
        known = max(len(text) for text in self.texts) if self.texts else 0
        if not whole:
            for text, ended in zip(self.texts, self.ended, strict=True):
                if not ended:
                    known = min(known, len(text) - beginning(text, self.stops))
        for place in range(self.given, known):
            yield np.array([text[place] if place < len(text) else -1 for text in self.texts])
        self.given = max(self.given, known)
