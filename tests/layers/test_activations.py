import numpy as np
import pytest

import layers
import minigrad as mg
from layers.basic import activations

x = np.array([[-3.0, -0.5, 0.0, 0.25, 1.5, 8.0]])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.ReLU(), np.maximum(x, 0)),
        (layers.ReLU6(), np.clip(x, 0, 6)),
        (layers.LeakyReLU(), np.where(x > 0, x, 0.01 * x)),
        (layers.ELU(2.0), np.where(x > 0, x, 2 * np.expm1(x))),
        (layers.CELU(2.0), np.where(x > 0, x, 2 * np.expm1(x / 2))),
        (layers.SiLU(), x / (1 + np.exp(-x))),
        (layers.Mish(), x * np.tanh(np.log1p(np.exp(x)))),
        (layers.Sigmoid(), 1 / (1 + np.exp(-x))),
        (layers.LogSigmoid(), -np.log1p(np.exp(-x))),
        (layers.Tanh(), np.tanh(x)),
        (layers.Hardtanh(0, 1), np.clip(x, 0, 1)),
        (layers.Softplus(0.5), np.log1p(np.exp(x / 2)) * 2),
        (layers.Softmax(), np.exp(x) / np.exp(x).sum()),
        (layers.Softmax(axis=0), np.ones_like(x)),
        (layers.LogSoftmax(), x - np.log(np.exp(x).sum())),
    ],
    ids=repr,
)
def test_values(layer, expected):
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12, atol=1e-15)


def test_only_prelu_has_parameters():
    for name in activations.__all__:
        assert bool(getattr(layers, name)().state_dict()) == (name == "PReLU")


def test_options_are_attributes_that_count():
    layer = layers.LeakyReLU(0.1)
    assert repr(layer) == "LeakyReLU(negative_slope=0.1)"
    layer.negative_slope = 0.5
    assert layer(np.array([-2.0])).tolist() == [-1.0]


def test_graphs_show_the_module():
    tensor = mg.Tensor(x, requires_grad=True)
    y = layers.Sequential(layers.Tanh(), layers.ReLU())(tensor)
    kinds = {scope.kind for node in [y._node] for scope in node.scope.chain()}
    assert kinds == {"Sequential", "ReLU"}


@pytest.mark.parametrize("kind", [layers.Softmax, layers.LogSoftmax])
def test_pytorchs_name_of_the_axis_is_explained(kind):
    with pytest.raises(TypeError, match=rf"{kind.__name__}: there is no dim=\. Write axis="):
        kind(dim=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.GELU("sigmoid"), 'approximate must be "none" or "tanh", got \'sigmoid\''),
        (lambda: layers.Hardtanh(1, 0), "min_val must not be above max_val, got 1 and 0"),
        (lambda: layers.CELU(0.0), "CELU: alpha must not be 0"),
    ],
)
def test_wrong_options(call, message):
    with pytest.raises(ValueError, match=message):
        call()
