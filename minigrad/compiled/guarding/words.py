"""Whether places are as they were, told by words of memory that change whenever they do.

CPython 3.11 and 3.12 give a dictionary another number at each change, which no dictionary had
before (PEP 509, for guards like these). Cells, functions and classes have pointers to what they
hold, and all objects one to their class, and one to the dictionary of their attributes. So a few
hundred places are a few hundred words, which native code compares in less than a microsecond. A
word may change where nothing did that counts: then the places behind it are read.

Where the memory of objects looks different, on another Python, there are no words.
"""

import ctypes
import functools
import gc
import struct
import sys
from collections.abc import Callable
from types import CellType, FunctionType, GetSetDescriptorType, MappingProxyType
from typing import Any, Final

import numpy as np

from minigrad.compiled.backends import word_comparer
from minigrad.compiled.guarding.held import Entry, Identities, Places, attribute_of, cell_of

__all__ = ["Words", "layout", "quick_check"]

_WORD: Final = 8
_UNKNOWN: Final = 2**64 - 1  # neither a number of a dictionary nor a pointer
_MANAGED: Final = 1 << 4  # Py_TPFLAGS_MANAGED_DICT: attributes lie before the object
_AS_USUAL: Final[Any] = object.__getattribute__


def quick_check(places: Places) -> Callable[[], bool]:
    """The quickest function there is that tells whether all places hold what they held."""
    shape, first_change = layout(), word_comparer()
    if shape is not None and first_change is not None:
        return Words(places, shape, first_change).hold
    identities = Identities(*places)
    return lambda: identities.hold() or places.hold()


class Layout:
    """Where in memory objects have the words that count, in bytes from where they begin.

    Attributes:
        version: of a dictionary, its number.
        content: of a cell, what it holds.
        kind: of any object, its class.
        attributes: of functions and classes, by class and name.
        table: of most objects, the dictionary of their attributes.
    """

    def __init__(self) -> None:
        self.version = object.__basicsize__ + _WORD  # after how many items it has
        self.content = object.__basicsize__
        self.kind = object.__basicsize__ - _WORD
        self.table = -3 * _WORD  # before two words of the garbage collector

        def example(x: int = 1, *, y: int = 2) -> int:
            return x + y

        class Example:
            pass

        self.attributes = {
            (FunctionType, "__code__"): _place_of(example, example.__code__),
            (FunctionType, "__defaults__"): _place_of(example, example.__defaults__),
            (FunctionType, "__kwdefaults__"): _place_of(example, example.__kwdefaults__),
            (FunctionType, "__dict__"): _place_of(example, vars(example)),
            (type, "__mro__"): _place_of(Example, Example.__mro__),
        }


@functools.cache
def layout() -> Layout | None:
    """That of this Python; None where dictionaries have no numbers, or are not as expected."""
    known = sys.implementation.name == "cpython" and sys.version_info[:2] in ((3, 11), (3, 12))
    if not known or struct.calcsize("P") != _WORD:
        return None
    found = Layout()
    cell, table = CellType(found), {"x": 1}
    versions = [_word_at(id(table) + found.version)]
    for change in ({"x": 2}, {"y": 3}):
        table.update(change)
        versions.append(_word_at(id(table) + found.version))
    right = versions[0] < versions[1] < versions[2]
    right = right and _word_at(id(cell) + found.content) == id(found)
    right = right and _word_at(id(found) + found.kind) == id(Layout)
    return found if right and all(found.attributes.values()) else None


def _word_at(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _place_of(value: Any, held: Any) -> int:
    """Where an object has the pointer to what it holds; 0 if that cannot be told."""
    size = type(value).__basicsize__
    places = [i for i in range(0, size, _WORD) if _word_at(id(value) + i) == id(held)]
    return places[0] if len(places) == 1 else 0


class Words:
    """The places of guards, by the words that change with them.

    Args:
        places: all that is guarded.
        shape: of the memory of objects.
        first_change: see `minigrad.compiled.llvm.words`.
    """

    def __init__(
        self, places: Places, shape: Layout, first_change: Callable[[int, int, int], int]
    ) -> None:
        behind: dict[int, Places] = {}
        rest = Places([], [], [])

        def at(address: int | None) -> Places:
            return rest if address is None else behind.setdefault(address, Places([], [], []))

        for entry in places.entries:
            at(_word_of_entry(entry, shape)).entries.append(entry)
        for content in places.contents:
            at(_word_of_table(content[0], shape)).contents.append(content)
        for absent in places.absent:
            at(_word_of_table(absent.table, shape)).absent.append(absent)
        self._rest = rest
        self._identities = Identities(*rest) if any(rest) else None
        self._behind = list(behind.values())  # they keep the objects of the words alive, too
        self._pairs = np.array([(address, _UNKNOWN) for address in behind], np.uint64)
        self._given = self._pairs.__array_interface__["data"][0], len(behind)
        self._first_change = first_change

    def hold(self) -> bool:
        """Whether every place holds what it held."""
        pairs, count = self._given
        number = self._first_change(pairs, 0, count)
        while number < count:
            now = _word_at(int(self._pairs[number, 0]))  # before its places are read
            places = self._behind[number]
            if places.hold_identical():
                self._pairs[number, 1] = now
            elif not places.hold():  # what is only equal is looked at anew at every call
                return False
            number = self._first_change(pairs, number + 1, count)
        return self._identities is None or self._identities.hold() or self._rest.hold()


def _word_of_entry(entry: Entry, shape: Layout) -> int | None:
    """The address of the word that changes when another object is at a place, or None."""
    get, key = entry.get, entry.key
    if get is cell_of:
        return id(key) + shape.content if type(key) is CellType else None
    if isinstance(get, functools.partial):
        if get.func is not attribute_of:
            return None  # nothing keeps its object alive
        (value,) = get.args
        if key == "__class__" and type(value) is entry.value:  # no property says so
            return id(value) + shape.kind
        offset = shape.attributes.get((type(value), key))
        if offset is None and key == "__dict__":
            return _word_of_attributes(value, shape)
        return None if offset is None else id(value) + offset
    return _word_of_table(get.__self__, shape)  # type: ignore[attr-defined]  # `get` of a namespace


def _word_of_attributes(value: Any, shape: Layout) -> int | None:
    """The address of the pointer to the dictionary of the attributes of an object, or None."""
    kind = type(value)
    found = next(
        (vars(base)["__dict__"] for base in kind.__mro__ if "__dict__" in vars(base)), None
    )
    if type(found) is not GetSetDescriptorType or kind.__getattribute__ is not _AS_USUAL:
        return None  # who asks may be told of another dictionary
    address = id(value) + shape.table
    there = kind.__flags__ & _MANAGED and _word_at(address) == id(vars(value))
    return address if there else None


def _word_of_table(table: Any, shape: Layout) -> int | None:
    """The address of the number of a dictionary, or of one seen through a proxy, or None."""
    if type(table) is MappingProxyType:
        (table,) = gc.get_referents(table)
    return id(table) + shape.version if type(table) is dict else None
