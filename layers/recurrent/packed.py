"""Sequences of several lengths, padded or packed: from one form to the other.

The layers here take padded arrays and `lengths`. Packed data, as PyTorch's recurrent layers take
it, has no padding: the first steps of all sequences, then the second steps of those that have one,
and so on, the longest sequence first. All functions are differentiable.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from layers.cells.cell_checks import check_lengths
from minigrad import Tensor
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import PlainArray

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Packed sequences, with the fields of PyTorch's class of this name.

    Attributes:
        data: all steps (steps of all sequences, ...): those of one time step side by side.
        batch_sizes: how many sequences have each time step; integers (time,) that fall.
        sorted_indices: the numbers of the sequences, the longest one first; None when they were
            in this order before.
        unsorted_indices: where each sequence stands in that order; None likewise.
    """

    data: Tensor
    batch_sizes: PlainArray
    sorted_indices: PlainArray | None = None
    unsorted_indices: PlainArray | None = None


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = True,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences of several lengths in one array (batch, time, ...): batch first, unlike PyTorch's.

    Args:
        sequences: arrays or tensors (length, ...), equal but for their lengths.
        batch_first: False for (time, batch, ...).
        padding_value: fills the places beyond the lengths.
        padding_side: "right" pads the ends, as the layers here expect; "left" the beginnings.

    Raises:
        ShapeError: when there are no sequences, or their other axes differ.
        ValueError: for another side.

    >>> pad_sequence([np.array([1, 2, 3]), np.array([4])]).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    if padding_side not in ("right", "left"):
        raise ValueError(
            f'pad_sequence: padding_side must be "right" or "left", got {padding_side!r}'
        )
    given = _check_sequences("pad_sequence", sequences)
    lengths = np.array([len(sequence) for sequence in given])
    starts = np.cumsum(lengths) - lengths
    time = int(lengths.max())
    places = np.arange(time) - (time - lengths[:, None]) * (padding_side == "left")
    valid = (places >= 0) & (places < lengths[:, None])  # (batch, time)
    return _spread(
        mg.concatenate(given), starts[:, None] + places, valid, padding_value, batch_first
    )


def unpad_sequence(padded: Any, lengths: Any, batch_first: bool = True) -> list[Tensor]:
    """The sequences (length, ...) in a padded array (batch, time, ...): batch first.

    Args:
        padded: (batch, time, ...), or (time, batch, ...) with batch_first=False.
        lengths: (batch,) integers.

    Raises:
        ShapeError, DtypeError, ValueError: when the lengths do not fit.
    """
    x, counts = _padded("unpad_sequence", padded, lengths, batch_first)
    return [x[i, :length] for i, length in enumerate(counts.tolist())]


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = True, enforce_sorted: bool = True
) -> PackedSequence:
    """Packed data from a padded array (batch, time, ...): batch first, unlike PyTorch's default.

    Args:
        input: (batch, time, ...), or (time, batch, ...) with batch_first=False.
        lengths: (batch,) integers of 1 or more.
        enforce_sorted: whether the lengths must fall; with False the sequences are sorted, and
            `pad_packed_sequence` puts them back.

    Raises:
        ShapeError, DtypeError, ValueError: when the lengths do not fit.

    >>> x = np.array([[1, 2, 0], [3, 4, 5]])
    >>> packed = pack_padded_sequence(x, [2, 3], enforce_sorted=False)
    >>> packed.data.tolist(), packed.batch_sizes.tolist(), packed.sorted_indices.tolist()
    ([3, 1, 4, 2, 5], [2, 2, 1], [1, 0])
    """
    name = "pack_padded_sequence"
    x, counts = _padded(name, input, lengths, batch_first)
    if not counts.size or counts.min() < 1:
        raise ValueError(
            f"{name}: lengths must be 1 or more, since packed data cannot hold an empty sequence, "
            f"got {counts.tolist()}; the layers here take lengths of 0 beside a padded array"
        )
    if enforce_sorted and (np.diff(counts) > 0).any():
        raise ValueError(
            f"{name}: lengths must fall, got {counts.tolist()}; pass enforce_sorted=False"
        )
    order = None if enforce_sorted else np.argsort(-counts, kind="stable")
    ranked = counts if order is None else counts[order]
    active = np.arange(ranked[0])[:, None] < ranked  # (time, batch), the longest sequence first
    times, rows = np.nonzero(active)
    data = x[rows if order is None else order[rows], times]
    return PackedSequence(
        data, active.sum(axis=1), order, None if order is None else np.argsort(order)
    )


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Packed data from sequences (length, ...).

    Args:
        sequences: arrays or tensors, equal but for their lengths, of 1 or more.
        enforce_sorted: as in `pack_padded_sequence`.

    Raises:
        As `pad_sequence` and `pack_padded_sequence`.
    """
    given = _check_sequences("pack_sequence", sequences)
    lengths = [len(sequence) for sequence in given]
    return pack_padded_sequence(pad_sequence(given), lengths, enforce_sorted=enforce_sorted)


def pad_packed_sequence(
    sequence: Any,
    batch_first: bool = True,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, PlainArray]:
    """A padded array (batch, time, ...) and the lengths, from packed data: batch first.

    What the layers here take: ``x, lengths = pad_packed_sequence(packed)``, and then
    ``lstm(x, lengths=lengths)``.

    Args:
        sequence: a `PackedSequence`, PyTorch's of that name, or a tuple of its fields.
        batch_first: False for (time, batch, ...).
        padding_value: fills the places beyond the lengths.
        total_length: the number of time steps; that of the longest sequence if None.

    Returns:
        The padded array, and integers (batch,).

    Raises:
        ShapeError: when the data does not have as many steps as the batch sizes add up to.
        ValueError: when the batch sizes rise, or `total_length` is too small.
        DtypeError: when it is no packed data.
    """
    name = "pad_packed_sequence"
    data, sizes, order = _fields(name, sequence)
    time = len(sizes)
    if total_length is not None and total_length < time:
        raise ValueError(
            f"{name}: total_length must be {time} or more, the length of the longest sequence, "
            f"got {total_length}"
        )
    ranked = (sizes[:, None] > np.arange(sizes[0])).sum(axis=0)  # lengths, the longest first
    back = np.arange(sizes[0]) if order is None else np.argsort(order)
    lengths = ranked[back]
    times = np.arange(time if total_length is None else total_length)
    starts = np.zeros(len(times), np.intp)
    starts[:time] = np.cumsum(sizes) - sizes
    valid = times < lengths[:, None]  # (batch, time)
    return _spread(data, starts + back[:, None], valid, padding_value, batch_first), lengths


def unpack_sequence(packed_sequences: Any) -> list[Tensor]:
    """The sequences (length, ...) in packed data, in the order in which they were packed.

    Raises:
        As `pad_packed_sequence`.
    """
    padded, lengths = pad_packed_sequence(packed_sequences)
    return unpad_sequence(padded, lengths)


# -- what they share -------------------------------------------------------------------------------


def _spread(
    data: Tensor, places: PlainArray, valid: PlainArray, padding_value: float, batch_first: bool
) -> Tensor:
    """The steps of all sequences at their places (batch, time), and the padding value elsewhere."""
    chosen = data[np.where(valid, places, 0)]  # (batch, time, ...)
    mask = valid.reshape(valid.shape + (1,) * (chosen.ndim - 2))
    padded = mg.where(mask, chosen, np.asarray(padding_value, data.dtype))
    return padded if batch_first else padded.swapaxes(0, 1)


def _check_sequences(name: str, sequences: Any) -> list[Tensor]:
    """Sequences as tensors that differ in their lengths alone."""
    if isinstance(sequences, (Tensor, np.ndarray)) or not isinstance(sequences, Sequence):
        raise DtypeError(
            f"{name}: sequences must be a list of arrays (length, ...), got {describe(sequences)}"
        )
    given = [s if isinstance(s, Tensor) else Tensor(s) for s in sequences]
    if not given:
        raise ShapeError(f"{name}: sequences is empty")
    for i, sequence in enumerate(given):
        if not sequence.ndim or sequence.shape[1:] != given[0].shape[1:]:
            raise ShapeError(
                f"{name}: sequences must have shapes (length, ...) that are equal but for the "
                f"length, got sequences[0] {describe(given[0])} and sequences[{i}] "
                f"{describe(sequence)}"
            )
    return given


def _padded(name: str, x: Any, lengths: Any, batch_first: bool) -> tuple[Tensor, PlainArray]:
    """A padded array (batch, time, ...) as a tensor, and its lengths."""
    tensor = x if isinstance(x, Tensor) else Tensor(x)
    if tensor.ndim < 2:
        axes = "(batch, time, ...)" if batch_first else "(time, batch, ...)"
        raise ShapeError(f"{name}: the padded array must be {axes}, got {describe(tensor)}")
    tensor = tensor if batch_first else tensor.swapaxes(0, 1)
    batch, time = tensor.shape[:2]
    counts = check_lengths(name, lengths, batch, time, tensor)
    return tensor, np.full(batch, time) if counts is None else counts


def _fields(name: str, packed: Any) -> tuple[Tensor, PlainArray, PlainArray | None]:
    """Data, batch sizes and order of packed data, checked."""
    fields = packed if isinstance(packed, tuple) else ()
    data, sizes, order = (
        getattr(packed, field, fields[i] if i < len(fields) else None)
        for i, field in enumerate(PackedSequence._fields[:3])
    )
    if data is None or sizes is None:
        raise DtypeError(
            f"{name}: sequence must be a PackedSequence, or a tuple (data, batch_sizes, "
            f"sorted_indices), got {describe(packed)}"
        )
    if not isinstance(data, Tensor):
        data = Tensor(np.asarray(data))
    sizes = np.asarray(sizes)
    if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or not sizes.size:
        raise DtypeError(f"{name}: batch_sizes must be integers (time,), got {describe(sizes)}")
    if (np.diff(sizes.astype(np.int64)) > 0).any() or sizes.min() < 1:
        raise ValueError(
            f"{name}: batch_sizes must not rise and be 1 or more, got {sizes.tolist()}"
        )
    if not data.ndim or len(data) != sizes.sum():
        raise ShapeError(
            f"{name}: data must have as many steps as batch_sizes add up to, {sizes.sum()}, got "
            f"{describe(data)}"
        )
    if order is not None:
        order = np.asarray(order)
        if sorted(order.tolist()) != list(range(sizes[0])):
            raise ValueError(
                f"{name}: sorted_indices must have each of the {sizes[0]} sequences once, got "
                f"{order.tolist()}"
            )
    return data, sizes, order
