"""Which layers run as a kernel, and who holds the parameters of the built-in cells."""

import copy

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import LSTMCell, Recurrent
from tests.layers.user_cells import MGUCell


def make(kind, *sizes, seed=0, **options):
    mg.seed(seed)
    with mg.default_dtype("float64"):
        return kind(*(sizes or (3, 2)), **options)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def leaky_steps(x, h, decay, lengths=None, reverse=False):
    """`leaky` step by step, for full sequences read forwards."""
    rows = []
    for t in range(x.shape[1]):
        h = decay * h + x[:, t]
        rows.append(h)
    return mg.stack(rows, axis=1), h


def leaky_backward(grads, residuals, arrays, needed, lengths, reverse):
    x, start, decay = arrays
    (hiddens,) = residuals  # (batch, time, features)
    d_h, d_x, d_decay = grads[1], np.empty_like(x), np.zeros_like(decay)
    for t in reversed(range(x.shape[1])):
        d_h = d_h + grads[0][:, t]
        d_x[:, t] = d_h
        d_decay += (d_h * (hiddens[:, t - 1] if t else start)).sum()
        d_h = d_h * decay
    return d_x, d_h, d_decay


@mg.fused(reference=leaky_steps, backward=leaky_backward, outputs=("output", "h"))
def leaky(x, h, decay, /, lengths=None, reverse=False):
    rows = []
    for t in range(x.shape[1]):
        h = decay * h + x[:, t]
        rows.append(h)
    output = np.stack(rows, axis=1)
    return output, h.copy(), (output,)


class LeakyCell(layers.Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.decay = layers.Parameter(0.5)

    def step(self, x, states):
        return self.decay * states[0] + x


class Leaky(Recurrent):
    cell = LeakyCell
    kernel = leaky


def kernels_of(output):
    return {node.plan.name for node in mg.graph(output).nodes}


def test_layers_name_a_kernel_which_is_optional():
    layer = make(Leaky, 2, 2, num_layers=2)
    x = draw(3, 4, 2)
    output, h = layer(x)
    assert layer.fused
    assert "leaky" in kernels_of(output)
    with mg.recording(fused=False):
        assert not layer.fused
        steps, last = layer(x)
    assert "leaky" not in kernels_of(steps)
    np.testing.assert_allclose(output.numpy(), steps.numpy())
    np.testing.assert_allclose(h.numpy(), last.numpy())
    for one, other in zip(
        *(mg.gradients((y**2).sum(), list(layer.parameters())) for y in (output, steps)),
        strict=True,
    ):
        np.testing.assert_allclose(one.numpy(), other.numpy())
    assert "leaky" not in kernels_of(make(Recurrent, LeakyCell, 2, 2)(x)[0])


def test_a_kernel_belongs_to_the_cell_that_its_class_names():
    class Doubled(LSTMCell):
        def step(self, x, states, active=None, keep=None):
            return super().step(2 * x, states, active, keep)

    class Mine(layers.LSTM):
        cell = Doubled

    class Same(layers.LSTM):
        pass

    class Other(Leaky):
        cell = MGUCell

    mine, plain, x = make(Mine), make(layers.LSTM), draw(2, 3, 3)
    assert not mine.fused
    assert not make(Other).fused
    assert make(Same).fused
    assert list(make(Same).state_dict()) == list(plain.state_dict())
    assert next(iter(mine.state_dict())) == "l0.weight_ih"
    np.testing.assert_array_equal(mine.l0.weight_ih.numpy(), plain.weight_ih_l0.numpy())
    np.testing.assert_allclose(mine(x)[0].numpy(), plain(2 * x)[0].numpy(), atol=1e-12)
    with pytest.raises(ValueError, match=r"Doubled: forget_bias=1\.0 needs biases"):
        Mine(3, 2, bias=False, forget_bias=1.0)


# -- built-in layers hold their parameters themselves ----------------------------------------------


def test_parameters_of_built_in_layers_may_be_replaced_and_reset():
    layer, other = make(layers.GRU, num_layers=2), make(layers.GRU, num_layers=2, seed=1)
    x = draw(2, 3, 3)
    before = layer(x)[0].numpy()
    for name, parameter in list(other.named_parameters()):
        setattr(layer, name, parameter)
    for fused in (True, False):
        with mg.recording(fused=fused):
            np.testing.assert_array_equal(layer(x)[0].numpy(), other(x)[0].numpy())
    mg.seed(0)
    layer.reset_parameters()
    np.testing.assert_array_equal(layer(x)[0].numpy(), before)
    lstm = make(layers.LSTM, forget_bias=2.0)
    lstm.reset_parameters(np.random.default_rng(3))
    assert lstm.bias_ih_l0.numpy()[2:4].tolist() == [2.0, 2.0]
    again = make(LSTMCell, forget_bias=2.0)
    again.reset_parameters(np.random.default_rng(3))
    np.testing.assert_array_equal(again.weight_hh.numpy(), lstm.weight_hh_l0.numpy())
    copied = copy.deepcopy(lstm)
    with mg.no_grad():
        copied.weight_ih_l0[...] = 0.0
    assert lstm.weight_ih_l0.numpy().any()
    assert not copied._cell_at("l0").weight_ih.numpy().any()
