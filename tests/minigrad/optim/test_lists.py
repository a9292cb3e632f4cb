"""Native code over the elements of many arrays: recipes, norms of gradients, and their products."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import optim
from minigrad.compiled.llvm import lists, native
from minigrad.compiled.recipes import Recipe
from minigrad.optim.together import gradients
from tests.minigrad.optim.test_together import give_gradients

RULE = Recipe(
    (
        ("array", (), "float32"), ("array", (), "float32"), ("number", (), "float32"),
        ("multiply", (0, 2), "float32"), ("add", (3, 1), "float32"),
    ),
    (4,),
)  # fmt: skip
SQUARES = Recipe(
    (("array", (), "float32"), ("convert", (0,), "float64"), ("square", (1,), "float64")), (), 2
)


def run(program, entries, numbers, written=1):
    """A program on some entries, each with the arrays that are written and read."""
    columns = [[entry[k] for entry in entries] for k in range(written + program.arrays)]
    flat = [array for column in columns for array in column]
    cut = written * len(entries)
    chunks = program.cut([entry[-1] for entry in entries])
    return program(chunks, flat[:cut], flat[cut:], numbers)


@given(st.lists(st.integers(0, 40), max_size=5), st.integers(0, 2**32 - 1))
def test_programs_serve_arrays_of_any_lengths(sizes, seed):
    rng = np.random.default_rng(seed)
    entries = [
        (np.empty(n, np.float32), *rng.standard_normal((2, n)).astype(np.float32)) for n in sizes
    ]
    _, status = run(lists.build(RULE), entries, [0.3])
    for out, x, y in entries:
        np.testing.assert_array_equal(out, x * np.float32(0.3) + y)
    assert status == 0


@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3", None])
def test_every_width_of_vectors_and_a_frame_of_addresses(monkeypatch, cpu):
    monkeypatch.setattr(native, "layout", lambda: None)
    if native.host().architecture != "x86":
        cpu = None
    ours = lists.ListProgram(RULE, 0, native.host(cpu))
    x, y = np.random.default_rng(0).standard_normal((2, 1001)).astype(np.float32)
    out = np.empty(1001, np.float32)
    run(ours, [(out, x, y)], [0.3])
    np.testing.assert_array_equal(out, x * np.float32(0.3) + y)


def test_threads_do_not_change_bits(monkeypatch):
    x, y = np.random.default_rng(0).standard_normal((2, 400_000)).astype(np.float32)
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("MINIGRAD_THREADS", threads)
        out = np.empty_like(x)
        run(lists.ListProgram(RULE, 0, native.host()), [(out, x, y)], [0.3])
        squares = lists.ListProgram(SQUARES, 0, native.host())
        found.append((out, run(squares, [(x,), (y,)], (), written=0)[0]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


# -- gradients -------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from([np.float32, np.float64])), min_size=1),
    st.sampled_from([1e-25, 1e-3, 1.0, 1e12, 1e30]),
)
def test_the_norm_of_all_gradients_is_that_of_exact_sums(kinds, scale):
    parameters = [mg.Tensor(np.zeros(n, dtype), requires_grad=True) for n, dtype in kinds]
    give_gradients(parameters, 1, scale)
    numbers = [float(x) for p in parameters for x in p.grad.numpy()]
    largest = max(map(abs, numbers), default=0.0)
    exact = largest and largest * math.sqrt(math.fsum((x / largest) ** 2 for x in numbers))
    before = [p.grad.numpy().copy() for p in parameters]
    norm = optim.clip_grad_norm(parameters, 1.0)
    assert math.isclose(norm, exact, rel_tol=1e-12)
    factor = 1.0 / (norm + 1e-6)
    for p, old in zip(parameters, before, strict=True):
        wanted = old * old.dtype.type(factor) if factor < 1 else old
        np.testing.assert_array_equal(p.grad.numpy(), wanted)


def test_norms_of_ever_other_gradients(monkeypatch):
    """What is remembered of some gradients serves others only if they are alike."""
    monkeypatch.setattr(gradients, "_plans", {})
    monkeypatch.setattr(gradients, "_MOST_PLANS", 2)
    rng = np.random.default_rng(0)
    lists = [
        [((4, 6), np.float32), ((5,), np.float32)],
        [((4, 6), np.float32), ((6,), np.float32)],
        [((4, 6), np.float64), ((5,), np.float64)],
        [((4, 6), np.float32), ((5,), np.float64)],
        [((24,), np.float32), ((5,), np.float32)],
        [((4, 6), np.float32)],
        [((7,), np.float32)] * 3,
    ]
    for kinds in [*lists, *lists[::-1], *lists[:1] * 3]:
        arrays = [rng.standard_normal(shape).astype(dtype) for shape, dtype in kinds]
        exact = math.fsum(float(x) ** 2 for a in arrays for x in a.ravel())
        assert math.isclose(gradients.sum_of_squares(arrays), exact, rel_tol=1e-12)
        for made, array in zip(gradients.scaled(arrays, 0.3), arrays, strict=True):
            np.testing.assert_array_equal(made, array * array.dtype.type(0.3))
            assert made.dtype == array.dtype
        assert len(gradients._plans) <= 2
    assert gradients.sum_of_squares([arrays[0].T, arrays[1]]) is None
    assert gradients.sum_of_squares([arrays[0].astype(np.float16)]) is None
    assert gradients.sum_of_squares([]) == 0
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    assert gradients.sum_of_squares(arrays) is None


def test_clipped_gradients_keep_their_history():
    w = mg.Tensor(np.array([3.0, 4.0]), requires_grad=True)
    (w**3).sum().backward(create_graph=True)
    optim.clip_grad_norm([w], 1.0)
    assert w.grad.requires_grad
