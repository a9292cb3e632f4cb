"""The options of recurrent layers, each against the same thing written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from layers import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from minigrad.core.errors import DtypeError, ShapeError

KINDS = [RNN, LSTM, GRU]


def make(kind, *sizes, seed=0, **options):
    mg.seed(seed)
    with mg.default_dtype("float64"):
        return kind(*(sizes or (3, 2)), **options)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def listed(last):
    return list(last) if isinstance(last, tuple) else [last]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def weights_of(layer, suffix="_l0"):
    return {n.removesuffix(suffix): a for n, a in layer.state_dict().items() if n.endswith(suffix)}


def normalised(a, gain, bias=0.0):
    centred = a - a.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * gain + bias


def textbook_step(kind, x, h, c, w, keep=1.0):
    """One step in plain NumPy: the new h and c, and the gates."""
    a, b = x @ w["weight_ih"].T, (h * keep) @ w["weight_hh"].T
    if "norm_ih" in w:
        a, b = normalised(a, w["norm_ih"]), normalised(b, w["norm_hh"])
    a, b = a + w["bias_ih"], b + w["bias_hh"]
    if kind is RNN:
        return np.tanh(a + b), c, ()
    if kind is GRU:
        (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
        r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
        n = np.tanh(a_n + r * b_n)
        return (1 - z) * n + z * h, c, (r, z, n)
    i, f, g, o = np.split(a + b, 4, axis=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * c + i * g
    shown = normalised(c, w["norm_c"], w["norm_c_bias"]) if "norm_c" in w else c
    h = o * np.tanh(shown)
    return h @ w["weight_hr"].T if "weight_hr" in w else h, c, (i, f, g, o)


@pytest.mark.parametrize("options", [{}, {"layer_norm": True}, {"proj_size": 1}])
@pytest.mark.parametrize("kind", KINDS)
def test_all_states_and_gates_are_those_of_the_textbook(kind, options):
    if "proj_size" in options and kind is not LSTM:
        with pytest.raises(ValueError, match=f"{kind.__name__}"):
            GRU(3, 2, proj_size=1) if kind is GRU else RNN(3, 2, proj_size=1)
        return
    layer = make(kind, **options)
    for number, parameter in enumerate(layer.parameters()):
        with mg.no_grad():
            parameter[...] = draw(*parameter.shape, seed=number)
    x = draw(2, 5, 3)
    output, last, inside = layer(x, return_states="all", return_gates=True)
    h, c = np.zeros((2, layer.output_size)), np.zeros((2, 2))
    for t in range(5):
        h, c, gates = textbook_step(kind, x[:, t], h, c, weights_of(layer))
        np.testing.assert_allclose(output.numpy()[:, t], h, atol=1e-10)
        np.testing.assert_allclose(inside.h.numpy()[0, :, t], h, atol=1e-10)
        if kind is LSTM:
            np.testing.assert_allclose(inside.c.numpy()[0, :, t], c, atol=1e-10)
        else:
            assert inside.c is None
        if kind is RNN:
            assert inside.gates is None
        else:
            for value, expected in zip(inside.gates, gates, strict=True):
                np.testing.assert_allclose(value.numpy()[0, :, t], expected, atol=1e-10)
    np.testing.assert_allclose(listed(last)[0].numpy()[0], h, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_all_states_and_gates(kind):
    layer = make(kind, num_layers=2, bidirectional=True)
    x = draw(2, 5, 3)
    x[1, 3:] = np.nan
    output, _, inside = layer(x, lengths=[5, 3], return_states="all")
    assert inside.h.shape == (4, 2, 5, 2)
    assert inside.gates is None
    top = np.concatenate([inside.h.numpy()[2], inside.h.numpy()[3]], axis=-1)
    np.testing.assert_array_equal(top, output.numpy())
    _, _, inside = layer(x, lengths=[5, 3], return_gates=True)
    for value in (inside.h, *(inside.gates or ()), *([inside.c] if kind is LSTM else [])):
        assert value.shape == (4, 2, 5, 2)
        assert not value.numpy()[:, 1, 3:].any()
    if kind is LSTM:
        assert inside.gates._fields == ("input", "forget", "candidate", "output")
    _, _, inside = layer(x[0], return_gates=True)
    assert inside.h.shape == (4, 5, 2)
    _, _, inside = layer(x[:, :0], return_gates=True)
    assert inside.h.shape == (4, 2, 0, 2)


def test_gates_carry_gradients():
    layer = make(LSTM)
    _, _, inside = layer(draw(2, 4, 3), return_gates=True)
    inside.gates.forget.sum().backward()
    slope = layer.bias_ih_l0.grad.numpy()
    assert (slope[2:4] > 0).all()  # its own rows
    assert slope[4:6].any()  # earlier candidates, by way of h


@given(
    kind=st.sampled_from(KINDS),
    layers=st.integers(1, 2),
    fused=st.booleans(),
    padded=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_bidirectional_equals_two_passes(kind, layers, fused, padded, seed):
    both = make(kind, num_layers=layers, bidirectional=True, seed=seed)
    values, lengths = draw(3, 4, 3, seed=seed), [2, 4, 0] if padded else None
    x = mg.Tensor(values, requires_grad=True)
    with mg.recording(fused=fused):
        output, last = both(x, lengths=lengths)
        (output**2).sum().backward()
    leaf = mg.Tensor(values, requires_grad=True)
    part, ends = leaf, []
    for k in range(layers):
        ways = []
        for ending in ("", "_reverse"):
            one = make(kind, part.shape[-1], 2, reverse=bool(ending))
            weights = weights_of(both, f"_l{k}{ending}")
            one.load_state_dict({f"{n}_l0": a for n, a in weights.items()})
            way, end = one(part, lengths=lengths)
            ways.append(way)
            ends.append(listed(end))
        part = mg.concatenate(ways, axis=-1)
    (part**2).sum().backward()
    np.testing.assert_allclose(output.numpy(), part.numpy(), atol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), leaf.grad.numpy(), atol=1e-10)
    for k, value in enumerate(listed(last)):
        expected = np.concatenate([end[k].numpy() for end in ends])
        np.testing.assert_allclose(value.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_reverse_is_the_same_as_turning_the_sequence_around(kind):
    plain, backwards = make(kind), make(kind, reverse=True)
    x = draw(2, 5, 3)
    output, last = plain(x[:, ::-1])
    turned, ends = backwards(x)
    np.testing.assert_allclose(turned.numpy(), output.numpy()[:, ::-1], atol=1e-12)
    for value, end in zip(listed(last), listed(ends), strict=True):
        np.testing.assert_allclose(value.numpy(), end.numpy(), atol=1e-12)


@given(kind=st.sampled_from(KINDS), cut=st.integers(0, 5), seed=st.integers(0, 100))
def test_carried_state_equals_one_long_sequence(kind, cut, seed):
    layer = make(kind, num_layers=2, seed=seed)
    values = draw(2, 5, 3, seed=seed)
    x, y = (mg.Tensor(values, requires_grad=True) for _ in range(2))
    whole, _ = layer(x)
    first, state = layer(y[:, :cut])
    second, _ = layer(y[:, cut:], state)
    joined = mg.concatenate([first, second], axis=1)
    np.testing.assert_allclose(joined.numpy(), whole.numpy(), atol=1e-12)
    (whole**2).sum().backward()
    (joined**2).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_dropout_keeps_one_mask_for_the_whole_sequence(kind):
    layer = make(kind, recurrent_dropout=0.4, generator=np.random.default_rng(5))
    keep = (np.random.default_rng(5).random((2, 2), np.float32) >= np.float32(0.4)) / 0.6
    assert not keep.all()
    x = draw(2, 5, 3)
    output, _ = layer(x)
    h = c = np.zeros((2, 2))
    for t in range(5):
        h, c, _ = textbook_step(kind, x[:, t], h, c, weights_of(layer), keep)
        np.testing.assert_allclose(output.numpy()[:, t], h, atol=1e-10)
    assert not layer.fused
    plain = make(kind)
    assert layer.eval().fused
    np.testing.assert_array_equal(layer(x)[0].numpy(), plain(x)[0].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_zoneout_keeps_units_as_they_were(kind):
    layer = make(kind, zoneout=0.4, generator=np.random.default_rng(5))
    x, generator = draw(2, 5, 3), np.random.default_rng(5)
    output, _ = layer(x)
    h = c = np.zeros((2, 2))
    for t in range(5):
        new_h, new_c, _ = textbook_step(kind, x[:, t], h, c, weights_of(layer))
        h = np.where(generator.random((2, 2), np.float32) >= np.float32(0.4), new_h, h)
        if kind is LSTM:
            c = np.where(generator.random((2, 2), np.float32) >= np.float32(0.4), new_c, c)
        np.testing.assert_allclose(output.numpy()[:, t], h, atol=1e-10)
    output, _ = layer.eval()(x)
    h = c = np.zeros((2, 2))
    for t in range(5):
        new_h, new_c, _ = textbook_step(kind, x[:, t], h, c, weights_of(layer))
        h, c = 0.4 * h + 0.6 * new_h, 0.4 * c + 0.6 * new_c
        np.testing.assert_allclose(output.numpy()[:, t], h, atol=1e-10)
    assert not layer.fused


def test_zoneout_of_each_state():
    x, start = draw(2, 5, 3), (draw(1, 2, 2), draw(1, 2, 2, seed=1))
    _, (h, c) = make(LSTM, zoneout=(1.0, 0.0))(x, start)
    np.testing.assert_array_equal(h.numpy(), start[0])
    assert (c.numpy() != start[1]).all()
    _, (h, c) = make(LSTM, zoneout=(0.0, 1.0))(x, start)
    np.testing.assert_array_equal(c.numpy(), start[1])
    assert (h.numpy() != start[0]).all()


def test_dropout_acts_between_layers_in_training_only():
    layer = make(GRU, num_layers=2, dropout=1.0, bidirectional=True)
    blind, _ = layer(draw(2, 5, 3))
    other, _ = layer(draw(2, 5, 3, seed=1))
    np.testing.assert_array_equal(blind.numpy(), other.numpy())  # layer 1 sees only zeros
    plain = make(GRU, num_layers=2, bidirectional=True)
    np.testing.assert_array_equal(
        layer.eval()(draw(2, 5, 3))[0].numpy(), plain(draw(2, 5, 3))[0].numpy()
    )
    for kind in KINDS:
        with pytest.warns(UserWarning, match=r"dropout=0\.5 acts between layers") as caught:
            kind(3, 2, dropout=0.5)
        assert caught[0].filename == __file__


def test_masks_come_from_the_default_generator_too():
    layer, x = make(LSTM, recurrent_dropout=0.5, zoneout=0.5), draw(2, 5, 3)
    mg.seed(1)
    first, _ = layer(x)
    mg.seed(1)
    second, _ = layer(x)
    np.testing.assert_array_equal(first.numpy(), second.numpy())
    assert (layer(x)[0].numpy() != first.numpy()).any()


@pytest.mark.parametrize("make_one", [LSTM, LSTMCell])
def test_forget_bias(make_one):
    with mg.default_dtype("float64"):
        one = make_one(3, 2, forget_bias=1.5)
    ending = "_l0" if make_one is LSTM else ""
    arrays = one.state_dict()
    total = arrays[f"bias_ih{ending}"] + arrays[f"bias_hh{ending}"]
    np.testing.assert_array_equal(total[2:4], 1.5)
    assert (np.abs(total[[0, 1, 4, 5, 6, 7]]) < 1.5).all()
    assert all(p.requires_grad for p in one.parameters())
    with pytest.raises(ValueError, match=r"forget_bias=1\.0 needs biases"):
        make_one(3, 2, bias=False, forget_bias=1.0)


def test_all_layers_and_directions_begin_with_numbers_of_their_own():
    arrays = make(GRU, 2, 2, num_layers=2, bidirectional=True).state_dict()
    first = {a.ravel()[0] for name, a in arrays.items() if "weight_hh" in name}
    assert len(first) == 4
    assert max(np.abs(a).max() for a in arrays.values()) <= 1 / np.sqrt(2)


def test_which_calls_the_kernels_know():
    for kind in KINDS:
        assert make(kind, num_layers=2, dropout=0.1, bidirectional=True, bias=False).fused
        assert make(kind, reverse=True).fused
        for options in ({"layer_norm": True}, {"zoneout": 0.1}, {"recurrent_dropout": 0.1}):
            assert not make(kind, **options).fused
        with mg.recording(fused=False):
            assert not make(kind).fused
    assert not make(LSTM, proj_size=1).fused

    names = {RNN: "rnn_sequence", LSTM: "lstm_sequence", GRU: "gru_sequence"}
    for kind, name in names.items():
        output, _ = make(kind)(draw(2, 3, 3))
        assert output._node.inputs[0].plan.name == name


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid"])
def test_nonlinearities(nonlinearity):
    layer, x = make(RNN, nonlinearity=nonlinearity), draw(2, 3, 3)
    activate = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "sigmoid": sigmoid}
    w, h = weights_of(layer), np.zeros((2, 2))
    output, _ = layer(x)
    cell = make(RNNCell, nonlinearity=nonlinearity)
    cell.load_state_dict(w)
    state = None
    for t in range(3):
        h = x[:, t] @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
        h = activate[nonlinearity](h)
        state = cell(x[:, t], state)
        np.testing.assert_allclose(output.numpy()[:, t], h, atol=1e-12)
        np.testing.assert_allclose(state.numpy(), h, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RNN(3, 2, nonlinearity="gelu"), r"one of 'tanh', 'relu', 'sigmoid', got 'gelu'"),
        (lambda: RNNCell(3, 2, nonlinearity="gelu"), r"RNNCell: nonlinearity must be one of"),
        (lambda: GRU(0, 2), r"GRU: input_size must be an integer of 1 or more, got 0"),
        (lambda: GRU(3, 2.0), r"hidden_size must be an integer of 1 or more, got 2\.0"),
        (lambda: GRUCell(3, -1), r"GRUCell: hidden_size must be an integer"),
        (lambda: GRU(3, 2, 0), r"num_layers must be an integer of 1 or more, got 0"),
        (lambda: GRU(3, 2, 2, dropout=1.5), r"dropout must be 0 to 1"),
        (lambda: GRU(3, 2, recurrent_dropout=-1), r"recurrent_dropout must be 0 to 1"),
        (lambda: GRU(3, 2, zoneout=2.0), r"zoneout must be 0 to 1"),
        (lambda: GRU(3, 2, zoneout=(0.1, 0.1)), r"one for each of the states \(h\)"),
        (lambda: LSTM(3, 2, proj_size=2), r"below hidden_size=2, got 2"),
        (lambda: GRU(3, 2, bidirectional=True, reverse=True), r"drop reverse=True"),
    ],
)
def test_wrong_options(build, message):
    with pytest.raises(ValueError, match=message):
        build()


X = np.zeros((2, 5, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: GRU(3, 4)(X[..., :2]), ShapeError, r"\(batch, time, 3\).*got f32\[2, 5, 2\]"),
        (lambda: GRU(3, 4)(X[..., :2]), ShapeError, r"batch_first=False for \(time, batch"),
        (
            lambda: GRU(3, 4, batch_first=False)(X[..., :2]),
            ShapeError,
            r"\(time, batch, 3\) or \(time, 3\), got f32\[2, 5, 2\]\. batch_first=False was given",
        ),
        (lambda: GRU(3, 4)(X.tolist()), DtypeError, r"x must be a tensor or an array, got list"),
        (lambda: GRU(3, 4)(X.astype(int)), DtypeError, r"x must be floating.*Embedding"),
        (
            lambda: GRU(3, 4)(X, np.zeros((1, 5, 4))),
            ShapeError,
            r"h must have shape \(1, 2, 4\) for x f32\[2, 5, 3\], got f64\[1, 5, 4\]\. Layers",
        ),
        (
            lambda: GRU(3, 4)(X[0], np.zeros((1, 1, 4))),
            ShapeError,
            r"state h must have shape \(1, 4\) for x f32\[5, 3\], got f64\[1, 1, 4\]",
        ),
        (
            lambda: GRU(3, 4)(X, (np.zeros((1, 2, 4)), np.zeros((1, 2, 4)))),
            ShapeError,
            r"GRU: state must be one array h, got \[f64\[1, 2, 4\], f64\[1, 2, 4\]\]",
        ),
        (lambda: GRU(3, 4)(X, (np.zeros((1, 2, 4)),)), ShapeError, r"pass its element alone"),
        (
            lambda: LSTM(3, 4)(X, np.zeros((1, 2, 4))),
            ShapeError,
            r"LSTM: state must be a tuple \(h, c\), got f64\[1, 2, 4\]",
        ),
        (
            lambda: LSTM(3, 4, proj_size=2)(X, (np.zeros((1, 2, 4)), np.zeros((1, 2, 4)))),
            ShapeError,
            r"state h must have shape \(1, 2, 2\)",
        ),
        (lambda: LSTM(3, 4)(X, (0.0, 0.0)), ShapeError, r"state h must have shape .* got 0\.0"),
        (lambda: LSTM(3, 4)(X, return_states="every"), ValueError, r'"last" or "all", got'),
        (
            lambda: GRUCell(3, 4)(X[:, 0], np.zeros((3, 4))),
            ShapeError,
            r"GRUCell: state h must have shape \(2, 4\) for x f32\[2, 3\], got f64\[3, 4\]",
        ),
        (lambda: GRUCell(3, 4)(X), ShapeError, r"\(batch, 3\) or \(3,\), got f32\[2, 5, 3\]"),
        (lambda: LSTMCell(3, 4)(X[:, 0], X[:, 0]), ShapeError, r"a tuple \(h, c\)"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_layer_loads_what_it_saved_and_says_what_does_not_fit():
    layer = make(LSTM, bidirectional=True, proj_size=1, layer_norm=True)
    other = make(LSTM, bidirectional=True, proj_size=1, layer_norm=True, seed=1)
    other.load_state_dict(layer.state_dict())
    x = draw(2, 3, 3)
    np.testing.assert_array_equal(other(x)[0].numpy(), layer(x)[0].numpy())
    with pytest.raises(KeyError, match=r"weight_hr_l0"):
        make(LSTM).load_state_dict(layer.state_dict())
