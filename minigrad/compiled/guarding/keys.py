"""The arguments of calls: what two must share to run one program, and how one is made again.

What they share is the structure of the containers, and the kinds of what is in them.
"""

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MemberDescriptorType
from typing import Any

import numpy as np

from minigrad.compiled.guarding.held import same_plain
from minigrad.compiled.tracing.watching import is_ours
from minigrad.core.modes import Mode
from minigrad.core.tensors import Tensor
from minigrad.ops.pytree import entries, replace_leaves

__all__ = [
    "ARRAYS",
    "BY_TEXT",
    "BY_VALUE",
    "Given",
    "Held",
    "Key",
    "flatten",
    "key_of",
    "objects_around",
    "repeated",
    "what_hides",
    "what_is_beside",
    "wrap_as",
    "wrap_like",
]

Key = tuple[Any, ...]

ARRAYS = (Tensor, np.ndarray)
"""The leaves that are inputs of a program."""

BY_VALUE = frozenset((int, bool, str, bytes, type(None), type(Ellipsis), type, np.dtype))
BY_TEXT = frozenset((float, complex, slice))  # NaN is itself, and -0.0 is not 0.0

_PLAIN_ARRAYS = (np.ndarray, np.memmap)
_METHODS = "_compiled_methods"  # kept by `Compiled.__get__`
_PLAIN_CONTAINERS = (tuple, list, dict)


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """The structure of nested containers, hashable; their leaves are added to the list."""
    kind = tree.__class__
    structure: list[Any]
    parts: Any
    if kind is tuple or kind is list:
        structure, parts = [kind], tree
    elif kind is dict:
        structure = [kind, *map(_key_in, tree)]
        parts = tree.values()
    else:
        labelled = entries(tree)
        if labelled is None:
            leaves.append(tree)
            return None
        names = map(_key_in, tree) if isinstance(tree, dict) else (label for label, _ in labelled)
        structure = [kind, *names, *_beside(tree, labelled)]
        parts = [part for _, part in labelled]
    for part in parts:
        inner = part.__class__
        if inner is Tensor or inner is np.ndarray:
            leaves.append(part)
            structure.append(None)
        else:
            structure.append(flatten(part, leaves))
    return tuple(structure)


def _key_in(key: Any) -> Any:
    """A key of a dict: plain ones count by value, and other objects by identity."""
    kind = key.__class__
    if kind is str:
        return key
    if kind is tuple:
        return kind, *map(_key_in, key)
    if kind in BY_VALUE:
        return kind, key
    if kind in BY_TEXT or isinstance(key, np.generic):
        return kind, repr(key)
    return object, id(key)


def _beside(tree: Any, labelled: list[tuple[str, Any]]) -> list[str]:
    """The attributes of a container that are none of its labelled parts."""
    slots = (s for s in _slots(tree.__class__) if getattr(tree, s, None) is not None)
    held = {*getattr(tree, "__dict__", ()), *slots}
    if held:
        held.difference_update((label[1:] for label, _ in labelled), (_METHODS,))
    return sorted(held)


@functools.lru_cache(maxsize=256)
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if type(value) is MemberDescriptorType and name != "__weakref__"
    )


def what_hides(tree: Any) -> str | None:
    """What of the arguments a program would lose, and no key tells; None if there is nothing."""
    for part in _every_part(tree):
        kind = type(part)
        if isinstance(part, np.ndarray) and kind not in _PLAIN_ARRAYS:
            return f"an argument is a {kind.__qualname__}, which may be more than an array"
        if isinstance(part, Tensor) and not is_ours(kind.__module__):
            return f"an argument is a {kind.__qualname__}, which may be more than a tensor"
    beside = what_is_beside(tree)
    return beside and f"an argument, a {beside}; pass that as an argument, too"


def what_is_beside(tree: Any) -> str | None:
    """The first attribute of a container that is none of its parts, with the container's class."""
    for part in _every_part(tree):
        kind = type(part)
        labelled = None if kind in _PLAIN_CONTAINERS else entries(part)
        beside = _beside(part, labelled) if labelled is not None else None
        if beside:
            return f"{kind.__qualname__}, has the attribute {beside[0]} beside what it contains"
    return None


def objects_around(tree: Any) -> list[Any]:
    """What containers bring besides leaves: their classes, and objects that are keys of dicts."""
    found: list[Any] = []
    for part in _every_part(tree):
        if entries(part) is None:
            continue
        if type(part) not in _PLAIN_CONTAINERS:
            found.append(type(part))
        if isinstance(part, dict):
            found += _objects_in(part)
    return found


def _objects_in(keys: Iterable[Any]) -> Iterator[Any]:
    """The keys that count by identity."""
    for key in keys:
        if type(key) is tuple:
            yield from _objects_in(key)
        elif _key_in(key) == (object, id(key)):
            yield key


def _every_part(tree: Any) -> Iterator[Any]:
    """A container, and all that it contains."""
    yield tree
    for _, part in entries(tree) or ():
        yield from _every_part(part)


def key_of(structure: Any, leaves: list[Any], mode: Mode) -> Key:
    """The kinds of the leaves, and what of the mode changes results.

    Tensors and arrays count by class, shape, dtype, whether they require grad, and which of them
    are the same object; plain values by value, and other objects by identity.
    """
    parts: list[Any] = [structure, mode.recording, mode.dtype, *repeated(leaves).items()]
    for leaf in leaves:
        kind = leaf.__class__
        if isinstance(leaf, Tensor):
            array = leaf._array
            parts += kind, array.shape, array.dtype, leaf._node is not None
        elif isinstance(leaf, np.ndarray):
            parts.append((kind, leaf.shape, leaf.dtype))
        elif kind in BY_TEXT or isinstance(leaf, np.generic):
            parts.append((kind, repr(leaf)))
        elif kind in BY_VALUE:
            parts.append((kind, leaf))
        else:
            parts.append((object, id(leaf)))
    return tuple(parts)


def repeated(leaves: Sequence[Any]) -> dict[int, int]:
    """Which tensors and arrays are there again: the place of each, to that of the first."""
    places: dict[int, int] = {}
    arrays = ((i, leaf) for i, leaf in enumerate(leaves) if isinstance(leaf, ARRAYS))
    pairs = ((i, places.setdefault(id(leaf), i)) for i, leaf in arrays)
    return {i: first for i, first in pairs if i != first}


def wrap_as(kind: type, array: Any, node: Any) -> Any:
    """A tensor of a class, such as `Parameter`, of an array as it is."""
    tensor: Any = object.__new__(kind)
    tensor._array, tensor._node = array, node
    return tensor


def wrap_like(tensor: Tensor, array: Any, node: Any) -> Any:
    """A tensor of another array, which refuses to be written if that one does."""
    made = wrap_as(type(tensor), array, node)
    part = getattr(tensor, "_part", None)
    if part is not None:
        made._part = part
    return made


class Held:
    """The objects of a call, which a key knows by identity, while they live.

    Args:
        leaves: of the arguments, and the objects around them.
        gone: is called when one of them dies.
    """

    def __init__(self, leaves: list[Any], gone: Callable[[Any], None]) -> None:
        self._references: list[Any] = []
        for leaf in leaves:
            if (
                isinstance(leaf, (Tensor, np.ndarray, np.generic))
                or type(leaf) in BY_VALUE | BY_TEXT
            ):
                continue
            try:
                self._references.append(weakref.ref(leaf, gone))
            except TypeError:  # then it lives as long as the program
                self._references.append(lambda leaf=leaf: leaf)

    @property
    def alive(self) -> bool:
        """Whether all of them are still there."""
        references = self._references  # mostly none
        return not references or all(reference() is not None for reference in references)


class Given:
    """The arguments of one call, for the reference: their containers, and what is no array.

    The containers hold no tensor: `tree` has numbers in the place of leaves.
    """

    def __init__(self, tree: Any, leaves: Sequence[Any]) -> None:
        self.tree = replace_leaves(tree, range(len(leaves)))
        self.leaves = [None if isinstance(leaf, ARRAYS) else leaf for leaf in leaves]
        self.kinds = [type(leaf) if isinstance(leaf, Tensor) else None for leaf in leaves]
        self.again = repeated(leaves)
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, ARRAYS)]
        self.plain = all(same_plain(leaf, leaf) for leaf in self.leaves) and all(
            isinstance(one, type) for one in objects_around(tree)
        )

    def arguments(self, values: Sequence[Any]) -> Any:
        """The arguments with other tensors and arrays."""
        leaves = list(self.leaves)
        for place, value in zip(self.places, values, strict=True):
            kind = self.kinds[place]
            if place in self.again:
                leaves[place] = leaves[self.again[place]]
            elif kind is None or type(value) is kind:
                leaves[place] = value
            elif isinstance(value, Tensor):
                leaves[place] = wrap_as(kind, value._array, value._node)
            else:
                leaves[place] = wrap_as(kind, value, None)
        return replace_leaves(self.tree, leaves)

    def __repr__(self) -> str:
        return f"{len(self.places)} arrays"
