"""Jacobians of single steps, their spectra, products without overflow, and connectivity."""

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN
from minigrad.draw import DrawError, jacobian_spectra
from minigrad.draw.analysis.connectivity import input_connectivity


def linear_chain(matrix, steps, start=1.0):
    u = mg.Tensor(matrix, requires_grad=True)
    h = mg.Tensor(np.full((2, len(matrix)), start), requires_grad=True)
    for t in range(steps):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(h @ u.T, "h")
    return h


def run(kind, steps=6, **options):
    with mg.default_dtype("float64"):
        layer = kind(3, 4, **options)
    x = mg.Tensor(np.random.default_rng(0).standard_normal((2, steps, 3)), requires_grad=True)
    with mg.recording(fused=False):
        output, _ = layer(x)
    return layer, x, output


def test_a_linear_recurrence_has_its_matrix_as_jacobian():
    matrix = np.random.default_rng(0).standard_normal((4, 4))
    found = jacobian_spectra(linear_chain(matrix, 5))
    assert found.steps.tolist() == [1, 2, 3, 4]
    for jacobian in found.matrices:
        np.testing.assert_allclose(jacobian, matrix, rtol=1e-13)
    np.testing.assert_allclose(found.largest, np.linalg.norm(matrix, 2))
    np.testing.assert_allclose(found.radius, np.abs(np.linalg.eigvals(matrix)).max())
    product, scale = found.product(3)
    np.testing.assert_allclose(product * 10**scale, np.linalg.matrix_power(matrix, 3), rtol=1e-10)
    assert np.linalg.norm(product) == pytest.approx(1)


@pytest.mark.parametrize(("factor", "sign"), [(1e-9, -1), (1e9, 1)])
def test_products_neither_underflow_nor_overflow(factor, sign):
    found = jacobian_spectra(linear_chain(factor * np.eye(3), 100, start=0.0))
    expected = sign * 9.0 * np.arange(100)
    np.testing.assert_allclose(found.log_norms(), expected, rtol=1e-12, atol=1e-9)


def test_a_dead_product_is_minus_infinity():
    found = jacobian_spectra(linear_chain(np.zeros((2, 2)), 4))
    assert found.product()[1] == -np.inf
    assert found.log_norms()[-1] == -np.inf


@pytest.mark.parametrize("sample", [0, 1])
def test_an_lstm_agrees_with_differentiating_its_step(sample):
    from layers.cells.gated_cells import lstm_step, weights_of

    layer, x, output = run(LSTM)
    found = jacobian_spectra(output, sample=sample)
    with mg.recording(fused=False):
        _, _, states = layer(x, return_states="all")
    order = {"h": 0, "c": 1}
    weights = weights_of(layer, "_l0")

    def step(s):
        new, _ = lstm_step(x.detach()[sample, 3], (s[:4], s[4:]), weights)
        return mg.concatenate(new)

    before = [states.h[0, sample, 2].detach(), states.c[0, sample, 2].detach()]
    expected = mg.jacobian(step)(mg.concatenate(before)).numpy()
    places = np.concatenate([np.arange(4) + 4 * order[name] for name in found.states])
    place = found.steps.tolist().index(3)
    np.testing.assert_allclose(found.matrices[place], expected[np.ix_(places, places)], rtol=1e-9)


def test_a_plain_rnn_keeps_to_the_bounds_of_pascanu():
    layer, _, output = run(RNN)
    found = jacobian_spectra(output)
    norm = np.linalg.norm(layer.weight_hh_l0.numpy(), 2)
    assert found.bounds.weight_norm == pytest.approx(norm)
    assert found.bounds.vanishes == (norm < 1)
    assert (found.largest <= found.bounds.step_bounds * (1 + 1e-12)).all()
    assert (found.bounds.step_bounds <= norm).all()
    assert jacobian_spectra(run(GRU)[2]).bounds is None


def test_errors_say_what_to_do():
    h = linear_chain(np.eye(2), 4)
    with pytest.raises(DrawError, match="no cell 'x' on the tape; there are 'cell'"):
        jacobian_spectra(h, cell="x")
    with pytest.raises(DrawError, match="steps has 9"):
        jacobian_spectra(h, steps=[9])
    with pytest.raises(DrawError, match="one step alone"):
        jacobian_spectra(linear_chain(np.eye(2), 1))
    with pytest.raises(DrawError, match="sample 7 is not in a batch of 2"):
        jacobian_spectra(h, sample=7)
    with pytest.raises(ValueError, match="lag must be between 0 and 3"):
        jacobian_spectra(h).product(9)
    u = mg.Tensor(np.ones((2, 2)), requires_grad=True)
    mixed = mg.Tensor(np.ones((2, 2)), requires_grad=True)
    for t in range(2):
        with mg.step(t), mg.scope("cell"):
            mixed = mg.label_state((mixed - mixed.mean(axis=0)) @ u, "h")
    with pytest.raises(DrawError, match="influence each other"):
        jacobian_spectra(mixed)


def test_connectivity_is_the_norm_of_the_whole_jacobian():
    layer, x, output = run(GRU, steps=5)
    found = input_connectivity(output, x)
    whole = mg.jacobian(lambda v: layer(v)[0])(x.detach()).numpy()  # (2, 5, 4, 2, 5, 3)
    expected = np.sqrt((whole**2).sum(axis=(0, 2, 3, 5)))
    assert found.exact
    np.testing.assert_allclose(found.norms, expected, rtol=1e-10, atol=1e-15)
    assert (np.triu(found.norms, 1) == 0).all()
    some = input_connectivity(output, x, steps=[-1], probes=300, generator=fixed_generator())
    assert not some.exact
    np.testing.assert_allclose(some.norms[0], expected[-1], rtol=0.2)
    with pytest.raises(DrawError, match="do not depend on the inputs"):
        input_connectivity(output, mg.Tensor(np.ones((2, 5, 3)), requires_grad=True))
    with pytest.raises(DrawError, match="need axes"):
        input_connectivity(output.sum(), x)


def fixed_generator():
    return np.random.default_rng(0)


def test_a_padded_sequence_has_the_jacobians_that_it_has_alone():
    with mg.default_dtype("float64"):
        layer = LSTM(3, 4)
    x = np.random.default_rng(0).standard_normal((3, 7, 3))
    output, _ = layer(mg.Tensor(x), lengths=np.array([7, 5, 2]))
    alone, _ = layer(mg.Tensor(x[1:2, :5]))
    found = jacobian_spectra((output**2).sum(), sample=1)
    expected = jacobian_spectra((alone**2).sum())
    assert found.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert expected.steps.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.matrices[:4], expected.matrices, rtol=1e-10, atol=1e-14)
    # Once the sequence has ended its states stay as they are.
    np.testing.assert_allclose(found.matrices[4:], np.broadcast_to(np.eye(8), (2, 8, 8)))


def test_steps_without_all_of_their_states_are_left_out():
    w = mg.Tensor(np.eye(2) * 0.5, requires_grad=True)
    h = c = mg.Tensor(np.ones((1, 2)), requires_grad=True)
    for t in range(7):
        with mg.step(t), mg.scope("cell"):
            h, c = mg.label_state(mg.tanh(h @ w) + c, "h"), mg.label_state(c * 0.5, "c")
    # No loss reads c of the last step, so it is not behind the loss, and J_6 is not whole.
    found = jacobian_spectra(h.sum())
    assert found.steps.tolist() == [1, 2, 3, 4, 5]
    assert found.matrices.shape == (5, 4, 4)
    with pytest.raises(DrawError, match="Jacobians for the steps 1 to 5"):
        jacobian_spectra(h.sum(), steps=[6])
    with pytest.raises(ValueError, match="steps is empty"):
        jacobian_spectra(h.sum(), steps=[])


def test_products_over_ten_thousand_steps():
    w = mg.Tensor(0.25, dtype="float64", requires_grad=True)
    h = mg.Tensor(0.0, dtype="float64", requires_grad=True)
    for t in range(10_001):
        with mg.step(t), mg.scope("cell"):
            h = mg.label_state(w * h, "h")
    found = jacobian_spectra(h, steps=range(1, 10_001))
    assert len(found.steps) == 10_000
    expected = np.log10(0.25) * np.arange(10_001)
    np.testing.assert_allclose(found.log_norms(), expected, rtol=1e-12)
    assert found.product()[1] == pytest.approx(expected[-1])
    assert len(jacobian_spectra(h).steps) == 128


@pytest.mark.parametrize("size", [1e308, 1e-308])
def test_products_of_matrices_near_the_ends_of_the_range(size):
    found = jacobian_spectra(linear_chain(np.full((3, 3), size), 5, start=0.0))
    expected = np.log10(3) + np.log10(size)
    np.testing.assert_allclose(found.log_norms()[1:], expected * np.arange(1, 5), rtol=1e-9)
