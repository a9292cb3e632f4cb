"""What a function does besides returning something happens once a call, in the user's own objects.

The oracle is the function itself, on objects of its own.
"""

import collections
import dataclasses

import numpy as np
import pytest

import minigrad as mg

F = np.float32
pytestmark = pytest.mark.filterwarnings("ignore::minigrad.compiled.operation.CompileWarning")


def tensor(k):
    return mg.Tensor(np.array([1.0, 2.0, 3.0], F) + k, requires_grad=True)


@dataclasses.dataclass
class State:
    h: object
    steps: int = 0


class Slotted:
    __slots__ = ("__weakref__", "last", "n")

    def __init__(self):
        self.n = 0


class Table(dict):
    pass


def appends(x, given):
    given.append(x * 2)
    return x * 3


def replaces(x, given):
    given[0] = given[0] * x
    return x * 3


def moves(x, given):
    given.append(given.pop(0))
    return x * 3


def pops(x, given):
    return x * given.pop()


def sets_a_key(x, given):
    given["new"] = x * 2
    return x * 3


def sets_a_field(x, given):
    given.h, given.steps = given.h * x, given.steps + 1
    return x * 3


def appends_within(x, given):
    given["list"].append(x * 2)
    return x * 3


def counts(x, given):
    given.n += 1
    return x * given.n


def keeps(x, given):
    given.last = x.detach() * 2
    return x * 3


def counts_in_its_class(x, given):
    type(given).total += 1
    return x * type(given).total


def keeps_in_its_class(x, given):
    type(given).last = x.detach() * 2
    return x * 3


def writes_an_array(x, given):
    given[0] = 7
    return x * given


def writes_past_us(x, given):
    np.asarray(given)[0] = 7
    return x * given


def writes_a_tensor(x, given):
    given[...] = given * 3
    return x * given


def a_class():
    return type("Counted", (), {"total": 0})()


EFFECTS = {
    "append": (appends, list),
    "append beside an array": (appends, lambda: [np.ones(3, F)]),
    "an element": (replaces, lambda: [mg.Tensor(np.ones(3, F)), 1]),
    "an element that is an array": (replaces, lambda: [np.ones(3, F)]),
    "another order": (moves, lambda: [[np.ones(2)], {}, mg.Tensor(np.zeros(3))]),
    "pop": (pops, lambda: [mg.Tensor(np.ones(3, F)) for _ in range(4)]),
    "a key": (sets_a_key, dict),
    "a key of a derived dict": (sets_a_key, Table),
    "a key of an ordered one": (sets_a_key, lambda: collections.OrderedDict(a=np.ones(3, F))),
    "a field": (sets_a_field, lambda: State(mg.Tensor(np.ones(3, F)))),
    "a list within": (appends_within, lambda: {"list": [], "array": np.ones(3, F)}),
    "a slot": (counts, Slotted),
    "a new slot": (keeps, Slotted),
    "an attribute of a class": (counts_in_its_class, a_class),
    "a new attribute of a class": (keeps_in_its_class, a_class),
    "an array": (writes_an_array, lambda: np.ones(3, F)),
    "a part of an array": (writes_an_array, lambda: np.ones((3, 2), F)[:, 0]),
    "a part of an array, by NumPy": (writes_past_us, lambda: np.ones((3, 2), F)[:, 0]),
    "a tensor": (writes_a_tensor, lambda: mg.Tensor(np.ones(3, F))),
}


def seen(value):
    """All that is in an object, as plain values."""
    if isinstance(value, (mg.Tensor, np.ndarray)):
        return type(value).__name__, value.tolist()
    if isinstance(value, dict):
        return {key: seen(part) for key, part in value.items()}
    if isinstance(value, list):
        return [seen(part) for part in value]
    names = (*getattr(type(value), "__slots__", ()), "h", "steps", "n", "last", "total")
    held = {n: seen(getattr(value, n)) for n in names if n != "__weakref__" and hasattr(value, n)}
    return held or value


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_changed_is_changed_once_and_in_the_users_own(name):
    function, make = EFFECTS[name]
    compiled = mg.compile(function)
    for again in range(2):
        one, other = make(), make()
        for k in range(3):
            found, expected = compiled(tensor(k), one), function(tensor(k), other)
            np.testing.assert_allclose(found.numpy(), expected.numpy())
            assert seen(one) == seen(other), (again, k)
    assert compiled.programs == []
    assert compiled.refusals


def test_parts_of_lists_stay_what_they_are():
    first, second = [], np.ones((3, 2), F)[:, 0]
    given = [first, second]
    mg.compile(appends)(tensor(0), given)
    assert given[0] is first
    assert given[1] is second


def test_what_was_changed_before_an_error_stays_changed():
    def function(x, given):
        given.append(1)
        raise ArithmeticError

    given = [np.ones(3, F)]
    with pytest.raises(ArithmeticError):
        mg.compile(function)(tensor(0), given)
    assert len(given) == 2


def test_parts_of_tensors_that_were_given_refuse_to_be_written():
    base = mg.Tensor(np.ones((3, 3), F))
    for _ in range(2):
        with pytest.raises(mg.GradientError) as own:
            writes_a_tensor(tensor(0), base[0])
        with pytest.raises(mg.GradientError) as found:
            mg.compile(writes_a_tensor)(tensor(0), base[0])
        assert str(found.value).partition(" ")[0] == str(own.value).partition(" ")[0]


SETTINGS = {
    "errstate": lambda: np.seterr(over="ignore"),
    "default dtype": lambda: mg.set_default_dtype("float64"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_outlive_the_call_are_refused(name):
    def function(x):
        SETTINGS[name]()
        return x * 2

    compiled = mg.compile(function)
    with np.errstate(over="warn"), mg.default_dtype("float32"):
        compiled(tensor(0))
    with np.errstate(over="warn"), mg.default_dtype("float32"):
        compiled(tensor(0))
        changed = np.geterr()["over"] == "ignore", mg.Tensor(1.0).dtype == np.float64
    assert changed == (name == "errstate", name == "default dtype")


MADE = {
    "a set": lambda x: (x, {1, 2}),
    "a deque": lambda x: (x, collections.deque([1])),
    "an object": lambda x: (x, State(x, 2), Slotted()),
    "equal objects": lambda x: (x, Equal(x * 2)),
}


class Equal:
    """Equal to all others."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Equal)

    __hash__ = None


@pytest.mark.parametrize("name", MADE)
def test_objects_that_a_call_makes_are_those_of_that_call(name):
    compiled = mg.compile(MADE[name])
    results = [compiled(tensor(k)) for k in range(3)]
    made = [result[-1] for result in results]
    assert len({id(one) for one in made}) == 3
    if name == "equal objects":
        assert [one.value.tolist()[0] for one in made] == [2.0, 4.0, 6.0]
    with pytest.warns(mg.CompileWarning, match="made by the call; return tensors and plain values"):
        mg.compile(MADE[name])(tensor(0))


def test_attributes_of_results_beside_their_parts_are_those_of_the_call():
    def function(x):
        table = Table(y=x * 2)
        table.more = x * 3
        return table

    compiled = mg.compile(function)
    assert [compiled(tensor(k)).more.tolist()[0] for k in range(3)] == [3.0, 6.0, 9.0]
    assert "its result, a Table, has the attribute more" in compiled.refusals[0].reason
