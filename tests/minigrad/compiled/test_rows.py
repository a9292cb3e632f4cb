"""Kernels over rows: the largest of a row, and vectors as wide as the numbers of a row allow."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled.llvm import native
from minigrad.compiled.llvm.program import build
from tests.minigrad.compiled.test_programs import Maker, check


@pytest.mark.parametrize("cpu", [None, "x86-64"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", [3, 17, 200])
def test_the_largest_of_a_row_in_any_place(row, dtype, cpu):
    target = native.host(cpu if native.host().architecture == "x86" else None)
    m = Maker()
    x = m.input((row + 1, row), dtype)
    program = build(m.graph(m.row("row_max", x)), target=target)
    rng = np.random.default_rng(row)
    given = rng.uniform(-9, -1, (row + 1, row)).astype(dtype)
    for special in (0.0, np.inf, -np.inf, np.nan):
        some = given.copy()
        np.fill_diagonal(some, special)  # once in each place, and a row without it
        (found,) = program([some])
        np.testing.assert_array_equal(found, some.max(axis=1, keepdims=True))


def test_rows_of_minus_infinity_and_of_zeros_with_signs():
    m = Maker()
    program = build(m.graph(m.row("row_max", m.input((3, 40)))))
    some = np.full((3, 40), -np.inf, np.float32)
    some[1] = -0.0
    some[2, ::2], some[2, 1::2] = 0.0, -0.0
    (found,) = program([some])
    np.testing.assert_array_equal(found[:, 0], [-np.inf, 0.0, 0.0])


def cross_entropy_by_numpy(x, classes):
    """The mean, and the gradient."""
    e = np.exp(x.astype(np.float64))
    p = e / e.sum(axis=1, keepdims=True)
    at = np.arange(len(x)), classes
    gradient = p.copy()
    gradient[at] -= 1
    return -np.log(p[at]).mean(), gradient / len(x)


@pytest.mark.parametrize("count", [2, 31, 100])
def test_cross_entropy_has_vectors_as_wide_as_its_scores(monkeypatch, tmp_path, count):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    texts = []
    usual = native.load_code

    def load_code(text, target=None):
        texts.append(text)
        return usual(text, target)

    monkeypatch.setattr(native, "load_code", load_code)
    rng = np.random.default_rng(count)
    x = rng.standard_normal((5, count)).astype(np.float32)
    loss = mg.compile(mg.value_and_grad(mg.cross_entropy))
    for classes in (np.array([0, count - 1, 1, 0, count - 1]), rng.integers(0, count, 5)):
        for _ in range(2):
            value, gradient = loss(mg.Tensor(x), classes)
        expected, right = cross_entropy_by_numpy(x, classes)
        np.testing.assert_allclose(value.item(), expected, rtol=2e-6)
        np.testing.assert_allclose(gradient.numpy(), right, rtol=1e-5, atol=1e-7)
    widest = native.host().vector_bytes // 4
    if count >= widest:
        assert f"@exp_v{widest}f32" in texts[-1]
        assert f"@exp_v{widest // 2}f32" not in texts[-1]


LONG = [80, 83, 160]
"""Rows that are loops of whole vectors, and others."""


def one_of_each(length, dtype):
    """Rows of numbers, with one infinity and with two, with those below zero, and with NaN."""
    x = np.random.default_rng(length).standard_normal((7, length)).astype(dtype)
    x[1, length - 1] = np.inf
    x[2, [3, length // 2]] = np.inf
    x[3, ::2] = -np.inf
    x[4] = -np.inf
    x[5, length - 2] = np.nan
    x[6] *= 30
    return x


def softmax_by_numpy(x):
    x = x.astype(np.float64)
    largest = x.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        e = np.where(np.isposinf(largest), np.isposinf(x), np.exp(x - largest))
    e = np.where(np.isneginf(largest), 0.0, e)
    total = e.sum(axis=1, keepdims=True)
    return e / np.where(total == 0, 1.0, total)


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_with_infinities_beside_rows_without(length, dtype):
    x = one_of_each(length, dtype)
    softmax = mg.compile(mg.softmax)
    for given in (np.zeros_like(x), x, x[::-1].copy()):
        found = softmax(mg.Tensor(given)).numpy()
        np.testing.assert_allclose(found, softmax_by_numpy(given), rtol=4e-6, atol=1e-30)


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("whole", [np.int64, np.int32])
def test_one_element_of_a_row_is_chosen_by_a_number(length, dtype, whole):
    m = Maker()
    x, index = m.input((9, length), dtype), m.input((9, 1), whole)
    along = m.constant(np.arange(5, 5 + length, dtype=whole)).broadcast((9, length))
    chosen = m.compare("equal", along, index.broadcast((9, length)))
    largest = m.row("row_max", x).broadcast((9, length))
    e = m.add("exp", m.add("subtract", x, largest))
    share = m.add("divide", e, m.row("row_sum", e).broadcast((9, length)))
    y = m.add("where", chosen, m.add("multiply", share, -2.0), share)
    z = m.add("where", chosen, 7.0, x, dtype=dtype)
    given = np.random.default_rng(0).standard_normal((9, length)).astype(dtype)
    places = [5, 6, 20, 5 + length // 2, 4 + length, 3 + length, 5 + length, 4, -100]
    check(m.graph(y, z, share), [given, np.array(places, whole)[:, None]])


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_waits_in_the_place_of_a_result_is_read_before_it_is_lost(length, dtype):
    m = Maker()
    shape = (5, length)
    x = m.input(shape, dtype)
    e = m.add("exp", x)
    f = m.add("tanh", x)
    total = m.row("row_sum", m.add("multiply", e, f)).broadcast(shape)
    weighted = m.add("multiply", e, total)  # so e waits where the last result comes
    y = m.add("subtract", f, total)
    check(m.graph(y, m.lead_sum(weighted, 1), m.row("row_sum", m.add("square", e))))
