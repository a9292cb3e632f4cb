import numpy as np
import pytest

import layers
import minigrad as mg
from layers import Bilinear, Embedding, Flatten, Identity, Linear, Module, Unflatten
from minigrad.core.errors import ShapeError


class Tied(Module):
    """A table whose transpose reads out, as in language models."""

    def __init__(self):
        super().__init__()
        self.embedding = Embedding(5, 3)
        self.head = Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, index):
        return self.head(self.embedding(index))


def test_linear_is_the_formula_on_the_last_axis():
    layer = Linear(3, 2)
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    expected = x @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_linear_without_bias_has_none():
    layer = Linear(3, 2, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    assert not layer(np.zeros((1, 3), np.float32)).numpy().any()


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [(lambda: Linear(16, 400), 16), (lambda: Bilinear(16, 5, 100), 16)],
    ids=["Linear", "Bilinear"],
)
def test_weights_and_biases_begin_evenly_within_the_bound(make, fan_in):
    mg.seed(0)
    layer, bound = make(), 1 / np.sqrt(fan_in)
    for numbers in (layer.weight.numpy(), layer.bias.numpy()):
        assert np.abs(numbers).max() <= bound
        assert np.abs(numbers).max() > 0.95 * bound
        assert abs(numbers.mean()) < 4 * bound / np.sqrt(3 * numbers.size)
        assert numbers.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)


def test_reset_parameters_draws_from_the_generator():
    one, other = Linear(3, 2), Linear(3, 2)
    assert (one.weight.numpy() != other.weight.numpy()).any()
    for layer in (one, other):
        weight = layer.weight
        layer.reset_parameters(np.random.default_rng(4))
        assert layer.weight is weight
    np.testing.assert_array_equal(one.weight.numpy(), other.weight.numpy())
    np.testing.assert_array_equal(one.bias.numpy(), other.bias.numpy())


def test_parameters_have_the_default_dtype():
    assert Linear(2, 2).weight.dtype == np.float32
    with mg.default_dtype("float64"):
        assert {p.dtype for p in Linear(2, 2).parameters()} == {np.dtype("float64")}


def test_tied_weights_are_one_parameter_with_both_gradients():
    model = Tied()
    assert model.head.weight is model.embedding.weight
    assert model.parameter_count() == 15
    assert [name for name, _ in model.named_parameters()] == ["embedding.weight"]
    index = np.array([1, 4, 1])
    model(index).sum().backward()
    together = model.embedding.weight.grad.numpy()

    table = model.embedding.weight.numpy()
    read_out = np.tile(table[index].sum(axis=0), (5, 1))
    looked_up = np.zeros_like(table)
    np.add.at(looked_up, index, table.sum(axis=0))
    np.testing.assert_allclose(together, read_out + looked_up, rtol=1e-5)


def test_tied_weights_are_saved_under_both_names_and_stay_tied_when_loaded():
    model, other = Tied(), Tied()
    state = model.state_dict()
    assert list(state) == ["embedding.weight", "head.weight"]
    other.load_state_dict(state)
    assert other.head.weight is other.embedding.weight
    np.testing.assert_array_equal(other.head.weight.numpy(), state["embedding.weight"])
    with mg.no_grad():
        other.embedding.weight[...] = 1.0
    np.testing.assert_array_equal(other(np.array([0])).numpy(), [[3.0] * 5])


def test_identity_gives_the_very_same():
    x = mg.Tensor([1.0, 2.0])
    assert Identity(3, anything="goes")(x) is x


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Flatten(), (2, 3, 4), (2, 12)),
        (Flatten(0), (2, 3), (6,)),
        (Flatten(1, 2), (2, 3, 0, 5), (2, 0, 5)),
        (Flatten(-2), (0, 3, 4), (0, 12)),
        (Unflatten(1, (3, 4)), (2, 12), (2, 3, 4)),
        (Unflatten(-1, (-1, 2)), (2, 0), (2, 0, 2)),
        (Unflatten(0, (2, 0)), (0, 5), (2, 0, 5)),
        (Unflatten(0, (-1, 0)), (0, 5), (0, 0, 5)),
    ],
)
def test_shapes_of_flatten_and_unflatten(layer, shape, expected):
    assert layer(np.zeros(shape, np.float32)).shape == expected


def test_unflatten_undoes_flatten():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(Unflatten(1, (3, 4))(Flatten()(x)).numpy(), x)


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Linear(3, 2)(zeros(2, 4)), r"Linear: x must have 3 features .* got f32\[2, 4\]"),
        (lambda: Linear(3, 2)(zeros(2, 3, 4)), "axis 1 has 3: swap or reshape"),
        (lambda: Linear(3, 2)(zeros()), r"got f32\[\]"),
        (lambda: Linear(3, -2), "Linear: out_features must be an integer of 0 or more, got -2"),
        (lambda: Linear(3.0, 2), "Linear: in_features must be an integer .* got 3.0"),
        (lambda: Linear(True, 2), "Linear: in_features must be an integer .* got True"),
        (lambda: Bilinear(3, 2, -1), "Bilinear: out_features must be an integer .* got -1"),
        (lambda: Bilinear(3, 2, 1)(zeros(4, 2), zeros(4, 2)), "Bilinear: x1 must have 3 features"),
        (lambda: Bilinear(3, 2, 1)(zeros(4, 3), zeros(4, 3)), "Bilinear: x2 must have 2 features"),
        (
            lambda: Bilinear(3, 2, 1)(zeros(4, 3), zeros(5, 2)),
            r"equal axes before their features, got x1 f32\[4, 3\] and x2 f32\[5, 2\]",
        ),
        (lambda: Flatten(2, 1)(zeros(1, 2, 3)), "end_dim=1 comes before start_dim=2"),
        (lambda: Unflatten(1, (2, 2))(zeros(3, 5)), r"\(2, 2\) does not multiply to the 5"),
        (lambda: Unflatten(1, (2, -1))(zeros(3, 5)), "does not multiply to the 5 of axis 1"),
        (lambda: Unflatten(1, (-1, -1)), "at most one of them -1"),
        (lambda: Unflatten(1, (3, -2)), r"lengths of 0 or more, .* got \(3, -2\)"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_wrong_shape_is_a_shape_error():
    with pytest.raises(ShapeError, match="features"):
        layers.Linear(3, 2)(zeros(2, 4))
