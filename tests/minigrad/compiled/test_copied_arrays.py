"""Arrays that NumPy computed become tensors as copies: a program knows what they are copies of.

The first batch is positive, so `np.maximum(x, 0)` is x itself there and in the second trace. A copy
that was known by its numbers alone could be taken for one of x.
"""

import numpy as np
import pytest

import layers
import minigrad as mg

BACKENDS = ["plain", "native"]
RNG = np.random.default_rng(0)
W = mg.Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
NORM = layers.BatchNorm1d(4)
CONVOLUTION = layers.Conv1d(3, 2, 3)
ROWS = np.array([0, 1, 0])
BATCHES = [RNG.random((3, 4)) + 1, RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))]


def positive(x):
    return np.maximum(x, 0)


MADE = {
    "Tensor": lambda x: mg.Tensor(positive(x)) * W,
    "Tensor of another dtype": lambda x: mg.Tensor(positive(x), dtype=np.float32) * W,
    "tensor": lambda x: mg.tensor(np.abs(x)) * W,
    "of an argument": lambda x: mg.Tensor(x) * W,
    "normalised": lambda x: mg.layer_norm(positive(x), axis=-1) * W,
    "batch norm": lambda x: NORM(positive(x)),
    "convolution": lambda x: CONVOLUTION(positive(x)[None]),
    "loss": lambda x: mg.mse_loss(W, positive(x)),
    "scattered": lambda x: mg.scatter_add(W, ROWS, np.clip(x, 0, 5)) ** 2,
    "filled": lambda x: mg.full_like(W, x > 0) * W,
    "norm": lambda x: mg.norm(np.where(x > 0, x, 0)) * W,
    "differentiated": lambda x: mg.grad(lambda v: (v**3 * W).sum())(positive(x)),
    "jvp": lambda x: mg.jvp(lambda v: v * W, x, positive(x))[1],
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MADE)
def test_tensors_of_computed_arrays(name, backend):
    function = MADE[name]
    compiled = mg.compile(function, backend=backend)
    compiled(BATCHES[0])
    for batch in BATCHES:
        found, expected = compiled(batch), function(batch)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
        if expected.requires_grad and name != "batch norm":
            wanted = CONVOLUTION.weight if name == "convolution" else W
            pair = [mg.gradients((y**2).sum(), wanted).numpy() for y in (found, expected)]
            np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5)
    assert compiled.refusals == []
    assert len(compiled.programs) == 1


def test_a_copy_that_may_be_of_either_of_two_arrays_is_refused():
    compiled = mg.compile(lambda x: (np.array(positive(x)) * W).sum())
    with pytest.warns(mg.CompileWarning, match="computed outside of minigrad's operations"):
        compiled(BATCHES[0])
    expected = (positive(BATCHES[1]) * W.numpy()).sum()
    assert compiled(BATCHES[1]).item() == pytest.approx(expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_by_arrays_beside_parameters(backend):
    """A penalty on the slope at points between two batches, which are arrays."""
    w, v = (mg.Tensor(RNG.standard_normal(s), requires_grad=True) for s in ((4, 6), (6,)))

    def penalty(real, made, part):
        points = part * real + (1 - part) * made
        slope = mg.grad(lambda x: (np.tanh(x @ w) @ v).sum())(points)
        return ((mg.norm(slope, axis=1) - 1) ** 2).mean()

    compiled = mg.compile(penalty, backend=backend)
    for _ in range(3):
        batch = RNG.standard_normal((5, 4)), RNG.standard_normal((5, 4)), RNG.random((5, 1))
        found, expected = compiled(*batch), penalty(*batch)
        assert found.item() == pytest.approx(expected.item())
        for one, other in zip(*(mg.gradients(y, [w, v]) for y in (found, expected)), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-8, atol=1e-10)
    assert compiled.refusals == []
    assert len(compiled.programs) == 1
