"""Replay: the recorded operations run again, bit for bit."""

import gc
import weakref

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.debug import calls


def same_bits(a, b) -> bool:
    a, b = a.numpy(), b.numpy()
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def numbers(seed, shape=(3, 4), dtype=np.float64):
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(dtype)


def leaf(data):
    return mg.Tensor(data, requires_grad=True)


def written(x):
    z = x * 1
    z[0] = z[1] * 2
    z += x
    return (z * z).sum()


def by_argmax(x):
    best = mg.argmax(x[:, 0])
    columns = mg.argmax(x, axis=1)
    return (x[best] * x[np.arange(3), columns].sum()).sum()


def detached(x):
    return (x.detach() * x + mg.stop_gradient(x * 2) ** 2).sum()


def random_mask(x):
    return (mg.dropout(x, 0.5, generator=np.random.default_rng(1)) ** 2).sum()


FUNCTIONS = {
    "several outputs": lambda x: (mg.split(x, 2, axis=1)[0] ** 2).sum(),
    "list of inputs": lambda x: (mg.concatenate([x, x * 2, np.ones((1, 4))]) ** 2).sum(),
    "comparison": lambda x: mg.where(x > 0.5, x, x * x).sum(),
    "maximum": lambda x: (x.max(axis=0) ** 2).sum(),
    "median": lambda x: (mg.median(x, axis=1) ** 2).sum(),
    "cumulative": lambda x: (mg.cumsum(x) ** 2).sum(),
    "product": lambda x: x.prod(),
    "matrix product": lambda x: (x @ x.T).sum(),
    "fused": lambda x: mg.cross_entropy(x, np.array([0, 1, 2])),
    "normalized": lambda x: (mg.layer_norm(x) ** 3).sum(),
    "NumPy protocols": lambda x: np.sqrt(np.exp(x).mean() + np.einsum("ij,ij->", x, x)),
    "sorted": lambda x: (mg.sort(x, axis=1) * np.arange(4.0)).sum(),
    "no gradient": lambda x: mg.argsort(x, axis=1) * mg.sign(x - 0.5),
    "written in place": written,
    "index from values": by_argmax,
    "detached": detached,
    "random mask": random_mask,
}


# Their rules prepare an integer or a constant array themselves, so a recorded derivative can be
# repeated, but not be computed with other values.
RULES_WITH_ARRAYS = ("fused", "sorted")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_repeats_the_recorded_values_and_computes_with_others(name):
    f = FUNCTIONS[name]
    x, x2 = leaf(numbers(0)), numbers(1)
    with mg.recording(replay=True):
        y = f(x)
    recorded = mg.graph(y)
    assert same_bits(y, f(leaf(numbers(0))))
    assert same_bits(recorded.replay(), y)
    if y.requires_grad:
        y.backward()
        gradient = x.grad
    for _ in range(2):  # after the backward freed the graph, and again
        assert same_bits(recorded.replay(), y)
        assert same_bits(recorded.replay({x: x2}), f(leaf(x2)))
    if y.requires_grad:
        assert x.grad is gradient
        assert same_bits(recorded.replay([x2]), f(leaf(x2)))


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "no gradient"])
def test_recorded_derivatives_are_replayed(name):
    f = FUNCTIONS[name]
    x, x2 = leaf(numbers(0)), numbers(1)
    with mg.recording(replay=True):
        slope = mg.gradients(f(x), x, create_graph=True)
    assert same_bits(mg.graph(slope).replay(), slope)
    if name in RULES_WITH_ARRAYS:
        with pytest.raises(mg.GradientError, match="a derivative rule computed an array"):
            mg.graph(slope).replay({x: x2})
    else:
        other = leaf(x2)
        expected = mg.gradients(f(other), other, create_graph=True)
        assert same_bits(mg.graph(slope).replay({x: x2}), expected)


def test_derivative_rule_with_arrays_of_its_own_is_refused_with_other_values():
    @mg.primitive
    def shifted(x):
        return x * 2

    shifted.vjp(x=lambda g: g * np.full((), 2.0))
    x = leaf(numbers(0))
    with mg.recording(replay=True):
        slope = mg.gradients((shifted(x) ** 2).sum(), x, create_graph=True)
    assert same_bits(mg.graph(slope).replay(), slope)
    with pytest.raises(mg.GradientError, match="a derivative rule computed an array outside"):
        mg.graph(slope).replay({x: numbers(1)})


@pytest.mark.parametrize("fused", [True, False])
def test_lstm(fused):
    mg.seed(0)
    lstm = layers.LSTM(4, 5, num_layers=2)
    x, x2 = (mg.Tensor(numbers(i, (2, 6, 4), np.float32)) for i in range(2))
    with mg.recording(replay=True, fused=fused):
        output, (h, c) = lstm(x)
    recorded = mg.graph({"output": output, "state": (h, c)})
    again = recorded.replay()
    assert again.keys() == {"output", "state"}
    assert isinstance(again["state"], tuple)
    for a, b in zip((output, h, c), (again["output"], *again["state"]), strict=True):
        assert same_bits(a, b)
    output.sum().backward()
    new = recorded.replay({x: x2, lstm.weight_ih_l0: lstm.weight_ih_l0.detach() * 2})
    with mg.no_grad():
        lstm.weight_ih_l0 *= 2
    with mg.recording(fused=fused):
        expected, _ = lstm(x2)
    assert same_bits(new["output"], expected)
    assert same_bits(recorded.replay()["output"], output)  # the written leaf's recorded value


def test_outputs_and_inputs_that_do_not_require_grad():
    x = mg.Tensor(numbers(0))
    with mg.recording(replay=True), mg.no_grad():
        y = mg.exp(x).sum(axis=0)
    assert not y.requires_grad
    recorded = mg.graph(y)
    assert len(recorded) == 0
    assert same_bits(recorded.replay(), y)
    assert same_bits(recorded.replay({x: numbers(1)}), np.exp(mg.Tensor(numbers(1))).sum(axis=0))


def test_a_leaf_written_between_two_uses():
    w = leaf(numbers(0))
    with mg.recording(replay=True):
        first = w.sum()
        with mg.no_grad():
            w *= 2
        second = w.sum()
    y = mg.graph([first, second])
    assert [t.item() for t in y.replay()] == [first.item(), second.item()]
    # a new value stands in for the leaf wherever it was used
    assert [t.item() for t in y.replay([np.ones((3, 4))])] == [12, 12]


def test_user_arrays_may_change_after_the_recording():
    x, factor, index = leaf(numbers(0)), numbers(1), np.array([0, 2])
    with mg.recording(replay=True):
        y = (x * factor)[index]
    expected = y.numpy().copy()
    factor[:], index[:] = 0, 1
    np.testing.assert_array_equal(mg.graph(y).replay().numpy(), expected)


def test_user_operations():
    @mg.primitive
    def cube(x):
        return x**3

    cube.vjp(x=lambda g, x: g * 3 * x * x)

    def slow(x, w):
        return mg.tanh(x) * w

    def slow_backward(grads, residuals, inputs, needed):
        (t,) = residuals
        return [grads[0] * inputs[1] * (1 - t * t), grads[0] * t]

    @mg.fused(reference=slow, backward=slow_backward)
    def fast(x, w, /):
        t = np.tanh(x)
        return t * w, (t,)

    @mg.custom_vjp
    def rounded(tree, factor):
        return np.round(tree["x"].numpy() * factor, 1), mg.exp(tree["x"])

    @rounded.vjp
    def rounded_rule(g, factor):
        return {"x": g[0] * factor + g[1]}, None

    def f(x):
        a, b = rounded({"x": fast(cube(x), np.float64(2))}, 3.0)
        return a * b

    x, x2 = leaf(numbers(0)), numbers(1)
    with mg.recording(replay=True):
        y = f(x)
    assert same_bits(mg.graph(y).replay(), y)
    assert same_bits(mg.graph(y).replay([x2]), f(leaf(x2)))


def test_transforms_and_checkpoints():
    def inner(x):
        return mg.checkpoint(lambda t: mg.tanh(t) * mg.dropout(t, 0.5))(x).sum()

    def f(x):
        return inner(x) + (mg.grad(lambda t: (t**3).sum())(x) ** 2).sum()

    x, x2 = leaf(numbers(0)), numbers(1)
    mg.seed(3)
    with mg.recording(replay=True):
        y = f(x)
    assert same_bits(mg.graph(y).replay(), y)
    mg.seed(3)
    assert same_bits(mg.graph(y).replay({x: x2}), f(leaf(x2)))


def test_default_dtype_of_the_recording():
    with mg.default_dtype("float64"), mg.recording(replay=True):
        y = mg.one_hot([0, 2], 3) * 0.1 + mg.exp(1.5)
    assert y.dtype == np.float64
    assert same_bits(mg.graph(y).replay(), y)


def test_recording_in_two_blocks():
    x = leaf(numbers(0))
    with mg.recording(replay=True):
        h = mg.tanh(x)
    with mg.recording(replay=True):
        y = (h * 2).sum()
    assert same_bits(mg.graph(y).replay([numbers(1)]), (mg.tanh(numbers(1)) * 2).sum())


def test_refuses_what_was_not_recorded():
    x = leaf(numbers(0))
    y = mg.tanh(x)
    with pytest.raises(mg.GradientError, match="was not recorded for it"):
        mg.graph(y).replay()
    with mg.recording(replay=True):
        z = y.sum()
    assert same_bits(mg.graph(z).replay(), z)
    with mg.recording(replay=True):
        both = z + x.sum()
    with pytest.raises(mg.GradientError, match="tanh was computed from one of these leaves out"):
        mg.graph(both).replay({x: numbers(1)})
    with pytest.raises(mg.GradientError, match="does not require grad"):
        mg.graph(mg.tanh(numbers(0)))


def test_errors_name_what_was_given():
    x, other = leaf(numbers(0)), leaf(numbers(0))
    x.name = "x"
    with mg.recording(replay=True):
        h = mg.tanh(x)
        y = h.sum()
    recorded = mg.graph(y)
    with pytest.raises(mg.ShapeError, match=r"value for x f64\[3, 4\] .*\(3, 4\).*got \(4, 3\)"):
        recorded.replay({x: numbers(0, (4, 3))})
    with pytest.raises(mg.DtypeError, match="float64 that was recorded, got float32"):
        recorded.replay({x: numbers(0, dtype=np.float32)})
    with pytest.raises(mg.DetachError, match="requires grad, and a replay is not recorded"):
        recorded.replay([other])
    with pytest.raises(mg.ShapeError, match=r"2 values for the 1 leaves of the graph: x f64"):
        recorded.replay([numbers(0), numbers(1)])
    with pytest.raises(mg.GradientError, match=r"a leaf f64\[3, 4\] is no input of this graph"):
        recorded.replay({other: numbers(1)})
    with pytest.raises(mg.GradientError, match="no input of this graph, it is made by tanh"):
        recorded.replay({h: numbers(1)})
    with pytest.raises(TypeError, match="keys must be tensors, got str"):
        recorded.replay({"x": numbers(1)})
    assert recorded.replay({x: [[0.0] * 4] * 3}).item() == 0  # lists take the leaf's dtype


def test_an_operation_that_fails_is_named():
    x = leaf(numbers(0))
    with mg.recording(replay=True), mg.scope("part"):
        chosen = x[x > 0.5]
        y = chosen * np.ones(chosen.shape)
    with pytest.raises(ValueError, match="broadcast") as caught:
        mg.graph(y).replay([numbers(0) * 0 + 0.8])
    assert caught.value.__notes__ == ["while replaying multiply in part"]


def test_long_chains_are_replayed_and_die_without_recursion():
    x = leaf(np.float64(1.0))
    with mg.recording(replay=True):
        y = x
        for _ in range(40_000):
            y = -y
    recorded = mg.graph(y)
    assert recorded.replay().item() == 1
    assert recorded.replay([2.0]).item() == 2


def record_and_replay():
    """Record all kinds of calls, and return a weak reference to a node of theirs."""
    x, factor = leaf(numbers(0)), mg.Tensor(numbers(1))
    with mg.recording(replay=True):
        y = mg.checkpoint(lambda t: mg.tanh(t * factor))(x)
        y = mg.split(mg.dropout(y, 0.5) + x.detach(), 2, axis=1)[0].sum()
        slope = mg.gradients(y, x, create_graph=True)
    before = len(calls._table)
    mg.graph([y, slope]).replay()
    assert before > 5
    return weakref.ref(y._node)


def test_recordings_die_by_reference_count():
    gc.collect()
    before = len(calls._table)
    gc.disable()
    try:
        assert record_and_replay()() is None
        assert len(calls._table) == before
    finally:
        gc.enable()


def test_nothing_is_kept_outside_of_a_recording():
    gc.collect()
    before = len(calls._table)
    x = leaf(numbers(0))
    y = mg.tanh(x.detach() * x).sum()
    mg.graph(y)
    y.backward()
    assert len(calls._table) == before
