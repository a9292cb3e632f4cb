"""Ctrl-C at any place of loading a state leaves all of the old one, or all of the new one."""

import signal
import sys

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.training import History
from minigrad import optim

pytestmark = pytest.mark.usefixtures("hearing_ctrl_c")


def interrupted_at(place, load, state):
    """Load, with Ctrl-C as the function call of that number begins or ends; whether it came."""
    count = 0

    def look(frame, event, argument):
        nonlocal count
        if event in ("call", "c_return") and frame.f_code.co_filename != __file__:
            count += 1
            if count == place:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    try:
        sys.setprofile(look)
        load(state)
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return count >= place


def module():
    return layers.LSTM(2, 3)


def optimizer(rate=1.0):
    parameters = [mg.Tensor([1.0], requires_grad=True) for _ in range(2)]
    made = optim.Adam([{"parameters": [p], "rate": rate} for p in parameters])
    for parameter in parameters:
        parameter.grad = [rate]
    made.step()
    return made


def schedule(steps=1):
    made = optim.PlateauSchedule(optimizer(), patience=0)
    for step in range(steps):
        made.step(step)
    return made


def cycle(steps=1):
    made = optim.OneCycleSchedule(optimizer(), max_rate=1.0, total_steps=9)
    for _ in range(steps):
        made.step()
    return made


def average(updates=1):
    made = optim.ExponentialAverage([mg.Tensor([float(updates)], requires_grad=True)])
    for _ in range(updates):
        made.update()
    return made


def history(steps=1):
    return History([1.0] * steps, [1.0] * steps, [(steps, 2.0)], seconds=float(steps))


def whole_of(part):
    """All that a part holds, as text; of a schedule also what it sets."""
    states = [part.state_dict(), part.optimizer.state_dict() if hasattr(part, "optimizer") else {}]
    return repr([{name: array.tolist() for name, array in state.items()} for state in states])


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (module, module),
        (optimizer, lambda: optimizer(2.0)),
        (schedule, lambda: schedule(4)),
        (cycle, lambda: cycle(5)),
        (average, lambda: average(3)),
        (history, lambda: history(3)),
    ],
    ids=["module", "optimizer", "plateau", "cycle", "average", "history"],
)
def test_a_state_is_loaded_whole_or_not_at_all(make, other):
    new = other()
    state, place, came = new.state_dict(), 0, True
    found = set()
    while came:
        place += 1
        part = make()
        old, done = whole_of(part), make()
        done.load_state_dict(state)
        came = interrupted_at(place, part.load_state_dict, state)
        now = whole_of(part)
        assert now in (old, whole_of(done)), place
        found.add(now == old)
    assert place > 3
    assert found == {True, False}


def test_a_load_that_fails_midway_leaves_the_module_as_it_was(monkeypatch):
    made = layers.LSTM(2, 3)
    before = made.state_dict()
    write = mg.Tensor.write

    def failing(tensor, array):
        if tensor is made.bias_ih_l0 and not array.any():
            raise OSError("no more")
        return write(tensor, array)

    monkeypatch.setattr(mg.Tensor, "write", failing)
    with pytest.raises(OSError, match="no more"):
        made.load_state_dict({name: np.zeros_like(array) for name, array in before.items()})
    for name, array in made.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
