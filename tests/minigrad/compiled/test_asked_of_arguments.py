"""What a function may ask of its arguments besides their numbers: which they are, and of what kind.

The oracle is the function itself.
"""

import itertools

import numpy as np
import pytest

import layers
import minigrad as mg

F = np.float32


def tensor(*values):
    return mg.Tensor(np.array(values, F), requires_grad=True)


def attend(query, key, value):
    scale = 3.0 if query is key else 1.0
    return (query * scale * key * value["given"]).sum() * (2.0 if value["given"] is query else 1.0)


PATTERNS = ["abc", "aab", "aba", "abb", "aaa"]


@pytest.mark.parametrize("order", list(itertools.permutations(PATTERNS))[::40])
def test_the_same_tensor_given_again_is_the_same_within(order):
    compiled = mg.compile(attend)
    for pattern in (*order, *order):
        tensors = {"a": tensor(1.0, 2.0), "b": tensor(3.0, 0.5), "c": tensor(2.0, 4.0)}

        def of(function, first, pattern=pattern, tensors=tensors):
            query, key, value = ((tensors | {"a": first})[name] for name in pattern)
            return function(query, key, {"given": value})

        found, expected = of(compiled, tensors["a"]), of(attend, tensors["a"])
        assert found.item() == pytest.approx(expected.item())
        for name in sorted(set(pattern)):
            slopes = [mg.gradients(y, tensors[name]).tolist() for y in (found, expected)]
            assert slopes[0] == pytest.approx(slopes[1])
        second = [
            mg.hessian(lambda a, f=f, of=of: of(f, a))(tensors["a"]) for f in (compiled, attend)
        ]
        np.testing.assert_allclose(second[0].numpy(), second[1].numpy(), rtol=1e-6)
    assert len(compiled.programs) == len(PATTERNS)
    assert compiled.refusals == []


@pytest.mark.parametrize("count", [2, 6])
def test_the_same_array_given_again_is_the_same_within(count):
    def function(x, arrays):
        return x * (5.0 if arrays[0] is arrays[-1] else 2.0) * arrays[-1]

    compiled, x = mg.compile(function), tensor(1.0, 2.0)
    for same in (False, False, True, True, False):
        arrays = [np.array([1.0, k], F) for k in range(count)]
        arrays[-1] = arrays[0] if same else arrays[-1]
        assert compiled(x, arrays).tolist() == function(x, arrays).tolist()
    assert len(compiled.programs) == 2


def test_parameters_are_told_from_other_tensors():
    def function(x):
        return (x * x * (5.0 if isinstance(x, layers.Parameter) else 2.0)).sum()

    compiled, parameter = mg.compile(function), layers.Parameter(np.ones(2, F))
    for given in (tensor(1.0, 1.0), parameter, tensor(1.0, 1.0), parameter):
        assert compiled(given).item() == function(given).item()
        slopes = [mg.gradients(f(given), given).tolist() for f in (compiled, function)]
        assert slopes[0] == slopes[1]
    with mg.anomaly_mode():  # which runs the function itself
        assert mg.gradients(compiled(parameter), parameter).tolist() == [10.0, 10.0]
    assert len(compiled.programs) == 2
    assert compiled.refusals == []


class Marked(mg.Tensor):
    """A tensor with more to it."""


def test_classes_derived_from_tensors_are_refused():
    def function(x):
        return x * (5.0 if isinstance(x, Marked) else 2.0)

    compiled = mg.compile(function)
    assert compiled(tensor(1.0)).tolist() == [2.0]
    with pytest.warns(mg.CompileWarning, match="Marked, which may be more than a tensor"):
        assert compiled(Marked([1.0])).tolist() == [5.0]
    assert compiled(tensor(1.0)).tolist() == [2.0]


NUMBERS = {
    "isinstance of a number": lambda s: 5.0 if isinstance(s, np.floating) else 2.0,
    "isinstance of a float": lambda s: 5.0 if isinstance(s, float) else 2.0,
    "isscalar": lambda s: 5.0 if np.isscalar(s) else 2.0,
    "a method of numbers": lambda s: 5.0 if s.is_integer() else 2.0,
    "hash": lambda s: {3.0: 5.0}.get(s, 2.0),
    "round": lambda s: round(s),
    "round to digits": lambda s: round(s, 1),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.filterwarnings("ignore::minigrad.compiled.operation.CompileWarning")
def test_numbers_that_numpy_gives_are_numbers_within(name):
    def function(x, a):
        s = a.sum()
        return x * s * NUMBERS[name](s)

    compiled, x = mg.compile(function), tensor(1.0, 2.0)
    for values in ([1.0, 2.0], [1.0, 2.0], [0.25, 0.5], [3.0, 4.0]):
        a = np.array(values)
        assert compiled(x, a).tolist() == function(x, a).tolist()


@pytest.mark.parametrize("ask", [hash, round, lambda a: a.is_integer()])
def test_arrays_are_no_numbers_within(ask):
    compiled = mg.compile(lambda x, a: x * ask(a))
    with pytest.raises((TypeError, AttributeError)) as own:
        ask(np.ones(2))
    with pytest.raises(own.type) as found:
        compiled(tensor(1.0), np.ones(2))
    assert str(found.value) == str(own.value)


IN_MEMORY = {
    "flags": lambda a: a.flags.c_contiguous,
    "strides": lambda a: a.strides[0] == 16,
    "base": lambda a: a.base is None,
    "shares_memory": lambda a: np.shares_memory(a, a[:1]),
    "address": lambda a: a.__array_interface__["data"][0] % 7 == 0,
}


@pytest.mark.parametrize("name", IN_MEMORY)
def test_what_tells_how_an_array_lies_in_memory_is_refused(name):
    compiled = mg.compile(lambda x, a: x * (5.0 if IN_MEMORY[name](a) else 2.0))
    with pytest.warns(mg.CompileWarning, match="in memory"):
        compiled(tensor(1.0, 2.0), np.arange(4.0).reshape(2, 2))
    for a in (np.arange(4.0).reshape(2, 2).T, np.arange(4.0).reshape(2, 2)):
        expected = [5.0, 10.0] if IN_MEMORY[name](a) else [2.0, 4.0]
        assert compiled(tensor(1.0, 2.0), a).tolist() == expected


STILL_NUMBERS = {
    "astype": lambda s: s.astype(F),
    "transposed": lambda s: s.T,
    "squeeze": lambda s: np.squeeze(s),
    "copy": lambda s: s.copy(),
}


@pytest.mark.parametrize("name", STILL_NUMBERS)
def test_what_numpy_makes_of_numbers_are_numbers(name):
    def function(a):
        return STILL_NUMBERS[name](a.sum()), a * 2

    compiled = mg.compile(function)
    for k in range(3):
        (found, _), (expected, _) = compiled(np.ones(2) + k), function(np.ones(2) + k)
        assert type(found) is type(expected)
        assert found == expected
