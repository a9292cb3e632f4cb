"""What a compiled function returns is of the kind that the function returns, and its own values."""

import asyncio
import gc

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.tracing import tracer

KINDS = {
    "a number of NumPy's": lambda a: a.sum(),
    "one element": lambda a: a[0, 1],
    "an element of a row": lambda a: a[0][1] * 2,
    "an array without axes": lambda a: np.asarray(a.sum()),
    "an array with one element": lambda a: a.sum(keepdims=True),
    "a part": lambda a: a[:1],
    "several": lambda a: {"sum": a.sum(), "rows": (a[0], a.max())},
    "of a tensor": lambda a: mg.sum(a),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("name", KINDS)
def test_results_are_of_the_kind_that_the_function_gives(name, dtype):
    function = KINDS[name]
    compiled = mg.compile(function)
    for k in range(3):
        a = np.arange(6).reshape(2, 3).astype(dtype) + dtype(k)
        found, expected = compiled(a), function(a)
        assert repr(found) == repr(expected)
        assert type(found) is type(expected)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("function", [mg.softmax, mg.log_softmax, mg.softmin])
def test_a_number_has_no_axis_and_a_softmax_all_the_same(function):
    compiled = mg.compile(function)
    for value in (0.5, -2.0, 1000.0):
        x = mg.Tensor(value, requires_grad=True)
        y = compiled(x)
        assert y.item() == function(x).item()
        assert mg.gradients(y, x).item() == 0
    assert compiled.refusals == []


EQUAL = {
    "ones": [np.ones((3, 2)), np.ones((2, 1, 3))],
    "zeros": [np.zeros((3, 2)), np.zeros((2, 1, 3))],
    "integers": [np.zeros((3, 2), np.int64), np.zeros((2, 1, 3), np.int64)],
    "mixed integers": [np.array([[0, 1], [2, 0], [1, 2]]), np.array([[[0, 1, 2]], [[0, 1, 2]]])],
    "bools": [np.ones((3, 2), bool), np.ones((2, 1, 3), bool)],
}


@pytest.mark.parametrize("name", EQUAL)
def test_a_copy_of_one_of_two_equal_arguments_is_not_taken_for_one_of_the_other(name):
    def function(x, a, b):
        return (x @ mg.Tensor(a)).sum() + (x.sum() * mg.Tensor(b)).sum()

    compiled = mg.compile(function)
    x = mg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    arrays = EQUAL[name]
    changed = [arrays[0], arrays[1][:, :, ::-1] * arrays[1].dtype.type(0) + True]
    for given in (arrays, arrays, changed, arrays):
        y, expected = compiled(x, *given), function(x, *given)
        assert y.item() == pytest.approx(expected.item())
        np.testing.assert_allclose(
            mg.gradients(y, x).numpy(), mg.gradients(expected, x).numpy(), rtol=1e-12
        )
    assert compiled.refusals == []


def test_tensors_of_equal_arguments_are_told_apart():
    def function(x, a, b):
        return x * mg.Tensor(a) + x * mg.Tensor(b) * 2

    compiled, x = mg.compile(function), mg.Tensor([1.0])
    for a, b in ((0, 0), (1, 2), (3, 0)):
        a, b = np.array([a]), np.array([b])
        assert compiled(x, a, b).tolist() == function(x, a, b).tolist()
    assert compiled.refusals == []


def test_equal_arguments_that_no_other_values_tell_apart_are_refused():
    def function(x, a, b):
        return x * np.array(a) + x * np.array(b) * 2

    compiled, x = mg.compile(function), mg.Tensor([1.0])
    with pytest.warns(mg.CompileWarning, match="differs with the arguments"):
        compiled(x, np.zeros(1, np.int64), np.zeros(1, np.int64))
    for a, b in ((1, 2), (3, 0)):
        a, b = np.array([a]), np.array([b])
        assert compiled(x, a, b).tolist() == function(x, a, b).tolist()


def test_what_fails_while_tracing_is_no_error_of_the_call(monkeypatch):
    def fails(*args):
        raise IndexError("planted")

    monkeypatch.setattr(tracer, "convert", fails)
    compiled = mg.compile(lambda x: (x * 2).sum())
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.warns(mg.CompileWarning, match="multiply fails with IndexError: planted"):
        compiled(x).backward()
    assert x.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("part", [lambda x: x.ravel(), lambda x: x[0], lambda x: x.T])
def test_parts_of_tensors_refuse_to_be_written(part):
    compiled = mg.compile(lambda x: (part(x), part(x) * 1))
    for _ in range(2):
        view, own = compiled(mg.Tensor(np.ones((2, 3))))
        with pytest.raises(mg.ReadOnlyError):
            view[...] = 5.0
        own[...] = 5.0
        assert own.tolist() == np.full(own.shape, 5.0).tolist()
    assert len(compiled.programs) == 1


def test_arguments_that_are_returned_are_the_very_objects():
    compiled = mg.compile(lambda x, a: (x, [a, a * 1], x * 2))
    for _ in range(3):
        x, a = mg.Tensor([1.0, 2.0]), np.ones(2)
        first, (second, third), _ = compiled(x, a)
        assert first is x
        assert second is a
        assert third is not a
    assert len(compiled.programs) == 1


def test_complex_numbers_are_conjugated():
    z = np.array([1 + 2j, 3 - 4j])
    for function in (np.conj, lambda z: np.conj(z) * 2, lambda z: np.conj(mg.Tensor(z))):
        compiled = mg.compile(function)
        for _ in range(3):
            assert compiled(z).tolist() == function(z).tolist()
    compiled = mg.compile(np.conj)
    for _ in range(3):
        assert compiled(mg.Tensor(z)).tolist() == [1 - 2j, 3 + 4j]


def test_tensors_from_outside_that_are_returned_are_the_very_objects():
    w, buffer = mg.Tensor(np.ones(3), requires_grad=True), mg.Tensor(np.zeros(3))

    @mg.compile
    def function(x):
        buffer[...] = buffer + 1
        return (x * w).sum(), {"weight": w}, buffer

    for k in range(4):
        x = mg.Tensor(np.full(3, float(k)), requires_grad=True)
        y, found, written = function(x)
        assert found["weight"] is w
        assert written is buffer
        assert buffer.tolist() == [k + 1.0] * 3
        written[...] = written.detach() * 1  # which is written outside, too
        slopes = mg.gradients(y + (found["weight"] ** 2).sum(), [x, w])
        assert [slope.tolist() for slope in slopes] == [[1.0] * 3, [k + 2.0] * 3]
    assert len(function.programs) == 1


def test_coroutines_are_refused_and_awaited_by_whom_they_belong_to():
    async def scaled(x):
        return x * 2

    compiled = mg.compile(scaled)
    with pytest.warns(mg.CompileWarning, match="a coroutine made by the call"):
        first = compiled(mg.Tensor([1.0]))
    for coroutine in (first, compiled(mg.Tensor([1.0]))):
        assert asyncio.run(coroutine).tolist() == [2.0]
    gc.collect()  # what nobody awaited would warn


@pytest.mark.parametrize("backend", ["plain", "native"])
def test_one_tensor_in_two_places_is_one_tensor_there(backend):
    """What is written into one of two would else not be seen in the other."""

    def function(x, w):
        h, mask = np.tanh(x @ w), x > 0
        return {"h": h, "all": (h, h * 2, mask, w), "mask": mask}

    compiled = mg.compile(function, backend=backend)
    w = mg.Tensor(np.ones((3, 2)) / 2, requires_grad=True)
    for k in range(3):
        x = np.arange(6.0).reshape(2, 3) - k
        for f in (compiled, function):
            found = f(x, w)
            h, _, mask, same = found["all"]
            assert (h is found["h"], same is w) == (True, True)
            assert np.shares_memory(mask, found["mask"])
            h[0] = 0.0
            np.testing.assert_array_equal(found["h"][0].numpy(), [0, 0])
            slope = mg.gradients((h + found["h"]).sum(), w).numpy()
            expected = 2 * (1 - np.tanh(x @ w.numpy())[1:] ** 2) * x[1][:, None]
            np.testing.assert_allclose(slope, expected, rtol=1e-12)
    assert len(compiled.programs) == 1
    assert compiled.refusals == []
