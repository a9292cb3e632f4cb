"""Which sources of random numbers a function may draw from: a search of what it can reach.

NumPy's own generators tell nobody that they were drawn from. So `checkpoint` looks for them: in the
arguments of a function, its closure, defaults and globals, in partials and bound methods, in
attributes and containers of the objects and classes found there, and in those attributes of modules
that some code found there names. It reads `__dict__` and slots alone: no property and no other code
of the user runs.
"""

import functools
import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, cast

import numpy as np

from minigrad.core.tensors import Tensor
from minigrad.ops.randomness import default_generator

__all__ = ["random_sources"]

_KINDS = (np.random.BitGenerator, np.random.RandomState, random.Random)
_WITHOUT = frozenset({int, float, complex, bool, str, bytes, type(None), range, slice, np.dtype})
_OPAQUE = (np.ndarray, np.generic, Tensor, CodeType, GetSetDescriptorType, MemberDescriptorType)
_OUR_PACKAGES = ("minigrad", "layers", "numpy")
_CLOSED = frozenset({*_OUR_PACKAGES, *sys.stdlib_module_names, "builtins"})


def random_sources(*roots: Any) -> list[Any]:
    """Bit generators, `numpy.random.RandomState` and `random.Random` reachable from the roots.

    None, for the default generator of this package, comes first and is always among them. The
    generators behind ``np.random.normal()`` and ``random.random()`` are among them when the
    code of a function that was found names `random`.
    """
    search = _Search()
    search.follow(roots)
    found = search.found
    found.pop(id(default_generator().bit_generator), None)
    return [None, *found.values()]


class _Search:
    """What was found so far.

    Attributes:
        found: the sources of random numbers, by their ids.
        names: those of globals and attributes in all code of the user's that was found.
        modules: those whose attributes may be such names.
    """

    def __init__(self) -> None:
        self.found: dict[int, Any] = {}
        self.names: set[str] = set()
        self.modules: list[ModuleType] = []
        self._seen: set[int] = set()
        self._keep: list[Any] = []  # so that no id is given anew during the search

    def follow(self, roots: Iterable[Any]) -> None:
        """Look at everything that can be reached."""
        stack = list(roots)
        while stack:
            while stack:
                value = stack.pop()
                if self._is_new(value):
                    self._seen.add(id(value))
                    self._keep.append(value)
                    stack.extend(self._look_at(value))
            named = [vars(m)[name] for m in self.modules for name in self.names & vars(m).keys()]
            stack = [value for value in named if self._is_new(value)]

    def _is_new(self, value: Any) -> bool:
        return type(value) not in _WITHOUT and id(value) not in self._seen

    def _look_at(self, value: Any) -> Iterable[Any]:
        if isinstance(value, np.random.Generator):
            value = value.bit_generator
        if isinstance(value, _KINDS):
            self.found[id(value)] = value
            return ()
        reachable = getattr(type(value), "reachable_by_search", None)
        if reachable is not None:  # an object of ours that says what it calls
            return cast("Iterable[Any]", reachable(value))
        if isinstance(value, ModuleType):
            if not _is_closed(value.__name__):
                self.modules.append(value)
            return ()
        if isinstance(value, FunctionType):
            return self._reached_by(value)
        return () if isinstance(value, _OPAQUE) else _parts(value)

    def _reached_by(self, function: FunctionType) -> Iterator[Any]:
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
        for cell in function.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        yield vars(function)
        module = function.__module__ or ""
        if module.partition(".")[0] in _OUR_PACKAGES:
            return
        names = set(_names(function.__code__))
        if not _is_installed(module):
            self.names |= names
        if "random" in names:
            yield np.random.mtrand._rand
            yield random._inst
        for name in names:
            # A module may be imported within the function.
            value = (function.__globals__ if name in function.__globals__ else sys.modules).get(
                name
            )
            if (
                not isinstance(value, FunctionType)
                or value.__globals__ is function.__globals__
                or not _is_installed(value.__module__ or "")
            ):
                yield value


def _is_closed(module: str) -> bool:
    """Whether a module or what it defines is ours, NumPy's or of Python itself."""
    return module.partition(".")[0] in _CLOSED


@functools.lru_cache(maxsize=1024)
def _is_installed(module: str) -> bool:
    """Whether a module is no code of the user's: from a package that was installed, or closed."""
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return _is_closed(module) or "site-packages" in path or "dist-packages" in path


def _parts(value: Any) -> Iterable[Any]:
    """What a value holds."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value
    if isinstance(value, MethodType):
        return value.__self__, value.__func__
    if isinstance(value, (classmethod, staticmethod)):
        return (value.__func__,)
    if isinstance(value, property):
        return value.fget, value.fset
    if isinstance(value, BuiltinFunctionType):
        return (value.__self__,)
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, type):
        return (member for owner in _of_class(value)[1] for member in vars(owner).values())
    return _attributes(value)


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a code object and in those within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _attributes(value: Any) -> Iterator[Any]:
    """The attributes of an object, and its class where it is a user's."""
    kind: Any = type(value)
    slots, classes = _of_class(kind)
    yield from getattr(value, "__dict__", {}).values()
    for slot in slots:
        try:
            yield slot.__get__(value)
        except AttributeError:  # not assigned
            continue
    if classes:
        yield kind


@functools.lru_cache(maxsize=1024)
def _of_class(kind: Any) -> tuple[list[Any], list[type]]:
    """The slots of a class, and those of its bases and itself that are a user's."""
    bases = kind.__mro__[:-1]
    slots = [v for base in bases for v in vars(base).values() if type(v) is MemberDescriptorType]
    return slots, [base for base in bases if not _is_closed(str(base.__module__))]
