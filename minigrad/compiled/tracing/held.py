"""Whether places hold what they held: by identity, which is quick to ask, or else by value."""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["MISSING", "PLAIN", "Absent", "Entry", "Identities", "attribute_of", "cell_of"]
__all__ += ["attribute_through", "same_content", "same_plain"]

PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None), range, slice, type(Ellipsis)))


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


class Identities:
    """Whether places hold the very objects that they held, asked without a call for each.

    Nearly always they do; where not, they may hold equal ones.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        contents: Iterable[tuple[Any, Any, str]],
        absent: Iterable[Absent],
    ) -> None:
        self._absent = [one.quick for one in absent]
        tables: dict[int, tuple[Any, dict[Any, Any]]] = {}
        objects: dict[int, tuple[Any, dict[Any, Any]]] = {}
        referents: dict[int, tuple[Any, dict[Any, Any]]] = {}
        self._single: list[Entry] = []
        for entry in entries:
            get, key, value = entry.get, entry.key, entry.value
            if value is MISSING:
                self._single.append(entry)
            elif get is cell_of:
                objects.setdefault(id(key), (key, {}))[1]["cell_contents"] = value
            elif isinstance(get, functools.partial):
                groups = objects if get.func is attribute_of else referents
                groups.setdefault(id(get.args[0]), (get.args[0], {}))[1][key] = value
            else:
                table = get.__self__  # type: ignore[attr-defined]  # `get` of a namespace
                tables.setdefault(id(table), (table, {}))[1][key] = value
        self._fetched: list[tuple[Callable[[Any], tuple[Any, ...]], Any]] = []
        self._expected: list[Any] = []
        for kind, groups in (
            (operator.itemgetter, tables),
            (operator.attrgetter, objects),
            (_getter_through, referents),
        ):
            for holder, values in groups.values():
                names = [*values, *values][: max(len(values), 2)]  # of one it would make no tuple
                self._fetched.append((kind(*names), holder))
                self._expected += [values[name] for name in names]
        self._empty: list[Any] = []
        self._sized: list[Any] = []
        self._lengths: list[int] = []
        self._listed: list[Iterable[Any]] = []  # also the values of dicts, as they will be
        self._arrays: list[tuple[Any, Any]] = []
        for holder, kept, _ in contents:
            if isinstance(holder, np.ndarray):
                self._arrays.append((holder, kept))
                continue
            if not kept:
                self._empty.append(holder)
                continue
            self._sized.append(holder)
            self._lengths.append(len(kept))
            self._listed.append(holder)
            self._expected += kept
            if isinstance(holder, dict):
                self._listed.append(holder.values())
                self._expected += kept.values()

    def hold(self) -> bool:
        """True if all are identical; False tells nothing."""
        try:
            if any(self._empty) or list(map(len, self._sized)) != self._lengths:
                return False
            for are_absent, names in self._absent:
                if not are_absent(names):
                    return False
            found = [fetch(holder) for fetch, holder in self._fetched]
            found += self._listed  # type: ignore[arg-type]  # anything to go through
            same = map(operator.is_, itertools.chain.from_iterable(found), self._expected)
            if not all(same):
                return False
        except (AttributeError, KeyError, RuntimeError, ValueError):  # gone, or being changed
            return False
        return all(get(key, MISSING) is MISSING for get, key, *_ in self._single) and all(
            itertools.starmap(same_content, self._arrays)
        )


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


def _getter_through(*names: str) -> Callable[[Any], Any]:
    """As `operator.attrgetter`, through a weak reference."""
    get = operator.attrgetter(*names)
    return lambda reference: get(reference())


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
