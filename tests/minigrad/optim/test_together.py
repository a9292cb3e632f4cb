"""All parameters in one pass of native code: the bits of NumPy, and nothing seen that was not."""

import math
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.compiled import backends
from minigrad.compiled.llvm import lists
from minigrad.core.errors import GradientError
from minigrad.optim.together import gradients, updates
from tests.minigrad.optim.test_parity import OPTIMIZERS

SHAPES = ((4, 6), (40_000,), (), (0, 3), (17,))  # one is more than a chunk


def parameters_of(shapes=SHAPES, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [mg.Tensor(rng.standard_normal(s).astype(dtype), requires_grad=True) for s in shapes]


def give_gradients(parameters, seed, scale=1.0):
    rng = np.random.default_rng(seed)
    for p in parameters:
        p.grad = (scale * rng.standard_normal(p.shape)).astype(p.dtype)


def walk(make, steps=8, **how):
    parameters = parameters_of(**how)
    optimizer = make(parameters)
    found = []
    for step in range(steps):
        give_gradients(parameters, step, scale=10.0 ** (step - 4))
        optimizer.step()
        found.append([p.numpy().copy() for p in parameters])
    return found, optimizer.state_dict()


@pytest.fixture
def native_only(monkeypatch):
    """From the second step on, an update by NumPy is an error."""
    usual = optim.Optimizer._updated

    def updated(self, *job):
        assert not self.steps, "an update by NumPy"
        return usual(self, *job)

    monkeypatch.setattr(optim.Optimizer, "_updated", updated)


@pytest.fixture
def built(monkeypatch):
    """The recipes that were asked for."""
    recipes = []

    def build(recipe):
        recipes.append(recipe)
        return lists.build(recipe)

    monkeypatch.setattr(updates, "list_builder", lambda: build)
    return recipes


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"groups"}))
def test_updates_have_the_bits_of_numpy(monkeypatch, native_only, name, dtype, action):
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # with errors, everything is kept for going back
        found, state = walk(OPTIMIZERS[name], dtype=dtype)
        monkeypatch.undo()
        monkeypatch.setattr(updates, "list_builder", lambda: None)
        expected, other = walk(OPTIMIZERS[name], dtype=dtype)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other_one in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other_one)
    assert state.keys() == other.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_groups_dtypes_and_missing_gradients_in_one_step(monkeypatch):
    def run():
        parameters = [
            *parameters_of([(5,), (3, 2)], np.float32),
            *parameters_of([(4,)], np.float64),
            *parameters_of([(6,)], np.float16),
            mg.Tensor(np.asfortranarray(np.ones((3, 4))), requires_grad=True),
            *parameters_of([(7,)]),
        ]
        groups = [{"parameters": parameters[::2], "rate": 0.1}, {"parameters": parameters[1::2]}]
        optimizer = optim.Adam(groups, 0.01, weight_decay=0.1)
        for step in range(5):
            give_gradients(parameters, step)
            parameters[step].grad = None
            optimizer.step()
        return parameters

    found = run()
    monkeypatch.setattr(updates, "list_builder", lambda: None)
    for one, other in zip(found, run(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_schedule_makes_no_other_recipe(built):
    parameters = parameters_of()
    optimizer = optim.AdamW(parameters, 0.1)
    schedule = optim.CosineSchedule(optimizer, 10)
    for step in range(6):
        give_gradients(parameters, step)
        optimizer.step()
        schedule.step()
    assert len(built) == 1


def test_a_branch_of_the_rule_makes_another(built):
    parameters = parameters_of([(3,)])
    optimizer = optim.RAdam(parameters, 0.1)  # its first five steps do not divide
    for step in range(8):
        give_gradients(parameters, step)
        optimizer.step()
    assert len(built) == len(set(built)) == 2


def alone(shape=(8,)):
    parameter = mg.Tensor(np.ones(shape, np.float32), requires_grad=True)
    parameter.grad = np.ones(shape, np.float32)
    return parameter


@pytest.mark.filterwarnings("ignore")  # while they are errors, nothing is written in place
def test_values_are_written_in_place_where_nobody_sees_it(built):
    parameter = alone()
    optimizer = optim.SGD([parameter], 0.5)
    address = parameter.numpy().__array_interface__["data"][0]
    before = parameter._node.written
    optimizer.step()
    assert parameter.numpy().__array_interface__["data"][0] == address
    assert parameter.tolist() == [0.5] * 8
    assert parameter._node.written > before
    assert built


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "hold", [lambda p: p.numpy(), lambda p: p.numpy()[2:5], lambda p: memoryview(p.numpy())]
)
def test_arrays_that_somebody_holds_stay_as_they_were(built, hold):
    parameter = alone()
    held = hold(parameter)
    optim.SGD([parameter], 0.5).step()
    assert np.asarray(held).tolist() == [1.0] * len(held)
    assert parameter.tolist() == [0.5] * 8
    assert built


@pytest.mark.filterwarnings("ignore")
def test_arrays_that_belong_to_others_stay_as_they_were(built):
    room = np.ones(16, np.float32)
    parameter = alone()
    parameter._array = parameter._node.value = room[:8]  # which `write` would copy
    parameter.grad = np.ones(8, np.float32)
    optim.SGD([parameter], 0.5).step()
    assert room.tolist() == [1.0] * 16
    assert parameter.tolist() == [0.5] * 8
    assert built


@pytest.mark.filterwarnings("ignore")
def test_a_graph_refuses_weights_that_were_written_after_it(built):
    parameter = alone()
    loss = (parameter * parameter).sum()
    optim.SGD([parameter], 0.5).step()
    with pytest.raises(GradientError, match="written"):
        loss.backward()
    assert built


@pytest.mark.parametrize(("gradient", "words"), [(1e30, "overflow"), (math.inf, "invalid value")])
def test_what_numpy_would_warn_of_is_warned_of(built, gradient, words):
    parameter = alone()
    parameter.grad = np.full(8, gradient, np.float32)
    optimizer = optim.Adam([parameter])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.step()
    assert built
    assert [w.filename for w in caught] == [__file__]
    assert str(caught[0].message) == f"{words} encountered in Adam.step"
    before = parameter.numpy().copy(), optimizer.state_dict()
    with pytest.raises(RuntimeWarning, match=words):
        optimizer.step()
    np.testing.assert_array_equal(parameter.numpy(), before[0])
    for key, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[1][key])


@pytest.mark.parametrize("handling", [{"over": "print"}, {"divide": "log"}, {"under": "warn"}])
def test_other_handling_of_errors_is_numpys(built, handling):
    with np.errstate(**handling):
        optim.Adam([alone()]).step()
    assert not built


@pytest.mark.parametrize("make", [optim.Adamax, optim.Rprop])
def test_nan_is_compared_without_a_warning(built, make):
    parameter = alone()
    parameter.grad = np.array([math.nan, *[1.0] * 7], np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make([parameter]).step()
    assert built
    assert not caught
    assert np.isnan(parameter.numpy()).tolist() == [True, *[False] * 7]


class _Sorting(optim.Optimizer):
    """Does what is not done element by element."""

    __module__ = "minigrad.optim.planted"

    def __init__(self, parameters, what):
        super().__init__(parameters, 0.1)
        self._what = what

    def update(self, value, gradient, state, options):
        return self._what(value, gradient)


@pytest.mark.parametrize(
    "what",
    [
        lambda w, g: w - np.sort(g),
        lambda w, g: w - g / np.linalg.norm(g),
        lambda w, g: w - np.float64(0.5) * g,
        lambda w, g: w - (g if (g > 0).all() else -g),
        lambda w, g: w - np.add.accumulate(g),
        lambda w, g: np.where(g > 0, w, np.asarray(w)),
        lambda w, g: w.clip(0.1, 0.2),
        lambda w, g: np.where(g, w, -w),
        lambda w, g: np.where(np.arange(9) > 4, w, g),
        lambda w, g: np.where(g > 0, w, g.astype(np.float64)),
        lambda w, g: w - np.exp(g),
        lambda w, g: w - np.multiply(g, 0.5, out=np.empty(9, np.float32)),
    ],
)
def test_other_rules_run_by_numpy(built, what):
    (parameter,) = parameters_of([(9,)])
    give_gradients([parameter], 3)
    expected = np.asarray(what(parameter.numpy(), parameter.grad.numpy()), np.float32)
    _Sorting([parameter], what).step()
    np.testing.assert_array_equal(parameter.numpy(), expected)
    assert not built


def in_place(w, g):
    new = w.copy()
    new += g
    new -= 0.5 * w
    new *= g
    new /= 3
    return new


@pytest.mark.parametrize(
    "what",
    [
        lambda w, g: (2 + w) + (w + g),
        lambda w, g: (2 - w) - (w - g),
        lambda w, g: (2 * w) * (w * g),
        lambda w, g: (2 / w) / (w / g),
        in_place,
    ],
)
def test_every_operator_is_followed(built, what):
    (parameter,) = parameters_of([(9,)])
    give_gradients([parameter], 3)
    expected = what(parameter.numpy(), parameter.grad.numpy())
    _Sorting([parameter], what).step()
    np.testing.assert_array_equal(parameter.numpy(), expected)
    assert built


def test_sums_and_products_without_native_code_are_left_to_numpy(monkeypatch):
    monkeypatch.setattr(gradients, "list_builder", lambda: None)
    arrays = [np.ones(3, np.float32)]
    assert gradients.sum_of_squares(arrays) is None
    assert gradients.scaled(arrays, 0.5) is None


def test_switched_off_everything_runs_by_numpy(monkeypatch):
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    assert backends.list_builder() is None
    monkeypatch.delenv("MINIGRAD_COMPILE")
    assert backends.list_builder() is lists.build
