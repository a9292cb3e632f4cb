"""Checkpoints: the same numbers for less memory."""

import functools
import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.core.errors import GradientError
from minigrad.ops.randomness import default_generator
from minigrad.testing import check_gradients


def block(x: Any) -> Any:
    return np.tanh(x * 2) * np.exp(-x)


def gradient_of(f: Any, *arrays: Any) -> list[Any]:
    tensors = [mg.Tensor(a, requires_grad=True) for a in arrays]
    f(*tensors).sum().backward()
    return [t.grad.numpy() for t in tensors]


def test_values_and_gradients_are_the_same_to_the_last_bit():
    x = np.random.default_rng(0).standard_normal((3, 4))
    a = mg.Tensor(x, requires_grad=True)
    np.testing.assert_array_equal(mg.checkpoint(block)(a).numpy(), block(a).numpy())
    np.testing.assert_array_equal(gradient_of(mg.checkpoint(block), x)[0], gradient_of(block, x)[0])


def test_derivatives_to_second_order():
    x = np.array([0.3, -0.7])
    check_gradients(mg.checkpoint(block), x)
    check_gradients(mg.checkpoint(mg.checkpoint(block)), x)
    check_gradients(mg.checkpoint(lambda x, w: mg.checkpoint(np.tanh)(x @ w) * x), x, np.eye(2))


def test_higher_derivatives_and_transforms():
    f, g = lambda x: block(x).sum(), lambda x: mg.checkpoint(block)(x).sum()
    x = np.array([0.3, -0.7])
    for transform in (
        mg.grad,
        mg.hessian,
        lambda f: mg.jacobian(mg.hessian(f)),
        lambda f: lambda x: mg.hvp(f, x, np.ones(2)),
        lambda f: lambda x: mg.jvp(f, x, np.ones(2))[1],
        lambda f: mg.grad(mg.checkpoint(lambda x: mg.grad(f)(x).sum())),
    ):
        np.testing.assert_allclose(
            transform(g)(x).numpy(), transform(f)(x).numpy(), rtol=1e-11, atol=1e-13
        )


def test_closed_over_tensors_get_their_gradients():
    w = mg.Tensor([2.0, 3.0], dtype="float64", requires_grad=True)
    derived = w * w  # its history begins with w: neither may count twice
    x = mg.Tensor([0.1, 0.2], dtype="float64", requires_grad=True)
    f = lambda x: np.sin(x * w) * derived + w  # noqa: E731
    expected = mg.gradients(f(x).sum(), [x, w])
    for got, want in zip(mg.gradients(mg.checkpoint(f)(x).sum(), [x, w]), expected, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-13)
    mg.checkpoint(f)(x).sum().backward(retain_graph=True)
    np.testing.assert_allclose(w.grad.numpy(), expected[1].numpy(), rtol=1e-13)
    second = [
        mg.gradients((mg.gradients(g(x).sum(), x, create_graph=True) ** 2).sum(), [x, w])
        for g in (f, mg.checkpoint(f))
    ]
    for got, want in zip(*second, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-12)


def test_a_function_of_closed_over_tensors_alone():
    w = mg.Tensor(2.0, requires_grad=True)
    y = mg.checkpoint(lambda: w * w)()
    assert y.requires_grad
    y.backward()
    assert w.grad.item() == 4.0


def test_hooks_outside_run_once_with_the_whole_gradient():
    w = mg.Tensor(2.0, dtype="float64", requires_grad=True)
    middle = w * 1.0
    seen = []
    middle.register_hook(lambda g: seen.append(g.item()))
    (mg.checkpoint(lambda x: x * middle)(mg.Tensor(3.0)) + 4 * middle).backward()
    assert seen == [7.0]


def test_containers_keywords_and_several_outputs():
    @mg.checkpoint
    def f(pair, *, scale=1.0, extra=None):
        a, b = pair["a"], pair["b"][0]
        return {"sum": (a + b) * scale, "parts": [a * b, "text", 3], "constant": mg.Tensor(1.0)}

    a, b = mg.Tensor(2.0, requires_grad=True), mg.Tensor(5.0, requires_grad=True)
    out = f({"a": a, "b": [b]}, scale=3.0)
    assert out["parts"][1:] == ["text", 3]
    assert not out["constant"].requires_grad
    out["parts"][0].backward(retain_graph=True)  # one of the two outputs
    assert (a.grad.item(), b.grad.item()) == (5.0, 2.0)
    (out["sum"] + out["parts"][0]).backward()
    assert (a.grad.item(), b.grad.item()) == (5.0 + 3 + 5, 2.0 + 3 + 2)


def test_plain_where_nothing_requires_grad():
    y = mg.checkpoint(block)(mg.Tensor([1.0]))
    assert not y.requires_grad
    x = mg.Tensor([1.0], requires_grad=True)
    with mg.no_grad():
        assert not mg.checkpoint(block)(x).requires_grad
    assert not mg.checkpoint(lambda x: x.detach())(x).requires_grad


def test_an_argument_written_by_the_function_or_later_is_noted_as_it_was():
    def f(x):
        x += 1
        return x * x

    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    out = mg.checkpoint(f)(y)
    np.testing.assert_array_equal(y.numpy(), [1.0, 2.0])
    y += 10
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 6.0])


def test_recomputation_sees_the_same_random_numbers():
    def noisy(x, generator):
        return x * default_generator().random(x.shape) * generator.random(x.shape)

    mg.seed(5)
    own = np.random.default_rng(6)
    x = mg.Tensor(np.ones(4), requires_grad=True)
    y = mg.checkpoint(noisy)(x, own)
    following = default_generator().random(), own.random()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    after = default_generator().random(), own.random()
    mg.seed(5)
    own = np.random.default_rng(6)
    default_generator().random(4), own.random(4)
    # Recomputing did not disturb what is drawn next.
    assert following == (default_generator().random(), own.random())
    assert after == (default_generator().random(), own.random())


def test_dropout_has_the_same_mask_at_every_order():
    def f(x):
        return np.sin(mg.dropout(x, 0.5) * 3).sum()

    x = np.linspace(0.1, 1.0, 20)
    for transform in (mg.grad, mg.hessian, lambda f: mg.grad(mg.checkpoint(f))):
        results = []
        for g in (f, mg.checkpoint(f), mg.checkpoint(mg.checkpoint(f))):
            mg.seed(11)
            results.append(transform(g)(x).numpy())
        assert np.count_nonzero(results[0]) > 0
        np.testing.assert_allclose(results[1], results[0], rtol=1e-12)
        np.testing.assert_allclose(results[2], results[0], rtol=1e-12)


def test_recomputation_sees_the_same_scope_default_dtype_and_step():
    seen = []

    @mg.checkpoint
    def f(x):
        y = x * mg.Tensor(1.5)
        seen.append((y.dtype, [s.step for s in y._node.scope.chain()]))
        return y

    x = mg.Tensor(np.float64(1.0), requires_grad=True)
    with mg.default_dtype("float64"), mg.step(4):
        y = f(x)
    y.backward()
    assert seen == [(np.float64, [4])] * 2


def test_refuses_what_would_be_wrong():
    w = mg.Tensor(2.0, requires_grad=True)
    x = mg.Tensor(3.0, requires_grad=True)
    y = mg.checkpoint(lambda x: x * w)(x)
    with mg.no_grad():
        w *= 5
    with pytest.raises(GradientError, match="written in place afterwards"):
        y.backward()

    derived = w * 1
    y = mg.checkpoint(lambda x: x * derived)(x)
    derived = w * 2
    with pytest.raises(GradientError, match="other tensors from outside"):
        y.backward()

    with pytest.raises(GradientError, match="makes a leaf that requires grad"):
        mg.checkpoint(lambda x: x * mg.Tensor(1.0, requires_grad=True))(x)

    counter = iter([2, 3])
    y = mg.checkpoint(lambda x: x * np.ones(next(counter)))(x)
    with pytest.raises(GradientError, match="the same every time"):
        y.sum().backward()

    y = mg.checkpoint(block)(x)
    y.backward()
    with pytest.raises(GradientError, match="freed by an earlier backward"):
        y.backward()
    with pytest.raises(TypeError, match="takes a function"):
        mg.checkpoint(3)


def test_works_as_a_decorator_and_on_methods():
    class Layer:
        def __init__(self):
            self.w = mg.Tensor(2.0, requires_grad=True)

        @mg.checkpoint
        def forward(self, x):
            """Multiply."""
            return x * self.w

    layer = Layer()
    layer.forward(mg.Tensor(3.0)).backward()
    assert layer.w.grad.item() == 3.0
    assert Layer.forward.__doc__ == "Multiply."
    assert mg.checkpoint(functools.partial(np.multiply, 2.0))(layer.w).item() == 4.0


# -- sequences -----------------------------------------------------------------------------------


@given(st.integers(0, 17), st.sampled_from([None, 1, 3, 100]))
def test_a_sequence_equals_the_plain_loop(length, segment):
    w = mg.Tensor(0.7, dtype="float64", requires_grad=True)
    x = mg.Tensor([0.5, -0.2], dtype="float64", requires_grad=True)

    def advance(state, t):
        h, total = state
        h = np.tanh(h * w + t)
        return h, total + h

    def run(loop):
        h, total = loop((x, x * 0))
        return mg.gradients((h * total + w).sum(), [w] if length == 0 else [w, x])

    def plain(state):
        for t in range(length):
            state = advance(state, t)
        return state

    expected = run(plain)
    stepwise = run(lambda s: mg.checkpoint_sequence(advance, s, steps=length, segment=segment))
    functions = [functools.partial(lambda t, s: advance(s, t), t) for t in range(length)]
    listed = run(lambda s: mg.checkpoint_sequence(functions, s, segment=segment))
    for got in (stepwise, listed):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-15)


def test_second_order_through_a_sequence():
    check_gradients(
        lambda x: mg.checkpoint_sequence(lambda h, t: np.sin(h + x), x, steps=7), np.array([0.4])
    )


def test_a_sequence_tags_its_steps():
    steps = []

    def advance(h, t):
        out = np.tanh(h)
        steps.append((t, out._node.scope.time_step))
        return out

    mg.checkpoint_sequence(advance, mg.Tensor(0.1, requires_grad=True), steps=5).backward()
    assert steps[:5] == [(t, t) for t in range(5)]
    assert sorted(steps[5:]) == steps[:5]


def peak(length: int, loop: Any) -> int:
    """Peak memory in arrays of the state's size of forward and backward."""
    x = mg.Tensor(np.full(20_000, 0.1), requires_grad=True)
    gc.collect()
    tracemalloc.start()
    try:
        loop(lambda h, t: np.tanh(h), x, length).sum().backward()
        return round(tracemalloc.get_traced_memory()[1] / x.nbytes)
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_square_root_of_the_length():
    def plain(f, state, length):
        for t in range(length):
            state = f(state, t)
        return state

    def sequence(f, state, length):
        return mg.checkpoint_sequence(f, state, steps=length)

    assert peak(400, plain) >= 400
    short, long = peak(100, sequence), peak(400, sequence)
    assert long <= 2 * 20 + 10
    assert long <= 2.2 * short


def test_bad_sequences_say_what_to_do():
    x = mg.Tensor(1.0)
    with pytest.raises(ValueError, match=r"needs steps=.*got None"):
        mg.checkpoint_sequence(lambda h, t: h, x)
    with pytest.raises(ValueError, match=r"needs steps=.*got -1"):
        mg.checkpoint_sequence(lambda h, t: h, x, steps=-1)
    with pytest.raises(ValueError, match="steps= is for one function"):
        mg.checkpoint_sequence([np.tanh], x, steps=3)
    with pytest.raises(ValueError, match="segment must be 1 or more, got 0"):
        mg.checkpoint_sequence([np.tanh], x, segment=0)
