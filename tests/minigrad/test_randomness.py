"""The default generator, its seed and its state."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import randomness


@pytest.fixture(autouse=True)
def restored_state():
    state = randomness.generator_state()
    yield
    randomness.set_generator_state(state)


def test_seed_starts_the_default_generator_anew():
    mg.seed(5)
    first = mg.dropout(np.ones(100)).numpy()
    second = mg.dropout(np.ones(100)).numpy()
    mg.seed(5)
    np.testing.assert_array_equal(first, mg.dropout(np.ones(100)).numpy())
    assert (first != second).any()
    expected = np.random.default_rng(5).random(100, np.float32) >= 0.5
    np.testing.assert_array_equal(first != 0, expected)


def test_state_goes_through_json_and_back():
    state = json.loads(json.dumps(randomness.generator_state()))
    first = randomness.default_generator().random(3)
    randomness.set_generator_state(state)
    np.testing.assert_array_equal(first, randomness.default_generator().random(3))


def test_state_is_a_copy():
    state = randomness.generator_state()
    randomness.default_generator().random(3)
    assert state != randomness.generator_state()


def test_state_of_another_kind_of_generator():
    philox = np.random.Generator(np.random.Philox(3))
    plain = {
        **randomness.generator_state(philox),
    }
    expected = philox.random(3)
    randomness.set_generator_state(plain)
    np.testing.assert_array_equal(expected, randomness.default_generator().random(3))
    randomness.set_generator_state(plain, philox)
    np.testing.assert_array_equal(expected, philox.random(3))


def test_states_that_are_none():
    for state in ({}, {"bit_generator": "default_rng"}, {"bit_generator": "PCG64"}, 3):
        before = randomness.generator_state()
        with pytest.raises(ValueError, match="state"):
            randomness.set_generator_state(state)
        assert randomness.generator_state() == before
    with pytest.raises(ValueError, match="not a state of this generator"):
        randomness.set_generator_state(
            randomness.generator_state(), np.random.Generator(np.random.Philox(3))
        )


def test_wrong_seeds_and_generators():
    with pytest.raises(ValueError, match="seed: number must be an integer of 0 or more"):
        mg.seed(-1)
    with pytest.raises(TypeError, match=r"seed: number must .* got 1\.5"):
        mg.seed(1.5)
    with pytest.raises(mg.DtypeError, match=r"dropout: generator must be a numpy.random.Generator"):
        mg.dropout(np.ones(3), generator=3)
