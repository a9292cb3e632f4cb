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
import operator
import sys
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MappingView, Sequence
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

from minigrad.compiled.guarding.codes import (
    globals_in,
    matches_classes,
    modules_in,
    names_in,
    nested,
    set_by,
)
from minigrad.compiled.guarding.held import (
    MISSING,
    PLAIN,
    Absent,
    Entry,
    Places,
    attribute_of,
    attribute_through,
    cell_of,
    put_content,
    put_through,
    same_content,
    same_plain,
)
from minigrad.compiled.guarding.words import quick_check
from minigrad.compiled.tracing.called import Refused
from minigrad.compiled.tracing.watching import Watch, is_ours
from minigrad.core.plans import PlanTable
from minigrad.core.tensors import Tensor

__all__ = ["Guards"]

_MOST = 50_000  # guards of one program
_LARGEST = 1 << 20  # elements of an array that is compared at every call
_CONTAINERS = (list, dict, set, deque, tuple, frozenset, np.ndarray)
_UNWATCHED: tuple[type, ...] = (Iterator, bytearray, memoryview, array)
_UNWATCHED += (MappingProxyType, MappingView, operator.attrgetter)
_OF_SIGNATURES = frozenset(("__code__", "__defaults__", "__kwdefaults__"))
_OF_FUNCTIONS = _OF_SIGNATURES | {"__annotations__", "__closure__", "__doc__", "__name__"}
_CACHES = type(functools.lru_cache(lambda: None))
_WRAPPING = (functools.partial, _CACHES, classmethod, staticmethod)
_WRAPPERS = ("minigrad.transforms", "minigrad.core.modes")  # of functions of the user's
_CLOSED = ("numpy", "builtins", "weakref", "threading", "functools", "collections")


class Guards:
    """What a function can read.

    Args:
        roots: where it begins to read, as at itself.
        watch: what was seen of a call.
        given: more roots, which came as arguments. They are not kept alive.

    Attributes:
        tensors, arrays: those that it can get at; tensors by their identity.
    """

    def __init__(self, roots: Iterable[Any], watch: Watch, given: Sequence[Any] = ()) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.arrays: list[np.ndarray[Any, Any]] = []
        self._places = Places([], [], [])
        self._entries, self._contents, self._absent = self._places
        self._classes: set[type] = set()
        self._found: set[CodeType] = set()
        self._seen: set[int] = set()
        self._keep: list[Any] = []
        self._watch = watch
        self._by_name = watch.by_name or any(map(matches_classes, watch.entered))
        self._given = frozenset(map(id, given))
        self._names = frozenset(itertools.chain.from_iterable(map(names_in, watch.entered)))
        self._waiting: list[tuple[Any, str]] = [(root, "") for root in (*roots, *given)]
        while self._waiting:
            value, label = self._waiting.pop()
            if type(value) in PLAIN or id(value) in self._seen:
                continue
            self._seen.add(id(value))
            self._keep.append(value)
            self._look_at(value, label)
        self._keep.clear()
        for code in watch.asked - self._found:
            line = f"{code.co_filename}:{code.co_firstlineno}"
            raise Refused(f"it calls {code.co_name} ({line}) in a way that cannot be watched")
        self._hold: Callable[[], bool] | None = None

    def hold(self) -> bool:
        """Whether everything is what it was."""
        if self._hold is None:  # only now: many programs never see a second call
            self._hold = quick_check(self._places)
        return self._hold()

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
                put_content(holder, kept)
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
            self._attributes(value, self._names & {"requires_grad"}, label)
            if not is_ours(_home(type(value))):
                self._object(value, label)
        elif isinstance(value, np.ndarray):
            self.arrays.append(value)
            self._content(value, label)
            if value.dtype.hasobject:
                self._follow(value.tolist(), label)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, CellType):
            self._entry(cell_of, value, label)
        elif isinstance(value, MethodType):
            self._follow(value.__self__, label)
            self._follow(value.__func__, label)
        elif isinstance(value, (BuiltinMethodType, MethodWrapperType)):
            self._follow(getattr(value, "__self__", None), label)  # as in `table.get`
        elif isinstance(value, _CACHES):
            self._follow(value.__wrapped__, label)
        elif isinstance(value, functools.partial):
            self._attributes(value, ("func", "args", "keywords"), label)
        elif isinstance(value, weakref.ref):
            self._follow(value(), label)
        elif isinstance(value, (classmethod, staticmethod)):
            self._follow(value.__func__, label)
        elif isinstance(value, property):
            self._follow(value.fget, label)
        elif isinstance(value, ModuleType):
            if not is_ours(value.__name__) and not _is_closed(value.__name__):
                asked = self._names | {"__getattr__"}
                names = [n for n in vars(value) if n in asked]
                self._mapping(vars(value), names, f"{value.__name__}.", asked)
                self._attributes(value, ("__class__",), label)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, PlanTable):  # plans are made on demand; they follow from the rules
            self._look_at(value.operation.rules, label)
        elif isinstance(value, (list, dict, set, deque)):
            self._content(value, label)
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            for key, part in parts:
                self._follow(part, f"{label}[{key!r}]")
        elif isinstance(value, (tuple, frozenset)):
            for i, part in enumerate(value):
                self._follow(part, f"{label}[{i}]")
        elif isinstance(value, _UNWATCHED) and _is_closed(_home(type(value))):
            raise Refused(
                f"it can read the {type(value).__name__}{label and f' {label}'}, which cannot be "
                "watched"
            )
        elif not isinstance(value, (np.generic, np.dtype, np.random.Generator, CodeType)):
            self._object(value, label)
        holds = isinstance(value, _CONTAINERS) and not _is_closed(_home(type(value)))
        if holds or isinstance(value, _WRAPPING):
            self._object(value, label)  # it may have attributes and methods, too

    def _follow(self, value: Any, label: str) -> None:
        if type(value) not in PLAIN:
            self._waiting.append((value, label))

    def _entry(self, get: Any, key: Any, label: str, put: Any = None) -> None:
        value = get(key, MISSING)
        self._entries.append(Entry(get, key, value, label, put))
        if len(self._entries) + len(self._contents) > _MOST:
            raise Refused("it can read too much from outside to watch it all")
        if value is not MISSING:
            self._follow(value, label)

    def _mapping(
        self,
        table: Any,
        names: Iterable[str],
        prefix: str,
        asked: Iterable[str] | None,
        owner: Any = None,
    ) -> None:
        """Guards of some names in a namespace; and of those asked for, which may come later.

        None of them stands for all. A table that is read-only is written by its owner's attributes.
        """
        names = list(names)
        asked = None if asked is None else frozenset(asked).union(names)
        self._absent.append(Absent(table, asked, prefix))
        for name in filter(table.__contains__, names):
            if owner is None:
                put = functools.partial(_set, table, name)
            else:
                put = functools.partial(setattr, owner, name)
            self._entry(table.get, name, f"{prefix}{name}", put)

    def _named(self, table: Any) -> Iterator[str]:
        """The names in a namespace that entered code may ask for."""
        return (n for n in list(table) if self._by_name or n in self._names)

    @property
    def _asked(self) -> frozenset[str] | None:
        """The names that entered code may ask for; None for any."""
        return None if self._by_name else self._names

    def _function(self, function: FunctionType) -> None:
        """Guards of what others may ask of a function, and of what it reads if it was entered."""
        name, module = function.__qualname__, _module_of(function)
        if theirs := not is_ours(module) and not _is_closed(module):
            asked = self._names & _OF_FUNCTIONS
            self._attributes(function, asked | _OF_SIGNATURES if self._by_name else asked, name)
            self._mapping(vars(function), self._named(vars(function)), f"{name}.", self._asked)
            self._entries.append(
                Entry(self._getter(function), "__dict__", vars(function), name, None)
            )
        wraps = hasattr(function, "__wrapped__")  # as what `contextlib.contextmanager` gives
        if not (wraps or module.startswith(_WRAPPERS) or function.__code__ in self._watch.entered):
            return
        self._found.update(nested(function.__code__))
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for variable, cell in cells:
            self._entry(cell_of, cell, f"{variable} around {name}", functools.partial(_fill, cell))
        self._attributes(function, _OF_SIGNATURES, name)
        if not theirs and vars(function):
            self._mapping(vars(function), list(vars(function)), f"{name}.", None)
        if not is_ours(module):
            code, table = function.__code__, function.__globals__
            read = globals_in(code)
            self._mapping(table, [n for n in read if n in table], "global ", read)
            for other in filter(sys.modules.__contains__, modules_in(code)):
                self._entry(sys.modules.get, other, f"the module {other}")

    def _attributes(self, value: Any, names: Iterable[str], label: str) -> None:
        """Guards of attributes that are no names in a namespace."""
        get = self._getter(value)
        for name in names:
            self._entry(get, name, f"{label}.{name}")

    def _getter(self, value: Any) -> Any:
        """What gives an attribute of an object by its name."""
        if id(value) in self._given and type(value).__weakrefoffset__:
            return functools.partial(attribute_through, weakref.ref(value))
        return functools.partial(attribute_of, value)

    def _putter(self, value: Any, name: str) -> Any:
        """A function that puts an attribute of an object back; as for `_getter`."""
        if id(value) in self._given and type(value).__weakrefoffset__:
            return functools.partial(put_through, weakref.ref(value), name)
        return functools.partial(setattr, value, name)

    def _is_read_by(self, module: str) -> bool:
        """Whether code of Python's own or NumPy's, as that of `vectorize`, may have read."""
        return module in self._watch.modules or module.partition(".")[0] == "numpy"

    def _class(self, kind: type) -> None:
        """Guards of what a class and its bases hold, methods without a name in code too."""
        if not _is_closed(_home(kind)):
            self._attributes(kind, ("__mro__", "__class__"), kind.__qualname__)
        for base in kind.__mro__:
            if base in self._classes:
                continue
            self._classes.add(base)
            if not _is_closed(_home(base)) and not _home(base).startswith("minigrad."):
                table = vars(base)
                names = dict.fromkeys(self._named(table))
                names.update((n, None) for n, v in table.items() if self._is_entered(v))
                self._mapping(table, names, f"{base.__qualname__}.", self._asked, base)

    def _is_entered(self, value: Any) -> bool:
        value = getattr(value, "fget", getattr(value, "__func__", value))
        return getattr(value, "__code__", None) in self._watch.entered

    def _object(self, value: Any, label: str) -> None:
        """Guards of the attributes of an instance; also of those that code would only set."""
        kind = type(value)
        name = label or kind.__qualname__
        if _home(kind).startswith("minigrad."):  # ours that hold functions of the user's
            self._follow(getattr(value, "function", None), label)
            self._follow(getattr(value, "rule", None), label)
            return
        table = getattr(value, "__dict__", None)
        if table is not None:
            # What code of Python's own read, as that of `collections.UserDict`, is not known.
            inherited = any(self._is_read_by(_home(base)) for base in kind.__mro__)
            names = dict.fromkeys(table if inherited else self._named(table))
            written = itertools.chain.from_iterable(map(set_by, self._watch.entered))
            names.update(dict.fromkeys(written))
            self._mapping(table, names, f"{name}.", None if inherited else self._asked)
            if type(table) is dict:
                self._entries.append(Entry(self._getter(value), "__dict__", table, name, None))
        if _is_closed(_home(kind)):
            return
        theirs = [base for base in kind.__mro__ if not _home(base).startswith("minigrad.")]
        for base in theirs:
            for slot, descriptor in vars(base).items():
                if type(descriptor) is MemberDescriptorType and slot != "__weakref__":
                    self._entry(
                        self._getter(value), slot, f"{name}.{slot}", self._putter(value, slot)
                    )
        self._attributes(value, ("__class__",), name)

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
    """Where a function was written; what wraps another tells that one's module for its own."""
    return str(function.__globals__.get("__name__", ""))


def _home(kind: type) -> str:
    """The module of a class; one of an extension module may have something else by that name."""
    module: Any = kind.__module__
    return module if isinstance(module, str) else ""


def _set(table: dict[str, Any], name: str, value: Any) -> None:
    if value is MISSING:
        table.pop(name, None)
    else:
        table[name] = value


def _fill(cell: Any, value: Any) -> None:
    if value is not MISSING:
        cell.cell_contents = value


def _is_closed(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _CLOSED or package in _standard()


@functools.cache
def _standard() -> frozenset[str]:
    return frozenset(sys.stdlib_module_names) - {"__main__"}
