"""The arguments of calls: what two must share to run one program, and how one is made again.

What they share is the structure of the containers, and the kinds of what is in them.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.tracing.held import same_plain
from minigrad.core.modes import Mode
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.pytree import entries, replace_leaves

__all__ = ["ARRAYS", "Given", "Held", "Key", "flatten", "key_of"]

Key = tuple[Any, ...]

ARRAYS = (Tensor, np.ndarray)
"""The leaves that are inputs of a program."""

_BY_VALUE = frozenset((int, bool, str, bytes, complex, type(None), type(Ellipsis), type, np.dtype))


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """The structure of nested containers, hashable; their leaves are added to the list."""
    kind = tree.__class__
    structure: list[Any]
    parts: Any
    if kind is tuple or kind is list:
        structure, parts = [kind], tree
    elif kind is dict:
        structure = [kind, *(k if k.__class__ is str else (k.__class__, repr(k)) for k in tree)]
        parts = tree.values()
    else:
        labelled = entries(tree)
        if labelled is None:
            leaves.append(tree)
            return None
        structure = [kind, *(label for label, _ in labelled)]
        parts = [part for _, part in labelled]
    for part in parts:
        inner = part.__class__
        if inner is Tensor or inner is np.ndarray:
            leaves.append(part)
            structure.append(None)
        else:
            structure.append(flatten(part, leaves))
    return tuple(structure)


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
            parts += array.shape, array.dtype, leaf._node is not None
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
        references = self._references  # mostly none
        return not references or all(reference() is not None for reference in references)


class Given:
    """The arguments of one call, for the reference: their containers, and what is no array.

    The containers hold no tensor: `tree` has numbers in the place of leaves.
    """

    def __init__(self, tree: Any, leaves: Sequence[Any]) -> None:
        self.tree = replace_leaves(tree, range(len(leaves)))
        self.leaves = [None if isinstance(leaf, ARRAYS) else leaf for leaf in leaves]
        self.tensors = [isinstance(leaf, Tensor) for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, ARRAYS)]
        self.plain = all(same_plain(leaf, leaf) for leaf in self.leaves)

    def arguments(self, values: Sequence[Any]) -> Any:
        """The arguments with other tensors and arrays."""
        leaves = list(self.leaves)
        for place, value in zip(self.places, values, strict=True):
            tensor = self.tensors[place] and not isinstance(value, Tensor)
            leaves[place] = wrap(value, None) if tensor else value
        return replace_leaves(self.tree, leaves)

    def __repr__(self) -> str:
        return f"{len(self.places)} arrays"
