"""Random cells by `scan` and by loops of Python's: native code, NumPy's and the eager engine agree.

What a cell computes is kept in memory for the backward pass, in places that are shared over time:
so all gradients are compared, for cells, losses and lengths of many kinds.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.llvm import program as native
from minigrad.testing import examples
from tests.minigrad.compiled.test_native_traces import numbers

B, N, IN = 2, 4, 3  # batch, units, inputs


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def run(function, arrays):
    """The value and the gradients of all arguments."""
    leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
    loss = function(*leaves)
    if loss.requires_grad:  # or else all that is read of a cell is its zeros
        loss.backward()
    return [loss.numpy(), *(np.zeros(1) if t.grad is None else t.grad.numpy() for t in leaves)]


def check(function, arrays, rtol, backends=(native, plain)):
    for backend in backends:
        compiled = mg.compile(function, backend=backend)
        run(compiled, arrays)
        for scale in (1.0, 0.9):
            given_now = [a * a.dtype.type(scale) for a in arrays]
            found, right = run(compiled, given_now), run(function, given_now)
            for mine, one in zip(found, right, strict=True):
                largest = np.abs(one).max(initial=1e-3)
                np.testing.assert_allclose(mine, one, rtol=rtol, atol=rtol * largest)
        assert compiled.refusals == []


def lstm(same):
    """The mean square of the states of an LSTM with units (N,)."""

    def loss(x, wx, wh, b):
        h = np.zeros((B, N), np.float32)
        c = h if same else np.zeros((B, N), np.float32)

        def cell(x, state):
            h, c = state
            gates = x @ wx + h @ wh + b
            i, f, u, o = (gates[:, k * N : (k + 1) * N] for k in range(4))
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(u)
            return mg.sigmoid(o) * mg.tanh(c), c

        states, _ = layers.scan(cell, x.swapaxes(0, 1), (h, c))
        return (states**2).mean()

    return loss


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_the_states_of_an_lstm_live_until_its_weights_have_their_gradient(steps, same):
    shapes = ((steps, B, IN), (IN, 4 * N), (N, 4 * N), (4 * N,))
    arrays = [numbers(*shape, seed=i, dtype=np.float32) for i, shape in enumerate(shapes)]
    check(lstm(same), arrays, rtol=1e-5)


def test_a_gradient_by_hand():
    """h1 = x0 w, h2 = (x1 + h1) w, loss = h1^2 + h2^2, for single numbers."""

    def loss(x, w):
        h, states = np.zeros((1, 1)), []
        for t in range(2):
            h = (x[t] + h) @ w
            states.append(h)
        return (np.stack(states, axis=1) ** 2).sum()

    x, w = np.array([[[2.0]], [[3.0]]]), np.array([[0.5]])
    # h1 = 1, h2 = 2; dh1/dw = 2, dh2/dw = (x1 + h1) + w dh1/dw = 5
    check(loss, [x, w], rtol=1e-12)
    compiled = mg.compile(loss, backend=native)
    run(compiled, [x, w])
    assert run(compiled, [x, w])[2].item() == 2 * 1 * 2 + 2 * 2 * 5


STEPS = {
    "gate": lambda p, w: mg.sigmoid(p[0]) * p[1],
    "add": lambda p, w: p[0] + p[1],
    "product": lambda p, w: p[0] @ w[:, :N],
    "turned": lambda p, w: p[0] @ w[:, N : 2 * N].T,
    "tanh": lambda p, w: mg.tanh(p[0]),
    "largest": lambda p, w: np.maximum(p[0], p[1]),
    "softmax": lambda p, w: mg.softmax(p[0]),
    "halves": lambda p, w: np.concatenate([p[0][:, N // 2 :], p[1][:, : N // 2]], axis=1),
    "centred": lambda p, w: p[0] - p[0].mean(axis=-1, keepdims=True),
}
LOSSES = {
    "square": lambda s, h, c: (s**2).mean(),
    "last": lambda s, h, c: (h * c).sum(),
    "ends": lambda s, h, c: (s[0] * s[-1]).sum() + c.mean(),
    "flipped": lambda s, h, c: (s[::-1] * s).mean() + (h**2).sum(),
    "attention": lambda s, h, c: ((mg.softmax(s @ s.swapaxes(1, 2)) @ s) ** 2).mean(),
    "parts": lambda s, h, c: (np.concatenate([s[:, :, 1:], s[:, :, :2] * 2], axis=2) ** 2).sum(),
}


@st.composite
def models(draw):
    """A loss of (x, wx, wh, b, h): a random cell over random steps."""
    count, scans, front = draw(st.integers(1, 7)), draw(st.booleans()), draw(st.booleans())
    places = st.integers(0, 30)
    chosen = draw(
        st.lists(st.tuples(st.sampled_from(sorted(STEPS)), places, places), min_size=1, max_size=5)
    )
    new_h, new_c, loss = draw(places), draw(places), draw(st.sampled_from(sorted(LOSSES)))

    def function(x, wx, wh, b, h):
        def cell(x, state):
            gates = x @ wx + state[0] @ wh + b
            pool = [*(gates[:, k * N : (k + 1) * N] for k in range(4)), *state]
            for name, i, j in chosen:
                pool.append(STEPS[name]((pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]), wh))
            h = mg.tanh(pool[-1 - new_h % len(pool)])
            return h, 0.9 * pool[-1 - new_c % len(pool)]

        state = h, np.zeros_like(h)
        if scans:
            states, state = layers.scan(cell, x.swapaxes(0, 1), state)
        else:
            states = []
            for t in range(count):
                state = cell(x[t], state)
                states.append(state[0])
            states = np.stack(states, axis=1)
        return LOSSES[loss](states.swapaxes(0, 1) if front else states, *state)

    function.names = f"{count} {scans} {front} {chosen} {new_h} {new_c} {loss}"
    return function, count


@examples(0.3)
@given(models(), st.sampled_from([np.float32, np.float64]), st.integers(0, 1000))
def test_random_cells(model, dtype, seed):
    function, count = model
    shapes = ((count, B, IN), (IN, 4 * N), (N, 4 * N), (4 * N,), (B, N))
    arrays = [numbers(*s, seed=seed + i, dtype=dtype) / 2 for i, s in enumerate(shapes)]
    arrays = [a.astype(dtype) for a in arrays]
    check(function, arrays, rtol=3e-4 if dtype is np.float32 else 1e-9)
