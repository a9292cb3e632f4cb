"""The small models that the command line draws."""

import numpy as np
import pytest

import minigrad as mg
from layers.examples.showcase import NAMES, RECURRENT, build, unknown_name
from minigrad.draw import backprop_through_time, input_connectivity
from minigrad.ops.randomness import default_generator


@pytest.mark.parametrize("name", NAMES)
def test_every_model_runs_and_its_gradient_reaches_all_parameters(name):
    module, inputs, loss = build(name, steps=4, hidden_size=6, layers=2, batch=3)
    assert loss.shape == ()
    assert all(x.shape[:2] == (3, 4) and x.dtype == np.float64 for x in inputs)
    loss.backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert all(x.grad is not None for x in inputs)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_fixes_weights_and_inputs_and_leaves_the_default_generator_alone(name):
    mg.seed(11)
    first = build(name, steps=3, seed=5)
    drawn = default_generator().random()
    again, other = build(name, steps=3, seed=5), build(name, steps=3, seed=6)
    mg.seed(11)
    assert default_generator().random() == drawn
    assert first.loss.item() == again.loss.item() != other.loss.item()
    weights = [dict(e.module.state_dict()) for e in (first, again)]
    assert all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_gain_makes_the_matrix_of_every_gate_orthogonal():
    module = build("lstm", hidden_size=5, gain=1.5, layers=2).module
    weights = {path: w.numpy() for path, w in module.named_parameters() if "weight_hh" in path}
    assert len(weights) == 2
    for weight in weights.values():
        for gate in np.split(weight, 4):
            np.testing.assert_allclose(gate @ gate.T, 1.5**2 * np.eye(5), atol=1e-12)


def test_the_gradient_of_a_relu_network_with_a_large_gain_grows():
    def half_life(gain):
        with mg.recording(fused=False):
            loss = build("rnn-relu", steps=20, hidden_size=16, gain=gain).loss
        return backprop_through_time(loss).lane("h").rate

    assert half_life(3.0) > 1 > half_life(0.5)


@pytest.mark.parametrize("name", ["encoder", "gpt"])
def test_only_a_model_that_attends_to_both_sides_sees_what_comes_later(name):
    module, (x,), _ = build(name, steps=5, batch=1)
    places = module.stack(x + 0.0, **module.options)  # (1, 5, size)
    found = input_connectivity(places, x, steps=[1]).norms[0]
    assert found[:2].all()
    assert bool(found[2:].any()) is (name == "encoder")


def test_wrong_names_and_gains_are_refused():
    with pytest.raises(ValueError, match=r"rnn, rnn-relu, .*did you mean 'lstm'"):
        build("LSTM")
    assert "did you mean" not in unknown_name("zzzzzz")
    assert "did you mean 'transformer'" in unknown_name("transfomer")
    with pytest.raises(ValueError, match="gain is for recurrent models"):
        build("gpt", gain=1.0)
    assert set(RECURRENT) < set(NAMES)
