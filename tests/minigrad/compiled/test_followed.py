"""NumPy, followed: what it computes becomes values, and what it writes in-place is refused."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.llvm import program
from minigrad.compiled.simplify import finish
from minigrad.compiled.tracing.followed import follow
from minigrad.compiled.tracing.tracer import Tracer

FOLLOWED = {
    "ufunc": lambda a: np.tanh(a) * 2,
    "compared": lambda a: a > 1,
    "converted": lambda a: a.astype(np.float32),
    "sum": lambda a: a.sum(axis=0),
    "largest": lambda a: a.max(axis=1, keepdims=True),
    "where": lambda a: np.where(a > 0, a, 0),
    "part": lambda a: a[:, 1:] + 1,
    "picked": lambda a: a[[1, 0]] * 1,
    "turned": lambda a: np.swapaxes(a, 0, 1) @ a,
    "cumulative": lambda a: np.cumsum(a, axis=1),
    "joined": lambda a: np.concatenate([a, a + 1]),
    "copied": lambda a: a.copy() + 1,
}


def entered():
    tracer = Tracer()
    array = np.arange(6.0).reshape(2, 3)
    view = tracer.input(0, array)
    followed = follow(array, tracer)
    tracer.enter_array(followed, view)
    return tracer, followed


@pytest.mark.parametrize("name", FOLLOWED)
def test_numpy_computes_the_same_and_is_followed(name):
    tracer, followed = entered()
    result = FOLLOWED[name](followed)
    np.testing.assert_array_equal(np.asarray(result), FOLLOWED[name](np.arange(6.0).reshape(2, 3)))
    view = tracer.view_of(result)
    assert view is not None
    assert (view.shape, view.dtype) == (result.shape, result.dtype)
    assert tracer.refusal is None


def assigned(a):
    b = a * 1
    b[0] = 5.0


def seen_by_another(a):
    b = a * 1
    part = b[0]
    b += 1
    return part


WRITTEN = {
    "assignment": assigned,
    "sort": lambda a: (a * 1).sort(),
    "fill": lambda a: (a * 1).fill(0),
    "an argument": lambda a: a.__iadd__(1),
    "copyto": lambda a: np.copyto(a * 1, 0.0),
    "out": lambda a: np.clip(a * 1, 0, 1, out=np.empty((2, 3))),
    "seen by another": seen_by_another,
    "added at places": lambda a: np.add.at(a * 1, 0, 1.0),
    "a place": lambda a: np.put_along_axis(a * 1, np.zeros((2, 1), int), 0.0, 1),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_refused(name):
    tracer, followed = entered()
    WRITTEN[name](followed)
    assert "writes into an array" in tracer.refusal


@pytest.mark.parametrize("name", ["min", "max"])
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"axis": 1}, {"axis": 0, "keepdims": True}),
        *({"initial": 4}, {"axis": 1, "initial": 0}, {"axis": 0, "initial": -(10**6)}),
    ],
)
@pytest.mark.parametrize("array", [[[3, -7, 5], [2, 9, 4]], [[3.5, np.nan, -np.inf], [0.5, 1, 2]]])
def test_bounds_of_places_are_values_of_the_graph(name, options, array):
    """Our own checks ask for them, and a program of native code must not call NumPy for that."""
    tracer = Tracer()
    array = np.array(array)
    view = tracer.input(0, array)
    followed = follow(array, tracer)
    tracer.enter_array(followed, view)
    found = getattr(followed, name)(**options)
    expected = getattr(array, name)(**options)
    result = tracer.view_of(found)
    assert all(value.op != "call" for value in tracer.builder.values)
    graph = finish(tracer.builder, [view.value], [result])
    for backend in (plain, program):
        (computed,) = backend.build(graph)([array])
        np.testing.assert_array_equal(computed, expected)
        assert computed.dtype == expected.dtype


@pytest.mark.parametrize("name", ["mean", "var", "std"])
@pytest.mark.parametrize("options", [{}, {"axis": 0}, {"axis": 1, "keepdims": True}])
def test_what_numpy_computes_on_the_way_of_an_argument(name, options):
    compiled = mg.compile(lambda a: mg.tanh(a - getattr(a, name)(**options)).sum())
    for k in range(3):
        a = np.random.default_rng(k).standard_normal((4, 4))
        expected = np.tanh(a - getattr(a, name)(**options)).sum()
        assert compiled(a).item() == pytest.approx(expected)
    assert compiled.refusals == []


class Kept:
    """Places of a user's, in which a function leaves an array."""

    def __init__(self):
        self.places = {"list": [None]}

    def put(self, name, array):
        if name == "list":
            self.places["list"][0] = array
        elif name == "dictionary":
            self.places["dictionary"] = array
        elif name == "attribute":
            self.array = array
        else:
            self.places["function"] = lambda: array

    def found(self, name):
        if name == "list":
            return self.places["list"][0]
        if name == "function":
            return self.places["function"]()
        return self.array if name == "attribute" else self.places["dictionary"]


@pytest.mark.parametrize("name", ["list", "dictionary", "attribute", "function"])
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_left_outside_is_an_array_of_numpys_own(name, fails):
    kept, lengths = Kept(), np.array([1, 3])

    def function(x, lengths):
        mask = np.arange(3) < lengths[:, None]
        kept.put(name, mask)
        if fails:
            raise ArithmeticError
        return (x * mask).sum()

    compiled = mg.compile(function)
    if fails:
        with pytest.raises(ArithmeticError):
            compiled(mg.Tensor(np.ones((2, 3))), lengths)
    else:
        with pytest.warns(mg.CompileWarning, match="it changes"):
            assert compiled(mg.Tensor(np.ones((2, 3))), lengths).item() == 4
    assert type(kept.found(name)) is np.ndarray
    np.testing.assert_array_equal(kept.found(name), [[True, False, False], [True] * 3])


def test_what_cannot_be_replaced_is_followed_no_longer():
    kept = []

    def function(x, lengths):
        kept.append((np.arange(3) < lengths[:, None],))
        return (x * kept[-1][0]).sum()

    with pytest.warns(mg.CompileWarning, match="it changes kept"):
        mg.compile(function)(mg.Tensor(np.ones((2, 3))), np.array([1, 3]))
    ((mask,),) = kept
    assert type(np.sum(mask, axis=1)) is np.ndarray
    assert set(np.unique(mask)) == {True, False}


COMPLEX = {
    "absolute": lambda a: np.abs(a),
    "absolute of a sum": lambda a: np.abs(a.sum()),
    "parts": lambda a: a.real + 2 * a.imag,
    "compared": lambda a: a == 1,
    "angle": lambda a: np.angle(a),
}


@pytest.mark.parametrize("name", COMPLEX)
@pytest.mark.parametrize("backend", [plain, None])
@pytest.mark.filterwarnings("ignore::minigrad.compiled.operation.CompileWarning")
def test_complex_arrays_keep_both_parts(name, backend):
    def function(x, a):
        return x * COMPLEX[name](a)

    compiled, x = mg.compile(function, backend=backend), mg.Tensor([1.0, 2.0, 3.0])
    for k in range(3):
        a = np.array([1j, 1, 2 - 3j]) * (k + 1)
        np.testing.assert_allclose(compiled(x, a).numpy(), function(x, a).numpy(), rtol=1e-6)
