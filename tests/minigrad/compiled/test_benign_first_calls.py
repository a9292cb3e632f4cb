"""First calls whose numbers hide what a function does with others: no NaN, no padding, no zeros.

Programs are made from them, and a second trace with other such numbers sees no difference either.
"""

import functools
import sys
import warnings

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.ops import xlog1py, xlogy

BACKENDS = ["plain", "native"]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5))
POSITIVE = np.abs(X) + 0.1
MASKS = [np.ones(X.shape, bool), X > 0, X < 0.5]
WITH_NAN = np.where(X > 0.5, np.nan, X)
SEQUENCES = RNG.standard_normal((3, 6, 8)).astype(np.float32)
LENGTHS = [np.array(lengths) for lengths in ([6, 6, 6], [6, 3, 1], [2, 2, 2], [5, 6, 4])]


def check_calls(function, calls, backend, rtol=1e-9):
    """Compare each call with an eager one, values and gradients by the first argument."""
    compiled = mg.compile(function, backend=backend)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        for first, *others in calls:
            found = []
            for f in (compiled, function):
                x = mg.Tensor(first, requires_grad=True)
                y = f(x, *others)
                (y * y).sum().backward()
                found.append((y.numpy(), x.grad.numpy()))
            for mine, theirs in zip(*found, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)
    assert compiled.refusals == []
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanprod", "nanmax", "nanmin", "nancumsum"])
def test_numbers_that_become_nan_later(name, axis, backend):
    function = getattr(np, name)
    check_calls(lambda x: function(x, axis=axis), [(X,), (WITH_NAN,), (X,)], backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "prod"])
def test_masks_of_reductions(name, backend):
    function = getattr(np, name)
    calls = [(X, mask) for mask in (*MASKS, MASKS[0])]
    check_calls(lambda x, mask: function(x, axis=1, where=mask), calls, backend)
    calls = [(POSITIVE,), (X,), (POSITIVE,)]
    check_calls(lambda x: function(x, axis=1, where=x > 0), calls, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", [xlogy, xlog1py])
def test_a_single_number_that_becomes_zero_later(function, backend):
    calls = [
        (np.array(0.5), POSITIVE),
        (np.array(0.0), np.zeros(X.shape)),
        (np.array(2.0), POSITIVE),
    ]
    check_calls(function, calls, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("first", range(len(LENGTHS)))
def test_lengths_without_padding(first, backend):
    calls = [(SEQUENCES, lengths) for lengths in (LENGTHS[first], *LENGTHS)]
    lstm, attention = layers.LSTM(8, 4), layers.MultiheadAttention(8, 2)
    encoder = layers.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    cell = layers.GRUCell(8, 4)
    for function in (
        lambda x, n: lstm(x, lengths=n)[0],
        lambda x, n: layers.scan(cell, x, lengths=n)[0],
        lambda x, n: attention(x, lengths=n)[0],
        lambda x, n: encoder(x, lengths=n),
    ):
        check_calls(function, calls, backend, rtol=2e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_of_attention_that_allow_everything(backend):
    attention = layers.MultiheadAttention(8, 2)
    masks = [np.ones((6, 6), bool), np.tril(np.ones((6, 6), bool)), np.eye(6, dtype=bool)]
    calls = [(SEQUENCES, mask) for mask in masks]
    check_calls(lambda x, mask: attention(x, mask=mask)[0], calls, backend, rtol=2e-4)


def test_a_module_that_is_imported_in_the_first_call(monkeypatch):
    """Finders of modules, and what a module does when it is first run, are of that call alone."""

    class Finder:
        def find_spec(self, name, path=None, target=None):
            print("looks for", name)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)

    def function(x):
        import colorsys

        return x * colorsys.ONE_THIRD

    check_calls(function, [(X,), (POSITIVE,)], "plain")


def test_a_cached_property_that_is_read_for_the_first_time():
    class Settings:
        heads = 2

        @functools.cached_property
        def width(self):
            return 8 // self.heads

    settings = Settings()
    compiled = mg.compile(lambda x: x / np.sqrt(settings.width), backend="plain")
    for _ in range(2):
        np.testing.assert_array_equal(compiled(mg.Tensor(X)).numpy(), X / 2)
    assert compiled.refusals == []
    settings.heads = 1
    del settings.width
    np.testing.assert_array_equal(compiled(mg.Tensor(X)).numpy(), X / np.sqrt(8))
