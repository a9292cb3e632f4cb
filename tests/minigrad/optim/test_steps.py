"""A step is made wholly or not at all, in the memory that one parameter needs."""

import tracemalloc
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.optim.options import warnings_raise
from minigrad.optim.states import fitting
from minigrad.optim.together import updates
from tests.minigrad.optim.test_odd_parameters import KINDS


def leaves(count=2, size=3, dtype=np.float64):
    parameters = [mg.Tensor(np.ones(size, dtype), requires_grad=True) for _ in range(count)]
    for parameter in parameters:
        parameter.grad = np.full(size, 0.5, dtype)
    return parameters


def refused(optimizer, error, message):
    """Assert that a step is refused and changes nothing."""
    values = [parameter.numpy().copy() for parameter in optimizer.parameters]
    before = optimizer.state_dict()
    with pytest.raises(error, match=message):
        optimizer.step()
    for parameter, value in zip(optimizer.parameters, values, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), value)
    after = optimizer.state_dict()
    names = [name for name in before if name.startswith("state.")]
    assert names == [name for name in after if name.startswith("state.")]
    assert all(np.array_equal(after[name], before[name]) for name in names)
    assert optimizer.steps == before["steps"]


# -- memory ----------------------------------------------------------------------------------------


def extra_memory(kind, count, size=20_000):
    """The bytes that a step needs beyond those that are there before and after it."""
    optimizer = KINDS[kind](leaves(count, size))
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # where they are errors, a step keeps the old values
        tracemalloc.start()
        try:
            for parameter in optimizer.parameters:  # seen by tracemalloc, as are the states
                parameter.write(parameter.numpy())
            for _ in range(3):
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                optimizer.step()
            after, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return peak - max(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_of_a_step_does_not_grow_with_the_model(kind):
    few, many = extra_memory(kind, 2), extra_memory(kind, 12)
    assert many < few + 20_000 * 8  # one more array; ten were written


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_a_step_needs_two_arrays_at_most(kind):
    assert extra_memory(kind, 4) < 2.5 * 20_000 * 8


def test_states_are_updated_in_place():
    optimizer = optim.Adam(leaves())
    optimizer.step()
    means = [state["mean"] for state in optimizer._state.values()]
    optimizer.step()
    assert all(a is b["mean"] for a, b in zip(means, optimizer._state.values(), strict=True))


def test_old_values_stay_as_they_were():
    (parameter,) = leaves(1)
    held = parameter.numpy()
    optim.SGD([parameter], 0.1).step()
    np.testing.assert_array_equal(held, 1.0)
    assert parameter.numpy()[0] != 1.0


# -- what is found before anything is written ------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("rate", np.nan, ValueError, "rate must be 0 or more, and finite, got nan"),
        ("rate", np.inf, ValueError, "rate must be 0 or more, and finite, got inf"),
        ("rate", "0.1", TypeError, "rate must be a number"),
        ("rate", (0.1, 0.2), TypeError, "rate must be a number"),
        ("betas", (0.9, 1.0), ValueError, r"betas must be in \[0, 1\)"),
        ("betas", (0.9,), TypeError, "betas must be 2 numbers"),
        ("betas", 0.9, TypeError, "betas must be 2 numbers"),
        ("weight_decay", None, TypeError, "weight_decay must be a number"),
        ("amsgrad", 1, TypeError, "amsgrad must be True or False"),
    ],
)
def test_an_option_set_to_what_it_cannot_be(steps, option, value, error, message):
    first, second = leaves()
    optimizer = optim.Adam([{"parameters": [first]}, {"parameters": [second]}], 0.1)
    for _ in range(steps):
        optimizer.step()
    optimizer.groups[1][option] = value
    refused(optimizer, error, f"Adam: {message}")


def test_an_option_taken_away():
    optimizer = optim.SGD(leaves())
    del optimizer.groups[0]["momentum"]
    refused(optimizer, ValueError, r"groups\[0\] has no 'momentum'")


def test_options_that_do_not_go_together():
    optimizer = optim.SGD(leaves(), momentum=0.9, nesterov=True)
    optimizer.step()
    optimizer.groups[0]["momentum"] = 0.0
    refused(optimizer, ValueError, "nesterov needs a momentum")


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_of_another_shape_or_dtype(kind):
    first, second = leaves()
    optimizer = KINDS[kind]([first, second])
    optimizer.step()
    second.grad._array = np.ones(4)
    refused(optimizer, mg.ShapeError, r"step: the gradient of f64\[3\].* is f64\[4\]")
    second.grad._array = np.ones(3, np.float32)
    refused(optimizer, mg.ShapeError, r"step: the gradient of f64\[3\].* is f32\[3\]")


def test_a_state_of_another_shape():
    first, second = leaves()
    optimizer = optim.Adam([first, second])
    optimizer.step()
    optimizer._state[second]["mean"] = np.zeros(2)
    refused(optimizer, mg.ShapeError, r"'mean' of the state of f64\[3\].* has shape \(2,\)")


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_lacks_an_entry_is_not_loaded(kind):
    parameters = leaves()
    optimizer = KINDS[kind](parameters)
    optimizer.step()
    state, fresh = optimizer.state_dict(), KINDS[kind](parameters)
    begun = {"steps": 0}
    optimizer.begin(begun, np.zeros(3), optimizer.groups[0])
    for name in begun:
        lacking = {key: value for key, value in state.items() if key != f"state.1.{name}"}
        with pytest.raises(KeyError, match=rf"missing: state\.1\.{name}"):
            fresh.load_state_dict(lacking)
        assert fresh.steps == 0
    fresh.load_state_dict(state)


def test_a_refused_step_leaves_the_dtype_of_a_state():
    first, second = leaves()
    optimizer = optim.Adam([first, second])
    optimizer.step()
    first._node.write(np.ones(3, np.float32))  # as a module is converted
    first._array, first.grad = first._node.value, None
    first._node.grad = mg.Tensor(np.ones(3, np.float32))
    second.grad._array = np.ones(4)
    refused(optimizer, mg.ShapeError, "the gradient of")
    assert optimizer.state_dict()["state.0.mean"].dtype == np.float64
    second.grad._array = np.ones(3)
    optimizer.step()
    assert optimizer.state_dict()["state.0.mean"].dtype == first.dtype == np.float32


# -- options as NumPy's numbers --------------------------------------------------------------------


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.RAdam, optim.RMSprop, optim.Rprop])
def test_numbers_of_numpy_are_like_those_of_python(kind):
    plain, given = leaves(1, dtype=np.float32), leaves(1, dtype=np.float32)
    one, two = kind(plain, 0.1), kind(given, np.float64(0.1))
    for rate in (0.1, 0.03):
        one.rate, two.rate = rate, np.float64(rate)
        one.step()
        two.step()
    assert given[0].dtype == np.float32
    np.testing.assert_array_equal(given[0].numpy(), plain[0].numpy())
    assert type(two.rate) is float


def test_a_pair_may_be_a_list():
    first, second = leaves()
    optimizer = optim.Adam([{"parameters": [first], "betas": [0.5, 0.6]}, {"parameters": [second]}])
    optimizer.groups[1]["betas"] = [np.float64(0.5), 0.6]
    optimizer.step()
    assert [group["betas"] for group in optimizer.groups] == [(0.5, 0.6)] * 2
    np.testing.assert_array_equal(first.numpy(), second.numpy())


# -- optimisers that are defined elsewhere ---------------------------------------------------------


class Kept(optim.Optimizer):
    """Returns an array that it keeps and goes on writing to; its state has a shape of its own."""

    def __init__(self, parameters, rate=0.1):
        super().__init__(parameters, rate)

    def begin(self, state, value, options):
        state["new"], state["sum"] = value.copy(), np.zeros(1)

    def update(self, value, gradient, state, options):
        state["sum"] += gradient.sum()
        state["new"] -= options["rate"] * gradient
        return state["new"]


def test_what_an_update_returns_is_its_own_to_keep():
    (parameter,) = leaves(1)
    optimizer = Kept([parameter])
    optimizer.step()
    held = parameter.numpy()
    optimizer.step()
    np.testing.assert_allclose(held, 0.95)
    np.testing.assert_allclose(parameter.numpy(), 0.9)
    assert optimizer.state_dict()["state.0.sum"].shape == (1,)


def test_an_update_elsewhere_that_fails_in_its_first_step():
    class Failing(Kept):
        def update(self, value, gradient, state, options):
            new = super().update(value, gradient, state, options)
            if value.size == 2:
                raise FloatingPointError("planted")
            return new

    optimizer = Failing([*leaves(1), *leaves(1, size=2)])
    refused(optimizer, FloatingPointError, "planted")
    refused(optimizer, FloatingPointError, "planted")


@pytest.mark.parametrize("how", ["errstate", "warnings"])
def test_a_warning_made_an_error(how):
    parameters = leaves(2, dtype=np.float32)
    optimizer = optim.Adam(parameters, 0.1)
    optimizer.step()
    parameters[1].grad = np.full(3, 1e30, np.float32)  # its square overflows
    with warnings.catch_warnings():
        warnings.simplefilter("error" if how == "warnings" else "ignore")
        with np.errstate(all="warn" if how == "warnings" else "raise"):
            refused(optimizer, (RuntimeWarning, FloatingPointError), "overflow")


@pytest.mark.parametrize("make", [optim.Adamax, optim.Rprop])
def test_a_nan_that_is_compared_while_warnings_are_errors(monkeypatch, make):
    """Processors call that invalid and NumPy does not, which then makes the step anew."""

    def run():
        (parameter,) = leaves(1, dtype=np.float32)
        optimizer = make([parameter], 0.1)
        for first in (0.5, np.nan, -1.0):
            parameter.grad = np.array([first, 0.5, -0.5], np.float32)
            optimizer.step()
        return {"value": parameter.numpy(), **optimizer.state_dict()}

    found = run()
    monkeypatch.setattr(updates, "list_builder", lambda: None)
    expected = run()
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_nan_hides_no_infinities_that_meet():
    (parameter,) = leaves(1, dtype=np.float32)
    parameter.write(np.array([1, np.inf, 1], np.float32))
    parameter.grad = np.array([np.nan, np.inf, 1], np.float32)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        optim.SGD([parameter], 0.1).step()
    np.testing.assert_array_equal(parameter.numpy(), np.array([np.nan, np.nan, 0.9], np.float32))


@pytest.mark.parametrize(
    ("handling", "filters", "expected"),
    [
        ("warn", [], False),
        ("warn", [{"action": "error"}], True),
        ("warn", [{"action": "error", "category": UserWarning}], False),
        ("warn", [{"action": "error"}, {"action": "ignore"}], False),
        ("warn", [{"action": "error"}, {"action": "ignore", "module": "mine"}], True),
        ("warn", [{"action": "error"}, {"action": "ignore", "message": "mine"}], True),
        ("ignore", [{"action": "error"}], False),
        ("raise", [], True),
        ("call", [], True),
    ],
)
def test_whether_warnings_raise(handling, filters, expected):
    """The last filter is asked first, and one for all modules and messages hides the others."""
    with warnings.catch_warnings(), np.errstate(all=handling):
        warnings.resetwarnings()
        for each in filters:
            warnings.filterwarnings(**each)
        assert [warnings_raise(np.geterr()) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize("first", [np.float32, np.float64])
def test_a_state_is_converted_when_any_of_its_arrays_has_another_dtype(first):
    (parameter,) = leaves(1, dtype=np.float32)
    second = np.float64 if first == np.float32 else np.float32
    state = {"steps": 2, "mean": np.ones(3, first), "square": np.ones(3, second)}
    found = fitting("Adam", parameter, state, True)
    assert {name: np.asarray(entry).dtype for name, entry in found.items()} == {
        "steps": np.dtype(int), "mean": np.dtype(np.float32), "square": np.dtype(np.float32)
    }  # fmt: skip
