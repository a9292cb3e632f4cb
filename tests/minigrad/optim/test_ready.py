"""A step like the one before is not prepared anew, and whatever is changed in between counts."""

import copy
import pickle
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.compiled.llvm import arrays as looks
from minigrad.core.errors import ShapeError
from minigrad.core.nodes import Leaf
from minigrad.core.tensors import wrap
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


def other_order(run):
    shape, rng = (4, 6), np.random.default_rng(5)
    fortran = np.asfortranarray(rng.standard_normal(shape).astype(np.float32))
    run.parameters[0]._array = run.parameters[0]._node.value = fortran


def part_of_another(run):
    room = np.arange(17 * 2, dtype=np.float32)
    run.parameters[1]._array = run.parameters[1]._node.value = room[3:8]


def leaf_of_another_value(run):
    run.parameters[1]._node.value = np.zeros(5, np.float32)


def other_shape(run):
    run.parameters[2]._array = run.parameters[2]._node.value = np.float32([0.5])[0:1].reshape(())


def replaced_betas(run):
    for name in ("betas", "t0"):
        if name in run.optimizer.groups[0]:
            run.optimizer.groups[0][name] = (0.8, 0.95) if name == "betas" else 1.0


def integer_rate(run):
    run.optimizer.rate = 1


def upwards(run):
    run.optimizer.groups[0]["maximize"] = True


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
    other_order,
    part_of_another,
    leaf_of_another_value,
    other_shape,
    replaced_betas,
    integer_rate,
    upwards,
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


def test_gradients_in_another_order_are_prepared_once(prepared):
    run = Training()
    for _ in range(4):
        run.gradients()
        gradient = run.parameters[0].grad.numpy()
        run.parameters[0].grad = wrap(np.asfortranarray(gradient), None)
        assert not run.parameters[0].grad.numpy().flags.c_contiguous
        run.optimizer.step()
    assert prepared == [0]
    other = Training()
    for _ in range(4):
        other.step()
    for one, another in zip(run.parameters, other.parameters, strict=True):
        np.testing.assert_array_equal(one.numpy(), another.numpy())


def test_a_gradient_of_another_dtype_is_refused_at_every_step(prepared):
    run = Training()
    for _ in range(2):
        run.step()
    run.gradients()
    before = run.parameters[0].tolist()
    run.parameters[0]._node.grad = mg.Tensor(np.ones((4, 6)))
    with pytest.raises(ShapeError, match="the gradient of"):
        run.optimizer.step()
    assert run.parameters[0].tolist() == before
    run.step()
    assert prepared == [0, 2, 2]


def test_where_the_memory_of_objects_is_not_known_every_step_is_prepared(monkeypatch, prepared):
    monkeypatch.setattr(looks, "_memory", lambda: None)
    run = Training()
    for _ in range(3):
        run.step()
    assert prepared == [0, 1, 2]
    monkeypatch.undo()
    other = Training()
    for _ in range(3):
        other.step()
    for one, another in zip(run.parameters, other.parameters, strict=True):
        np.testing.assert_array_equal(one.numpy(), another.numpy())


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


@pytest.mark.parametrize("hold", [0, 3])
def test_of_several_values_those_that_somebody_holds_are_made_anew(hold):
    run = Training()
    run.busy = 4
    for _ in range(3):
        run.step()
    held = run.parameters[hold].numpy()
    before, arrays = held.copy(), [id(p._array) for p in run.parameters]
    run.step()
    np.testing.assert_array_equal(held, before)
    same = [id(p._array) == array for p, array in zip(run.parameters, arrays, strict=True)]
    assert same == [number != hold for number in range(4)]
    assert all(p._array is p._node.value for p in run.parameters)


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
