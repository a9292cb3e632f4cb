"""Readers: functions that take the arguments of a call apart if they are like those of another.

Finding the program of a call by its key means to go through all containers and to make a tuple of
what is there. Most calls are like the one before, so a reader is written for that one, as Python
source with a line for each thing to be checked.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.compiled.guarding.keys import BY_TEXT, BY_VALUE
from minigrad.core.plans import compile_source
from minigrad.core.tensors import Tensor
from minigrad.ops.pytree import entries

__all__ = ["Reader", "write_reader"]

Reader = Callable[
    [tuple[Any, ...], dict[str, Any]], "tuple[list[Any], list[Any], list[Any]] | None"
]
"""From arguments to their leaves, to those that are tensors or arrays, and to their arrays."""

_COMPARED = 4  # of one kind, each with each
_MOST = 200  # parts; of more containers, the key takes no longer


def write_reader(tree: Any) -> Reader | None:
    """A function from positional and keyword arguments to their leaves; see `Reader`.

    It gives None where the key of the arguments differs, or may differ, from that of these; see
    `minigrad.compiled.guarding.keys`.

    Args:
        tree: positional and keyword arguments.

    Returns:
        None where there is no such function: for containers other than tuples, lists and dicts
        with strings as keys, and for large ones.
    """
    try:
        return _Writer(tree).reader()
    except _Other:
        return None


class _Other(Exception):
    """There is something that no reader is written for."""


class _Writer:
    """Writes what refuses other arguments, line by line."""

    def __init__(self, tree: Any) -> None:
        self._scope: dict[str, Any] = {"Tensor": Tensor, "ndarray": np.ndarray}
        self._lines: list[str] = []
        self._leaves: list[str] = []
        self._tensors: list[str] = []
        self._arrays: list[str] = []
        self._alike: dict[Any, dict[int, list[str]]] = {}
        self._count = 0
        for name, part in zip(("args", "kwargs"), tree, strict=True):
            self._part(name, part)

    def reader(self) -> Reader:
        """The function."""
        for (kind, *_), groups in self._alike.items():
            self._same_as_before(kind, list(groups.values()))
        found = (f"[{', '.join(some)}]" for some in (self._leaves, self._tensors, self._arrays))
        lines = (*self._lines, f"return {', '.join(found)}")
        body = "\n        ".join(lines)
        source = (
            f"def read(args, kwargs):\n    try:\n        {body}\n"
            "    except ValueError:  # another number of parts\n        return None\n"
        )
        read: Reader = compile_source(source, "reader of arguments", self._scope)["read"]
        return read

    def _same_as_before(self, kind: type, groups: list[list[str]]) -> None:
        """Refuse other ones that are the same object, or that are no more.

        Args:
            kind: the class of some tensors or arrays of one shape and dtype.
            groups: their names, those of one object together.
        """
        for first, *more in groups:
            for name in more:
                self._refuse(f"{name} is not {first}")
        names = [group[0] for group in groups]
        if len(names) > _COMPARED:
            by_identity = issubclass(kind, Tensor)  # as Python hashes them
            every = ", ".join(name if by_identity else f"id({name})" for name in names)
            self._refuse(f"len({{{every}}}) != {len(names)}")
            return
        for i, name in enumerate(names):
            if i:
                self._refuse(" or ".join(f"{name} is {other}" for other in names[:i]))

    def _refuse(self, condition: str) -> None:
        self._lines.append(f"if {condition}: return None")

    def _fixed(self, value: Any) -> str:
        name = f"f{len(self._scope)}"
        self._scope[name] = value
        return name

    def _split(self, what: str, count: int) -> list[str]:
        """The names of so many parts."""
        if self._count + count > _MOST:
            raise _Other
        names = [f"p{self._count + i}" for i in range(count)]
        self._count += count
        if names:
            self._lines.append(f"{', '.join(names)}, = {what}")
        return names

    def _part(self, name: str, value: Any) -> None:
        kind = value.__class__
        if kind is tuple or kind is list or kind is dict:
            if name not in ("args", "kwargs"):
                self._refuse(f"{name}.__class__ is not {kind.__name__}")
            if not value:
                self._refuse(name)
            elif kind is dict:
                self._dict(name, value)
            else:
                self._parts(self._split(name, len(value)), value)
        elif entries(value) is not None:
            raise _Other
        else:
            self._leaves.append(name)
            self._leaf(name, value)

    def _parts(self, names: Sequence[str], values: Sequence[Any]) -> None:
        for name, value in zip(names, values, strict=True):
            self._part(name, value)

    def _dict(self, name: str, value: dict[Any, Any]) -> None:
        for key, expected in zip(self._split(name, len(value)), value, strict=True):
            if expected.__class__ is not str:
                raise _Other
            known = self._fixed(expected)
            self._refuse(
                f"{key} is not {known} and ({key}.__class__ is not str or {key} != {known})"
            )
        self._parts(self._split(f"{name}.values()", len(value)), list(value.values()))

    def _leaf(self, name: str, value: Any) -> None:
        kind = value.__class__
        if isinstance(value, (Tensor, np.ndarray)):
            array, where = value, name
            self._refuse(f"{name}.__class__ is not {self._fixed(kind)}")
            if isinstance(value, Tensor):
                array, where = value._array, f"a{len(self._arrays)}"
                there = "is not" if value._node is None else "is"
                self._refuse(f"{name}._node {there} None")
                self._lines.append(f"{where} = {name}._array")
            shape, dtype = self._fixed(array.shape), self._fixed(array.dtype)
            self._refuse(f"{where}.dtype is not {dtype} or {where}.shape != {shape}")
            on_tape = getattr(value, "_node", None) is not None
            alike = kind, array.shape, array.dtype, on_tape
            self._alike.setdefault(alike, {}).setdefault(id(value), []).append(name)
            self._tensors.append(name)
            self._arrays.append(where)
        elif value is None or value is True or value is False:
            self._refuse(f"{name} is not {value}")
        elif kind in BY_TEXT or isinstance(value, np.generic):
            text = f"repr({name}) != {repr(value)!r}"
            self._refuse(f"{name}.__class__ is not {self._fixed(kind)} or {text}")
        elif kind in BY_VALUE:
            different = f"{name} != {self._fixed(value)}"
            self._refuse(f"{name}.__class__ is not {self._fixed(kind)} or {different}")
        else:  # by identity, and not kept alive
            self._refuse(f"id({name}) != {id(value)}")
