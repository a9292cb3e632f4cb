"""Steps that read what they carry turned, repeated or in parts are loops, and give the same."""

import numpy as np
import pytest

import minigrad as mg

F = np.float32
STEPS = 12


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(F)


def forward_algorithm(x, u):
    a = x[:, 0]
    for t in range(1, STEPS):
        a = mg.logsumexp(a[:, :, None] + u, axis=1) + x[:, t]
    return mg.logsumexp(a, axis=1).mean()


def masked(x, u):
    a, kept = x[:, 0], x[:, :, :1] > 0
    for t in range(1, STEPS):
        a = mg.where(kept[:, t], (a[:, :, None] + u).max(axis=1) + x[:, t], a)
    return a.sum()


def turned(x, u):
    a = x[:, 0]
    for t in range(1, STEPS):
        a = mg.tanh(a[:4].T @ u[:, :4].T + x[:, t, :4] @ u[:4])[:4] + a * 0.5
    return (a**2).sum()


def repeated(x, u):
    a = x[0, 0]
    for t in range(1, STEPS):
        a = mg.tanh((a[None, :] * u).sum(axis=1) + (a[:, None] * u).sum(axis=0) + x[0, t])
    return (a**2).sum()


def in_parts(x, u):
    state = mg.concatenate([x[:, 0], x[:, 1]], axis=1)
    for t in range(1, STEPS):
        h, c = state[:, :4], state[:, 4:]
        state = mg.tanh(mg.concatenate([h @ u + c, c * h + x[:, t]], axis=1))
    return (state**2).sum()


def from_a_turned_array(x, u):
    a = x[:, :4, 0].T
    for t in range(1, STEPS):
        a = mg.tanh(mg.softmax(a[:, None, :] + u[:, :, None], axis=0).sum(axis=1) + x[:, t, :4].T)
    return (a**2).sum()


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize(
    "function", [forward_algorithm, masked, turned, repeated, in_parts, from_a_turned_array]
)
def test_it_is_a_loop(function, backend):
    compiled = mg.compile(function, backend=backend)
    u = mg.Tensor(numbers(4, 4) * F(0.3), requires_grad=True)
    for seed in range(3):
        x = mg.Tensor(numbers(4, STEPS, 4) + F(0.1 * seed), requires_grad=True)
        value, expected = compiled(x, u), function(x, u)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-5)
        pairs = zip(mg.gradients(value, [x, u]), mg.gradients(expected, [x, u]), strict=True)
        for found, wanted in pairs:
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)
    (program,) = compiled.programs
    loops = [v.options[0] for g in program.graphs for v in g.values if v.op == "loop"]
    assert loops
    assert all(loop.count >= STEPS - 3 for loop in loops)


def test_a_first_step_that_reads_otherwise_is_none():
    # Later steps read one row for all others; the first has several rows.
    def function(x, u):
        a = x[:, 0]
        for t in range(1, STEPS):
            a = mg.tanh((a * u).sum(axis=0) + x[0, t])
        return (a**2).sum()

    compiled = mg.compile(function)
    x, u = mg.Tensor(numbers(4, STEPS, 4), None, True), mg.Tensor(numbers(4, 4), None, True)
    for _ in range(3):
        value = compiled(x, u)
    np.testing.assert_allclose(value.numpy(), function(x, u).numpy(), rtol=1e-5)
    for found, wanted in zip(
        mg.gradients(value, [x, u]), mg.gradients(function(x, u), [x, u]), strict=True
    ):
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)
