"""Containers and objects among the arguments: what they bring besides their leaves is seen."""

import collections
import dataclasses
import gc
import weakref
from typing import ClassVar, NamedTuple

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled.operation import Compiled
from tests.minigrad.compiled.stale_places import attribute, item

FACTORS = {"rate": 2.0}


def x():
    return mg.Tensor([1.0, 2.0])


class Pair(NamedTuple):
    x: mg.Tensor
    rate: float = 3.0

    def scaled(self):
        return self.x * self.rate * FACTORS["rate"]


@dataclasses.dataclass
class Batch:
    x: mg.Tensor
    rate: ClassVar[float] = 2.0

    @property
    def scaled(self):
        return self.x * self.rate * FACTORS["rate"]


class Bag(dict):
    rate = 2.0

    def __missing__(self, key):
        return FACTORS[key]


class Listed(list):
    rate = 2.0


class Slotted(list):
    __slots__ = ("rate",)


class Arrayed(np.ndarray):
    rate = 2.0


class Rate:
    """Looks like every other one."""

    def __init__(self, rate):
        self.rate = rate

    def __repr__(self):
        return "a rate"


def a_method(monkeypatch):
    return lambda pair: pair.scaled(), lambda: Pair(x()), item(FACTORS, "rate")


def another_method(monkeypatch):
    def new(self):
        return self.x * 7

    change = lambda: monkeypatch.setattr(Pair, "scaled", new)  # noqa: E731
    return lambda pair: pair.scaled(), lambda: Pair(x()), change


def a_property(monkeypatch):
    return lambda batch: batch.scaled, lambda: Batch(x()), item(FACTORS, "rate")


def a_class_variable(monkeypatch):
    return lambda batch: batch.scaled, lambda: Batch(x()), attribute(Batch)


def of_a_derived_dict(monkeypatch):
    return lambda bag: bag["x"] * bag.rate, lambda: Bag(x=x()), attribute(Bag)


def of_a_derived_list(monkeypatch):
    return lambda parts: parts[0] * parts.rate, lambda: Listed([x()]), attribute(Listed)


def a_missing_key(monkeypatch):
    return lambda bag: bag["x"] * bag["rate"], lambda: Bag(x=x()), item(FACTORS, "rate")


def within_plain_ones(monkeypatch):
    given = lambda: {"a": [Pair(x())]}  # noqa: E731
    return lambda tree: tree["a"][0].scaled(), given, item(FACTORS, "rate")


def a_key_of_a_dict(monkeypatch):
    key = Rate(2.0)

    def function(tree):
        return sum(value * k.rate for k, value in tree.items())

    return function, lambda: {key: x()}, attribute(key)


SEEN = [a_method, another_method, a_property, a_class_variable, of_a_derived_dict]
SEEN += [of_a_derived_list, a_missing_key, within_plain_ones, a_key_of_a_dict]


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """All classes and factors are left as they were."""
    monkeypatch.setitem(FACTORS, "rate", 2.0)
    for kind in (Batch, Bag, Listed):
        monkeypatch.setattr(kind, "rate", 2.0)


@pytest.mark.parametrize("make", SEEN, ids=lambda make: make.__name__)
def test_what_a_container_brings_is_seen(make, monkeypatch):
    function, given, change = make(monkeypatch)
    compiled = mg.compile(function)
    before = function(given()).tolist()
    for _ in range(2):
        assert compiled(given()).tolist() == before
    assert len(compiled.programs) == 1
    change()
    after = function(given()).tolist()
    for _ in range(2):
        assert compiled(given()).tolist() == after != before
    assert compiled.refusals == []


def a_derived_dict():
    return Bag(x=x()), lambda bag: bag["x"] * bag.rate


def a_dataclass():
    return Batch(x()), lambda batch: batch.scaled


def a_derived_list():
    return Listed([x()]), lambda parts: parts[0] * parts.rate


def slots():
    return Slotted([x()]), lambda parts: parts[0] * getattr(parts, "rate", 2.0)


@pytest.mark.parametrize("make", [a_derived_dict, a_dataclass, a_derived_list, slots])
@pytest.mark.parametrize("later", [True, False])
def test_attributes_beside_the_parts_are_refused(make, later):
    value, function = make()
    compiled = mg.compile(function)
    if later:
        for _ in range(2):
            assert compiled(value).tolist() == function(value).tolist()
        assert len(compiled.programs) == 1
    value.rate = 3.0
    with pytest.warns(mg.CompileWarning, match="has the attribute rate beside what it contains"):
        assert compiled(value).tolist() == function(value).tolist()
    value.rate = 5.0
    assert compiled(value).tolist() == function(value).tolist()


def test_default_factories_are_refused():
    tree = collections.defaultdict(lambda: 2.0, x=x())
    compiled = mg.compile(lambda tree: tree["x"] * tree["rate"])
    with pytest.warns(mg.CompileWarning, match="has the attribute default_factory"):
        assert compiled(tree).tolist() == [2.0, 4.0]
    tree.default_factory = lambda: 5.0
    del tree["rate"]
    assert compiled(tree).tolist() == [5.0, 10.0]


def test_ordered_dicts_and_dicts_without_a_factory_are_compiled():
    compiled = mg.compile(lambda tree: tree["x"] * 2)
    for kind in (collections.OrderedDict, collections.Counter, collections.defaultdict):
        for _ in range(2):
            tree = kind()
            tree["x"] = x()
            assert compiled(tree).tolist() == [2.0, 4.0]
    assert len(compiled.programs) == 3
    assert compiled.refusals == []


def test_derived_arrays_are_refused():
    value = np.ones(2).view(Arrayed)
    compiled = mg.compile(lambda x, array: x * array.rate)
    with pytest.warns(mg.CompileWarning, match="is a Arrayed, which may be more than an array"):
        assert compiled(x(), value).tolist() == [2.0, 4.0]
    value.rate = 5.0
    assert compiled(x(), value).tolist() == [5.0, 10.0]


def test_masks_of_arrays_are_not_lost():
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    compiled = mg.compile(lambda x, array: x + mg.Tensor(array))
    with pytest.raises(mg.DtypeError) as expected:
        compiled.function(x(), masked)
    for _ in range(2):
        with pytest.raises(mg.DtypeError) as found:
            compiled(x(), masked)
        assert str(found.value) == str(expected.value)
    assert compiled.programs == []


# -- keys of calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [(Rate(1.0), Rate(2.0)), (True, 1), (1, 1.0), (0.0, -0.0)])
@pytest.mark.parametrize("within", [lambda key: key, lambda key: ("a", key)])
def test_keys_of_dicts_that_look_alike_are_told_apart(keys, within):
    def function(tree):
        ((key, value),) = tree.items()
        key = key[1] if isinstance(key, tuple) else key
        rate = key.rate if isinstance(key, Rate) else 1.0 / float(repr(float(key)) != "-0.0" or 2)
        return value * rate * (2 if isinstance(key, bool) else 3 if isinstance(key, float) else 1)

    compiled = mg.compile(function)
    for _ in range(3):
        for key in keys:
            tree = {within(key): x()}
            assert compiled(tree).tolist() == function(tree).tolist()
    assert len(compiled.programs) == 2


def test_complex_numbers_count_with_their_signs():
    compiled = mg.compile(lambda x, z: x * np.copysign(1.0, z.real))
    for sign in (1.0, -1.0, 1.0):
        assert compiled(x(), complex(0.0 * sign, 1.0)).tolist() == [sign, 2 * sign]
    assert len(compiled.programs) == 2


# -- what programs keep alive ----------------------------------------------------------------------


def loss(model, x):
    return model(x).sum()


MODELS = {
    "a layer": lambda: layers.Linear(2, 2),
    "several": lambda: layers.Sequential(layers.Linear(2, 2), layers.LayerNorm(2)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_were_given_are_freed_with_their_programs(name):
    compiled, model = mg.compile(loss), MODELS[name]()
    for _ in range(2):
        compiled(model, x())
    assert len(compiled.programs) == 1
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert compiled.programs == []


def test_keys_of_dicts_are_freed():
    compiled, key = mg.compile(lambda tree: sum(tree.values())), Rate(1.0)
    for _ in range(3):
        compiled({key: x().requires_grad_()})
    gone = weakref.ref(key)
    del key
    gc.collect()
    assert gone() is None
    assert compiled.programs == []


def test_an_argument_is_guarded_while_it_lives():
    class Other(Rate):
        pass

    value = Rate(2.0)
    compiled = mg.compile(lambda value, x: x * value.rate * (3 if type(value) is Other else 1))
    for _ in range(2):
        assert compiled(value, x()).tolist() == [2.0, 4.0]
    value.__class__ = Other
    for _ in range(2):
        assert compiled(value, x()).tolist() == [6.0, 12.0]
    value.rate = 1.0
    assert compiled(value, x()).tolist() == [3.0, 6.0]
    assert len(compiled.programs) == 3


def test_functions_that_were_given_are_guarded_and_freed():
    def scaled(x, rate=2.0):
        return x * rate

    compiled = mg.compile(lambda function, x: function(x))
    for _ in range(2):
        assert compiled(scaled, x()).tolist() == [2.0, 4.0]
    scaled.__defaults__ = (5.0,)
    assert compiled(scaled, x()).tolist() == [5.0, 10.0]
    del scaled
    gc.collect()
    assert compiled.programs == []


def test_objects_that_are_gone_leave_room_for_programs():
    compiled = mg.compile(lambda value, x: x * value.rate)
    for k in range(20):
        value = Rate(float(k))
        for _ in range(2):
            assert compiled(value, x()).tolist() == [k, 2.0 * k]
        assert len(compiled.programs) == 1


def test_new_objects_at_each_call_are_not_compiled_each_time(monkeypatch):
    compiled = mg.compile(lambda value, x: x * value.rate)
    traced, made = [], Compiled._traced
    monkeypatch.setattr(Compiled, "_traced", lambda *args: traced.append(0) or made(*args))
    for k in range(9):
        assert compiled(Rate(k), x()).tolist() == [k, 2 * k]
    with pytest.warns(mg.CompileWarning, match="objects among its arguments are new ones"):
        assert compiled(Rate(9), x()).tolist() == [9, 18]
    for k in range(64):
        assert compiled(Rate(k), x()).tolist() == [k, 2 * k]
    assert len(traced) == 9 + 3  # the 17th, 33rd and 65th, too
    value = Rate(3)  # which stays
    for _ in range(128):
        assert compiled(value, x()).tolist() == [3, 6]
    assert len(compiled.programs) == 1
    assert len(traced) == 13


def test_programs_can_be_turned_off_and_on_again(monkeypatch):
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    compiled = mg.compile(lambda x: x * FACTORS["rate"])
    compiled(x())
    assert compiled.programs == []
    monkeypatch.delenv("MINIGRAD_COMPILE")
    compiled(x())
    assert len(compiled.programs) == 1
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    monkeypatch.setattr(type(compiled.programs[0]), "run", None)
    assert compiled(x()).tolist() == [2.0, 4.0]
