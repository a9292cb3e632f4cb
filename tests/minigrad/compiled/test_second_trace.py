"""A second trace takes over what it shares with the first, and nothing else."""

from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.guarding.comparing import differences
from minigrad.compiled.guarding.other_values import other_argument, other_values
from minigrad.compiled.trace import settle, trace, unfixed
from minigrad.compiled.tracing import tracer as tracing

F = np.float32


def two_traces(function, *tensors):
    first = trace(function, tensors, {})
    settle(first, {})
    others = [
        other_argument(tensor, partial(other_values, number=i)) for i, tensor in enumerate(tensors)
    ]
    with unfixed(first):
        second = trace(function, others, {}, before=first)
    settle(second, {})
    return first, second


def leaf(*shape):
    numbers = np.random.default_rng(0).standard_normal(shape).astype(F)
    return mg.Tensor(numbers, requires_grad=True)


def recurrence(x, w):
    state = mg.Tensor(np.zeros(x.shape[1:], F))
    mask = mg.Tensor(np.arange(5000.0, dtype=F))
    for t in range(4):
        state = mg.tanh(x[t] + state @ w)
    return (state**2).sum() + mask.sum()


def test_what_is_the_same_is_neither_made_nor_converted_again(monkeypatch):
    x, w = leaf(4, 2, 3), leaf(3, 3)
    converted, convert = [], tracing.convert
    monkeypatch.setattr(tracing, "convert", lambda *args: converted.append(args) or convert(*args))
    first, second = two_traces(recurrence, x, w)
    assert first.tracer.builder.values
    assert second.tracer.builder.values == []
    once = len(converted)
    trace(recurrence, [x, w], {})
    assert len(converted) == 2 * once
    assert [view.key for view in second.outputs] == [view.key for view in first.outputs]
    assert second.gradients.keys() == first.gradients.keys()
    assert differences(first, second) is None


def test_a_number_that_differs_is_not_taken_over():
    def function(x):
        return mg.tanh(x) * float(np.asarray(x._array).ravel()[0]) + mg.exp(x)

    first, second = two_traces(function, leaf(3))
    assert "multiply" in differences(first, second)


@pytest.mark.parametrize("size", [3, 5000])
def test_a_constant_that_differs_is_not_taken_over(size):
    def function(x):
        return mg.tanh(x) * mg.Tensor(np.cos(np.asarray(x._array)))

    first, second = two_traces(function, leaf(size))
    assert "computed outside" in differences(first, second)


def test_parameters_that_differ_are_not_taken_over():
    def function(x):
        return mg.tanh(x)[int(np.asarray(x._array)[0] > 3) :]

    first = trace(function, [mg.Tensor(np.array([4.0, 2.0], F))], {})
    settle(first, {})
    with unfixed(first):
        second = trace(function, [mg.Tensor(np.array([2.0, 4.0], F))], {}, before=first)
    settle(second, {})
    assert differences(first, second) is not None


def test_one_and_true_are_two_indices():
    for index, other in ((1, True), (0, False)):
        calls = iter([index, other])
        first, second = two_traces(lambda x, calls=calls: mg.tanh(x)[next(calls)], leaf(3, 3))
        assert differences(first, second) is not None


def test_a_constant_that_only_looks_like_a_copy_is_no_copy():
    """One of two equal constants is a copy of the argument, and the other is not."""
    fixed = np.arange(1.0, 4.0, dtype=F)

    def function(x):
        return mg.tanh(mg.Tensor(fixed)) + mg.exp(mg.Tensor(np.array(x)))

    compiled = mg.compile(function)
    compiled(fixed.copy())
    x = np.array([0.5, 0.25, -1.0], F)
    np.testing.assert_allclose(compiled(x).numpy(), np.tanh(fixed) + np.exp(x), rtol=1e-5)


def test_a_value_that_was_made_in_a_quiet_block_first_is_heard():
    def function(x):
        with np.errstate(all="ignore"):
            quiet = mg.exp(x)
        return quiet, mg.exp(x)

    compiled, x = mg.compile(function), np.zeros(3, F)
    for _ in range(2):
        for found in compiled(x):
            np.testing.assert_array_equal(found.numpy(), 1)
    with pytest.warns(RuntimeWarning, match="overflow"):
        compiled(x + 100)


def test_other_signs_of_one_number_warn_of_nothing():
    for number, other in ((np.uint8(7), 249), (np.int8(-128), -128)):  # any warning is an error
        assert other_values(np.array([number]), signs=True).tolist() == [other]
