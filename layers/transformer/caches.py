"""Keys and values of the places so far, so that decoding need not compute them again."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.core.errors import ShapeError, describe
from minigrad.core.nodes import PlainArray
from minigrad.core.tensors import wrap

__all__ = ["KeyValueCache", "LayerCache", "PlacedCache", "StackCache", "check_cache"]

FIRST_ROOM = 32


class KeyValueCache:
    """The keys and values of one attention layer.

    Args:
        fixed: False for self-attention, where each call adds the new places; True for attention to
            a memory, whose keys and values are computed at the first call and then stay.

    Attributes:
        valid: which places are not padding, (batch, places); None when all are.

    Where gradients are recorded, they flow through the cache to all calls before.
    """

    def __init__(self, fixed: bool = False) -> None:
        self.fixed = fixed
        self.valid: PlainArray | None = None
        self.source: Any = None
        self._tensors: tuple[Tensor | None, Tensor | None] = None, None
        self._room: list[PlainArray] = []
        self._written = 0  # places of the room that are to be shown as tensors; 0 if they are

    def _shown(self) -> tuple[Tensor | None, Tensor | None]:
        """Keys and values. Decoding writes many places between two times that somebody asks."""
        if self._written:
            self._tensors, self._written = self._of_room(), 0
        return self._tensors

    def _of_room(self) -> tuple[Tensor, Tensor]:
        """What is written in the room."""
        keys, values = (wrap(held[:, :, : self._written], None) for held in self._room)
        return keys, values

    @property
    def keys(self) -> Tensor | None:
        """(batch, heads, places, features); None while empty."""
        return self._shown()[0]

    @keys.setter
    def keys(self, keys: Tensor | None) -> None:
        self._tensors = keys, self._shown()[1]

    @property
    def values(self) -> Tensor | None:
        """(batch, heads, places, features); None while empty."""
        return self._shown()[1]

    @values.setter
    def values(self, values: Tensor | None) -> None:
        self._tensors = self._shown()[0], values

    def __repr__(self) -> str:
        return f"KeyValueCache({describe(self.keys) if self.keys is not None else 'empty'})"

    def __len__(self) -> int:
        """The number of places, padding included."""
        keys, _ = self._tensors
        return self._written or (0 if keys is None else keys.shape[2])

    def counts(self) -> Any:
        """The number of places that are not padding: one integer, or one for each sequence."""
        return len(self) if self.valid is None else self.valid.sum(axis=1)

    def extend(
        self, keys: Tensor, values: Tensor, valid: PlainArray | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add new places, and return the keys and values of all places so far.

        Args:
            keys, values: (batch, heads, new places, features).
            valid: which of them are not padding, (batch, new places); None for all.

        Raises:
            ShapeError: when the batch, heads or features are others than before.
        """
        held, held_values = self._shown()
        if held is None or held_values is None:
            self._tensors, self.valid = (keys, values), valid
            return keys, values
        before, batch = len(self), keys.shape[0]
        if keys.shape[:2] + keys.shape[3:] != held.shape[:2] + held.shape[3:]:
            raise ShapeError(
                f"KeyValueCache: new keys {describe(keys)} do not continue those of before "
                f"{describe(held)}: (batch, heads, places, features) may differ in places "
                "alone. Another batch needs a cache of its own."
            )
        if valid is not None or self.valid is not None:
            parts = [(self.valid, before), (valid, keys.shape[2])]
            self.valid = np.concatenate(
                [np.ones((batch, n), bool) if v is None else v for v, n in parts], axis=1
            )
        tensors = held, held_values, keys, values
        if not mg.is_recording() or not any(tensor.requires_grad for tensor in tensors):
            self.write(keys.numpy(), values.numpy())
            return self._of_room()
        self._room = []
        self._tensors = every = (
            mg.concatenate([held, keys], axis=2),
            mg.concatenate([held_values, values], axis=2),
        )
        return every

    def write(self, *new: PlainArray) -> None:
        """Add keys and values whose shapes and padding are known to continue those of before.

        No gradient flows to them. They come into the arrays of `room`, so that no place is copied
        every time.
        """
        before = len(self)
        after = before + new[0].shape[2]
        for into, array in zip(self.room(after), new, strict=True):
            into[:, :, before:after] = array
        self._written = after

    def room(self, places: int) -> tuple[PlainArray, PlainArray]:
        """The arrays that keys and values are written into, for so many places or more.

        Their sizes are powers of two, and what is not written yet are zeros.

        Raises:
            ValueError: when the cache is empty.
        """
        if not self._room or self._room[0].shape[2] < places:
            shown = self._shown()
            if shown[0] is None or shown[1] is None:
                raise ValueError("KeyValueCache: an empty cache knows no shapes to make room for")
            size = FIRST_ROOM
            while size < places:
                size *= 2
            held = [shown[0].numpy(), shown[1].numpy()]
            self._room = [np.zeros((*a.shape[:2], size, a.shape[3]), a.dtype) for a in held]
            for into, array in zip(self._room, held, strict=True):
                into[:, :, : array.shape[2]] = array
        keys, values = self._room
        return keys, values

    def check_source(self, layer: str, key: Any) -> None:
        """Refuse another memory than the one whose keys are held.

        Raises:
            ValueError: when it differs.
        """
        if key is None or self.source is None or key is self.source:
            return
        one, other = (
            a.detach().numpy() if isinstance(a, Tensor) else a for a in (key, self.source)
        )
        if not np.array_equal(one, other, equal_nan=True):
            raise ValueError(
                f"{layer}: the cache holds the keys of another memory {describe(self.source)} than "
                f"the one given, {describe(key)}. Make a new cache for a new memory."
            )

    def reorder(self, index: Any) -> None:
        """Take these sequences of the batch, as beam search does; an index may come repeatedly."""
        keys, values = self._shown()
        if keys is None or values is None:
            return
        chosen = np.asarray(index)
        self._room = []
        self._tensors = keys[chosen], values[chosen]
        self.valid = None if self.valid is None else self.valid[chosen]
        self.source = None  # the memory is to be reordered too, by the caller

    def detach(self) -> None:
        """Let no gradient flow to earlier calls."""
        keys, values = self._shown()
        if keys is not None and values is not None:
            self._tensors = keys.detach(), values.detach()


class PlacedCache(KeyValueCache):
    """Keys and values in larger arrays, to which one new place attends without writing it.

    How many places are taken is a number of the call, so one program serves for every length.

    Args:
        room: keys and values, (batch, heads, places, features) each, as `KeyValueCache.room` gives.
        taken: how many of the places of each sequence hold something, (batch,).
    """

    def __init__(self, room: tuple[PlainArray, PlainArray], taken: PlainArray) -> None:
        super().__init__()
        self._held, self._taken = room, taken

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of a place to those before and to itself, all (batch, heads, 1, features)."""
        keys, values = self._held
        self.keys, self.values = key, value
        size = keys.shape[2]
        scaled = query * (1 / math.sqrt(query.shape[3]))
        scores = (scaled * keys).sum(axis=3)  # (batch, heads, places)
        held = np.arange(size) < self._taken[:, None, None]  # (batch, 1, places)
        scores = mg.where(held, scores, -math.inf)
        own = (scaled * key).sum(axis=3)  # (batch, heads, 1)
        weights = mg.softmax(mg.concatenate([scores, own], axis=2), axis=2)[:, :, None]
        y: Tensor = weights[..., :size] @ values + weights[..., size:] * value
        return y

    def added(self) -> tuple[Tensor, Tensor]:
        """Key and value of the place that attended.

        Raises:
            ValueError: when none did yet.
        """
        if self.keys is None or self.values is None:
            raise ValueError("PlacedCache: no place has attended yet; call the layer first")
        return self.keys, self.values


class LayerCache:
    """The caches of one layer.

    Attributes:
        own: of its self-attention.
        memory: of its attention to the memory; stays empty in an encoder.
    """

    def __init__(self) -> None:
        self.own = KeyValueCache()
        self.memory = KeyValueCache(fixed=True)

    def __len__(self) -> int:
        """The number of places so far."""
        return len(self.own)


class StackCache:
    """The caches of all layers of a stack, as `make_cache()` of an encoder or decoder gives it.

    Args:
        num_layers: how many layers there are.
    """

    def __init__(self, num_layers: int) -> None:
        self.layers = [LayerCache() for _ in range(num_layers)]

    @classmethod
    def of(cls, caches: Sequence[KeyValueCache]) -> "StackCache":
        """With these caches of self-attention, one for each layer."""
        stack = cls(len(caches))
        for layer, cache in zip(stack.layers, caches, strict=True):
            layer.own = cache
        return stack

    def __repr__(self) -> str:
        return f"StackCache({len(self.layers)} layers, {len(self)} places)"

    def __len__(self) -> int:
        """The number of places so far, padding included."""
        return len(self.layers[0])

    def counts(self) -> Any:
        """The number of places that are not padding: one integer, or one for each sequence.

        It is the position of the next place, to be given to positions as `offset=`.
        """
        return self.layers[0].own.counts()

    def _all(self) -> Iterator[KeyValueCache]:
        return (cache for layer in self.layers for cache in (layer.own, layer.memory))

    def reorder(self, index: Any) -> None:
        """Take these sequences of the batch, as beam search does; an index may come repeatedly."""
        for cache in self._all():
            cache.reorder(index)

    def detach(self) -> None:
        """Let no gradient flow to earlier calls."""
        for cache in self._all():
            cache.detach()


def check_cache(layer: str, cache: Any, kind: type, source: str) -> None:
    """Refuse a cache of another part of a model.

    Raises:
        TypeError: saying where the right one comes from.
    """
    if cache is not None and not isinstance(cache, kind):
        raise TypeError(
            f"{layer}: cache must be a {kind.__name__}, which {source} gives, got "
            f"{type(cache).__name__}"
        )
