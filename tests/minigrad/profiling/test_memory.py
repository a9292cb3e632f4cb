"""The memory of arrays that are new."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.profiling.tables import bytes_text
from tests.minigrad.profiling.costs import (
    F,
    leaf,
)


def test_memory_is_that_of_the_arrays_that_are_new():
    x = leaf(100, 50)
    with mg.profile() as p:
        y = mg.tanh(x)
        z = y.reshape(50, 100)
        total = z.sum()
        w = x.T
    allocated = {r.operation: r.allocated for r in p.records}
    assert allocated["tanh"] == 4 * 100 * 50
    assert allocated["reshape"] == allocated["transpose"] == 0
    assert allocated["sum"] == 4
    assert p.peak == 4 * 100 * 50 + 4
    assert total.shape == ()
    assert w.shape == (50, 100)


def test_the_peak_is_what_is_alive_together():
    x = leaf(1000)
    with mg.profile() as p, mg.no_grad():
        y = x
        for _ in range(10):
            y = mg.tanh(y)
    assert [r.allocated for r in p.records] == [4000] * 10
    assert p.peak == 8000
    assert [r.peak for r in p.records] == [4000] + [8000] * 9
    with mg.profile() as p:
        y = x
        for _ in range(10):
            y = mg.tanh(y)
    assert p.peak == 40_000
    assert [r.peak for r in p.records] == [4000 * k for k in range(1, 11)]


def test_gradients_count_where_they_are_sent_from():
    x = leaf(1000)
    y = (x * 3.0).sum()
    with mg.profile() as p:
        y.backward()
    sent = {r.operation: r.allocated for r in p.records}
    assert sent["multiply"] == 4000
    assert sent["sum"] <= 4000  # a view of the number that the pass begins with, or a copy
    assert 4000 <= p.peak <= 8100


def test_residuals_of_kernels_count():
    layer = layers.LSTM(4, 8)
    x = np.ones((2, 10, 4), F)
    with mg.profile() as p:
        y, _ = layer(x)
    (kernel,) = [r for r in p.records if r.operation == "lstm_sequence"]
    assert kernel.allocated >= y.numpy().nbytes + 10 * 2 * 4 * 8 * 4  # the gates of all steps


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345, "12.3 kB"), (999_600, "1 MB")],
)
def test_sizes_are_short(size, text):
    assert bytes_text(size) == text
