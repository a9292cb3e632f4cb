"""Which sources of random numbers a function may draw from: a search of what it can reach.

NumPy's own generators tell nobody that they were drawn from. So `checkpoint` looks for them: in the
arguments of a function, its closure, defaults and globals, in partials and bound methods, and in
attributes and containers of the objects found there. It reads `__dict__` and slots alone: no
property and no other code of the user runs.
"""

import functools
import random
from collections import deque
from collections.abc import Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from minigrad.randomness import default_generator
from minigrad.tensors import Tensor

__all__ = ["random_sources"]

_KINDS = (np.random.BitGenerator, np.random.RandomState, random.Random)
_WITHOUT = frozenset({int, float, complex, bool, str, bytes, type(None), range, slice, np.dtype})
_OPAQUE = (np.ndarray, np.generic, Tensor, ModuleType, CodeType)
_OUR_PACKAGES = ("minigrad", "layers", "numpy")


def random_sources(*roots: Any) -> list[Any]:
    """Bit generators, `numpy.random.RandomState` and `random.Random` reachable from the roots.

    None, for the default generator of this package, comes first and is always among them. The
    generators behind ``np.random.normal()`` and ``random.random()`` are among them when the
    code of a function that was found names `random`.
    """
    found: dict[int, Any] = {}
    seen: set[int] = set()
    keep: list[Any] = []  # so that no id is given anew during the search
    stack: list[Any] = list(roots)
    while stack:
        value = stack.pop()
        kind = type(value)
        if kind in _WITHOUT or id(value) in seen:
            continue
        seen.add(id(value))
        keep.append(value)
        if isinstance(value, np.random.Generator):
            value = value.bit_generator
        if isinstance(value, _KINDS):
            found[id(value)] = value
        elif not isinstance(value, _OPAQUE):
            stack.extend(_parts(value))
    found.pop(id(default_generator().bit_generator), None)
    return [None, *found.values()]


def _parts(value: Any) -> Iterable[Any]:
    """What a value holds, or what a function can reach."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value
    if isinstance(value, FunctionType):
        return _reached_by(value)
    if isinstance(value, MethodType):
        return value.__self__, value.__func__
    if isinstance(value, BuiltinFunctionType):
        return (value.__self__,)
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, type):
        return ()
    return _attributes(value)


def _reached_by(function: FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield vars(function)
    if function.__module__.partition(".")[0] in _OUR_PACKAGES:
        return
    names = set(_names(function.__code__))
    if "random" in names:
        yield np.random.mtrand._rand
        yield random._inst
    for name in names:
        value = function.__globals__.get(name)
        if not isinstance(value, FunctionType) or value.__globals__ is function.__globals__:
            yield value


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a code object and in those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _attributes(value: Any) -> Iterator[Any]:
    """The attributes of an object, and the methods of its class where they are a user's."""
    kind: Any = type(value)
    slots, classes = _of_class(kind)
    yield from getattr(value, "__dict__", {}).values()
    for slot in slots:
        try:
            yield slot.__get__(value)
        except AttributeError:  # not assigned
            continue
    for user_class in classes:
        for member in vars(user_class).values():
            if isinstance(member, (FunctionType, np.random.Generator, *_KINDS)):
                yield member


@functools.lru_cache(maxsize=1024)
def _of_class(kind: Any) -> tuple[list[Any], list[type]]:
    """The slots of a class, and those of its bases and itself that are a user's."""
    bases = kind.__mro__[:-1]
    slots = [v for base in bases for v in vars(base).values() if type(v) is MemberDescriptorType]
    ours = (*_OUR_PACKAGES, "builtins")
    return slots, [base for base in bases if base.__module__.partition(".")[0] not in ours]
