"""Compiled functions whose first call gives the bits of later ones."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled.backends import default_backend
from minigrad.compiled.operation import Compiled
from minigrad.ops.randomness import default_generator


class Noisy(layers.Module):
    """Draws, and writes a buffer."""

    def __init__(self):
        super().__init__()
        mg.seed(3)
        self.one, self.norm = layers.Linear(5, 7), layers.BatchNorm1d(7)
        self.dropout = layers.Dropout(0.3)

    def forward(self, x):
        return (self.dropout(mg.tanh(self.norm(self.one(x)))) ** 2).mean()


def looking(model, x):
    y = model(x)
    return y * (2.0 if y.item() > 0 else 1.0)


def plain(model, x):
    return model(x)


def outcome(function, model, x):
    mg.seed(0)
    for parameter in model.parameters():
        parameter.grad = None
    y = function(model, x)
    y.backward()
    after = default_generator().random()
    slopes = [parameter.grad.numpy() for parameter in model.parameters()]
    return [y.numpy(), *slopes, np.array(after), *map(np.asarray, model.buffers())]


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)


def fresh(function, at_once, notes):
    return Compiled(function, 0, default_backend(), tell=notes.append, at_once=at_once)


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_first_call_has_the_bits_of_the_second(x):
    notes = []
    compiled = fresh(plain, True, notes)
    model = Noisy()
    start = model.state_dict()
    first = outcome(compiled, model, x)
    model.load_state_dict(start)
    assert_same(first, outcome(compiled, model, x))
    assert len(compiled.programs) == 1
    assert notes == []


def test_buffers_are_written_and_numbers_drawn_once(x):
    ours, theirs = Noisy(), Noisy()
    found = outcome(fresh(plain, True, []), ours, x)
    expected = outcome(plain, theirs, x)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert found[5] == expected[5]  # the next number of the generator


def test_what_is_refused_runs_as_it_is_written_from_the_first_call_on(x):
    notes = []
    compiled = fresh(looking, True, notes)
    ours, theirs = Noisy(), Noisy()
    for _ in range(2):
        assert_same(outcome(compiled, ours, x), outcome(looking, theirs, x))
    (note,) = notes
    assert note.startswith("looking runs as before: ")
    assert "item" in note
