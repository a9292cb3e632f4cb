"""Whether places hold what they held: by identity, which is quick to ask, or else by value."""

import functools
import itertools
import keyword
import operator
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from minigrad.core.plans import compile_source

__all__ = ["MISSING", "PLAIN", "Absent", "Entry", "Identities", "Places", "attribute_of"]
__all__ += ["attribute_through", "cell_of", "put_content", "put_through", "same_content"]
__all__ += ["same_plain"]

PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None), range, slice, type(Ellipsis)))

_SPELLED_OUT = 8  # parts of a container, each with a line of its own


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


class Entry(NamedTuple):
    """One place that was read.

    Attributes:
        get: a function from the key to what is there now.
        key: a name, an index or a cell.
        value: what was there.
        label: the place, for people.
        put: puts a value there again, or None.
    """

    get: Callable[..., Any]
    key: Any
    value: Any
    label: str
    put: Callable[[Any], None] | None


class Absent:
    """Names that a namespace did not have, which would count if it did.

    An attribute of an object comes before that of its class, a global before what is built in.

    Args:
        table: the namespace.
        asked: the names that are asked for; None for all.
        prefix: of a name, for people.

    Attributes:
        quick: a function and its argument, True while there are none.
    """

    quick: tuple[Callable[[Any], bool], Any]

    def __init__(self, table: Any, asked: Iterable[str] | None, prefix: str) -> None:
        self.table, self.prefix = table, prefix
        self._all, keys = asked is None, table.keys()
        if asked is None:
            self._names = frozenset(table)
            self.quick = self._names.issuperset, keys
        else:
            self._names = frozenset(asked).difference(table)
            self.quick = keys.isdisjoint, self._names

    def found(self) -> list[str]:
        """Those that are there now."""
        return [name for name in list(self.table) if (name in self._names) != self._all]


class Places(NamedTuple):
    """Places that were read.

    Attributes:
        entries: those that hold one object each.
        contents: containers and arrays, what they held, and how people call them.
        absent: names that were not there.
    """

    entries: list[Entry]
    contents: list[tuple[Any, Any, str]]
    absent: list[Absent]

    def hold(self) -> bool:
        """Whether everything is what it was, by value."""
        for get, key, value, _, _ in self.entries:
            now = get(key, MISSING)
            if now is not value and not same_plain(now, value):
                return False
        return all(same_content(holder, kept) for holder, kept, _ in self.contents) and not any(
            absent.found() for absent in self.absent
        )

    def hold_identical(self) -> bool:
        """Whether the very objects are there; their containers are dictionaries."""
        return (
            all(get(key, MISSING) is value for get, key, value, _, _ in self.entries)
            and all(
                len(holder) == len(kept)
                and all(map(operator.is_, holder, kept))
                and all(map(operator.is_, holder.values(), kept.values()))
                for holder, kept, _ in self.contents
            )
            and not any(absent.found() for absent in self.absent)
        )


class Identities:
    """Whether places hold the very objects that they held: a function that is written for them.

    Nearly always they do; where not, they may hold equal ones. Every call asks, so each place is
    a line of its own, with no call where Python needs none.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        contents: Iterable[tuple[Any, Any, str]],
        absent: Iterable[Absent],
    ) -> None:
        self._scope: dict[str, Any] = {
            "MISSING": MISSING, "all": all, "is_": operator.is_, "map": map, "same": same_content
        }  # fmt: skip
        self._names: dict[int, str] = {}
        self._lines: list[str] = []
        self._written: Callable[[], bool] | None = None
        for one in absent:
            self._absent(one)
        for holder, kept, _ in contents:
            self._content(holder, kept)
        for entry in entries:
            self._entry(entry)

    def hold(self) -> bool:
        """True if all are identical; False tells nothing."""
        if self._written is None:  # only now: many programs never see a second call
            source = "\n    ".join(("def hold():", *self._lines, "return True\n"))
            self._written = compile_source(source, "guards", self._scope)["hold"]
        try:
            return self._written()
        except (AttributeError, KeyError, RuntimeError, ValueError):  # gone, or being changed
            return False

    def _name(self, value: Any) -> str:
        """What the function knows an object by."""
        if value is None or value is True or value is False:
            return str(value)
        name = self._names.setdefault(id(value), f"o{len(self._names)}")
        self._scope[name] = value
        return name

    def _refuse(self, condition: str) -> None:
        self._lines.append(f"if {condition}: return False")

    def _entry(self, entry: Entry) -> None:
        get, key, value = entry.get, entry.key, self._name(entry.value)
        if entry.value is MISSING:
            self._refuse(f"{self._name(get)}({self._name(key)}, MISSING) is not MISSING")
        elif get is cell_of:
            self._refuse(f"{self._name(key)}.cell_contents is not {value}")
        elif isinstance(get, functools.partial):
            call = "" if get.func is attribute_of else "()"  # of a weak reference
            what = f"{self._name(get.args[0])}{call}"
            spelled = key.isidentifier() and not keyword.iskeyword(key)
            what = f"{what}.{key}" if spelled else f"getattr({what}, {key!r})"
            self._refuse(f"{what} is not {value}")
        else:
            table = get.__self__  # type: ignore[attr-defined]  # `get` of a namespace
            self._refuse(f"{self._name(table)}[{key!r}] is not {value}")

    def _content(self, holder: Any, kept: Any) -> None:
        name = self._name(holder)
        if isinstance(holder, np.ndarray):
            self._refuse(f"not same({name}, {self._name(kept)})")
        elif not kept:
            self._refuse(name)
        else:
            self._sequence(name, list(kept))
            if isinstance(holder, dict):
                self._sequence(f"{name}.values()", list(kept.values()))

    def _sequence(self, what: str, kept: list[Any]) -> None:
        """What a container gives, in its order."""
        if len(kept) > _SPELLED_OUT:
            name = self._name(kept)
            self._refuse(f"len({what}) != {len(kept)} or not all(map(is_, {what}, {name}))")
            return
        parts = [f"p{i}" for i in range(len(kept))]
        self._lines.append(f"{', '.join(parts)}, = {what}")  # an error if there are more, or fewer
        for part, value in zip(parts, kept, strict=True):
            self._refuse(f"{part} is not {self._name(value)}")

    def _absent(self, one: Absent) -> None:
        are_absent, names = one.quick
        condition = f"not {self._name(are_absent)}({self._name(names)})"
        if len(one.table) < 4 * len(names):  # then it is quicker to see that no name has come
            condition = (
                f"[*{self._name(one.table)}] != {self._name(list(one.table))} and {condition}"
            )
        self._refuse(condition)


def cell_of(cell: Any, default: Any) -> Any:
    """What a closure holds in a cell."""
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return default


def attribute_of(value: Any, name: str, default: Any) -> Any:
    """An attribute, with the object first."""
    return getattr(value, name, default)


def attribute_through(reference: Any, name: str, default: Any) -> Any:
    """An attribute of what a weak reference refers to."""
    return getattr(reference(), name, default)


def put_through(reference: Any, name: str, value: Any) -> None:
    """Set an attribute of what a weak reference refers to."""
    setattr(reference(), name, value)


def put_content(holder: Any, kept: Any) -> None:
    """Put what was kept of a container or an array back into it."""
    if isinstance(holder, np.ndarray):
        if holder.flags.writeable:
            np.copyto(holder, kept)
    elif isinstance(holder, list):
        holder[:] = kept
    else:
        holder.clear()
        getattr(holder, "extend" if isinstance(holder, deque) else "update")(kept)


def same_content(holder: Any, kept: Any) -> bool:
    """Whether a container or an array holds what was kept of it."""
    if isinstance(holder, np.ndarray):
        same = holder.shape == kept.shape and holder.dtype == kept.dtype
        return bool(same and holder.tobytes() == kept.tobytes())
    if len(holder) != len(kept):
        return False
    if isinstance(holder, dict):
        pairs: Any = itertools.chain(
            zip(holder, kept, strict=True), zip(holder.values(), kept.values(), strict=True)
        )
    else:
        pairs = zip(holder, kept, strict=True)
    return all(x is y or same_plain(x, y) for x, y in pairs)


def same_plain(now: Any, value: Any) -> bool:
    """Whether two plain values, or containers of them, are the same; NaN is the same as NaN.

    Objects of classes derived from these may hold more, and are the same only as themselves.
    """
    kind = type(value)
    if type(now) is not kind:
        return False
    if kind in (float, complex) or isinstance(value, np.generic):
        return now is value or repr(now) == repr(value)
    if kind is dict:
        same = list(now) == list(value)
        return same and same_plain([*now.values()], [*value.values()])
    if kind in (tuple, list):
        pairs = zip(now, value, strict=False)
        return len(now) == len(value) and all(x is y or same_plain(x, y) for x, y in pairs)
    return (kind in PLAIN or isinstance(value, np.dtype)) and bool(now == value)
