"""Leaves that a function makes for itself, to differentiate by: as gradient penalties do."""

import numpy as np
import pytest

import minigrad as mg

RNG = np.random.default_rng(0)
W = mg.Tensor(RNG.standard_normal((4, 6)), requires_grad=True)
V = mg.Tensor(RNG.standard_normal(6), requires_grad=True)


def score(x):
    return np.tanh(x @ W) @ V


def penalty(x):
    slope = mg.gradients(score(x).sum(), x, create_graph=True)
    return ((mg.norm(slope, axis=1) - 1) ** 2).mean()


def attacked(x):
    """The loss where it is worst nearby."""
    step = mg.Tensor(np.zeros((5, 4)), requires_grad=True)
    slope = mg.gradients((score(x + step) ** 2).sum(), step, create_graph=True)
    return (score(x + 0.1 * np.tanh(slope)) ** 2).mean()


MAKING = {
    "of an array": lambda x: penalty(mg.Tensor(x, requires_grad=True)),
    "of a computed array": lambda x: penalty(mg.Tensor(x / np.abs(x).max(), requires_grad=True)),
    "of a tensor": lambda x: penalty((x * W[:, 0]).detach().requires_grad_()),
    "of constants": attacked,
}


@pytest.mark.parametrize("backend", ["plain", "native"])
@pytest.mark.parametrize("name", MAKING)
def test_leaves_of_the_functions_own(name, backend):
    function = MAKING[name]
    compiled = mg.compile(function, backend=backend)
    for _ in range(3):
        x = RNG.standard_normal((5, 4))
        found = []
        for f in (compiled, function):
            y = f(x)
            first = mg.gradients(y, [W, V], create_graph=True)
            second = mg.gradients(sum((g * g).sum() for g in first), [W, V])
            W.grad = V.grad = None
            f(x).backward()
            found.append([y, *first, *second, W.grad, V.grad])
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-7, atol=1e-9)
    assert compiled.refusals == []
    assert len(compiled.programs) == 1


def test_a_parameter_made_at_the_first_call_is_one_from_outside():
    class Lazy:
        w = None

        def __call__(self, x):
            if self.w is None:
                self.w = mg.Tensor(np.ones(4), requires_grad=True)
            return (x * self.w).sum()

    lazy = Lazy()
    compiled = mg.compile(lazy)
    for k in range(4):
        x = RNG.standard_normal((5, 4))
        y = compiled(x)
        lazy.w.grad = None
        y.backward()
        np.testing.assert_allclose(lazy.w.grad.numpy(), x.sum(axis=0), rtol=1e-12)
        assert y.item() == pytest.approx((x * lazy.w.numpy()).sum())
        with mg.no_grad():
            lazy.w += k + 1.0
    assert len(compiled.programs) == 1
