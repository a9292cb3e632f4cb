"""Outputs of a compiled call that nothing reads: gradients are those of an eager call."""

import itertools

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled.on_tape import MOST_SETS
from minigrad.ops.fusing import fused
from minigrad.optim import AdamW

BACKENDS = ["plain", "native"]


def infinite_slopes(x, w, v):
    h = np.maximum(x @ w, 0)  # zeros, where the slopes of the others are infinite
    return (h**2).mean(), np.sqrt(h), -np.log(h).sum(), v * 2


def pieces(x, w, v):
    a = x @ w
    return a[:, :1], a[:, 1:] * v[1:], np.concatenate([a, a], axis=1)[:, 1:3], mg.stack([v, v])


def differences(x, w, v):
    a, b = np.tanh(x @ w), np.exp(v)
    return a - b, b - a, np.where(a > 0, a, b), (a * b).sum(axis=0)


def one_after_the_other(x, w, v):
    h, all_h = v, []
    for t in range(4):
        h = np.tanh(h @ w[:3] + x[t])
        all_h.append(h)
    return h, mg.stack(all_h), all_h[0].sum(), np.sqrt(all_h[1] - all_h[1])


FUNCTIONS = [infinite_slopes, pieces, differences, one_after_the_other]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:.*division by zero")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_gradients_are_none_or_finite_as_those_of_an_eager_call(function, backend):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3))
    arrays = [rng.standard_normal((3, 3)), rng.standard_normal(3)]
    weights = [rng.standard_normal(out.shape) for out in function(x, *map(mg.Tensor, arrays))]

    def gradients_of(call, chosen, **options):
        leaves = [mg.Tensor(array, requires_grad=True) for array in arrays]
        outs = call(x, *leaves)
        sum((outs[i] * weights[i]).sum() for i in chosen).backward(**options)
        return [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]

    compiled = mg.compile(function, backend=backend)
    compiled(x, *(mg.Tensor(array, requires_grad=True) for array in arrays))
    assert compiled.programs
    for count in (1, 2, 3, 4):
        for chosen in itertools.combinations(range(4), count):
            expected = gradients_of(function, chosen)
            for options in ({}, {"create_graph": True}):
                found = gradients_of(compiled, chosen, **options)
                assert [g is None for g in found] == [g is None for g in expected], chosen
                for mine, theirs in zip(found, expected, strict=True):
                    if theirs is not None:
                        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_head_without_a_loss_is_left_alone(backend):
    class TwoHeads(layers.Module):
        def __init__(self):
            super().__init__()
            self.body, self.first, self.second = (layers.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            h = mg.tanh(self.body(x))
            return self.first(h), self.second(h)

    model = TwoHeads()
    compiled = mg.compile(model, backend=backend)
    optimizer = AdamW(model.parameters(), weight_decay=0.1)
    before = model.second.weight.numpy().copy()
    for _ in range(3):
        optimizer.zero_grad()
        compiled(np.ones((2, 3), np.float32))[0].sum().backward()
        assert model.second.weight.grad is None
        optimizer.step()
    np.testing.assert_array_equal(model.second.weight.numpy(), before)
    first, _ = compiled(np.ones((2, 3), np.float32))
    with pytest.raises(mg.GradientError, match="no output depends on"):
        mg.gradients(first.sum(), [model.second.weight])


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_different_sets_of_outputs_run_without_a_program_of_their_own(backend):
    def function(x):
        return [x * k for k in range(1, 7)]

    compiled = mg.compile(function, backend=backend)
    sets = [c for count in (1, 2) for c in itertools.combinations(range(6), count)]
    assert len(sets) > 2 * MOST_SETS
    for chosen in ((0,), *sets):  # the first call is traced
        x = mg.Tensor(np.ones(2), requires_grad=True)
        outs = compiled(x)
        sum(outs[i].sum() for i in chosen).backward()
        np.testing.assert_allclose(x.grad.numpy(), sum(i + 1 for i in chosen))


def test_the_reference_of_a_kernel_is_differentiated_from_the_outputs_that_are_read():
    """As when its operations are recorded one by one: not from a root's infinite slope."""

    @fused(
        reference=lambda x: (x * x, np.sqrt(x)),
        backward=lambda grads, residuals, inputs, needed: [2 * inputs[0] * grads[0]],
        outputs=("square", "root"),
    )
    def square_and_root(x):
        return x * x, np.sqrt(x), None

    x = mg.Tensor(np.zeros(2), requires_grad=True)
    square_and_root(x)[0].sum().backward(create_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), 0.0)


def test_a_checkpoint_sends_nothing_from_outputs_that_are_not_read():
    @mg.checkpoint
    def two(x, w):
        return x * x, np.sqrt(x), w * 2

    for options in ({}, {"create_graph": True}):
        x = mg.Tensor(np.zeros(2), requires_grad=True)
        w = mg.Tensor(np.ones(2), requires_grad=True)
        two(x, w)[0].sum().backward(**options)
        np.testing.assert_array_equal(x.grad.numpy(), 0.0)
        assert w.grad is None


@pytest.mark.parametrize("steps", [3, 9, 16, 40])
@pytest.mark.parametrize("read", ["all", "last", "aside"])
def test_states_of_a_sequence_that_nothing_reads(monkeypatch, steps, read):
    """Neither zeros for what they alone depend on, nor NaN behind their infinite slopes."""
    x = np.random.default_rng(0).standard_normal((2, steps, 3))
    w = mg.Tensor(np.random.default_rng(1).standard_normal((3, 3)), requires_grad=True)
    v = mg.Tensor(np.ones(3), requires_grad=True)

    def cell(x, states):
        h = mg.tanh(states[0] @ w + x)
        return h, np.sqrt(h - h) * v, 0.5 * states[2] + h * v

    def slopes():
        start = tuple(mg.Tensor(np.zeros((2, 3)), requires_grad=True) for _ in range(3))
        output, last = layers.scan(cell, x, start)
        value = {"all": output, "last": last[0], "aside": last[2]}[read]
        w.grad = v.grad = None
        (value**2).sum().backward()
        found = [w.grad, v.grad, *(state.grad for state in start)]
        return [None if g is None else g.numpy() for g in found]

    found = [slopes() for _ in range(3)][-1]
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    expected = slopes()
    assert [g is None for g in found] == [g is None for g in expected]
    assert (expected[1] is None) == (read != "aside")
    for mine, theirs in zip(found, expected, strict=True):
        if theirs is not None:
            np.testing.assert_allclose(mine, theirs, rtol=1e-9)
