"""Products of a few rows with a matrix whose columns are contiguous, as native code."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled.graph import Graph, Value, View
from minigrad.compiled.llvm import program
from minigrad.compiled.llvm.kernels import tiles


def product(m, n, k, lead, dtype):
    """The graph of A B, where B is given as its transpose."""
    a, b = (Value("input", (), (*lead, rows, k), np.dtype(dtype)) for rows in (m, n))
    turned = View(b).seen_through(lambda dummy: dummy.swapaxes(-1, -2))
    y = Value("matmul", (View(a), turned), (*lead, m, n), np.dtype(dtype))
    return Graph([a, b], [y], [View(y)])


@given(
    m=st.integers(1, 4),
    n=st.sampled_from([2, 3, 4, 5, 31, 64, 67]),
    k=st.sampled_from([1, 2, 7, 16, 33, 64, 100]),
    lead=st.sampled_from([(), (3,)]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_the_product_is_right(m, n, k, lead, dtype):
    rng = np.random.default_rng(m + 10 * n + 1000 * k)
    a, b = (rng.standard_normal((*lead, rows, k)).astype(dtype) for rows in (m, n))
    (found,) = program.build(product(m, n, k, lead, dtype), threads=1)([a, b])
    expected = a.astype(float) @ b.astype(float).swapaxes(-1, -2)
    bound = 4 * k * np.finfo(dtype).eps * (np.abs(a).max() * np.abs(b).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("m", "packs"), [(4, False), (5, True)])
def test_few_rows_need_no_packing(m, packs, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE", "0")  # a program found on disk is not written anew
    with mock.patch.object(tiles, "define_pack", wraps=tiles.define_pack) as pack:
        program.build(product(m, 40, 30, (), np.float32), threads=1)
    assert pack.called == packs


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_make_no_difference(threads):
    graph = product(3, 130, 40, (), np.float32)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((rows, 40)).astype(np.float32) for rows in (3, 130)]
    (alone,) = program.build(graph, threads=1)(arrays)
    with mock.patch.object(program, "_WORTH_THREADS", 1):
        (shared,) = program.build(graph, threads=threads)(arrays)
    np.testing.assert_array_equal(alone, shared)


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_several_weights_read_gets_the_sum_of_their_gradients(m, dtype):
    rng = np.random.default_rng(m)
    shapes = ((m, 8), (8, 8), (8, 8), (8, 8))
    x, *weights = [mg.Tensor(rng.standard_normal(s).astype(dtype), None, True) for s in shapes]

    def function(x, *weights):
        return sum((mg.tanh(x @ w) * k).sum() for k, w in enumerate(weights, 1))

    compiled = mg.compile(function, backend=program)
    for _ in range(2):
        found = mg.gradients(compiled(x, *weights), [x, *weights])
    for one, other in zip(found, mg.gradients(function(x, *weights), [x, *weights]), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
