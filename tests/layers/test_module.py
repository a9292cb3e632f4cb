import numpy as np
import pytest

import minigrad as mg
from layers import LSTM, Embedding, Linear, Module, Parameter, Sequential, Tanh
from minigrad.core.errors import ShapeError
from minigrad.testing import check_gradients


class Pair(Module):
    def __init__(self, shared=False):
        super().__init__()
        self.first = Linear(3, 3)
        self.second = self.first if shared else Linear(3, 3)
        self.register_buffer("offset", np.arange(3.0))

    def forward(self, x):
        return self.second(self.first(x)) + self.offset


def test_names_follow_attributes():
    names = [name for name, _ in Pair().named_parameters()]
    assert names == ["first.weight", "first.bias", "second.weight", "second.bias"]


def test_shared_parameters_count_once_and_are_saved_under_both_names():
    pair = Pair(shared=True)
    assert pair.parameter_count() == 12
    assert len(list(pair.parameters())) == 2
    assert set(Pair().state_dict()) >= set(pair.state_dict())


def test_state_dict_round_trip_and_copies():
    one, other = Pair(), Pair()
    state = one.state_dict()
    other.load_state_dict(state)
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(one(x).numpy(), other(x).numpy())
    state["first.weight"][:] = 0
    assert one.first.weight.numpy().any()


def test_load_state_dict_lists_all_problems_and_changes_nothing():
    pair = Pair()
    before = pair.state_dict()
    state = dict(before)
    del state["first.bias"]
    state["third.bias"] = np.zeros(3)
    state["second.weight"] = np.zeros((2, 2))
    state["first.weight"] = np.zeros((3, 3))
    with pytest.raises(ShapeError, match="load_state_dict") as info:
        pair.load_state_dict(state)
    message = str(info.value)
    assert "missing: first.bias" in message
    assert "unexpected: third.bias" in message
    assert "second.weight has shape (2, 2) there and (3, 3) here" in message
    for name, array in pair.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_load_state_dict_not_strict_takes_what_fits():
    pair = Pair()
    pair.load_state_dict({"first.bias": np.full(3, 7.0), "extra": np.zeros(1)}, strict=False)
    np.testing.assert_array_equal(pair.first.bias.numpy(), [7, 7, 7])
    assert pair.first.bias.dtype == np.float32


def test_loading_while_a_graph_waits_refuses_its_backward():
    pair = Pair()
    loss = pair(np.ones((1, 3), np.float32)).sum()
    pair.load_state_dict(pair.state_dict())
    with pytest.raises(mg.GradientError, match="written in place"):
        loss.backward()


def test_train_and_eval_reach_all_modules():
    pair = Pair().eval()
    assert not any(module.training for module in pair.modules())
    assert all(module.training for module in pair.train().modules())


def test_modules_come_each_once_and_in_the_order_of_their_paths():
    first, last = Linear(1, 1), Linear(1, 1)
    inner = Sequential(first, Tanh(), first)
    outer = Sequential(inner, last, inner)
    first.loop = outer  # it holds itself
    found = list(outer.modules())
    assert found == [outer, inner, first, inner[1], last]
    assert found == [module for _, module in outer.named_modules()]


def test_scopes_name_modules_and_number_repeated_calls():
    class Twice(Module):
        def __init__(self):
            super().__init__()
            self.cell = Linear(2, 2)

        def forward(self, x):
            return self.cell(self.cell(x))

    y = Twice()(np.ones((1, 2), np.float32))
    scope = y._node.scope
    assert scope.path == "Twice.cell"
    assert scope.time_step == 1


def test_a_module_called_once_has_no_time_step():
    y = Pair().first(np.ones((1, 3), np.float32))
    assert y._node.scope.time_step is None


def test_an_error_names_the_module():
    pair = Pair()
    pair.second = Linear(4, 3)
    with pytest.raises(ShapeError, match=r"Linear: x must have 4 features .* got f32\[2, 3\]"):
        pair(np.ones((2, 3), np.float32))


def test_assigning_before_init_says_what_is_missing():
    class Wrong(Module):
        def __init__(self):
            self.weight = Parameter(np.zeros(3))

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\)"):
        Wrong()


def test_replacing_a_parameter_by_a_plain_array_is_refused():
    layer = Linear(2, 2)
    with pytest.raises(TypeError, match="cannot be replaced by a ndarray"):
        layer.weight = np.zeros((2, 2))
    layer.weight = Parameter(np.zeros((2, 2), np.float32))
    assert not layer.weight.numpy().any()


def test_parameters_take_the_default_dtype():
    assert Linear(2, 2).weight.dtype == np.float32
    with mg.default_dtype("float64"):
        assert Linear(2, 2).weight.dtype == np.float64


def test_a_frozen_parameter_gets_no_gradient():
    layer = Linear(2, 2)
    layer.weight.requires_grad = False
    layer(np.ones((1, 2), np.float32)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias.grad is not None


def test_linear_gradients():
    def linear(x, weight, bias):
        layer = Linear(3, 2)
        layer._parameters["weight"], layer._parameters["bias"] = weight, bias
        return layer(x)

    generator = np.random.default_rng(0)
    check_gradients(linear, *(generator.standard_normal(s) for s in [(4, 3), (2, 3), (2,)]))


def test_embedding_rows_and_gradients():
    table = Embedding(5, 2)
    codes = np.array([[0, 3], [3, 3]])
    out = table(codes)
    np.testing.assert_array_equal(out.numpy(), table.weight.numpy()[codes])
    out.sum().backward()
    np.testing.assert_array_equal(
        table.weight.grad.numpy(), [[1, 1], [0, 0], [0, 0], [3, 3], [0, 0]]
    )


@pytest.mark.parametrize("codes", [np.array([5]), np.array([-1]), np.array([0.5])])
def test_embedding_refuses_what_is_not_a_symbol_number(codes):
    with pytest.raises((ShapeError, mg.DtypeError), match="integers from 0 to 4"):
        Embedding(5, 2)(codes)


def test_initial_values_are_pytorchs():
    mg.seed(0)
    weight = Linear(400, 300).weight.numpy()
    assert np.abs(weight).max() <= 1 / 20
    assert np.abs(weight).max() > 0.99 / 20
    assert abs(weight.std() - 1 / 20 / np.sqrt(3)) < 1e-4
    hidden = LSTM(3, 100).weight_ih_l0.numpy()
    assert 0.099 < np.abs(hidden).max() <= 0.1
    assert abs(Embedding(300, 200).weight.numpy().std() - 1) < 0.01


def test_a_seed_repeats_the_initial_values():
    mg.seed(5)
    first = LSTM(2, 3).state_dict()
    mg.seed(5)
    for name, array in LSTM(2, 3).state_dict().items():
        np.testing.assert_array_equal(array, first[name])


def test_a_plain_leaf_as_an_attribute_is_refused():
    layer = Linear(2, 2)
    with pytest.raises(TypeError, match=r"neither learned nor saved.*layers\.Parameter"):
        layer.scale = mg.Tensor(1.0, requires_grad=True)
    layer.scale = mg.Tensor(1.0)  # a constant may be kept
    assert layer.scale.item() == 1
