"""Where in the sequence a place is: sinusoidal, learned and rotary positions."""

from abc import abstractmethod
from typing import Any

import numpy as np

import minigrad as mg
from layers.base.init import normal_
from layers.base.inputs import cast_input
from layers.base.module import Module, Parameter
from layers.basic.dropout import Dropout
from layers.basic.linear import blank, check_last_axis, check_sizes
from layers.transformer.attention_arguments import BATCH_FIRST
from minigrad import Tensor
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.modes import current_mode
from minigrad.core.nodes import PlainArray

__all__ = [
    "LearnedPositions",
    "RotaryPositions",
    "SinusoidalPositions",
    "sinusoidal_positions",
]


def sinusoidal_positions(
    length: int, size: int, offset: Any = 0, base: float = 10000.0, dtype: Any = None
) -> PlainArray:
    """sin and cos of position / base ** (2 i / size), in turns (Vaswani et al. 2017, section 3.5).

    Args:
        length: how many positions.
        size: the number of features, even.
        offset: the first position; or one for each sequence, (batch,).
        base: the ratio of the longest wavelength to the shortest.
        dtype: of the result; the default floating dtype if None.

    Returns:
        (length, size), or (batch, length, size) for several offsets; sines in the even features
        and cosines in the odd ones.

    Raises:
        ValueError: when the size is odd.

    >>> sinusoidal_positions(2, 4, dtype="float64").round(2).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]
    """
    angles = _angles("sinusoidal_positions", "size", length, size, offset, base)
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (..., length, size / 2, 2)
    chosen = current_mode().dtype if dtype is None else dtype
    return table.reshape(*angles.shape[:-1], size).astype(chosen)


def _angles(
    name: str, argument: str, length: int, size: int, offset: Any, base: float
) -> PlainArray:
    """position / base ** (2 i / size) in float64, (..., length, size / 2)."""
    check_sizes(name, least=2, **{argument: size})
    if size % 2:
        raise ValueError(f"{name}: {argument} must be even, got {size}")
    frequencies = base ** (-np.arange(0, size, 2) / size)
    angles: PlainArray = positions(name, length, offset)[..., None] * frequencies
    return angles


def positions(name: str, length: int, offset: Any) -> PlainArray:
    """The positions of the places, (length,), or (batch, length) for several offsets.

    Raises:
        DtypeError: when an offset is not an integer.
        ValueError: when one is negative.
        ShapeError: when they have more than one axis.
    """
    first = offset if isinstance(offset, np.ndarray) else np.asarray(offset)
    if first.dtype.kind not in "iu":
        raise DtypeError(f"{name}: offset must be an integer or several, got {describe(offset)}")
    if first.ndim > 1:
        raise ShapeError(f"{name}: offset must be an integer or (batch,), got {describe(first)}")
    if first.size and first.min() < 0:
        raise ValueError(f"{name}: offset must be 0 or more, got {int(first.min())}")
    places: PlainArray = first[..., None] + np.arange(length)
    return places


class _Added(Module):
    """Positions that are added to vectors; a subclass says what they are."""

    batch_first: bool
    size: int
    dropout: Dropout

    @abstractmethod
    def table(self, length: int, offset: Any) -> Any:
        """The vectors of positions, (length, size) or (batch, length, size)."""

    def table_dtype(self) -> Any:
        """The dtype of learned vectors; None when they follow that of the input."""
        return None

    def forward(self, x: Any, offset: Any = 0) -> Tensor:
        """Add the positions.

        Args:
            x: (batch, time, size), or (time, size).
            offset: the position of the first place, or of each sequence's first, (batch,); with a
                cache it is `cache.counts()`, taken before the call.
        """
        name = type(self).__name__
        x = cast_input(name, "x", x, self.table_dtype())
        check_last_axis(name, "x", x, self.size)
        if x.ndim not in (2, 3):
            raise ShapeError(
                f"{name}: x must have shape (batch, time, {self.size}) or (time, {self.size}), got "
                f"{describe(x)}. {BATCH_FIRST}"
            )
        time_axis = 1 if x.ndim == 3 and self.batch_first else 0
        if np.ndim(offset) and (x.ndim == 2 or len(offset) != x.shape[1 - time_axis]):
            raise ShapeError(
                f"{name}: offset must be an integer, or one for each sequence of x {describe(x)}, "
                f"got {describe(np.asarray(offset))}. {BATCH_FIRST}"
            )
        table = self.table(x.shape[time_axis], offset)
        if time_axis == 0 and x.ndim == 3:
            table = table[:, None] if table.ndim == 2 else table.swapaxes(0, 1)
        y = x + (table if isinstance(table, Tensor) else table.astype(x.dtype))
        dropped: Tensor = self.dropout(y)
        return dropped


class SinusoidalPositions(_Added):
    """Adds sines and cosines of the position to (batch, time, size): batch first.

    See `sinusoidal_positions` (Vaswani et al. 2017, section 3.5). It has no parameters, and no
    longest length.

    Args:
        size: the number of features, even.
        dropout: the probability of zero for each number of the sum, while training.
        base: the ratio of the longest wavelength to the shortest.
        batch_first: False for (time, batch, size).

    >>> SinusoidalPositions(4)(np.zeros((1, 3, 4))).shape
    (1, 3, 4)
    """

    def __init__(
        self, size: int, dropout: float = 0.0, base: float = 10000.0, batch_first: bool = True
    ) -> None:
        super().__init__()
        _angles("SinusoidalPositions", "size", 1, size, 0, base)
        self.size, self.base, self.batch_first = size, base, batch_first
        self.dropout = Dropout(dropout)

    def table(self, length: int, offset: Any) -> Any:
        """The vectors of positions."""
        return sinusoidal_positions(length, self.size, offset, self.base, np.float64)


class LearnedPositions(_Added):
    """Adds a learned vector for each position to (batch, time, size): batch first.

    Args:
        max_length: the number of positions.
        size: the number of features.
        dropout: the probability of zero for each number of the sum, while training.
        batch_first: False for (time, batch, size).

    The parameter weight (max_length, size) is drawn from N(0, 0.02^2).

    Raises:
        ShapeError: when a sequence goes beyond the last position.
    """

    def __init__(
        self, max_length: int, size: int, dropout: float = 0.0, batch_first: bool = True
    ) -> None:
        super().__init__()
        check_sizes("LearnedPositions", least=1, max_length=max_length, size=size)
        self.max_length, self.size, self.batch_first = max_length, size, batch_first
        self.weight = Parameter(blank(self, "weight", max_length, size))
        self.dropout = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self, generator: "np.random.Generator | None" = None) -> None:
        """Draw the vectors again, from N(0, 0.02^2)."""
        normal_(self.weight, 0.0, 0.02, generator)

    def table_dtype(self) -> Any:
        """The dtype of the learned vectors."""
        return self.weight.dtype

    def table(self, length: int, offset: Any) -> Any:
        """The vectors of positions."""
        places = positions("LearnedPositions", length, offset)
        if places.size and places.max() >= self.max_length:
            raise ShapeError(
                f"LearnedPositions: position {places.max()} is beyond max_length="
                f"{self.max_length}: {length} time steps from offset {describe(offset)}. Cut the "
                "sequence, or use SinusoidalPositions or RotaryPositions, which have no end."
            )
        if places.ndim == 1 and length:
            return self.weight[int(places[0]) : int(places[0]) + length]
        return mg.embedding(self.weight, places)


class RotaryPositions(Module):
    """Turns pairs of features by angles that grow with the position (Su et al. 2021).

    The product of a turned query and a turned key depends on the distance of their positions
    alone. Given to an attention layer as `rotary=`, it turns the queries and keys of each head.

    Args:
        size: the number of features, even; of one head, in attention.
        base: the ratio of the slowest wavelength to the fastest.
        interleaved: pair features 0 and 1, 2 and 3, as in the paper; False pairs each feature of
            the first half with the one of the second half, as in GPT-NeoX and Llama.

    >>> turn = RotaryPositions(2)
    >>> turn(np.array([[1.0, 0.0], [1.0, 0.0]])).numpy().round(2).tolist()
    [[1.0, 0.0], [0.54, 0.84]]
    """

    def __init__(self, size: int, base: float = 10000.0, interleaved: bool = True) -> None:
        super().__init__()
        _angles("RotaryPositions", "size", 1, size, 0, base)
        self.size, self.base, self.interleaved = size, base, interleaved

    def forward(self, x: Any, offset: Any = 0) -> Tensor:
        """Turn vectors (..., time, size), the first of them standing at the position `offset`.

        With several offsets, (batch,), the vectors are (batch, ..., time, size).
        """
        x = cast_input("RotaryPositions", "x", x)
        check_last_axis("RotaryPositions", "x", x, self.size)
        if x.ndim < 2 or (np.ndim(offset) and (x.ndim < 3 or len(offset) != len(x))):
            raise ShapeError(
                f"RotaryPositions: x must have shape (..., time, {self.size}), and (batch, ..., "
                f"time, {self.size}) with one offset for each sequence, got {describe(x)} and "
                f"offset {describe(np.asarray(offset))}"
            )
        angles = _angles("RotaryPositions", "size", x.shape[-2], self.size, offset, self.base)
        if angles.ndim == 3:
            angles = angles.reshape(len(angles), *(1,) * (x.ndim - 3), *angles.shape[1:])
        cosine, sine = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
        half = self.size // 2
        if self.interleaved:
            first, second = x[..., ::2], x[..., 1::2]
        else:
            first, second = x[..., :half], x[..., half:]
        turned = first * cosine - second * sine, first * sine + second * cosine
        if self.interleaved:
            return mg.stack(list(turned), axis=-1).reshape(x.shape)
        return mg.concatenate(list(turned), axis=-1)
