"""Guards by words of memory: they see what reading every place sees."""

import ctypes
import functools
import sys
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.compiled import backends
from minigrad.compiled.guarding import words
from minigrad.compiled.guarding.held import Absent, Entry, Identities, Places, attribute_of, cell_of

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
    """Words, or what takes their place on another Python."""
    shape = words.layout()
    return Identities(*places) if shape is None else words.Words(places, shape, first_change)


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
        assert (watched.hold() or places.hold()) == places.hold()


def test_an_equal_list_in_the_place_of_another_is_not_taken_over():
    table = {"scales": [1, 2]}
    places = of_table(table, "scales")
    watched = watching(places)
    assert watched.hold()
    table["scales"] = [1, 2]
    assert places.hold()
    watched.hold()
    table["scales"][0] = 5  # which no number of the dictionary tells
    assert not places.hold()
    assert not watched.hold()


def test_a_variable_around_a_function_is_watched():
    rate = 1

    def function():
        return rate

    guards = watching(Places([Entry(cell_of, function.__closure__[0], 1, "rate", None)], [], []))
    assert guards.hold()
    rate = 2
    assert not guards.hold()
    rate = 1
    assert guards.hold()


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
    assert guards.hold()
    monkeypatch.setattr(example, name, value)
    assert not guards.hold()
    monkeypatch.undo()
    assert guards.hold()


def test_the_bases_of_classes_are_watched():
    holder = type("Derived", (Base,), {})
    guards = watching(attribute(holder, "__mro__"))
    assert guards.hold()
    holder.__bases__ = (OTHER,)
    assert not guards.hold()


def test_names_and_values_of_classes_are_watched():
    holder = type("Holder", (Base,), {"rate": 1})
    table = vars(holder)
    guards = watching(of_table(table, "rate"))
    assert guards.hold()
    holder.new = 1
    assert not guards.hold()
    del holder.new
    assert guards.hold()
    holder.rate = 2
    assert not guards.hold()


def test_what_changes_at_every_call_is_read_at_every_call():
    table = {"rate": 1, "count": 0}
    guards = watching(of_table(table, "rate"))
    for count in range(5):
        table["count"] = count
        assert guards.hold()
    table |= {"count": 7, "rate": 2}
    assert not guards.hold()


def test_a_program_has_words_with_native_code_alone(monkeypatch):
    calls = []

    def quick(places):
        calls.append(check(places))
        return calls[-1]

    check = words.quick_check
    monkeypatch.setattr("minigrad.compiled.guarding.guards.quick_check", quick)
    factor = np.float32(3.0)
    compiled = mg.compile(lambda x: x * factor)
    x = np.ones(3, np.float32)
    for _ in range(3):
        assert compiled(x).tolist() == [3.0] * 3
    factor = np.float32(4.0)
    assert compiled(x).tolist() == [4.0] * 3
    native = HAS_VERSIONS and backends.compiles_natively()
    assert {type(one) for one in calls} == {words.Words if native else Identities}
