"""What two calls must share to run one program: the structure of the arguments, and their kinds."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.core.modes import Mode
from minigrad.core.tensors import Tensor
from minigrad.ops.pytree import entries

__all__ = ["Held", "Key", "flatten", "key_of"]

Key = tuple[Any, ...]

_BY_VALUE = frozenset((int, bool, str, bytes, complex, type(None), type(Ellipsis), type, np.dtype))


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """The structure of nested containers, hashable; their leaves are added to the list."""
    kind = tree.__class__
    if kind is Tensor or kind is np.ndarray:
        leaves.append(tree)
        return None
    if kind is tuple:
        return (*(flatten(part, leaves) for part in tree), tuple)
    parts = entries(tree)
    if parts is None:
        leaves.append(tree)
        return None
    return (*((place, flatten(part, leaves)) for place, part in parts), kind)


def key_of(structure: Any, leaves: list[Any], mode: Mode) -> Key:
    """The kinds of the leaves, and what of the mode changes results.

    Tensors and arrays count by shape, dtype and whether they require grad, plain values by value,
    and other objects by identity.
    """
    parts: list[Any] = [structure, mode.recording, mode.dtype]
    for leaf in leaves:
        kind = leaf.__class__
        if isinstance(leaf, Tensor):
            array = leaf._array
            parts.append((array.shape, array.dtype, leaf._node is not None))
        elif isinstance(leaf, np.ndarray):
            parts.append((kind, leaf.shape, leaf.dtype))
        elif kind is float or isinstance(leaf, np.generic):
            parts.append((kind, repr(leaf)))  # NaN is itself, and -0.0 is not 0.0
        elif kind in _BY_VALUE:
            parts.append((kind, leaf))
        elif kind is slice:
            parts.append((kind, repr(leaf)))
        else:
            parts.append((object, id(leaf)))
    return tuple(parts)


class Held:
    """The objects among the leaves, which a key knows by identity, while they live.

    Args:
        leaves: of the arguments.
        gone: is called when one of them dies.
    """

    def __init__(self, leaves: list[Any], gone: Callable[[Any], None]) -> None:
        self._references: list[Any] = []
        for leaf in leaves:
            if isinstance(leaf, (Tensor, np.ndarray, np.generic)) or type(leaf) in _BY_VALUE:
                continue
            try:
                self._references.append(weakref.ref(leaf, gone))
            except TypeError:  # then it lives as long as the program
                self._references.append(lambda leaf=leaf: leaf)

    @property
    def alive(self) -> bool:
        """Whether all of them are still there."""
        return all(reference() is not None for reference in self._references)
