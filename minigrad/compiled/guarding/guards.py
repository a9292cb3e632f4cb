"""Guards: what a function read besides its arguments, and whether all of it is still the same.

A program holds what the function did when it was traced. So all plain values that it can read must
be what they were: the globals, closure cells and defaults of the functions that were entered, and
the attributes, by the names in their code, of the objects found there. Objects count by identity,
plain values and the contents of containers and arrays by value. A name that comes later counts,
too, where it would come before another: an attribute of an object before that of its class.
Tensors are found on the way; they count by identity, and what they hold is read anew at each call.

Not seen, and listed in the docs: what only C code holds (iterators, caches of functions), and
attributes that a property computes from what none of this reaches.
"""

import functools
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from types import (
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np

from minigrad.compiled.tracing.called import Refused
from minigrad.compiled.tracing.held import (
    MISSING,
    PLAIN,
    Absent,
    Entry,
    Identities,
    attribute_of,
    cell_of,
    same_content,
    same_plain,
)
from minigrad.compiled.tracing.watching import Watch, is_ours
from minigrad.core.tensors import Tensor

__all__ = ["Guards"]

_MOST = 50_000  # guards of one program
_LARGEST = 1 << 20  # elements of an array that is compared at every call
_WRAPPERS = ("minigrad.transforms", "minigrad.core.modes")  # of functions of the user's
_CLOSED = ("numpy", "builtins", "weakref", "threading", "functools", "collections")


class Guards:
    """What a function can read.

    Attributes:
        tensors: the tensors that it can get at, by their identity.
    """

    def __init__(self, roots: Iterable[Any], watch: Watch) -> None:
        self.tensors: dict[int, Tensor] = {}
        self._entries: list[Entry] = []
        self._contents: list[tuple[Any, Any, str]] = []
        self._absent: list[Absent] = []
        self._classes: set[type] = set()
        self._seen: set[int] = set()
        self._keep: list[Any] = []
        self._watch = watch
        self._names = frozenset(itertools.chain.from_iterable(map(_names, watch.entered)))
        self._waiting: list[tuple[Any, str]] = [(root, "") for root in roots]
        while self._waiting:
            value, label = self._waiting.pop()
            if isinstance(value, PLAIN) or id(value) in self._seen:
                continue
            self._seen.add(id(value))
            self._keep.append(value)
            self._look_at(value, label)
        self._keep.clear()
        self._anything = bool(self._entries or self._contents or self._absent)
        self._identities = Identities(self._entries, self._contents, self._absent)

    def hold(self) -> bool:
        """Whether everything is what it was."""
        if not self._anything or self._identities.hold():
            return True
        for get, key, value, _, _ in self._entries:
            now = get(key, MISSING)
            if now is not value and not same_plain(now, value):
                return False
        return all(same_content(holder, kept) for holder, kept, _ in self._contents) and not any(
            absent.found() for absent in self._absent
        )

    def changed(self) -> str | None:
        """A place that holds something else now; None when there is none."""
        for get, key, value, label, _ in self._entries:
            now = get(key, MISSING)
            if now is not value and not same_plain(now, value):
                return label
        for holder, kept, label in self._contents:
            if not same_content(holder, kept):
                return label
        for absent in self._absent:
            for name in absent.found():
                return f"{absent.prefix}{name}"
        return None

    def restore(self) -> None:
        """Put everything back, as far as that can be done."""
        for get, key, value, _, put in self._entries:
            now = get(key, MISSING)
            if put is not None and now is not value and not same_plain(now, value):
                put(value)
        for holder, kept, _ in self._contents:
            if not same_content(holder, kept):
                _put_content(holder, kept)
        for absent in self._absent:
            if not isinstance(absent.table, MappingProxyType):
                for name in absent.found():
                    del absent.table[name]

    def __len__(self) -> int:
        return len(self._entries) + len(self._contents)

    # -- the search --------------------------------------------------------------------------------

    def _look_at(self, value: Any, label: str) -> None:
        if isinstance(value, Tensor):
            self.tensors[id(value)] = value
        elif isinstance(value, np.ndarray):
            self._content(value, label)
        elif isinstance(value, FunctionType):
            if _module_of(value).startswith(_WRAPPERS) or value.__code__ in self._watch.entered:
                self._function(value)
        elif isinstance(value, MethodType):
            self._follow(value.__self__, label)
            self._follow(value.__func__, label)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._follow(part, label)
        elif isinstance(value, (classmethod, staticmethod)):
            self._follow(value.__func__, label)
        elif isinstance(value, property):
            self._follow(value.fget, label)
        elif isinstance(value, ModuleType):
            if not is_ours(value.__name__) and not _is_closed(value.__name__):
                names = [n for n in vars(value) if n in self._names]
                self._mapping(vars(value), names, f"{value.__name__}.", self._names)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, (list, dict, set, deque)):
            self._content(value, label)
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            for key, part in parts:
                self._follow(part, f"{label}[{key!r}]")
        elif isinstance(value, (tuple, frozenset)):
            for i, part in enumerate(value):
                self._follow(part, f"{label}[{i}]")
        elif not isinstance(value, (np.generic, np.dtype, np.random.Generator, CodeType)):
            self._object(value, label)

    def _follow(self, value: Any, label: str) -> None:
        if not isinstance(value, PLAIN):
            self._waiting.append((value, label))

    def _entry(self, get: Any, key: Any, label: str, put: Any = None) -> None:
        value = get(key, MISSING)
        self._entries.append(Entry(get, key, value, label, put))
        if len(self._entries) + len(self._contents) > _MOST:
            raise Refused("it can read too much from outside to watch it all")
        if value is not MISSING:
            self._follow(value, label)

    def _mapping(
        self, table: Any, names: Iterable[str], prefix: str, asked: Iterable[str] | None
    ) -> None:
        """Guards of some names in a namespace; and of those asked for, which may come later.

        None of them stands for all.
        """
        names = list(names)
        asked = None if asked is None else frozenset(asked).union(names)
        self._absent.append(Absent(table, asked, prefix))
        for name in filter(table.__contains__, names):
            fixed = isinstance(table, MappingProxyType)
            put = None if fixed else functools.partial(_set, table, name)
            self._entry(table.get, name, f"{prefix}{name}", put)

    def _named(self, table: Any) -> Iterator[str]:
        """The names in a namespace that entered code may ask for."""
        return (n for n in list(table) if self._watch.by_name or n in self._names)

    @property
    def _asked(self) -> frozenset[str] | None:
        """The names that entered code may ask for; None for any."""
        return None if self._watch.by_name else self._names

    def _function(self, function: FunctionType) -> None:
        name = function.__qualname__
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for variable, cell in cells:
            self._entry(cell_of, cell, f"{variable} around {name}", functools.partial(_fill, cell))
        for attribute in ("__defaults__", "__kwdefaults__", "__code__"):
            self._entry(functools.partial(attribute_of, function), attribute, f"{name}.{attribute}")
        if vars(function):
            self._mapping(vars(function), list(vars(function)), f"{name}.", None)
        if not is_ours(_module_of(function)):
            asked = function.__code__.co_names
            names = [n for n in asked if n in function.__globals__]
            self._mapping(function.__globals__, names, "global ", asked)

    def _class(self, kind: type) -> None:
        """Guards of what a class and its bases hold, methods without a name in code too."""
        for base in kind.__mro__:
            if base in self._classes:
                continue
            self._classes.add(base)
            if not _is_closed(base.__module__) and not base.__module__.startswith("minigrad."):
                table = vars(base)
                names = dict.fromkeys(self._named(table))
                names.update((n, None) for n, v in table.items() if self._is_entered(v))
                self._mapping(table, names, f"{base.__qualname__}.", self._asked)

    def _is_entered(self, value: Any) -> bool:
        value = getattr(value, "fget", getattr(value, "__func__", value))
        return getattr(value, "__code__", None) in self._watch.entered

    def _object(self, value: Any, label: str) -> None:
        """Guards of the attributes of an instance; also of those that code would only set."""
        kind = type(value)
        name = label or kind.__qualname__
        if kind.__module__.startswith("minigrad."):  # ours that hold functions of the user's
            self._follow(getattr(value, "function", None), label)
            self._follow(getattr(value, "rule", None), label)
            return
        table = getattr(value, "__dict__", None)
        if table is not None:
            names = dict.fromkeys(self._named(table))
            names.update(dict.fromkeys(itertools.chain(*map(_written, self._watch.entered))))
            self._mapping(table, names, f"{name}.", self._asked)
        if _is_closed(kind.__module__):
            return
        for base in kind.__mro__:
            for slot, descriptor in vars(base).items():
                if type(descriptor) is MemberDescriptorType and slot != "__weakref__":
                    self._entry(functools.partial(attribute_of, value), slot, f"{name}.{slot}")
        self._class(kind)

    def _content(self, holder: Any, label: str) -> None:
        """A guard of what a container or an array holds."""
        if isinstance(holder, np.ndarray):
            if holder.size > _LARGEST:
                raise Refused(f"it reads the large array {label}; pass it as an argument")
            kept: Any = holder.copy()
        elif isinstance(holder, dict):
            kept = dict(holder)
        else:
            kept = list(holder)
        self._contents.append((holder, kept, label))


def _module_of(function: FunctionType) -> str:
    """Where a function was written; what `functools.wraps` changes is its `__module__`."""
    return str(function.__globals__.get("__name__", ""))


def _set(table: dict[str, Any], name: str, value: Any) -> None:
    if value is MISSING:
        table.pop(name, None)
    else:
        table[name] = value


def _fill(cell: Any, value: Any) -> None:
    if value is not MISSING:
        cell.cell_contents = value


@functools.lru_cache(maxsize=4096)
def _names(code: CodeType) -> tuple[str, ...]:
    """The names of attributes and globals in code, also those in its strings."""
    texts = [c for c in code.co_consts if isinstance(c, str) and c.isidentifier()]
    for constant in code.co_consts:
        if isinstance(constant, tuple):
            texts += [c for c in constant if isinstance(c, str) and c.isidentifier()]
    return (*code.co_names, *texts)


@functools.lru_cache(maxsize=4096)
def _written(code: CodeType) -> tuple[str, ...]:
    """The attributes that code sets."""
    import dis

    return tuple(i.argval for i in dis.get_instructions(code) if i.opname == "STORE_ATTR")


def _is_closed(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _CLOSED or package in _standard()


@functools.cache
def _standard() -> frozenset[str]:
    import sys

    return frozenset(sys.stdlib_module_names) - {"__main__"}


def _put_content(holder: Any, kept: Any) -> None:
    if isinstance(holder, np.ndarray):
        if holder.flags.writeable:
            np.copyto(holder, kept)
    elif isinstance(holder, list):
        holder[:] = kept
    else:
        holder.clear()
        getattr(holder, "extend" if isinstance(holder, deque) else "update")(kept)
