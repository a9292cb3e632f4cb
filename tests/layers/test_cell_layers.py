"""Cells of one's own as layers: values, lengths, directions, options, gradients, saving."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import GRUCell, Linear, LSTMCell, Recurrent, RNNCell, scan
from minigrad.testing import check_gradients
from tests.layers.user_cells import (
    MGU,
    MGUCell,
    TraceCell,
    TraceLayers,
    mgu_step,
    reference,
    trace_step,
)

KINDS = {
    "MGU": (MGU, MGUCell, mgu_step, lambda w: (np.zeros(len(w["forget.bias"])),)),
    "Trace": (
        TraceLayers,
        TraceCell,
        trace_step,
        lambda w: (w["start"], np.zeros(len(w["read.bias"]))),
    ),
}


def make(kind, *sizes, seed=0, dtype="float64", **options):
    mg.seed(seed)
    with mg.default_dtype(dtype):
        return kind(*(sizes or (3, 2)), **options)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def listed(last):
    return list(last) if isinstance(last, tuple) else [last]


@pytest.mark.parametrize("kind", KINDS)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    spare=st.integers(0, 1),
    num_layers=st.integers(1, 2),
    direction=st.sampled_from(["forward", "reverse", "both"]),
    seed=st.integers(0, 1000),
)
def test_layers_equal_a_plain_loop(kind, lengths, spare, num_layers, direction, seed):
    cls, _, step, first = KINDS[kind]
    chosen = {"reverse": {"reverse": True}, "both": {"bidirectional": True}}.get(direction, {})
    layer = make(cls, num_layers=num_layers, seed=seed, **chosen)
    x = draw(len(lengths), max(1, *lengths) + spare, 3, seed=seed)
    expected, ends, series = reference(layer, step, first, x, lengths)
    for row, length in zip(x, lengths, strict=True):
        row[length:] = np.nan
    output, last, more = layer(x, lengths=lengths, return_states="all", return_gates=True)
    np.testing.assert_allclose(output.numpy(), expected, atol=1e-12)
    for value, end in zip(listed(last), ends, strict=True):
        np.testing.assert_allclose(value.numpy(), end, atol=1e-12)
    *states, gates = (value for value in more if value is not None)
    for value, one in zip((*states, *gates), series, strict=True):
        np.testing.assert_allclose(value.numpy(), one, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(
    batch=st.integers(0, 2),
    time=st.integers(0, 3),
    padded=st.booleans(),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 100),
)
def test_shapes_and_dtypes(kind, batch, time, padded, dtype, seed):
    layer = make(KINDS[kind][0], num_layers=2, bidirectional=True, dtype=dtype, seed=seed)
    lengths = np.random.default_rng(seed).integers(0, time + 1, batch) if padded else None
    x = mg.Tensor(draw(batch, time, 3, seed=seed), requires_grad=True)  # float64, and cast
    output, last = layer(x, lengths=lengths)
    assert (output.shape, output.dtype) == ((batch, time, 4), dtype)
    sizes = layer.l0.state_sizes
    for value, size in zip(listed(last), sizes, strict=True):
        assert (value.shape, value.dtype) == ((4, batch, size), dtype)
    (output.sum() + sum(value.sum() for value in listed(last))).backward()
    assert x.grad.dtype == np.float64
    assert all(p.grad.dtype == dtype for p in layer.parameters())
    exact = make(KINDS[kind][0], num_layers=2, bidirectional=True, dtype=dtype, seed=seed)
    wanted, _ = exact.to("float64")(x, lengths=lengths)
    np.testing.assert_allclose(output.numpy(), wanted.numpy(), atol=60 * np.finfo(dtype).eps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [None, [2, 1]])
def test_derivatives_to_second_order(kind, lengths):
    layer = make(KINDS[kind][0], 2, 1, bidirectional=True)
    states = [draw(2, 2, size) for size in layer.l0.state_sizes]

    def run(x, *start):
        return layer(x, start if len(start) > 1 else start[0], lengths=lengths)

    parameters, x = dict(layer.named_parameters()), draw(2, 2, 2)
    check_gradients(run, x, *states, parameters=parameters)
    check_gradients(lambda x: layer(x, lengths=lengths), x, parameters=parameters, order=1)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_stacked_layers(kind):
    layer = make(KINDS[kind][0], num_layers=2)
    x, parameters = draw(2, 3, 3), dict(layer.named_parameters())
    check_gradients(lambda x: layer(x, lengths=[3, 1]), x, parameters=parameters, order=1)


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_to_make_layers_are_the_same(kind):
    cls, cell, *_ = KINDS[kind]
    one = make(cls, num_layers=2, bidirectional=True)
    other = make(Recurrent, cell, 3, 2, num_layers=2, bidirectional=True)
    named = Recurrent(cell=cell, input_size=3, hidden_size=2, num_layers=2)
    assert list(one.state_dict()) == list(other.state_dict())
    assert named.l1.input_size == 2
    x = draw(2, 4, 3)
    first, second = (layer(x, lengths=[4, 2])[0].numpy() for layer in (one, other))
    np.testing.assert_array_equal(first, second)
    assert repr(one) == repr(other).replace(f"Recurrent({cell.__name__}, ", f"{cls.__name__}(")


@pytest.mark.parametrize("kind", KINDS)
def test_layouts_agree(kind):
    cls = KINDS[kind][0]
    layer, turned = make(cls, num_layers=2), make(cls, num_layers=2, batch_first=False)
    x = draw(2, 4, 3)
    output, last = layer(x)
    swapped, ends = turned(x.swapaxes(0, 1))
    np.testing.assert_array_equal(swapped.numpy().swapaxes(0, 1), output.numpy())
    alone, single = layer(x[0])
    np.testing.assert_allclose(alone.numpy(), output.numpy()[0], atol=1e-12)
    for value, end, one in zip(listed(last), listed(ends), listed(single), strict=True):
        np.testing.assert_array_equal(value.numpy(), end.numpy())
        np.testing.assert_allclose(one.numpy(), value.numpy()[:, 0], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_carried_state_equals_one_long_sequence(kind):
    layer = make(KINDS[kind][0], num_layers=2)
    x = draw(2, 5, 3)
    whole, ends = layer(x)
    first, state = layer(x[:, :2])
    second, last = layer(x[:, 2:], state)
    parts = np.concatenate([first.numpy(), second.numpy()], axis=1)
    np.testing.assert_allclose(parts, whole.numpy(), atol=1e-12)
    for value, end in zip(listed(last), listed(ends), strict=True):
        np.testing.assert_allclose(value.numpy(), end.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [None, [2, 0, 4]])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_equals_one_layer(kind, lengths, reverse):
    cls, cell, *_ = KINDS[kind]
    layer, single = make(cls, reverse=reverse), make(cell, 3, 2)
    single.load_state_dict({n.removeprefix("l0."): a for n, a in layer.state_dict().items()})
    x, y = (mg.Tensor(draw(3, 4, 3), requires_grad=True) for _ in range(2))
    output, last = layer(x, lengths=lengths)
    scanned, ends = scan(single, y, lengths=lengths, reverse=reverse)
    np.testing.assert_array_equal(scanned.numpy(), output.numpy())
    for value, end in zip(listed(last), listed(ends), strict=True):
        np.testing.assert_array_equal(value.numpy()[0], end.numpy())
    for a, b in ((output, last), (scanned, ends)):
        ((a**3).sum() + sum((v**3).sum() for v in listed(b))).backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "other"), [(RNNCell, "RNN"), (LSTMCell, "LSTM"), (GRUCell, "GRU")]
)
@pytest.mark.parametrize("options", [{}, {"layer_norm": True}, {"bias": False}])
def test_built_in_cells_are_cells_like_others(kind, other, options):
    known = make(getattr(layers, other), num_layers=2, bidirectional=True, **options)
    layer = make(Recurrent, kind, 3, 2, num_layers=2, bidirectional=True, **options)
    for place in ("l0", "l0_reverse", "l1", "l1_reverse"):
        ours = {n: p for n, p in layer.state_dict().items() if n.startswith(f"{place}.")}
        theirs = {
            f"{place}.{n}": known.state_dict()[f"{n}_{place}"]
            for n, _ in layer.l0.named_parameters()
        }
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    x = draw(3, 4, 3)
    assert not layer.fused
    for a, b in zip(layer(x, lengths=[4, 0, 2]), known(x, lengths=[4, 0, 2]), strict=True):
        for value, expected in zip(listed(a), listed(b), strict=True):
            np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-12)


def test_a_projected_lstm_cell():
    known = make(layers.LSTM, 3, 4, proj_size=2)
    layer, cell = make(Recurrent, LSTMCell, 3, 4, proj_size=2), make(LSTMCell, 3, 4, proj_size=2)
    x = draw(2, 3, 3)
    np.testing.assert_allclose(layer(x)[0].numpy(), known(x)[0].numpy(), atol=1e-12)
    h, c = cell(x[:, 0])
    assert (h.shape, c.shape) == ((2, 2), (2, 4))
    np.testing.assert_allclose(h.numpy(), known(x)[0].numpy()[:, 0], atol=1e-12)


# -- options of the layers -------------------------------------------------------------------------


def test_dropout_acts_between_layers_in_training_only():
    layer = make(MGU, 3, 50, num_layers=2, dropout=0.5, generator=np.random.default_rng(0))
    x = draw(1, 2, 3)
    inside = []
    layer.l1.forget.register_forward_pre_hook(lambda module, args: inside.append(args[0].numpy()))
    layer(x)
    assert 10 < (inside[0][:, :50] == 0).sum() < 40
    layer.eval()(x)
    assert (inside[2][:, :50] != 0).all()
    assert not layer.l0.training


def test_zoneout_keeps_units_as_they_were():
    layer = make(TraceLayers, zoneout=(1.0, 0.0))
    _, (trace, _) = layer(draw(2, 4, 3), lengths=[4, 2])
    np.testing.assert_array_equal(trace.numpy()[0], np.tile(layer.l0.start.numpy(), (2, 1)))
    _, (kept, _) = make(TraceLayers, zoneout=0.5).eval()(draw(1, 1, 3))
    _, (new, _) = make(TraceLayers)(draw(1, 1, 3))
    np.testing.assert_allclose(kept.numpy(), (new.numpy() + layer.l0.start.numpy()) / 2)


def test_recurrent_dropout_gives_the_step_one_mask_for_the_sequence():
    seen = []

    class Masked(MGUCell):
        def step(self, x, states, keep=None):
            seen.append(keep)
            return super().step(x, states if keep is None else (states[0] * keep,))

    layer = make(Recurrent, Masked, 3, 40, recurrent_dropout=0.5)
    layer(draw(2, 3, 3))
    assert seen[0] is seen[2]
    assert set(np.unique(seen[0])) == {0.0, 2.0}
    assert seen[0].shape == (2, 40)
    layer.eval()(draw(2, 3, 3))
    assert seen[-1] is None


def test_options_reach_every_cell():
    layer = make(TraceLayers, num_layers=2, trace_size=5)
    assert [part.state_sizes for part in (layer.l0, layer.l1)] == [(5, 2), (5, 2)]
    assert "bias" not in "".join(make(MGU, num_layers=2, bias=False).state_dict())


def test_hooks_of_a_cell_run_at_every_step():
    layer, calls = make(TraceLayers), []
    x = draw(2, 3, 3)
    plain, _ = layer(x)
    layer.l0.register_forward_pre_hook(lambda cell, args: calls.append(len(args)))
    layer.l0.register_forward_hook(lambda cell, args, made: calls.append(len(made)))
    np.testing.assert_array_equal(layer(x)[0].numpy(), plain.numpy())
    assert calls == [2] * 6
    layer.l0.register_forward_hook(lambda cell, args, made: (made[0], 0 * made[1]))
    assert not layer(x)[0].numpy().any()


def test_hooks_of_a_cell_with_one_state_see_it_alone():
    layer, x = make(MGU), draw(2, 1, 3)
    plain = layer(x)[0].numpy()
    with layer.l0.register_forward_pre_hook(lambda cell, args: (args[0], args[1] + 1)):
        _, last = layer(x)
    np.testing.assert_allclose(last[0].numpy(), layer(x, np.ones((1, 2, 2)))[1][0].numpy())
    with layer.l0.register_forward_hook(lambda cell, args, made: 2 * made):
        np.testing.assert_allclose(layer(x)[0].numpy(), 2 * plain)
    np.testing.assert_array_equal(layer(x)[0].numpy(), plain)


def test_a_shared_part_is_counted_once():
    shared = Linear(3, 2)

    class Tied(layers.Cell):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.part = shared

        def step(self, x, states):
            return mg.tanh(self.part(x) + states[0])

    layer = Recurrent(Tied, 3, 2, bidirectional=True)
    assert [name for name, _ in layer.named_parameters()] == ["l0.part.weight", "l0.part.bias"]
    layer(draw(2, 3, 3))[0].sum().backward()
    assert shared.weight.grad.numpy().any()


# -- saving ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_saving_and_loading(kind, tmp_path):
    cls = KINDS[kind][0]
    layer, other = (make(cls, num_layers=2, bidirectional=True, seed=seed) for seed in (0, 1))
    names = list(layer.state_dict())
    assert {name.split(".")[0] for name in names} == {"l0", "l0_reverse", "l1", "l1_reverse"}
    x = draw(2, 3, 3)
    mg.save(tmp_path / "layer.safetensors", layer.state_dict())
    other.load_state_dict(mg.load(tmp_path / "layer.safetensors"))
    again = copy.deepcopy(layer)
    for one in (other, again, pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(one(x)[0].numpy(), layer(x)[0].numpy())
    with mg.no_grad():
        next(again.parameters())[...] = 0.0
    assert next(layer.parameters()).numpy().any()
    with pytest.raises(KeyError, match=rf"missing: {names[0]}"):
        layer.load_state_dict(
            {name: a for name, a in layer.state_dict().items() if name != names[0]}
        )
