"""Tensors from outside that share memory until one of them is written, as snapshots do."""

import numpy as np
import pytest

import layers
import minigrad as mg

BACKENDS = ["plain", "native"]
RNG = np.random.default_rng(0)


def parameter(*shape):
    return mg.Tensor(RNG.standard_normal(shape), requires_grad=True)


def detached(w):
    return w.detach()


def part(w):
    return w.detach()[1:3]


def turned(w):
    return mg.transpose(w.detach())[:, 1:3].T


def array(w):
    return w.numpy()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("snapshot", [detached, part, turned, array])
@pytest.mark.parametrize("first", ["weights", "snapshot"])
def test_a_snapshot_keeps_its_values_when_the_weights_are_written(first, snapshot, backend):
    w = parameter(4, 4)
    old = snapshot(w)
    values = np.array(array(old) if isinstance(old, mg.Tensor) else old)

    def pulled_back(x, old):
        rows = slice(1, 3) if old.shape == (2, 4) else slice(None)
        if first == "weights":
            return ((w[rows] - old) ** 2).sum() + (x @ w).sum()
        return (old * w[rows]).sum() + (x @ w).sum()

    compiled = mg.compile(lambda x: pulled_back(x, old), backend=backend)
    for k in range(4):
        x = RNG.standard_normal((3, 4))
        found, expected = compiled(x), pulled_back(x, values)
        assert found.item() == pytest.approx(expected.item())
        slopes = [mg.gradients(y, w).numpy() for y in (found, expected)]
        np.testing.assert_allclose(*slopes, rtol=1e-9, atol=1e-12)
        if k:
            with mg.no_grad():
                w -= 0.5
    assert compiled.refusals == []
    assert len(compiled.programs) == 1


def test_a_lowered_function_of_a_snapshot():
    w = parameter(4)
    old = w.detach()
    lowered = mg.compile(lambda x: (x * w - x * old).sum()).lowered(np.ones(4))
    assert [len(graph.inputs) for graph in lowered.until("traced").graphs][:1] == [3]


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_that_are_read_detached_first(backend):
    w = parameter(4, 4)

    def scaled(x):
        size = mg.norm(w.detach())
        return (x @ (w / size)).sum() + (x @ w.detach()).sum()

    compiled = mg.compile(scaled, backend=backend)
    for _ in range(4):
        x = RNG.standard_normal((3, 4))
        found, expected = compiled(x), scaled(x)
        assert found.item() == pytest.approx(expected.item())
        first = [mg.gradients(y, w, create_graph=True) for y in (found, expected)]
        np.testing.assert_allclose(*(g.numpy() for g in first), rtol=1e-9, atol=1e-12)
        with mg.no_grad():
            w -= 0.5
    assert compiled.refusals == []
    assert len(compiled.programs) == 1


def test_a_step_of_a_sequence_that_reads_a_snapshot():
    w = parameter(4, 4)
    old = w.detach()

    def step(x, h):
        return np.tanh(x @ w + h @ old)

    for k in range(4):
        x, h = RNG.standard_normal((2, 12, 4)), mg.Tensor(np.zeros((2, 4)))
        found, _ = layers.scan(step, x, h)
        state = h
        for t in range(12):
            state = step(x[:, t], state)
        np.testing.assert_allclose(found[:, -1].numpy(), state.numpy(), rtol=1e-9)
        if k:
            with mg.no_grad():
                w *= 0.5
