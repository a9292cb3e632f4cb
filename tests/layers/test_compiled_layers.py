"""Every layer, compiled: values, gradients and buffers are the layer's own."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import layers
import minigrad as mg
from tests.layers.test_every_layer import CASES

F = np.float32
BY_VALUES = {"PoissonNLLLoss rates"}
"""Layers that look at all of their numbers in a check, for which no program can hold."""


def outcome(layer, function, arrays, more, seed):
    """The value, its gradients, and the gradients of the sum of their squares."""
    mg.seed(seed)
    leaves = [mg.Tensor(array, requires_grad=True) for array in arrays]
    leaves += [parameter for parameter in layer.parameters() if parameter.requires_grad]
    value = function(*leaves[: len(arrays)], *more)
    touched = sum(leaf.sum() for leaf in leaves)  # so that it depends on all of them
    first = mg.gradients(value + touched, leaves, create_graph=True)
    second = mg.gradients(sum((g * g).sum() for g in first) + touched, leaves)
    return value.numpy(), [g.numpy() for g in (*first, *second)]


def scalar(layer):
    """The sum of the squares of all that a layer returns."""

    def function(*args):
        result = layer(*args)
        parts = result if isinstance(result, (tuple, list)) else [result]
        return sum((part * part).sum() for part in parts if isinstance(part, mg.Tensor))

    return function


@pytest.mark.parametrize("name", [name for name in CASES if name not in BY_VALUES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@settings(max_examples=3, deadline=None)
@given(st.data())
def test_every_layer_compiles(name, dtype, data):
    case = CASES[name]
    rounding = 1e-4 if dtype is F else 1e-11
    least = 0 if case.classes is None else 2  # of one class number there is no other order
    shapes = data.draw(
        case.shapes.filter(
            lambda shapes: all(0 not in shape and shape[:1] >= (least,) for shape in shapes)
        )
    )
    mg.seed(1)
    layer = case.make().to(dtype)
    function = scalar(layer)
    generator = np.random.default_rng(0)
    more = () if case.classes is None else (case.classes(shapes[0], generator),)
    assume(not more or np.ndim(more[0]))  # a number without axes is looked at
    arrays = [generator.uniform(0.1, 0.9, shape).astype(dtype) for shape in shapes]
    arrays = arrays[: len(case.inputs)]
    compiled = mg.compile(function)
    for seed in range(3):
        moved = [array * dtype(1 - seed / 20) for array in arrays]
        found, slopes = outcome(layer, compiled, moved, more, seed)
        expected, others = outcome(layer, function, moved, more, seed)
        np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)
        for one, other in zip(slopes, others, strict=True):
            scale = np.abs(other).max(initial=1.0)
            np.testing.assert_allclose(one, other, rtol=10 * rounding, atol=10 * rounding * scale)
    assert compiled.refusals == []


@pytest.mark.parametrize("name", sorted(BY_VALUES))
def test_layers_that_check_all_their_numbers_run_as_before(name):
    case = CASES[name]
    layer, generator = case.make(), np.random.default_rng(0)
    count = len(case.inputs)
    arrays = [mg.Tensor(generator.uniform(0.1, 0.9, (2, 3)), None, True) for _ in range(count)]
    compiled = mg.compile(layer)
    with pytest.warns(mg.CompileWarning, match="depends on its values"):
        compiled(*arrays)
    np.testing.assert_array_equal(compiled(*arrays).numpy(), layer(*arrays).numpy())


def test_buffers_are_written_after_each_call():
    norms = [layers.BatchNorm1d(3) for _ in range(2)]
    compiled = mg.compile(norms[0])
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal((5, 3)).astype(F)
        np.testing.assert_allclose(compiled(x).numpy(), norms[1](x).numpy(), rtol=1e-4, atol=1e-5)
        for one, other in zip(norms[0].buffers(), norms[1].buffers(), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5)
    assert len(compiled.programs) == 1


def test_training_and_evaluation_have_programs_of_their_own():
    layer = layers.Sequential(layers.Linear(4, 4), layers.Dropout(0.5))
    compiled, x = mg.compile(layer), np.ones((3, 4), F)
    for _ in range(2):
        for training in (True, False):
            layer.train(training)
            compiled(x)
            mg.seed(0)
            found = compiled(x).numpy()
            mg.seed(0)
            np.testing.assert_allclose(found, layer(x).numpy(), rtol=1e-5)
    assert len(compiled.programs) == 2


def test_a_module_with_a_hook_runs_as_before():
    layer, seen = layers.Linear(4, 4), []
    layer.register_forward_hook(lambda module, args, y: seen.append(y.shape))
    compiled = mg.compile(layer)
    with pytest.warns(mg.CompileWarning, match="there is a hook on Linear"):
        compiled(np.ones((3, 4), F))
    compiled(np.ones((3, 4), F))
    assert len(seen) == 2


def test_a_hook_that_comes_later_is_run():
    layer, seen = layers.Linear(4, 4), []
    compiled, x = mg.compile(layer), np.ones((3, 4), F)
    compiled(x)
    compiled(x)
    with layer.register_forward_hook(lambda module, args, y: seen.append(y.shape)):
        with pytest.warns(mg.CompileWarning, match="hook"):
            compiled(x)
        compiled(x)
    compiled(x)
    assert len(seen) == 2


def test_other_parameters_and_sizes_are_seen():
    layer = layers.Linear(4, 2)
    compiled, x = mg.compile(layer), np.ones((3, 4), F)
    compiled(x)
    compiled(x)
    layer.weight.requires_grad_(False)
    assert compiled(x).requires_grad
    layer.bias = layers.Parameter(np.full(2, 7, F))
    np.testing.assert_allclose(compiled(x).numpy(), layer(x).numpy(), rtol=1e-6)
    layer.weight = layers.Parameter(np.ones((5, 4), F))
    layer.bias = layers.Parameter(np.ones(5, F))
    assert compiled(x).shape == (3, 5)


def test_attributes_of_a_compiled_module_are_those_of_the_module():
    layer = layers.Linear(4, 2)
    compiled = mg.compile(layer)
    assert compiled.weight is layer.weight
    assert list(compiled.parameters()) == list(layer.parameters())
