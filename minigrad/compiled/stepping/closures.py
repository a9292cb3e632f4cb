"""Functions that are made anew for each sequence, as a cell that a loss function defines.

Each has closure cells of its own, so that programs of one could not serve the next. After the first
of a kind ran as a program, which shows that it changes nothing, a copy of the next one runs for all
that follow. It has tensors of its own in its closure, which take the arrays and the places on the
tape of theirs for each call.
"""

import threading
import weakref
from collections import OrderedDict
from types import CellType, CodeType, FunctionType
from typing import Any, Final, NamedTuple

import numpy as np

from minigrad.compiled.guarding.keys import BY_TEXT, BY_VALUE, Key, flatten, key_of
from minigrad.core.modes import current_mode
from minigrad.core.tensors import Tensor, wrap
from minigrad.ops.pytree import replace_leaves
from minigrad.transforms.recorded_writes import rewritten

__all__ = ["note", "one_for_all"]

MOST_CODES: Final = 64
"""How many codes are remembered, those that ran last."""


class Closure(NamedTuple):
    """What a function holds beside its code.

    Attributes:
        key: what it shares with those that a copy of it can stand for.
        held: the values of its closure, its defaults, its attributes.
        leaves: the values in these containers.
    """

    key: Key
    held: tuple[Any, ...]
    leaves: list[Any]


class Alike(NamedTuple):
    """A function that stands for others.

    Attributes:
        function: with closure cells of its own.
        tensors: in its closure, by their number among the leaves.
    """

    function: Any
    tensors: dict[int, Tensor]


class _Known(threading.local):
    """What stands for a kind of closures, by the code; None until it is needed.

    Each thread has its own, since the tensors in their closures are written.
    """

    def __init__(self) -> None:
        self.codes: OrderedDict[CodeType, dict[Key, Alike | None]] = OrderedDict()


_known = _Known()


def note(function: FunctionType) -> None:
    """Remember that a function ran as a program, so that the next of its kind may be copied."""
    closure = _closure_of(function)
    if closure is None:
        return
    _known.codes.setdefault(function.__code__, {}).setdefault(closure.key, None)
    if len(_known.codes) > MOST_CODES:
        _known.codes.popitem(last=False)


def one_for_all(function: FunctionType) -> tuple[FunctionType, rewritten] | None:
    """What stands for a function, and a block in which it reads what the function would read.

    Returns:
        None where nothing does: no function of its kind has run as a program.
    """
    kinds = _known.codes.get(function.__code__)
    closure = None if kinds is None else _closure_of(function)
    if kinds is None or closure is None or closure.key not in kinds:
        return None
    _known.codes.move_to_end(function.__code__)
    alike = kinds[closure.key]
    if alike is None:
        alike = kinds[closure.key] = _copied(function, closure)
    given = ((own, closure.leaves[i]) for i, own in alike.tensors.items())
    return alike.function, rewritten([(weakref.ref(own), t._array, t._node) for own, t in given])


def _closure_of(function: FunctionType) -> Closure | None:
    """What a function holds; None where a copy may hold no such thing.

    That is anything but tensors, plain values and functions without a closure: arrays and objects
    count by identity, and a copy would keep them.
    """
    if not function.__closure__:
        return None
    try:
        values = [cell.cell_contents for cell in function.__closure__]
    except ValueError:  # a variable that is not assigned yet
        return None
    attributes = {name: value for name, value in vars(function).items() if name != "_scanned"}
    held = values, function.__defaults__, function.__kwdefaults__, attributes
    leaves: list[Any] = []
    structure = flatten(held, leaves)
    if not all(map(_may_be_held, leaves)):
        return None
    return Closure(key_of(structure, leaves, current_mode()), held, leaves)


def _may_be_held(leaf: Any) -> bool:
    kind = type(leaf)
    if kind is FunctionType:
        return not leaf.__closure__
    return kind is Tensor or kind in BY_VALUE or kind in BY_TEXT or isinstance(leaf, np.generic)


def _copied(function: FunctionType, closure: Closure) -> Alike:
    """A function like another one, with tensors of its own instead of those that it holds."""
    by_identity: dict[int, Tensor] = {}
    own: dict[int, Tensor] = {}
    for i, leaf in enumerate(closure.leaves):
        if type(leaf) is Tensor and id(leaf) not in by_identity:  # its numbers come with each call
            empty = np.broadcast_to(leaf.dtype.type(0), leaf.shape)
            by_identity[id(leaf)] = own[i] = wrap(empty, None)
    filled = [by_identity.get(id(leaf), leaf) for leaf in closure.leaves]
    values, defaults, named, attributes = replace_leaves(closure.held, filled)
    cells = tuple(map(CellType, values))
    made = FunctionType(function.__code__, function.__globals__, function.__name__, defaults, cells)
    made.__kwdefaults__, made.__qualname__ = named, function.__qualname__
    vars(made).update(attributes, _stands_for_others=True)
    return Alike(made, own)
