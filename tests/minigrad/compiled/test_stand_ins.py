"""A second trace computes nothing large that is known, and still finds what leaves the graph."""

from functools import partial
from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.guarding.other_values import other_argument, other_values
from minigrad.compiled.trace import settle, trace, unfixed
from minigrad.compiled.tracing.earlier import Calls
from minigrad.compiled.tracing.stand_ins import LARGE
from minigrad.compiled.tracing.watching import Watch
from minigrad.core.blocks import observed_by
from minigrad.core.observer import Observer
from minigrad.ops.primitives import operations

F = np.float32
ROWS, WIDTH = 64, 256
assert ROWS * WIDTH >= LARGE


def given(*shape, seed=0):
    numbers = np.random.default_rng(seed).standard_normal(shape).astype(F) / 16
    return mg.Tensor(numbers, requires_grad=True)


def recurrence(x, w):
    state = x
    for _ in range(3):
        state = mg.tanh(state @ w)
    return (state**2).sum()


@pytest.fixture
def multiplied(monkeypatch):
    """Counts the products that were computed while somebody looked on."""
    operation = next(o for name, o in operations.items() if name.endswith(".matmul"))
    counted = mock.Mock(wraps=operation.forward)
    monkeypatch.setattr(operation, "forward", counted)
    return counted


def test_only_the_first_trace_multiplies(multiplied):
    compiled = mg.compile(recurrence)
    compiled(given(ROWS, WIDTH), given(WIDTH, WIDTH))
    assert len(compiled.programs) == 1
    assert multiplied.call_count == 3 + 6  # forward; and by state and weight


def test_a_call_is_asked_for_twice_at_most(monkeypatch):
    """Before a stand-in is taken, and where it is known for the result."""
    asked, key = [], Calls.key

    @Watch.unwatched  # it stands in our code, and is none of the function's
    def noted(calls, *call):
        asked.append(calls)
        return key(calls, *call)

    monkeypatch.setattr(Calls, "key", noted)
    mg.compile(recurrence)(given(ROWS, WIDTH), given(WIDTH, WIDTH))
    first = asked[0]
    once = asked.count(first)
    assert once < len(asked) <= 3 * once


def test_small_results_are_computed_again(multiplied):
    mg.compile(recurrence)(given(4, 8), given(8, 8))
    assert multiplied.call_count == 2 * (3 + 6)


def test_the_program_is_that_of_two_whole_traces():
    x, w = given(ROWS, WIDTH), given(WIDTH, WIDTH, seed=1)
    first = trace(recurrence, (x, w), {})
    settle(first, {})
    others = [
        other_argument(tensor, partial(other_values, number=i)) for i, tensor in enumerate((x, w))
    ]
    with unfixed(first):
        second = trace(recurrence, others, {}, before=first, stand_ins=True)
    settle(second, {})
    assert second.tracer.builder.values == []
    assert [view.key for view in second.outputs] == [view.key for view in first.outputs]
    assert _keys(second) == _keys(first)


def _keys(traced):
    return {value: view.key for value, view in traced.gradients.items()}


def test_stand_ins_share_no_place_in_the_graph():
    def function(x, w):
        a, b = mg.tanh(x @ w), mg.exp(x @ w)
        return (a[:, 1:] * b[:, :-1] + a.T[1:].T).sum() + a[0] @ b[1]

    compiled = mg.compile(function)
    x, w = given(ROWS, WIDTH), given(WIDTH, WIDTH, seed=1)
    compiled(x, w)
    assert len(compiled.programs) == 1
    np.testing.assert_allclose(compiled(x, w).numpy(), function(x, w).numpy(), rtol=1e-4)


@pytest.mark.parametrize(
    "leaves",
    [
        lambda h: float(h._array[3, 5]),
        lambda h: h._array > 0,
        lambda h: np.sign(h._array[-1]),
        lambda h: np.argsort(h._array[0]),
    ],
    ids=["number", "mask", "signs", "order"],
)
def test_what_is_read_from_the_memory_of_large_results_is_refused(leaves):
    def function(x, w):
        h = mg.tanh(x @ w)
        found = np.asarray(leaves(h))
        return (h * found.astype(F)).sum() if found.ndim else h.sum() * found.item()

    compiled = mg.compile(function)
    x, w = given(ROWS, WIDTH), given(WIDTH, WIDTH, seed=9)
    with pytest.warns(mg.CompileWarning, match="runs as before"):
        compiled(x, w)
    assert compiled.programs == []


def test_numbers_that_the_function_never_meets_speak_against_nothing():
    def function(x, w):
        h = mg.tanh(x @ w)
        if np.abs(h._array).max() > 1:
            raise ValueError("no hyperbolic tangent is larger")
        return h.sum()

    compiled = mg.compile(function)
    compiled(given(ROWS, WIDTH), given(WIDTH, WIDTH, seed=1))
    assert len(compiled.programs) == 1


def test_generators_and_buffers_are_left_as_they_were():
    seen = mg.Tensor(np.zeros(WIDTH, F))

    def function(x, w):
        h = mg.dropout(x @ w, 0.5)
        seen[...] = seen * 0.9 + h.detach().mean(axis=0) * 0.1
        return h.sum()

    x, w = given(ROWS, WIDTH), given(WIDTH, WIDTH, seed=1)
    found = []
    for run in (function, mg.compile(function)):
        mg.seed(3)
        seen[...] = np.zeros(WIDTH, F)
        found.append([*(run(x, w).numpy() for _ in range(3)), seen.numpy()])
    for expected, value in zip(*found, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-3)


class Twos(Observer):
    def instead(self, operation, inputs, params):
        if operation.name == "tanh":
            return np.full(inputs[0].shape, 2, F)
        return None


def test_an_observer_may_give_a_result_in_the_place_of_an_operation():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    with observed_by(Twos()):
        y = mg.tanh(x) + x
    assert y.tolist() == [3, 4]
    y.sum().backward()
    assert x.grad.tolist() == [-2, -2]  # 1 - y * y + 1, of the result that was given
