"""The LSTM against the textbook equations, written out in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import LSTM, GRUCell, LSTMCell
from layers.kernels.lstm import lstm_sequence, lstm_sequence_reference
from minigrad.core.errors import ShapeError
from minigrad.testing import check_gradients

sizes = st.integers(1, 4)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def textbook_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """One step of one sequence, gate by gate; rows in the order i, f, g, o."""
    a = w_ih @ x + b_ih + w_hh @ h + b_hh
    n = len(h)
    i, f, g, o = (
        sigmoid(a[:n]),
        sigmoid(a[n : 2 * n]),
        np.tanh(a[2 * n : 3 * n]),
        sigmoid(a[3 * n :]),
    )
    c = f * c + i * g
    return o * np.tanh(c), c


def textbook_lstm(x, h, c, layers):
    """Sequences (batch, time, features) through stacked layers, one number after the other."""
    last_h, last_c = [], []
    for k, weights in enumerate(layers):
        out = np.empty((*x.shape[:2], h.shape[-1]))
        ends = []
        for b in range(len(x)):
            state = h[k, b], c[k, b]
            for t in range(x.shape[1]):
                state = textbook_step(x[b, t], *state, *weights)
                out[b, t] = state[0]
            ends.append(state)
        last_h.append([end[0] for end in ends])
        last_c.append([end[1] for end in ends])
        x = out
    return x, np.array(last_h), np.array(last_c)


def weights_of(lstm, k):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    zero = np.zeros(4 * lstm.hidden_size)
    return [lstm.state_dict().get(f"{name}_l{k}", zero) for name in names]


@given(
    batch=st.integers(0, 3),
    time=sizes,
    features=sizes,
    hidden=sizes,
    layers=st.integers(1, 3),
    bias=st.booleans(),
    given_state=st.booleans(),
    fused=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_lstm_equals_the_textbook(
    batch, time, features, hidden, layers, bias, given_state, fused, seed
):
    generator = np.random.default_rng(seed)
    mg.seed(seed)
    with mg.default_dtype("float64"):
        lstm = LSTM(features, hidden, layers, bias=bias)
    x = generator.standard_normal((batch, time, features))
    h, c = (
        generator.standard_normal((2, layers, batch, hidden))
        if given_state
        else np.zeros((2, layers, batch, hidden))
    )
    with mg.recording(fused=fused):
        output, (last_h, last_c) = lstm(x, (h, c) if given_state else None)
    expected, expected_h, expected_c = textbook_lstm(
        x, h, c, [weights_of(lstm, k) for k in range(layers)]
    )
    np.testing.assert_allclose(output.numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(last_h.numpy(), expected_h.reshape(h.shape), atol=1e-10)
    np.testing.assert_allclose(last_c.numpy(), expected_c.reshape(c.shape), atol=1e-10)


def sequence_arguments(batch, time, features, hidden, seed, dtype=np.float64):
    generator = np.random.default_rng(seed)
    shapes = [
        (batch, time, features), (batch, hidden), (batch, hidden),
        (4 * hidden, features), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,),
    ]  # fmt: skip
    return [(0.7 * generator.standard_normal(shape)).astype(dtype) for shape in shapes]


@given(st.integers(0, 2), st.integers(1, 3), sizes, st.integers(1, 3), st.integers(0, 1000))
def test_kernel_and_step_by_step_form_agree_to_second_order(batch, time, features, hidden, seed):
    arguments = sequence_arguments(batch, time, features, hidden, seed)

    def derivatives(form):
        leaves = [mg.Tensor(a, requires_grad=True) for a in arguments]
        output, h, c = form(*leaves)
        loss = (output * output).sum() + (h * c).sum()
        first = mg.gradients(loss, leaves, create_graph=True)
        total = sum((g * g).sum() for g in first)
        return [output, h, c, *first, *mg.gradients(total, leaves)]

    for fast, slow in zip(
        derivatives(lstm_sequence), derivatives(lstm_sequence_reference), strict=True
    ):
        np.testing.assert_allclose(fast.numpy(), slow.numpy(), rtol=1e-9, atol=1e-10)


def test_kernel_gradients_against_differences():
    check_gradients(lambda *a: list(lstm_sequence(*a)), *sequence_arguments(2, 3, 2, 2, 0))


@given(needed=st.lists(st.booleans(), min_size=7, max_size=7).filter(any))
def test_kernel_gives_the_same_gradients_whatever_else_is_wanted(needed):
    arguments = sequence_arguments(2, 3, 2, 2, 1)

    def gradients(flags):
        leaves = [
            mg.Tensor(a, requires_grad=flag) for a, flag in zip(arguments, flags, strict=True)
        ]
        output, h, c = lstm_sequence(*leaves)
        ((output * output).sum() + (h * c).sum()).backward()
        return [leaf.grad for leaf in leaves]

    for part, whole, flag in zip(gradients(needed), gradients([True] * 7), needed, strict=True):
        if flag:
            np.testing.assert_array_equal(part.numpy(), whole.numpy())
        else:
            assert part is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_keeps_the_dtype(dtype):
    leaves = [mg.Tensor(a, requires_grad=True) for a in sequence_arguments(2, 3, 2, 2, 0, dtype)]
    output, h, c = lstm_sequence(*leaves)
    assert output.dtype == h.dtype == c.dtype == dtype
    output.sum().backward()
    assert all(leaf.grad.dtype == dtype for leaf in leaves)


def test_large_preactivations_do_not_warn_and_saturate():
    arguments = [1000 * a for a in sequence_arguments(2, 3, 2, 2, 0, np.float32)]
    output, _, _ = lstm_sequence(*arguments)
    assert np.isfinite(output.numpy()).all()


def test_cell_repeated_equals_the_layer():
    mg.seed(1)
    lstm, cell = LSTM(3, 4), LSTMCell(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): a for name, a in lstm.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    state = None
    for t in range(5):
        state = cell(x[:, t], state)
    output, (_, c) = lstm(x)
    np.testing.assert_allclose(state[0].numpy(), output.numpy()[:, -1], atol=1e-6)
    np.testing.assert_allclose(state[1].numpy(), c.numpy()[0], atol=1e-6)


def test_layouts_agree():
    mg.seed(2)
    first, last = LSTM(3, 4, 2), LSTM(3, 4, 2, batch_first=False)
    last.load_state_dict(first.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    output, (h, c) = first(x)
    swapped, (h2, c2) = last(np.swapaxes(x, 0, 1))
    np.testing.assert_array_equal(output.numpy(), np.swapaxes(swapped.numpy(), 0, 1))
    np.testing.assert_array_equal(h.numpy(), h2.numpy())
    single, (h3, c3) = first(x[1])
    np.testing.assert_allclose(single.numpy(), output.numpy()[1], atol=1e-6)
    np.testing.assert_allclose(h3.numpy(), h.numpy()[:, 1], atol=1e-6)
    again, _ = first(x[1], (np.zeros((2, 4), np.float32), np.zeros((2, 4), np.float32)))
    np.testing.assert_allclose(again.numpy(), single.numpy(), atol=1e-6)
    assert c2.shape == c.shape == (2, 2, 4)
    assert c3.shape == (2, 4)


def test_carried_state_equals_one_long_sequence():
    mg.seed(3)
    with mg.default_dtype("float64"):
        lstm = LSTM(2, 3, 2)
    x = np.random.default_rng(0).standard_normal((2, 7, 2))
    whole, _ = lstm(x)
    first, state = lstm(x[:, :4])
    second, _ = lstm(x[:, 4:], state)
    np.testing.assert_allclose(
        np.concatenate([first.numpy(), second.numpy()], axis=1), whole.numpy(), atol=1e-12
    )


def test_the_mode_says_whether_the_kernel_runs():
    lstm = LSTM(2, 3)
    assert lstm.fused
    with mg.recording(fused=False):
        assert not lstm.fused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(np.zeros((2, 5, 4), np.float32)), r"x must have shape .* got f32\[2, 5, 4\]"),
        (lambda m: m(np.zeros(3, np.float32)), r"x must have shape .* got f32\[3\]"),
        (
            lambda m: m(np.zeros((2, 5, 3), np.float32), (np.zeros((2, 4)), np.zeros((1, 2, 4)))),
            r"state h must have shape \(1, 2, 4\) for x f32\[2, 5, 3\], got f64\[2, 4\]",
        ),
        (
            lambda m: m(
                np.zeros((2, 5, 3), np.float32), (np.zeros((1, 2, 4)), np.zeros((1, 3, 4)))
            ),
            r"state c must have shape \(1, 2, 4\) for x f32\[2, 5, 3\], got f64\[1, 3, 4\]",
        ),
    ],
)
def test_errors_name_the_argument_and_both_shapes(call, message):
    with pytest.raises(ShapeError, match=message):
        call(LSTM(3, 4))


def test_cell_errors():
    with pytest.raises(ShapeError, match=r"LSTMCell: x must have shape"):
        LSTMCell(3, 4)(np.zeros((2, 2), np.float32))
    with pytest.raises(ShapeError, match=r"LSTMCell: state c must have shape \(2, 4\)"):
        LSTMCell(3, 4)(np.zeros((2, 3), np.float32), (np.zeros((2, 4)), np.zeros(4)))


@pytest.mark.parametrize(
    "state", [{"h": 0, "c": 0}, 5, np.zeros((2, 4)), [np.zeros((2, 4))], (np.zeros((2, 4)),) * 3]
)
def test_states_come_in_a_tuple_of_as_many(state):
    with pytest.raises(ShapeError, match=r"LSTMCell: state must be a tuple \(h, c\), got"):
        LSTMCell(3, 4)(np.zeros((2, 3), np.float32), state)


@pytest.mark.parametrize("state", [5, (np.zeros((2, 4)),), [np.zeros((2, 4))]])
def test_one_state_comes_alone(state):
    with pytest.raises(ShapeError, match="GRUCell: state must be one array h, got"):
        GRUCell(3, 4)(np.zeros((2, 3), np.float32), state)
