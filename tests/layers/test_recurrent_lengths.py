"""Sequences of several lengths in one padded batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import GRU, LSTM, RNN, scan
from minigrad.core.errors import DtypeError, ShapeError

OPTIONS = [
    (RNN, {}),
    (RNN, {"nonlinearity": "relu", "reverse": True}),
    (LSTM, {}),
    (LSTM, {"proj_size": 1}),
    (LSTM, {"layer_norm": True, "bidirectional": True}),
    (LSTM, {"bidirectional": True, "num_layers": 2}),
    (GRU, {"bidirectional": True}),
    (GRU, {"zoneout": 0.3, "num_layers": 2}),
    (GRU, {"reverse": True, "bias": False}),
]


def make(kind, options, seed=0):
    mg.seed(seed)
    with mg.default_dtype("float64"):
        return kind(3, 2, **options).eval()


def start(layer, batch, seed):
    """Initial states that require grad."""
    generator = np.random.default_rng(seed + 1)
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [layer.output_size] + [layer.hidden_size] * (len(layer.cell.states) - 1)
    return [
        mg.Tensor(generator.standard_normal((count, batch, width)), requires_grad=True)
        for width in widths
    ]


def form(states):
    return tuple(states) if len(states) > 1 else states[0]


def listed(last):
    return list(last) if isinstance(last, tuple) else [last]


def loss_of(output, last):
    return (output**3).sum() + sum((k + 2) * (value**3).sum() for k, value in enumerate(last))


@given(
    choice=st.sampled_from(OPTIONS),
    lengths=st.lists(st.integers(0, 4), min_size=0, max_size=4),
    spare=st.integers(0, 2),
    fused=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_padded_batch_equals_one_sequence_after_the_other(choice, lengths, spare, fused, seed):
    layer = make(*choice, seed)
    batch, time = len(lengths), max([*lengths, 0]) + spare
    values = np.random.default_rng(seed).standard_normal((batch, time, 3))
    for row, length in zip(values, lengths, strict=True):
        row[length:] = np.nan
    x, states = mg.Tensor(values, requires_grad=True), start(layer, batch, seed)
    parameters = list(layer.parameters())
    with mg.recording(fused=fused):
        output, last = layer(x, form(states), lengths=np.array(lengths, int))
    padded = mg.gradients(loss_of(output, listed(last)), [x, *states, *parameters])

    alone = [np.zeros_like(x.numpy()), *[np.zeros(value.shape) for value in (*states, *parameters)]]
    for b, length in enumerate(lengths):
        part = mg.Tensor(values[b : b + 1, :length], requires_grad=True)
        begin = [mg.Tensor(value.numpy()[:, b : b + 1], requires_grad=True) for value in states]
        one, ends = layer(part, form(begin))
        np.testing.assert_allclose(output.numpy()[b, :length], one.numpy()[0], atol=1e-10)
        assert not output.numpy()[b, length:].any()
        for value, end in zip(listed(last), listed(ends), strict=True):
            np.testing.assert_allclose(value.numpy()[:, b], end.numpy()[:, 0], atol=1e-10)
        if not length:  # the state is handed through
            for value, given_state in zip(listed(last), states, strict=True):
                np.testing.assert_array_equal(value.numpy()[:, b], given_state.numpy()[:, b])
        found = mg.gradients(loss_of(one, listed(ends)), [part, *begin, *parameters])
        alone[0][b, :length] = found[0].numpy()[0]
        for k in range(len(states)):
            alone[1 + k][:, b] = found[1 + k].numpy()[:, 0]
        for k in range(len(parameters)):
            alone[1 + len(states) + k] += found[1 + len(states) + k].numpy()
    for one, other in zip(padded, alone, strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_padding_gets_exactly_no_gradient_and_is_never_looked_at(kind, fused):
    layer = make(kind, {"bidirectional": True, "num_layers": 2})
    values = np.random.default_rng(0).standard_normal((3, 4, 3))
    other = values.copy()
    lengths = [2, 0, 4]
    for b, length in enumerate(lengths):
        values[b, length:], other[b, length:] = np.nan, np.inf
    x = mg.Tensor(values, requires_grad=True)
    with mg.recording(fused=fused):
        output, last = layer(x, lengths=lengths)
        again, _ = layer(other, lengths=mg.Tensor(np.array(lengths)))
    np.testing.assert_array_equal(output.numpy(), again.numpy())
    loss_of(output, listed(last)).backward()
    for b, length in enumerate(lengths):
        assert not x.grad.numpy()[b, length:].any()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_lengths_with_time_first(kind):
    layer, turned = make(kind, {}), make(kind, {"batch_first": False})
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    output, last = layer(x, lengths=[3, 1])
    swapped, ends = turned(x.swapaxes(0, 1), lengths=[3, 1])
    np.testing.assert_array_equal(swapped.numpy().swapaxes(0, 1), output.numpy())
    for value, end in zip(listed(last), listed(ends), strict=True):
        np.testing.assert_array_equal(value.numpy(), end.numpy())


@pytest.mark.parametrize("fused", [True, False])
def test_a_batch_of_empty_sequences_and_no_steps_at_all(fused):
    layer = make(LSTM, {})
    for time in (3, 0):
        x = mg.Tensor(np.full((2, time, 3), np.nan), requires_grad=True)
        with mg.recording(fused=fused):
            output, (h, c) = layer(x, lengths=[0, 0])
        assert output.shape == (2, time, 2)
        assert not output.numpy().any()
        assert not h.numpy().any()
        assert not c.numpy().any()
        (h.sum() + output.sum()).backward()
        assert not x.grad.numpy().any()


def test_the_longest_may_be_shorter_than_the_array():
    layer = make(GRU, {})
    x = np.random.default_rng(0).standard_normal((2, 9, 3))
    output, last = layer(x, lengths=[2, 3])
    cut, ends = layer(x[:, :3], lengths=[2, 3])
    np.testing.assert_allclose(output.numpy()[:, :3], cut.numpy(), atol=1e-12)
    np.testing.assert_allclose(last.numpy(), ends.numpy(), atol=1e-12)
    assert not output.numpy()[:, 3:].any()


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([1, 2], ShapeError, r"lengths must have shape \(3,\).* x f64\[3, 4, 3\], got i64\[2\]"),
        ([1, 2, 3, 4], ShapeError, r"got i64\[4\]\. Layers here take the batch first"),
        (2, ShapeError, r"lengths must have shape \(3,\)"),
        ([1, 2, 5], ValueError, r"lengths must be 0 to 4, .* x f64\[3, 4, 3\], got 5 at place 2"),
        ([-1, 2, 3], ValueError, r"got -1 at place 0"),
        ([1.0, 2.0, 3.0], DtypeError, r"lengths must be integers, got f32\[3\]"),
        ([True, True, False], DtypeError, r"mask\.sum\(axis=1\)"),
    ],
)
def test_wrong_lengths(lengths, error, message):
    with pytest.raises(error, match=message):
        make(GRU, {})(np.zeros((3, 4, 3)), lengths=lengths)


def test_lengths_of_a_single_sequence_and_packed_sequences_are_refused():
    layer = make(GRU, {})
    with pytest.raises(ValueError, match=r"lengths needs a batch.*pass x\[:length\]"):
        layer(np.zeros((4, 3)), lengths=[2])

    class PackedSequence:
        pass

    with pytest.raises(DtypeError, match=r"PackedSequence; pass the padded array, and lengths="):
        layer(PackedSequence())


def test_scan_with_lengths_takes_token_ids_and_states_of_several_axes():
    table = np.random.default_rng(0).standard_normal((5, 2, 3))
    token_ids = np.array([[1, 2, 4], [3, 0, 0]])

    def cell(x, state):
        assert x.dtype == token_ids.dtype
        value = mg.take(mg.Tensor(table), x, axis=0)  # (batch, 2, 3)
        return value if state is None else 0.5 * state + value

    output, last = scan(cell, token_ids, lengths=[3, 1])
    a, b, c, d = table[[1, 2, 4, 3]]
    zero = np.zeros((2, 3))
    np.testing.assert_allclose(
        output.numpy(), [[a, a / 2 + b, a / 4 + b / 2 + c], [d, zero, zero]], atol=1e-15
    )
    np.testing.assert_allclose(last.numpy(), [a / 4 + b / 2 + c, d], atol=1e-15)
