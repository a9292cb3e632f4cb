"""Checkpoints of functions that write tensors of their own: buffers, caches and counters."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import layers
import minigrad as mg

X = np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32)

WRAPPERS = {
    "once": mg.checkpoint,
    "nested": lambda f: mg.checkpoint(lambda x: mg.checkpoint(f)(x) * 1),
    "sequence": lambda f: lambda x: mg.checkpoint_sequence([f, np.tanh, np.exp], x, segment=2),
}
NORMS = {
    "BatchNorm1d": lambda: layers.BatchNorm1d(3),
    "cumulative": lambda: layers.BatchNorm1d(3, momentum=None),
    "InstanceNorm1d": lambda: layers.InstanceNorm1d(3, track_running_stats=True),
    "container": lambda: layers.Sequential(layers.BatchNorm1d(3), layers.BatchNorm1d(3)),
}


def state(module: Any) -> list[Any]:
    return [buffer.numpy().copy() for buffer in module.buffers()]


def twice(f: Any, module: Any) -> tuple[list[Any], Any]:
    """The buffers after two batches, of which the first goes backward last, and a gradient."""
    x = mg.Tensor(X, requires_grad=True)
    first, second = f(x), f(x * 2 + 1)
    between = state(module)
    second.sum().backward()
    (first * first).sum().backward()
    for a, b in zip(between, state(module), strict=True):
        np.testing.assert_array_equal(a, b)
    return between, x.grad.numpy()


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", NORMS)
def test_running_averages_move_once(name, wrapper):
    plain, checked = NORMS[name](), NORMS[name]()
    wrap = WRAPPERS[wrapper]
    rest = (lambda f: lambda x: np.exp(np.tanh(f(x)))) if wrapper == "sequence" else (lambda f: f)
    buffers, grad = twice(rest(plain), plain)
    found, same = twice(wrap(checked), checked)
    for a, b in zip(found, buffers, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(same, grad, rtol=1e-5, atol=1e-6)


def test_a_result_that_depends_on_what_was_written():
    counter, cache = mg.Tensor(np.array(1.0)), mg.Tensor(np.zeros(3))

    def f(x: Any) -> Any:
        counter.write(counter.numpy() * 2)
        cache[1] = counter.item()
        return x * counter * cache.sum()

    x = mg.Tensor(np.ones(3), requires_grad=True)
    total = mg.checkpoint(f)(x) + mg.checkpoint(f)(x)
    counter.write(np.array(7.0))
    total.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(3, 2.0 * 2 + 4 * 4))
    assert counter.item() == 7.0
    np.testing.assert_array_equal(cache.numpy(), [0.0, 4.0, 0.0])


def test_an_error_in_the_recomputation_puts_all_back():
    seen, calls = mg.Tensor(np.zeros(())), []

    def f(x: Any) -> Any:
        seen.write(seen.numpy() + 1)
        calls.append(1)
        return x * 2 if len(calls) == 1 else x.sum()

    x = mg.Tensor(np.ones(3), requires_grad=True)
    y = mg.checkpoint(f)(x)
    with pytest.raises(mg.GradientError):
        y.sum().backward()
    assert seen.item() == 1


def test_tensors_made_inside_are_written_and_not_kept():
    made = []

    def f(x: Any) -> Any:
        out = mg.Tensor(np.zeros(3))
        made.append(weakref.ref(out))
        out[0] = x[0] * 2
        out[1:] = x[1:] ** 2
        return out * 1

    x = mg.Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    y = mg.checkpoint(f)(x)
    gc.collect()
    assert made[0]() is None
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0, 6.0])

    def written(x: Any) -> Any:
        out = x + 0
        out[0] = x[0] * 2
        return out

    x.zero_grad()
    mg.checkpoint(written)(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 1.0, 1.0])
