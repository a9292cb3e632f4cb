"""Guards by words of memory: they see what reading every place sees."""

import ctypes
import functools
import sys
from types import SimpleNamespace
from typing import ClassVar
from unittest import mock

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.compiled import backends
from minigrad.compiled.guarding import words
from minigrad.compiled.guarding.held import Absent, Entry, Places, attribute_of, cell_of

HAS_VERSIONS = sys.implementation.name == "cpython" and sys.version_info[:2] in ((3, 11), (3, 12))


def first_change(pairs, start, count):
    """What native code does, by ctypes."""
    given = (ctypes.c_uint64 * (2 * count)).from_address(pairs)
    for number in range(start, count):
        if ctypes.c_uint64.from_address(given[2 * number]).value != given[2 * number + 1]:
            return number
    return count


def test_the_layout_is_known_where_dictionaries_have_numbers():
    assert (words.layout() is not None) == HAS_VERSIONS


def watching(places):
    """What tells whether places hold: by words, if this Python has them, or else in other ways."""
    with mock.patch.object(words, "word_comparer", return_value=first_change):
        return words.quick_check(places)


def of_table(table, *names):
    entries = [Entry(table.get, name, table[name], name, None) for name in names]
    return Places(entries, [], [Absent(table, ["new", *names], "")])


NAMES = st.sampled_from(["a", "b", "other", "new"])
VALUES = st.sampled_from([1, True, 1.0, 0.0, -0.0, "x", None, (1,), float("nan")])
CHANGES = st.one_of(
    st.tuples(st.just("set"), NAMES, VALUES),
    st.tuples(st.just("attribute"), NAMES, VALUES),
    st.tuples(st.just("update"), NAMES, VALUES),
    st.tuples(st.just("or"), NAMES, VALUES),
    st.tuples(st.just("default"), NAMES, VALUES),
    st.tuples(st.just("pop"), NAMES, VALUES),
    st.tuples(st.just("last"), NAMES, VALUES),
    st.tuples(st.just("clear"), NAMES, VALUES),
    st.tuples(st.just("again"), NAMES, VALUES),
)


def change(held, how, name, value):
    table = vars(held)
    match how:
        case "set":
            table[name] = value
        case "attribute":
            setattr(held, name, value)
        case "update":
            table.update({name: value})
        case "or":
            table |= {name: value}
        case "default":
            table.setdefault(name, value)
        case "pop":
            table.pop(name, None)
        case "last" if table:
            table.popitem()
        case "clear":
            table.clear()
        case "again":
            table.update(a=1, b=0.0)
            table.pop("new", None)


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_words_and_values_agree_after_every_change(changes):
    held = SimpleNamespace(a=1, b=0.0, other=3)
    places = of_table(vars(held), "a", "b")
    watched = watching(places)
    for each in changes:
        change(held, *each)
        assert watched() == places.hold()


def test_an_equal_list_in_the_place_of_another_is_not_taken_over():
    table = {"scales": [1, 2]}
    places = of_table(table, "scales")
    watched = watching(places)
    assert watched()
    table["scales"] = [1, 2]
    assert places.hold()
    watched()
    table["scales"][0] = 5  # which no number of the dictionary tells
    assert not places.hold()
    assert not watched()


def test_a_variable_around_a_function_is_watched():
    rate = 1

    def function():
        return rate

    guards = watching(Places([Entry(cell_of, function.__closure__[0], 1, "rate", None)], [], []))
    assert guards()
    rate = 2
    assert not guards()
    rate = 1
    assert guards()


def example(x=1, *, y=2):
    return x + y


class Base:
    pass


OTHER = type("Other", (), {})


def attribute(holder, name):
    get = functools.partial(attribute_of, holder)
    return Places([Entry(get, name, getattr(holder, name), name, None)], [], [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("__defaults__", None),
        ("__kwdefaults__", {"y": 3}),
        ("__code__", example.__code__.replace(co_name="other")),
    ],
)
def test_what_functions_hold_is_watched(name, value, monkeypatch):
    guards = watching(attribute(example, name))
    assert guards()
    monkeypatch.setattr(example, name, value)
    assert not guards()
    monkeypatch.undo()
    assert guards()


def test_the_bases_of_classes_are_watched():
    holder = type("Derived", (Base,), {})
    guards = watching(attribute(holder, "__mro__"))
    assert guards()
    holder.__bases__ = (OTHER,)
    assert not guards()


class Pretending:
    """Says that it is of another class, as proxies do."""

    __class__ = property(lambda self: self.of)
    of = Base


def test_the_class_of_an_object_is_watched():
    holder = Base()
    guards = watching(attribute(holder, "__class__"))
    assert guards()
    holder.__class__ = OTHER
    assert not guards()
    holder.__class__ = Base
    assert guards()


def test_the_class_that_an_object_pretends_to_have_is_watched():
    holder = Pretending()
    guards = watching(attribute(holder, "__class__"))
    assert guards()
    holder.of = OTHER
    assert not guards()
    del holder.of
    assert guards()


def test_only_the_class_of_an_object_itself_has_a_word():
    shape = words.layout()
    if shape is not None:
        (entry,) = attribute(Base(), "__class__").entries
        assert words._word_of_entry(entry, shape) == id(entry.get.args[0]) + shape.kind
        (entry,) = attribute(Pretending(), "__class__").entries
        assert words._word_of_entry(entry, shape) is None


class Fails(Exception):
    """Has its attributes elsewhere than most objects."""


@pytest.mark.parametrize("kind", [Base, Fails])
def test_a_dictionary_of_attributes_in_the_place_of_another_is_seen(kind):
    holder = kind()
    places = attribute(holder, "__dict__")
    guards = watching(places)
    assert guards()
    holder.rate = 2  # in the same one
    assert guards()
    holder.__dict__ = {"rate": 2}
    assert guards() == places.hold()
    assert not places.hold_identical()


class Telling:
    """Shows another dictionary than its own."""

    __dict__ = property(lambda self: self.shown)
    shown: ClassVar = {"rate": 1}


class Asking:
    """So does this one."""

    shown: ClassVar = {"rate": 1}

    def __getattribute__(self, name):
        return Asking.shown if name == "__dict__" else super().__getattribute__(name)


@pytest.mark.parametrize("kind", [Telling, Asking])
def test_a_dictionary_that_an_object_only_shows_is_read_at_every_call(kind, monkeypatch):
    holder = kind()
    guards = watching(attribute(holder, "__dict__"))
    assert guards()
    monkeypatch.setattr(kind, "shown", {"rate": 2})
    assert not guards()


def test_objects_as_most_are_have_a_word_for_their_attributes():
    shape = words.layout()
    if shape is not None:
        for kind in (Base, Fails, Telling, Asking):
            (entry,) = attribute(kind(), "__dict__").entries
            assert (words._word_of_entry(entry, shape) is not None) == (kind is Base)


def test_names_and_values_of_classes_are_watched():
    holder = type("Holder", (Base,), {"rate": 1})
    table = vars(holder)
    guards = watching(of_table(table, "rate"))
    assert guards()
    holder.new = 1
    assert not guards()
    del holder.new
    assert guards()
    holder.rate = 2
    assert not guards()


def test_what_changes_at_every_call_is_read_at_every_call():
    table = {"rate": 1, "count": 0}
    guards = watching(of_table(table, "rate"))
    for count in range(5):
        table["count"] = count
        assert guards()
    table |= {"count": 7, "rate": 2}
    assert not guards()


def test_a_program_has_words_with_native_code_alone(monkeypatch):
    made = []
    usual = words.Words.__init__

    def noted(self, *args):
        made.append(self)
        usual(self, *args)

    monkeypatch.setattr(words.Words, "__init__", noted)
    factor = np.float32(3.0)
    compiled = mg.compile(lambda x: x * factor)
    x = np.ones(3, np.float32)
    for _ in range(3):
        assert compiled(x).tolist() == [3.0] * 3
    factor = np.float32(4.0)
    assert compiled(x).tolist() == [4.0] * 3
    assert bool(made) == (HAS_VERSIONS and backends.compiles_natively())


def test_values_that_come_back_are_held_again():
    table, numbers = {"rate": 1}, [1, 2]
    places = of_table(table, "rate")
    places.contents.append((numbers, [1, 2], "numbers"))
    watched = watching(places)
    for holder, key in ((table, "rate"), (numbers, 0)):
        assert watched()
        holder[key] = 5
        assert not watched()
        holder[key] = 1
