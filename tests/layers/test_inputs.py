"""The dtype of what layers are given: cast and recorded when floating, refused otherwise."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.core.errors import DtypeError

SIZES = {"nhead": 2, "dim_feedforward": 6}


def first(result):
    while isinstance(result, tuple):
        result = result[0]
    return result


# From a label to a layer, its inputs' shapes, and how it is called.
CASES = {
    "Linear": (lambda: layers.Linear(3, 2), [(2, 3)], None),
    "Bilinear": (lambda: layers.Bilinear(3, 4, 2), [(2, 3), (2, 4)], None),
    "Conv1d": (lambda: layers.Conv1d(3, 2, 2), [(2, 3, 4)], None),
    "Conv2d": (lambda: layers.Conv2d(3, 2, 2, padding=1), [(2, 3, 4, 4)], None),
    "ConvTranspose1d": (lambda: layers.ConvTranspose1d(3, 2, 2), [(2, 3, 4)], None),
    "ConvTranspose2d": (lambda: layers.ConvTranspose2d(3, 2, 2), [(2, 3, 4, 4)], None),
    "LayerNorm": (lambda: layers.LayerNorm(4), [(3, 4)], None),
    "RMSNorm": (lambda: layers.RMSNorm(4), [(3, 4)], None),
    "GroupNorm": (lambda: layers.GroupNorm(2, 4), [(3, 4, 2)], None),
    "BatchNorm1d": (lambda: layers.BatchNorm1d(4), [(3, 4)], None),
    "BatchNorm1d eval": (lambda: layers.BatchNorm1d(4, affine=False).eval(), [(3, 4)], None),
    "BatchNorm2d": (lambda: layers.BatchNorm2d(4), [(3, 4, 2, 2)], None),
    "InstanceNorm1d": (lambda: layers.InstanceNorm1d(4, affine=True), [(3, 4, 2)], None),
    "InstanceNorm2d": (lambda: layers.InstanceNorm2d(4, affine=True), [(3, 4, 2, 2)], None),
    "LearnedPositions": (lambda: layers.LearnedPositions(5, 4), [(2, 3, 4)], None),
    "RNNCell": (lambda: layers.RNNCell(3, 4), [(2, 3), (2, 4)], None),
    "GRUCell": (lambda: layers.GRUCell(3, 4), [(2, 3), (2, 4)], None),
    "LSTMCell": (
        lambda: layers.LSTMCell(3, 4, layer_norm=True),
        [(2, 3), (2, 4), (2, 4)],
        lambda cell, x, h, c: cell(x, (h, c)),
    ),
    "RNN": (lambda: layers.RNN(3, 4), [(2, 5, 3), (1, 2, 4)], None),
    "GRU": (lambda: layers.GRU(3, 4, 2), [(2, 5, 3), (2, 2, 4)], None),
    "GRU steps": (
        lambda: layers.GRU(3, 4, bidirectional=True, layer_norm=True),
        [(2, 5, 3), (2, 2, 4)],
        lambda gru, x, h: gru(x, h, lengths=[5, 2]),
    ),
    "LSTM": (
        lambda: layers.LSTM(3, 4),
        [(2, 5, 3), (1, 2, 4), (1, 2, 4)],
        lambda lstm, x, h, c: lstm(x, (h, c), lengths=[5, 0]),
    ),
    "scan": (
        lambda: layers.GRUCell(3, 4),
        [(2, 5, 3), (2, 4)],
        lambda cell, x, h: layers.scan(cell, x, h, lengths=[5, 0])[1],
    ),
    "MultiheadAttention": (lambda: layers.MultiheadAttention(4, 2), [(2, 5, 4)], None),
    "MultiheadAttention memory": (
        lambda: layers.MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True),
        [(2, 5, 4), (2, 6, 3), (2, 6, 2)],
        lambda attention, q, k, v: attention(q, k, v, need_weights=False),
    ),
    "MultiheadAttention bias": (
        lambda: layers.MultiheadAttention(4, 2),
        [(2, 5, 4), (5, 5)],
        lambda attention, x, bias: attention(x, bias=bias),
    ),
    "TransformerEncoderLayer": (
        lambda: layers.TransformerEncoderLayer(4, **SIZES, norm_first=True),
        [(2, 5, 4)],
        None,
    ),
    "TransformerDecoderLayer": (
        lambda: layers.TransformerDecoderLayer(4, **SIZES, norm_first=True),
        [(2, 5, 4), (2, 3, 4)],
        None,
    ),
    "Transformer": (
        lambda: layers.Transformer(4, 2, 1, 2, dim_feedforward=6, norm_first=True),
        [(2, 5, 4), (2, 3, 4)],
        None,
    ),
}


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("given", [np.float64, np.float16])
@pytest.mark.parametrize("name", CASES)
def test_floating_input_is_cast_and_gets_its_gradient_in_its_own_dtype(name, given, requires_grad):
    mg.seed(0)
    make, shapes, how = CASES[name]
    module = make()
    how = how or (lambda module, *inputs: module(*inputs))
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape).astype(given) for shape in shapes]
    mg.seed(1)
    expected = first(how(module, *(array.astype(np.float32) for array in arrays)))
    inputs = [mg.Tensor(a, requires_grad=True) for a in arrays] if requires_grad else arrays
    mg.seed(1)
    y = first(how(module, *inputs))
    assert y.dtype == np.float32
    if "norm" not in name.lower():  # running averages have moved
        np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    if not y.requires_grad:  # without parameters and by constants
        return
    (y * y).sum().backward()
    assert all(p.grad is None or p.grad.dtype == np.float32 for p in module.parameters())
    if requires_grad:
        assert all(x.grad.dtype == given and x.grad.shape == x.shape for x in inputs)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["int64", "uint8", "bool", "complex64"])
def test_other_input_is_refused_with_advice(name, kind):
    make, shapes, how = CASES[name]
    module = make()
    how = how or (lambda module, *inputs: module(*inputs))
    for i in range(len(shapes)):
        inputs = [np.ones(shape, kind if j == i else np.float32) for j, shape in enumerate(shapes)]
        if name == "MultiheadAttention bias" and i == 1 and kind in ("int64", "uint8"):
            assert first(how(module, *inputs)).dtype == np.float32  # a distance, for example
            continue
        advice = {
            "complex64": r"np\.concatenate|must hold numbers",
            "bool": r"astype\(np\.float32\).*Embedding|mask=",
        }.get(kind, r"astype\(np\.float32\).*Embedding")
        with pytest.raises(DtypeError, match=advice):
            how(module, *inputs)
        with pytest.raises(DtypeError, match=advice):
            how(module, *map(mg.Tensor, inputs))


@pytest.mark.parametrize("kind", ["int64", "bool"])
def test_layers_without_parameters_refuse_integers_that_would_round_what_they_add(kind):
    x = np.ones((2, 3, 4), kind)
    plain = [
        layers.SinusoidalPositions(4),
        layers.RotaryPositions(4),
        layers.LayerNorm(4, elementwise_affine=False),
        layers.RMSNorm(4, elementwise_affine=False),
        layers.GroupNorm(1, 3, affine=False),
        layers.BatchNorm1d(3, affine=False, track_running_stats=False),
        layers.InstanceNorm1d(3),
    ]
    for module in plain:
        with pytest.raises(DtypeError, match="must be floating"):
            module(x)
        assert module(x.astype(np.float64)).dtype == np.float64


def test_what_is_no_array_is_taken_where_it_is_made_of_numbers():
    layer = layers.Linear(2, 1)
    assert layer([[1.0, 2.0]]).tolist() == layer(np.array([[1.0, 2.0]], np.float32)).tolist()
    with pytest.raises(DtypeError, match=r"Linear: x must be floating, got i64\[1, 2\]"):
        layer([[1, 2]])
    with pytest.raises(DtypeError, match="Linear: x"):
        layer("ab")


def test_embedding_takes_integers_alone():
    table = layers.Embedding(4, 2)
    assert table(np.array([1, 2], np.uint8)).dtype == np.float32
    with pytest.raises(ValueError, match="index must hold integers"):
        table(np.array([1.0, 2.0]))


def test_one_array_for_query_key_and_value_is_cast_once():
    x = mg.Tensor(np.ones((1, 3, 4)), requires_grad=True)
    with mg.recording(fused=False):
        y, _ = layers.MultiheadAttention(4, 2)(x, x, x)
    assert sum("astype" in str(node) for node in mg.graph(y).nodes) == 1


def test_a_cache_knows_a_float64_memory_again():
    memory, query = np.random.default_rng(0).standard_normal((2, 1, 3, 4))
    attention, cache = layers.MultiheadAttention(4, 2), layers.KeyValueCache(fixed=True)
    one = attention(query, memory, cache=cache)[0]
    other = attention(query, memory, cache=cache)[0]
    np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
    with pytest.raises(ValueError, match="another memory"):
        attention(query, memory + 1, cache=cache)


def test_scan_leaves_token_ids_beyond_the_lengths_integers():
    table = layers.Embedding(5, 3)
    cell = layers.GRUCell(3, 2)
    ids = np.array([[1, 2, 3], [4, 0, 0]])
    output, _ = layers.scan(lambda x, h: cell(table(x), h), ids, lengths=[3, 1])
    alone, _ = layers.scan(cell, table(ids), lengths=[3, 1])
    np.testing.assert_array_equal(output.detach().numpy(), alone.detach().numpy())


def test_a_cell_may_carry_integers():
    def count(x, state):
        return (1 if state is None else state + 1) * np.ones(len(x), int)

    output, last = layers.scan(count, np.ones((2, 3, 1)), np.zeros(2, int), lengths=[3, 1])
    assert last.tolist() == [3, 1]
    assert output.dtype.kind == "i"
