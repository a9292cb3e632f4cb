"""Checkpoints within compiled functions, and the random numbers that they repeat."""

import numpy as np
import pytest

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
