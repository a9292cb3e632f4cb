"""Functions that read from every place there is, each with a change of what it reads.

A factory takes a `monkeypatch` and returns both.
"""

import collections
import contextlib
import dataclasses
import functools
import operator
import sys
import types
import typing
import warnings
import weakref

import numpy as np

import layers
import minigrad as mg

F = np.float32


class Pair(typing.NamedTuple):
    rate: float
    parts: list


@dataclasses.dataclass(slots=True)
class Slots:
    rate: float


class Namespace:
    """Reads its table for any attribute."""

    kind = 1.0

    def __init__(self, **table):
        self.__dict__["table"] = table

    def __getattr__(self, name):
        try:
            return self.__dict__["table"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __len__(self):
        return len(self.__dict__["table"])

    def times(self, x):
        return x * 2


class Floating(float):
    rate = 1.0


class Listed(list):
    rate = 1.0


class Arrayed(np.ndarray):
    rate = 1.0


class Keyed(collections.UserDict):
    pass


def scaled(rate, x, power=1):
    return (x * rate) ** power


def given():
    return mg.Tensor(np.array([0.5, 1.0, 1.5], F), None, True)


def attribute(value, name="rate", new=5.0):
    """A change of an attribute."""
    return lambda: setattr(value, name, new)


def item(holder, key, new=5.0):
    """A change of an element."""
    return lambda: operator.setitem(holder, key, new)


def named_tuple(monkeypatch):
    pair = Pair(2.0, [1.0])
    return lambda x: x * pair.rate * sum(pair.parts), lambda: pair.parts.append(4.0)


def slots(monkeypatch):
    value = Slots(2.0)
    return lambda x: x * value.rate, attribute(value)


def in_a_list(monkeypatch):
    values = [types.SimpleNamespace(rate=1.0)]
    return lambda x: x * values[0].rate, attribute(values[0])


def of_a_module(monkeypatch):
    module = types.ModuleType("minigrad_test_module")
    module.rate = 1.0
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def function(x):
        import minigrad_test_module

        return x * minigrad_test_module.rate

    return function, attribute(module)


def another_module(monkeypatch):
    function, _ = of_a_module(monkeypatch)
    other = types.ModuleType("minigrad_test_module")
    other.rate = 5.0
    return function, lambda: monkeypatch.setitem(sys.modules, other.__name__, other)


def by_globals(monkeypatch):
    monkeypatch.setitem(globals(), "planted", 1.0)
    return lambda x: x * globals()["planted"], item(globals(), "planted")


def patched_function(monkeypatch):
    def other(rate, x):
        return x * 7

    return lambda x: scaled(2.0, x), lambda: monkeypatch.setitem(globals(), "scaled", other)


def patched_method(monkeypatch):
    value = Namespace()

    def new(self, x):
        return x * 7

    return lambda x: value.times(x), lambda: monkeypatch.setattr(Namespace, "times", new)


def by_getattr(monkeypatch):
    value = Namespace(rate=1.0)
    return lambda x: x * value.rate, item(value.__dict__["table"], "rate")


def by_len(monkeypatch):
    value = Namespace(a=1, b=2)
    return lambda x: x * len(value), item(value.__dict__["table"], "c")


def class_attribute(monkeypatch):
    value = Namespace()
    return lambda x: x * value.kind, lambda: monkeypatch.setattr(Namespace, "kind", 5.0)


def swapped_class(monkeypatch):
    class Other(Namespace):
        kind = 5.0

    value = Namespace()
    return lambda x: x * value.kind, attribute(value, "__class__", Other)


def swapped_attributes(monkeypatch):
    value = Listed()
    value.rate = 1.0
    return lambda x: x * value.rate, attribute(value, "__dict__", {"rate": 2.0})


def swapped_bases(monkeypatch):
    class Other(Namespace):
        kind = 5.0

    class Derived(Namespace):
        pass

    return lambda x: x * Derived.kind, attribute(Derived, "__bases__", (Other,))


def partial_keyword(monkeypatch):
    function = functools.partial(scaled, 2.0, power=1)
    return function, item(function.keywords, "power", 3)


def partial_state(monkeypatch):
    function = functools.partial(scaled, 2.0, power=1)
    state = (scaled, (5.0,), {"power": 1}, None)
    return lambda x: function(x), lambda: function.__setstate__(state)


def keys(monkeypatch):
    table = {"a": 1.0}

    def change():
        table["b"] = table.pop("a")

    return lambda x: x * (2.0 if "a" in table else 3.0), change


def keys_in_a_loop(monkeypatch):
    table = {"a": 1.0}
    return lambda x: x * sum(len(key) for key in table), item(table, "bc")


def user_dict(monkeypatch):
    table = Keyed(rate=1.0)
    return lambda x: x * table["rate"], item(table, "rate")


def chain_map(monkeypatch):
    table = {"rate": 1.0}
    chain = collections.ChainMap({}, table)
    return lambda x: x * chain["rate"], item(table, "rate")


def counted(monkeypatch):
    table = collections.Counter(a=1)
    return lambda x: x * table["a"], lambda: table.update(a=3)


def derived_from_float(monkeypatch):
    value = Floating(1.0)
    return lambda x: x * value.rate, attribute(value)


def derived_from_list(monkeypatch):
    value = Listed([1.0])
    return lambda x: x * value.rate, attribute(value)


def derived_from_array(monkeypatch):
    value = np.ones(3, F).view(Arrayed)
    return lambda x: x * value.rate, attribute(value)


def array_in_place(monkeypatch):
    base = np.arange(6, dtype=F).reshape(3, 2)
    column = base[:, 0]
    return lambda x: x * column, item(base, 0)


def array_of_another_dtype(monkeypatch):
    array = np.array([1, 2, 3], np.int32)

    def change():
        with warnings.catch_warnings():  # deprecated from NumPy 2.5 on, and still possible
            warnings.simplefilter("ignore", DeprecationWarning)
            array.dtype = F

    return lambda x: x * array.astype(F), change


def array_of_objects(monkeypatch):
    array = np.array([types.SimpleNamespace(rate=1.0)], object)
    return lambda x: x * array[0].rate, attribute(array[0])


def default_array(monkeypatch):
    def function(x, weights=np.ones(3, F)):  # noqa: B008 - that it is shared is the point
        return x * weights

    return function, item(function.__defaults__[0], 0)


def weak_reference(monkeypatch):
    value = Namespace(rate=1.0)
    reference = weakref.ref(value)

    def function(x):
        return x * reference().rate

    function.keeps = value
    return function, item(value.__dict__["table"], "rate")


def context_manager(monkeypatch):
    rates = [1.0]

    @contextlib.contextmanager
    def block():
        yield rates[0]

    def function(x):
        with block() as rate:
            return x * rate

    return function, item(rates, 0)


def derivative(monkeypatch):
    rates = [1.0]
    return mg.grad(lambda x: (x * x * rates[0]).sum()), item(rates, 0)


def rematerialized(monkeypatch):
    rates = [1.0]
    return lambda x: mg.checkpoint(lambda v: v * rates[0])(x), item(rates, 0)


def compiled_inside(monkeypatch):
    rates = [1.0]
    inner = mg.compile(lambda x: x * rates[0])
    return lambda x: inner(x), item(rates, 0)


def names_of_an_object(monkeypatch):
    value = types.SimpleNamespace(a=1)
    return lambda x: x * sum(not name.startswith("_") for name in dir(value)), attribute(value)


def detached(monkeypatch):
    weight = mg.Tensor(np.ones((2, 3), F), requires_grad=True)
    return lambda x: x * weight.detach()[0], lambda: weight.write(np.full((2, 3), 5, F))


def whether_it_requires_grad(monkeypatch):
    weight = mg.Tensor(np.ones(3, F))
    return lambda x: x * (5.0 if weight.requires_grad else 1.0), weight.requires_grad_


def swapped_code(monkeypatch):
    def function(x):
        return x * 2.0

    def other(x):
        return x * 5.0

    return function, attribute(function, "__code__", other.__code__)


def model(change):
    """A factory for a model that is changed."""

    def factory(monkeypatch):
        value = layers.Sequential(layers.Linear(3, 3), layers.LayerNorm(3), layers.Linear(3, 3))
        return value, lambda: change(value)

    return factory


def replaced(module):
    module[0] = layers.Linear(3, 3, bias=False)


def frozen(module):
    module.requires_grad_(False)


def attributes_of_a_layer(module):
    object.__setattr__(module[1], "__dict__", {**vars(module[1]), "eps": 0.5})


MODELS = {
    "a module replaced": replaced,
    "a module added": lambda module: module.append(layers.Tanh()),
    "a parameter swapped": lambda m: setattr(m[0], "weight", layers.Parameter(np.ones((3, 3), F))),
    "a parameter tied": lambda m: setattr(m[2], "weight", m[0].weight),
    "a parameter written": lambda m: m[0].weight.write(np.ones((3, 3), F)),
    "a parameter frozen": frozen,
    "an attribute of a layer": lambda m: setattr(m[1], "eps", 0.5),
    "all attributes of a layer": attributes_of_a_layer,
    "a forward of its own": lambda m: setattr(m[0], "forward", lambda x: x * 9),
    "weights that are loaded": lambda m: m[0].load_state_dict(m[2].state_dict()),
    "another size": lambda m: (
        setattr(m[2], "weight", layers.Parameter(np.ones((5, 3), F)))
        or setattr(m[2], "bias", layers.Parameter(np.ones(5, F)))
    ),
}

SEEN = [
    *(named_tuple, slots, in_a_list, of_a_module, another_module, by_globals, patched_function),
    *(patched_method, by_getattr, by_len, class_attribute, swapped_class),
    *(swapped_bases, partial_keyword, partial_state, keys, keys_in_a_loop, user_dict, chain_map),
    *(counted, derived_from_float, derived_from_list, derived_from_array, array_in_place),
    *(array_of_another_dtype, array_of_objects, default_array, weak_reference, context_manager),
    *(derivative, rematerialized, compiled_inside, names_of_an_object, detached, swapped_code),
    *(whether_it_requires_grad, swapped_attributes),
]
SEEN = {f.__name__: f for f in SEEN} | {name: model(change) for name, change in MODELS.items()}
