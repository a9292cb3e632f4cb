"""Gradients of arrays that are read piece by piece, by pieces that meet and by ones that do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

BACKENDS = ["plain", "native"]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 4))
W = RNG.standard_normal((4, 4)) / 2
PIECES = [
    np.s_[:, 0],
    np.s_[:, 1],
    np.s_[:, -1],
    np.s_[:, :2],
    np.s_[:, 2:],
    np.s_[:, 1:3],
    np.s_[..., :2],
    np.s_[:, ::2],
    np.s_[0],
    np.s_[1:],
]


def check(function, backend, *arrays):
    """Compare values and gradients of a later call with those of an eager one."""
    compiled = mg.compile(function, backend=backend)
    found = []
    for f in (compiled, compiled, function):
        leaves = [mg.Tensor(array, requires_grad=True) for array in arrays]
        y = f(*leaves)
        y.backward()
        found.append([y.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
    for mine, theirs in zip(found[1], found[2], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)
    assert compiled.refusals == []


def a_square_beside_another(x, w):
    q = x @ w
    return (q[:, 0] * q[:, 0]).sum() + (q[:, 1] ** 2).sum() + ((x[:, -1] + q[:, -1]) ** 2).sum()


def a_residual_recurrence(x, w):
    q, c = x @ w, 0.0
    h = q[:, 0]
    for t in range(4):
        h = np.tanh(h @ w + c)
        c = x[:, t] + h + q[:, t]
    return c.sum() + (x**2).mean()


def two_loops_over_the_same(x, w):
    last, total = x[:, 3] @ w, 0.0
    for _ in range(2):
        for t in range(4):
            total = total + (last * x[:, t]).sum()
    return total


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "function", [a_square_beside_another, a_residual_recurrence, two_loops_over_the_same]
)
def test_a_sum_of_parts_within_a_sum_that_is_none(function, backend):
    check(function, backend, X, W)


@st.composite
def terms(draw):
    """Terms of a loss: two arrays' pieces, x itself or x @ w, and how they are combined."""
    pieces = draw(st.lists(st.sampled_from(PIECES), min_size=2, max_size=4))
    term = st.tuples(
        st.sampled_from(pieces), st.booleans(), st.booleans(), st.sampled_from(["one", "*", "+"])
    )
    return draw(st.lists(term, min_size=2, max_size=6))


@given(terms())
def test_random_sums_of_pieces(chosen):
    def function(x, w):
        q = x @ w
        total = q.sum()
        for piece, first, second, how in chosen:
            a, b = (q if first else x)[piece], (q if second else x)[piece]
            made = {"one": lambda a, b: np.tanh(a), "*": np.multiply, "+": np.add}[how](a, b)
            total = total + (made * made).sum() + (made * b).sum()
        return total

    check(function, "plain", X, W)


def rnn(x, w, v):
    h = x[:, 0] @ w
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ w + h @ v)
    return h.sum()


def linear_filter(x, w, v):
    h = x[:, 0] @ w
    for t in range(x.shape[1]):
        h = 0.5 * h + x[:, t] @ w
    return (h * v[0]).sum()


def last_state_beside_all(x, w, v):
    h, states = x[:, 0] * 0.0, []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ w + h @ v)
        states.append(h)
    scores = [(h * s).sum(axis=-1, keepdims=True) for s in states]
    return sum((np.exp(s) * state).sum() for s, state in zip(scores, states, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [2, 3, 4, 9])
@pytest.mark.parametrize("function", [rnn, linear_filter, last_state_beside_all])
def test_a_loop_that_begins_with_what_its_first_step_computes(function, steps, backend):
    x = RNG.standard_normal((2, steps, 4))
    check(function, backend, x, W, W.T.copy())
