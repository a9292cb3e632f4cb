"""What attention layers take: masks, lengths and shapes, checked with what to write instead."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import minigrad as mg
from layers.base.inputs import check_floating
from minigrad import Tensor
from minigrad.core.errors import DtypeError, ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.ops.arguments import as_constant, refuse_pytorch_names

__all__ = [
    "BATCH_FIRST",
    "SELF_ATTENTION",
    "check_sequence",
    "clear",
    "fit_scores",
    "refuse_names",
    "valid_places",
]

BATCH_FIRST = (
    "Layers here take the batch first, unlike PyTorch's: pass batch_first=False for "
    "(time, batch, features)."
)

_POLARITY = "where True means may attend (PyTorch's polarity differs by class)"
_MASK = (
    "Write {0}mask= for booleans, "
    + _POLARITY
    + ": from this layer's mask in PyTorch, {0}mask=~{1}; and {0}bias= for numbers that are added "
    "to the scores."
)
_PADDING = (
    "Write {0}lengths= for padding at the end, or {2}mask=~{1}[:, None, :], " + _POLARITY + "."
)
_CAUSAL = "Write {0}causal=True."

SELF_ATTENTION = {
    "attn_mask": _MASK.format("", "attn_mask"),
    "src_mask": _MASK.format("", "src_mask"),
    "tgt_mask": _MASK.format("", "tgt_mask"),
    "memory_mask": _MASK.format("cross_", "memory_mask"),
    "key_padding_mask": _PADDING.format("", "key_padding_mask", ""),
    "src_key_padding_mask": _PADDING.format("", "src_key_padding_mask", ""),
    "tgt_key_padding_mask": _PADDING.format("", "tgt_key_padding_mask", ""),
    "memory_key_padding_mask": _PADDING.format("memory_", "memory_key_padding_mask", "cross_"),
    "is_causal": _CAUSAL.format(""),
    "tgt_is_causal": _CAUSAL.format(""),
    "memory_is_causal": "Write cross_mask=np.tri(target_time, memory_time, dtype=bool).",
}
"""What to write for PyTorch's names of masks, in layers with one sequence or a memory beside it."""

BOTH_SEQUENCES = {
    **SELF_ATTENTION,
    "src_mask": _MASK.format("source_", "src_mask"),
    "tgt_mask": _MASK.format("target_", "tgt_mask"),
    "src_key_padding_mask": _PADDING.format("source_", "src_key_padding_mask", "source_"),
    "tgt_key_padding_mask": _PADDING.format("target_", "tgt_key_padding_mask", "target_"),
    "memory_key_padding_mask": "Leave it out: source_lengths= hides the padding from the decoder "
    "too. For other keys write cross_mask=~memory_key_padding_mask[:, None, :], " + _POLARITY + ".",
    "src_is_causal": _CAUSAL.format("source_"),
    "tgt_is_causal": _CAUSAL.format("target_"),
    "mask": "Write source_mask=, target_mask= or cross_mask=.",
    "bias": "Write source_bias=, target_bias= or cross_bias=.",
    "causal": "Write target_causal=True, and source_causal=True for a causal encoder.",
    "lengths": "Write source_lengths= and target_lengths=.",
}
"""The same for `Transformer`, which takes masks of the source and of the target."""


def refuse_names(
    layer: str, given: Mapping[str, Any], advice: Mapping[str, str] = SELF_ATTENTION
) -> None:
    """Refuse keyword arguments that are not ours, and say what to write for PyTorch's names.

    Raises:
        TypeError: when anything was given.
    """
    refuse_pytorch_names(layer, given, advice)


def check_sequence(
    layer: str, argument: str, x: Any, features: int, batch_first: bool, batched: bool | None = None
) -> None:
    """Refuse inputs of another shape or dtype than attention takes.

    Args:
        layer: its name.
        argument: the name of the input.
        x: the input.
        features: the length of the last axis.
        batch_first: what the first two axes are.
        batched: whether there must be a batch axis; None leaves it open.

    Raises:
        ShapeError: for another number of axes or features.
        DtypeError: when it is no array, or not floating.
    """
    if not isinstance(x, (Tensor, np.ndarray)):
        raise DtypeError(f"{layer}: {argument} must be a tensor or an array, got {describe(x)}")
    with_batch = f"(batch, time, {features})" if batch_first else f"(time, batch, {features})"
    wanted = {None: f"{with_batch} or (time, {features})", True: with_batch}
    ranks = {None: (2, 3), True: (3,), False: (2,)}[batched]
    if x.ndim not in ranks or x.shape[-1] != features:
        raise ShapeError(
            f"{layer}: {argument} must have shape {wanted.get(batched, f'(time, {features})')}, "
            f"got {describe(x)}. {BATCH_FIRST}"
        )
    check_floating(layer, argument, x)


def fit_scores(layer: str, argument: str, value: Any, scores: tuple[int, int, int, int]) -> Any:
    """A mask or bias in a shape that broadcasts to the scores (batch, heads, queries, keys).

    It is given as (queries, keys), (batch, queries, keys) or (batch, heads, queries, keys).

    Raises:
        ShapeError: when it has another shape.
        DtypeError: for a mask that is not boolean, and a bias that is.
    """
    if value is None:
        return None
    if argument.endswith("mask"):
        value = as_constant(value, layer, argument)
        if value.dtype != bool:
            bias = argument.replace("mask", "bias")
            raise DtypeError(
                f"{layer}: {argument} must be boolean, True where a query may attend to a key, got "
                f"{describe(value)}. Numbers to add to the scores are given as {bias}=; 0 and 1 "
                "become booleans with astype(bool)."
            )
    else:
        value = value if isinstance(value, Tensor) else np.asarray(value)
        if value.dtype == bool:
            raise DtypeError(
                f"{layer}: {argument} must hold numbers, which are added to the scores, got "
                f"{describe(value)}. Booleans, True where a query may attend to a key, are given "
                f"as {argument.replace('bias', 'mask')}=."
            )
    batch, heads, queries, keys = scores
    fitted = value.reshape(value.shape[0], 1, *value.shape[1:]) if value.ndim == 3 else value
    try:
        if np.broadcast_shapes(fitted.shape, scores) == scores:
            return fitted
    except ValueError:
        pass
    shape, hint = tuple(value.shape), ""
    if shape == (batch, keys):
        hint = f" For one value for each key, (batch, keys), write {argument}[:, None, :]."
    elif shape == (batch * heads, queries, keys):
        hint = (
            f" PyTorch's (batch * heads, queries, keys) is {argument}.reshape({batch}, {heads}, "
            f"{queries}, {keys})."
        )
    elif shape[-2:] == (keys, queries):
        hint = f" Queries come first: {argument}.swapaxes(-1, -2)."
    elif len(shape) > 1 and shape[-2:] == (queries, queries) and keys > queries:
        hint = " With a cache the keys are all places so far, and the queries the new ones."
    raise ShapeError(
        f"{layer}: {argument} must broadcast to (queries, keys) = {scores[2:]}, to (batch, "
        f"queries, keys) = {(batch, queries, keys)} or to (batch, heads, queries, keys) = "
        f"{scores}, got {describe(value)}.{hint}"
    )


def valid_places(
    layer: str, argument: str, lengths: Any, what: str, x: Any, batch: int, time: int
) -> PlainArray | None:
    """Which places are not padding, (batch, time); None when all are valid.

    Args:
        layer: its name.
        argument: the name of the lengths.
        lengths: (batch,) integers, or one integer without a batch axis; None for no padding.
        what: the name of the padded input.
        x: the padded input, for messages.
        batch, time: its sizes.

    Raises:
        ShapeError: when there is not one length for each sequence.
        DtypeError: when they are not integers.
        ValueError: when one is negative or beyond the time steps.
    """
    if lengths is None:
        return None
    counts = as_constant(lengths, layer, argument)
    if counts.shape != (batch,) and not (counts.ndim == 0 and x.ndim == 2):
        raise ShapeError(
            f"{layer}: {argument} must have shape ({batch},), one for each sequence of {what} "
            f"{describe(x)}, got {describe(counts)}. {BATCH_FIRST}"
        )
    if counts.dtype.kind not in "iu" and counts.size:
        raise DtypeError(
            f"{layer}: {argument} must be integers, got {describe(counts)}; from a mask (batch, "
            "time) of booleans they are mask.sum(axis=1)"
        )
    counts = counts.reshape(batch)
    if counts.size and (counts.min() < 0 or counts.max() > time):
        wrong = int(np.flatnonzero((counts < 0) | (counts > time))[0])
        raise ValueError(
            f"{layer}: {argument} must be 0 to {time}, the time steps of {what} {describe(x)}, got "
            f"{int(counts[wrong])} at place {wrong}. {BATCH_FIRST}"
        )
    valid: PlainArray = np.arange(time) < counts[:, None]
    # Inside `mg.compile` the lengths are data, and a program serves all others, too.
    return None if type(valid) is np.ndarray and valid.all() else valid


def clear(x: Any, valid: PlainArray | None, batch_first: bool) -> Any:
    """Zeros in place of padding, which stop gradients as well."""
    if valid is None:
        return x
    if x.ndim == 2:
        return mg.where(valid[0][:, None], x, 0.0)
    return mg.where((valid if batch_first else valid.T)[..., None], x, 0.0)
