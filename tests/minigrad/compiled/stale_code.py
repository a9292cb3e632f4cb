"""More functions that read from outside, each with a change: how code may come to a value.

A factory takes a `monkeypatch` and returns both.
"""

import copy
import dataclasses
import functools
import inspect
import operator
import sys
import threading
import types

import numpy as np

import layers
from tests.minigrad.compiled.stale_places import attribute, item

LOOK = getattr
inner_rate = 1.0


@dataclasses.dataclass
class Point:
    first: float
    second: float


class Held:
    """Any attributes."""

    def __init__(self, **table):
        vars(self).update(table)


def planted(monkeypatch, function):
    return function, lambda: monkeypatch.setitem(globals(), "inner_rate", 5.0)


def in_a_lambda(monkeypatch):
    return planted(monkeypatch, lambda x: (lambda v: v * inner_rate)(x))


def in_a_comprehension(monkeypatch):
    return planted(monkeypatch, lambda x: sum([x * inner_rate for _ in range(2)]))


def in_a_generator(monkeypatch):
    return planted(monkeypatch, lambda x: sum(x * inner_rate for _ in range(2)))


def in_a_class_inside(monkeypatch):
    def function(x):
        class Inside:
            def rate(self):
                return inner_rate

        return x * Inside().rate()

    return planted(monkeypatch, function)


def in_a_class_body(monkeypatch):
    def function(x):
        class Inside:
            rate = inner_rate

        return x * Inside.rate

    return planted(monkeypatch, function)


def by_position_in_a_pattern(monkeypatch):
    point = Point(1.0, 2.0)

    def function(x):
        match point:
            case Point(a, b):
                return x * a + b

    return function, attribute(point, "first")


def fields_as_a_tuple(monkeypatch):
    point = Point(1.0, 2.0)
    return lambda x: x * sum(dataclasses.astuple(point)), attribute(point, "first")


def fields_as_a_dict(monkeypatch):
    point = Point(1.0, 2.0)
    return lambda x: x * sum(dataclasses.asdict(point).values()), attribute(point, "first")


def fields_of_a_copy(monkeypatch):
    point = Point(1.0, 2.0)
    return lambda x: x * max(vars(copy.copy(point)).values()), attribute(point, "second")


def by_a_path_of_names(monkeypatch):
    value = Held(inner=Held(rate=1.0))
    return lambda x: x * operator.attrgetter("inner.rate")(value), attribute(value.inner)


def by_getattr_under_another_name(monkeypatch):
    value, name = Held(rate=1.0), "r"
    return lambda x: x * LOOK(value, name + "ate"), attribute(value)


def by_getattribute(monkeypatch):
    value, name = Held(rate=1.0), "r"
    return lambda x: x * object.__getattribute__(value, name + "ate"), attribute(value)


def by_a_method_of_a_dict(monkeypatch):
    table = {"rate": 1.0}
    get = table.get
    return lambda x: x * get("rate"), item(table, "rate")


def by_a_length(monkeypatch):
    values = [1.0]
    length = values.__len__
    return lambda x: x * length(), lambda: values.append(2.0)


def another_table(monkeypatch):
    value = Held(rate=1.0)
    return lambda x: x * value.rate, attribute(value, "__dict__", {"rate": 5.0})


def of_a_metaclass(monkeypatch):
    class Meta(type):
        rate = 1.0

    class Made(metaclass=Meta):
        pass

    return lambda x: x * Made.rate, attribute(Meta)


def by_an_index_of_a_class(monkeypatch):
    rates = [1.0]

    class Meta(type):
        def __getitem__(cls, key):
            return rates[key]

    class Made(metaclass=Meta):
        pass

    return lambda x: x * Made[0], item(rates, 0)


def by_getattr_of_a_module(monkeypatch):
    rates = [1.0]
    module = types.ModuleType("minigrad_test_lazy")
    module.__getattr__ = lambda name: rates[0]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return lambda x: x * module.rate, item(rates, 0)


def property_of_a_module(monkeypatch):
    rates = [1.0]

    class Module(types.ModuleType):
        @property
        def rate(self):
            return rates[0]

    module = Module("minigrad_test_property")
    return lambda x: x * module.rate, item(rates, 0)


def class_of_a_module(monkeypatch):
    class Module(types.ModuleType):
        rate = property(lambda self: 5.0)

    module = types.ModuleType("minigrad_test_class")
    module.rate = 1.0
    return lambda x: x * module.rate, attribute(module, "__class__", Module)


def vectorized(monkeypatch):
    rates = [1.0]
    function = np.vectorize(lambda i: i * rates[0])
    return lambda x: x * function(np.arange(3.0)).astype(np.float32), item(rates, 0)


def of_another_thread(monkeypatch):
    local = threading.local()
    local.rate = 1.0
    return lambda x: x * local.rate, attribute(local)


def rated():
    """A function that has a rate, and is not called."""

    def function(argument, rate=1.0, *, other=1.0):
        return rate

    function.rate = 1.0
    return function


def of_a_function(monkeypatch):
    function = rated()
    return lambda x: x * function.rate, attribute(function)


def of_a_function_later(monkeypatch):
    function = rated()
    del function.rate
    return lambda x: x * (5.0 if hasattr(function, "rate") else 1.0), attribute(function)


def of_a_method(monkeypatch):
    class Holder:
        method = rated()

    holder = Holder()
    return lambda x: x * holder.method.rate, attribute(Holder.method)


def of_a_partial(monkeypatch):
    function = functools.partial(rated())
    function.rate = 1.0
    return lambda x: x * function.rate, attribute(function)


def of_a_cached_function(monkeypatch):
    function = functools.lru_cache(rated())
    return lambda x: x * function.rate, attribute(function)


def of_a_static_method(monkeypatch):
    class Holder:
        method = staticmethod(rated())

    method = vars(Holder)["method"]
    method.rate = 1.0
    return lambda x: x * method.rate, attribute(method)


class Rated(layers.Parameter):
    """A parameter that has more than numbers."""

    power = 1.0


def of_a_parameter(monkeypatch):
    weight = Rated(np.ones(3, np.float32))
    weight.rate = 1.0
    return lambda x: x * weight * weight.rate, attribute(weight)


def of_the_class_of_a_parameter(monkeypatch):
    weight = Rated(np.ones(3, np.float32))
    return lambda x: x * weight * weight.power, attribute(weight, "power")


def in_a_polynomial(monkeypatch):
    line = np.polynomial.Polynomial([1.0])
    return lambda x: x * line(0.0), item(line.coef, 0)


def default_of_a_function(monkeypatch):
    function = rated()
    return lambda x: x * function.__defaults__[0], attribute(function, "__defaults__", (5.0,))


def keyword_of_a_function(monkeypatch):
    function = rated()
    return lambda x: x * function.__kwdefaults__["other"], item(function.__kwdefaults__, "other")


def in_a_signature(monkeypatch):
    function = rated()

    def scaled(x):
        return x * inspect.signature(function).parameters["rate"].default

    return scaled, attribute(function, "__defaults__", (5.0,))


def in_a_cell(monkeypatch):
    rate = 1.0

    def function():
        return rate

    def change():
        nonlocal rate
        rate = 5.0

    return lambda x: x * function.__closure__[0].cell_contents, change


def name_of_a_function(monkeypatch):
    function = rated()
    return lambda x: x * len(function.__name__), attribute(function, "__name__", "f")


_ALL = [in_a_lambda, in_a_comprehension, in_a_generator, in_a_class_inside, in_a_class_body]
_ALL += [by_position_in_a_pattern, fields_as_a_tuple, fields_as_a_dict, fields_of_a_copy]
_ALL += [by_a_path_of_names, by_getattr_under_another_name, by_getattribute]
_ALL += [by_a_method_of_a_dict, by_a_length, another_table, of_a_metaclass]
_ALL += [by_an_index_of_a_class, by_getattr_of_a_module, property_of_a_module]
_ALL += [class_of_a_module, vectorized, of_another_thread]
_ALL += [of_a_function, of_a_function_later, of_a_method, of_a_partial, default_of_a_function]
_ALL += [of_a_cached_function, of_a_static_method, of_a_parameter, of_the_class_of_a_parameter]
_ALL += [in_a_polynomial, keyword_of_a_function, in_a_signature, in_a_cell, name_of_a_function]
READ = {factory.__name__: factory for factory in _ALL}
