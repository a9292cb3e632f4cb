"""A step like the one before is not prepared anew, and whatever is changed in between counts."""

import copy
import pickle
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.core.errors import ShapeError
from minigrad.core.nodes import Leaf
from minigrad.optim.together import updates
from tests.minigrad.optim.test_together import give_gradients, parameters_of

# While warnings are errors, each step keeps old values and is prepared anew.
pytestmark = pytest.mark.filterwarnings("ignore")

SHAPES = ((4, 6), (5,), (), (17,))


class Training:
    """Steps of an optimiser on parameters, the last of which has no gradient at first."""

    def __init__(self, make=optim.AdamW):
        self.parameters = parameters_of(SHAPES)
        self.optimizer = make(self.parameters, 0.1)
        self.count, self.busy = 0, len(SHAPES) - 1
        self.saved = None

    def gradients(self):
        self.count += 1
        give_gradients(self.parameters, self.count)
        for parameter in self.parameters[self.busy :]:
            parameter.grad = None

    def step(self):
        self.gradients()
        self.optimizer.step()


def nothing(run):
    pass


def rate(run):
    run.optimizer.rate = 0.01


def option(run):
    run.optimizer.groups[0]["weight_decay"] = 0.5


def value(run):
    run.parameters[0].write(np.full((4, 6), 0.5, np.float32))


def dtype(run):
    converted = run.parameters[1].numpy().astype(np.float64)
    run.parameters[1]._array, run.parameters[1]._node = converted, Leaf(converted)


def leaf(run):
    run.parameters[1].requires_grad_(False).requires_grad_()


def frozen(run):
    run.parameters[1].requires_grad_(False)
    run.parameters[1] = mg.Tensor(np.zeros(5, np.float32), requires_grad=True)


def one_without_gradient(run):
    run.busy = 2


def one_more_gradient(run):
    run.busy = 4


def group(run):
    run.parameters.insert(0, *parameters_of([(3,)]))
    run.busy += 1
    run.optimizer.add_group({"parameters": run.parameters[0], "rate": 0.3})


def appended(run):
    run.parameters.insert(0, *parameters_of([(3,)]))
    run.busy += 1
    run.optimizer.groups[0]["parameters"].append(run.parameters[0])


def replaced(run):
    run.optimizer.groups[0] = {**run.optimizer.groups[0], "rate": 0.01}


def removed(run):
    del run.optimizer.groups[0]["parameters"][0]


def exchanged(run):
    run.parameters[0] = mg.Tensor(np.zeros((4, 6), np.float32), requires_grad=True)
    run.optimizer.groups[0]["parameters"][0] = run.parameters[0]


def loaded(run):
    run.optimizer.load_state_dict(run.saved)


def copied(run):
    run.parameters, run.optimizer = copy.deepcopy((run.parameters, run.optimizer))


def pickled(run):
    run.parameters, run.optimizer = pickle.loads(pickle.dumps((run.parameters, run.optimizer)))


EVENTS = [nothing, rate, option, value, dtype, leaf, frozen, one_without_gradient]
EVENTS += [
    one_more_gradient,
    group,
    appended,
    replaced,
    removed,
    exchanged,
    loaded,
    copied,
    pickled,
]


def values_after(event, make):
    run = Training(make)
    run.step()
    run.saved = run.optimizer.state_dict()
    for _ in range(2):
        run.step()
    event(run)
    for _ in range(3):
        run.step()
    return [p.numpy() for p in run.parameters], run.optimizer.state_dict()


@pytest.mark.parametrize("make", [optim.AdamW, optim.ASGD])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_what_happens_between_steps_counts(monkeypatch, event, make):
    found, state = values_after(event, make)
    monkeypatch.setattr(updates, "list_builder", lambda: None)
    expected, other = values_after(event, make)
    assert len(found) == len(expected)
    for one, another in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, another)
    assert state.keys() == other.keys()
    for key, kept in state.items():
        np.testing.assert_array_equal(kept, other[key], err_msg=key)


@pytest.fixture
def prepared(monkeypatch):
    """How often a step looked at all parameters in full."""
    times = []
    usual = optim.Optimizer._pending

    def pending(self, foreign):
        times.append(self.steps)
        return usual(self, foreign)

    monkeypatch.setattr(optim.Optimizer, "_pending", pending)
    return times


def test_steps_alike_are_prepared_once(prepared):
    run = Training()
    for _ in range(6):
        run.step()
        run.optimizer.rate *= 0.9
    assert prepared == [0]
    run.busy = 4
    run.step()
    run.step()
    run.step()
    assert prepared == [0, 6]


def test_new_arrays_of_parameters_are_prepared_once(prepared):
    run, held = Training(), []
    for _ in range(5):
        held = [parameter.numpy() for parameter in run.parameters]  # as a loss that is still there
        run.step()
    assert held[0].shape == (4, 6)
    assert prepared == [0]
    run.parameters[0]._array = np.ones((2, 2), np.float32)
    with pytest.raises(ShapeError, match="the gradient of"):
        run.optimizer.step()
    assert prepared == [0, 5]


def test_values_that_nobody_holds_are_written_in_place():
    run = Training()
    for _ in range(2):
        run.step()
    array, address = weakref.ref(run.parameters[0]._array), run.parameters[0]._array.ctypes.data
    before = run.parameters[0].tolist()
    run.step()
    assert run.parameters[0]._array is array()
    assert run.parameters[0]._array.ctypes.data == address
    assert run.parameters[0].tolist() != before


def test_values_that_somebody_holds_stay_as_they_were():
    run = Training()
    for _ in range(3):
        run.step()
    held = run.parameters[0].numpy()
    before = held.copy()
    run.step()
    np.testing.assert_array_equal(held, before)
    assert not np.array_equal(run.parameters[0].numpy(), before)


def test_old_arrays_are_not_kept_alive():
    run = Training()
    for _ in range(3):
        run.step()
    reference = weakref.ref(run.parameters[1]._array)
    run.parameters[1].write(np.zeros(5, np.float32))
    assert reference() is None
