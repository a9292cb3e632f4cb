"""Recurrent layers inside `mg.compile`: one program serves all lengths, which are its input."""

import warnings

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN

LENGTHS = [(5, 3), (5, 2), (4, 1), (5, 5), (1, 1), (0, 0)]
OPTIONS = [{}, {"bidirectional": True}, {"num_layers": 2, "batch_first": False, "reverse": True}]


def outcome(function, layer, x, lengths):
    """The value, and its gradients by the inputs and all parameters."""
    layer.zero_grad()
    leaf = mg.Tensor(x, requires_grad=True)
    value = function(leaf, np.array(lengths))
    value.backward()
    return [value.numpy(), *(t.grad.numpy() for t in (leaf, *layer.parameters()))]


def summary(layer):
    def function(x, lengths):
        output, last = layer(x, lengths=lengths)
        parts = last if isinstance(last, tuple) else (last,)
        return (output**2).sum() + sum((part**3).sum() for part in parts)

    return function


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: " ".join(o) or "usual")
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
@pytest.mark.parametrize("backend", ["plain", None])
def test_one_program_serves_all_lengths(kind, options, backend):
    mg.seed(0)
    layer = kind(3, 4, **options)
    function = summary(layer)
    compiled = mg.compile(function, backend=backend)
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    x = x if layer.batch_first else x.swapaxes(0, 1).copy()
    for lengths in LENGTHS:
        found = outcome(compiled, layer, x, lengths)
        for one, other in zip(found, outcome(function, layer, x, lengths), strict=True):
            scale = np.abs(other).max()
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale)
    assert len(compiled.programs) <= 2  # the layer run by itself changed what it keeps, once
    assert compiled.refusals == []


def test_a_program_made_for_full_sequences_serves_shorter_ones():
    layer = GRU(3, 4)
    function = summary(layer)
    compiled = mg.compile(function, backend="plain")
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    for lengths in ((5, 5), (5, 3), (1, 4)):
        found, wanted = (outcome(one, layer, x, lengths) for one in (compiled, function))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert compiled.programs
    assert compiled.refusals == []


@pytest.mark.parametrize("generator", [None, np.random.default_rng(1)], ids=["ours", "given"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_draws_nothing_and_says_so(bidirectional, generator):
    layer = LSTM(3, 4, zoneout=0.5, bidirectional=bidirectional, generator=generator)
    function = summary(layer)
    compiled = mg.compile(function)
    x = np.ones((2, 5, 3), np.float32)
    state = None if generator is None else generator.bit_generator.state
    mg.seed(3)
    expected = outcome(function, layer, x, (3, 2))
    drawn = mg.dropout(np.ones(9), 0.5, generator=generator).numpy()
    mg.seed(3)
    if generator is not None:
        generator.bit_generator.state = state
    with pytest.warns(mg.CompileWarning, match=r"longest.*has 3 steps while 5.*x\[:, :3\]"):
        found = outcome(compiled, layer, x, (3, 2))
    np.testing.assert_array_equal(mg.dropout(np.ones(9), 0.5, generator=generator).numpy(), drawn)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_program_with_draws_serves_sequences_that_are_as_long():
    layer = LSTM(3, 4, zoneout=0.5)
    function = summary(layer)
    compiled = mg.compile(function)
    x = np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    for lengths in ((5, 3), (2, 5), (3, 3), (5, 5)):
        results = []
        for one in (compiled, function):
            mg.seed(4)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                results.append(outcome(one, layer, x, lengths))
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert compiled.programs
