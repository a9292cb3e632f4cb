"""Checkpoints within compiled functions, and the random numbers that they repeat."""

import numpy as np
import pytest

import layers
import minigrad as mg

F = np.float32
SQUARE = np.linspace(-0.8, 0.9, 9, dtype=F).reshape(3, 3)


def within(w):
    """Draws before a checkpoint, within it, and in one within that."""

    def inner(u):
        return mg.dropout(mg.tanh(u), 0.5)

    def outer(v):
        return mg.checkpoint(inner)(v * 2) * mg.dropout(v, 0.4)

    return (mg.checkpoint(outer)(mg.dropout(w, 0.2)) ** 2).sum()


def in_a_sequence(w):
    start = mg.dropout(w, 0.1)
    return mg.checkpoint_sequence(lambda h, t: mg.dropout(h @ w, 0.3), start, steps=6).sum()


def first_and_second(function, seed):
    """The value, its gradient, and the gradient of that one's square."""
    mg.seed(seed)
    w = mg.Tensor(SQUARE, requires_grad=True)
    loss = function(w)
    (gradient,) = mg.gradients(loss, [w], create_graph=True)
    (second,) = mg.gradients((gradient**2).sum(), [w])
    mg.seed(seed)
    v = mg.Tensor(SQUARE, requires_grad=True)
    function(v).backward()
    return [part.detach().numpy() for part in (loss, gradient, second, v.grad)]


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("function", [within, in_a_sequence])
def test_draws_in_checkpoints_are_repeated_in_the_backward_pass(function, backend):
    compiled = mg.compile(function, backend=backend, check=2)
    for seed in range(3):
        found, expected = first_and_second(compiled, seed), first_and_second(function, seed)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert len(compiled.programs) == 1
    assert compiled.refusals == []


@pytest.mark.parametrize("backend", ["plain", "native"])
@pytest.mark.parametrize("nested", [False, True])
def test_derivatives_that_run_a_checkpoint_again_after_its_program(nested, backend):
    """By some of the weights, or recorded: the reference of the program is differentiated."""
    rng = np.random.default_rng(0)
    w, v = (mg.Tensor(rng.standard_normal(s), requires_grad=True) for s in ((4, 6), (6, 4)))

    def layer(x):
        inner = mg.checkpoint(lambda x: np.tanh(x @ w)) if nested else lambda x: np.tanh(x @ w)
        return inner(x) @ v

    def loss(x):
        return (mg.checkpoint(layer)(x) ** 2).sum()

    compiled = mg.compile(loss, backend=backend)
    for _ in range(3):
        x = rng.standard_normal((3, 4))
        found = []
        for f in (compiled, loss):
            first = mg.gradients(f(x), [w, v], create_graph=True)
            second = mg.gradients(sum((g * g).sum() for g in first), [w, v])
            found.append([*first, *second, mg.gradients(f(x), v), mg.gradients(f(x), w)])
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)
    assert compiled.refusals == []


def test_derivatives_of_a_sequence_whose_step_is_a_checkpoint():
    rng = np.random.default_rng(0)
    w, u = (mg.Tensor(rng.standard_normal((4, 4)) / 2, requires_grad=True) for _ in range(2))

    def step(x, h):
        return mg.checkpoint(lambda x, h: np.tanh(x @ u + h @ w))(x, h)

    def loss(x, run):
        first = mg.gradients((run(x)[0] ** 2).sum(), w, create_graph=True)
        return [first, mg.gradients((first**2).sum(), u)]

    def one_by_one(x):
        h, states = mg.Tensor(np.zeros((2, 4))), []
        for t in range(x.shape[1]):
            h = step(x[:, t], h)
            states.append(h)
        return mg.stack(states, axis=1), h

    for _ in range(3):
        x = rng.standard_normal((2, 12, 4))
        found = loss(x, lambda x: layers.scan(step, x, mg.Tensor(np.zeros((2, 4)))))
        for one, other in zip(found, loss(x, one_by_one), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-12)
