"""Steps that differ by a whole number, as by the number of the step, are a loop that counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.llvm import program as native
from minigrad.testing import examples

B, N, STEPS = 3, 4, 6


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


COUNTED = {
    "n > t": lambda h, new, n, t: mg.where((n > t)[:, None], new, h),
    "t >= n": lambda h, new, n, t: mg.where((t >= n)[:, None], h, new),
    "n == t": lambda h, new, n, t: mg.where((n == t)[:, None], new, h),
    "new * t": lambda h, new, n, t: mg.tanh(new * t),
    "t - new": lambda h, new, n, t: mg.tanh(t - new) + h,
    "new / t": lambda h, new, n, t: new / (t or 7),
    "n + t": lambda h, new, n, t: new * ((n + t) % 3 == 1)[:, None],
}


def recurrence(name, counts):
    def loss(x, w, n):
        h = np.zeros((B, N), x.dtype)
        for i, t in enumerate(counts):
            h = COUNTED[name](h, mg.tanh(x[i] + h @ w), n, t)
        return (h**2).sum()

    return loss


def derived(function, arrays):
    leaves = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    loss = function(*leaves)
    loss.backward()
    return [loss.numpy(), *(t.grad.numpy() for t in leaves if t.requires_grad)]


def check(function, dtype, whole):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(dtype) for s in ((STEPS, B, N), (N, N)))
    for backend in (native, plain):
        compiled = mg.compile(function, backend=backend)
        for shift in (0, 0, 1, -2):
            arrays = [x, w, (np.array([1, 3, 6]) + shift).astype(whole)]
            found, right = derived(compiled, arrays), derived(function, arrays)
            for one, other in zip(found, right, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert compiled.refusals == []
        (program,) = compiled.programs
    return [v.options[0].count for v in program.graphs[0].values if v.op == "loop"]


@examples(0.1)
@given(
    st.sampled_from(sorted(COUNTED)),
    st.integers(-3, 3),
    st.integers(-2, 3),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([np.int32, np.int64]),
)
def test_numbers_that_move_evenly(name, start, move, dtype, whole):
    check(recurrence(name, [start + move * i for i in range(STEPS)]), dtype, whole)


@pytest.mark.parametrize("name", ["n > t", "new * t"])
def test_counts_are_one_loop(name):
    assert check(recurrence(name, range(2, 2 + STEPS)), np.float32, np.int64)[0] >= STEPS - 1


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_numbers_that_move_unevenly(name):
    check(recurrence(name, [0, 1, 2, 4, 8, 16]), np.float64, np.int64)


def test_numbers_beyond_the_dtype_that_they_meet():
    """100, 200, 300 do not all fit in 8 bits."""

    def loss(x, w, n):
        h = x[0]
        for t in range(2, STEPS):
            h = mg.where((n.astype(np.int16) > 100 * t)[:, None], mg.tanh(h @ w), h) + (n * t).sum()
        return h.sum()

    check(loss, np.float64, np.int8)
