"""Integers, booleans, and what searches and counts: native code against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.graph import COMPARISONS, Graph, Value, View
from minigrad.compiled.llvm import program

F = np.float32
KINDS = [np.dtype(name) for name in ("int32", "uint32", "int64", "uint64")]
TWO = ["add", "subtract", "multiply", "maximum", "minimum", "bitwise_and", "bitwise_or"]
TWO += ["bitwise_xor", *sorted(COMPARISONS)]
SHIFTS = ["left_shift", "right_shift"]


@st.composite
def integers(draw, count):
    """Arrays of one dtype and shape that reach over all of its range."""
    dtype = draw(st.sampled_from(KINDS))
    shape = draw(st.sampled_from([(7,), (3, 5), (2, 3, 17), (1,), (40,)]))
    seed = draw(st.integers(0, 2**16))
    info = np.iinfo(dtype)
    generator = np.random.default_rng(seed)
    found = [generator.integers(info.min, info.max, shape, dtype, True) for _ in range(count)]
    found[-1].flat[0] = found[0].flat[0]
    return found


def values_of(dtype, shape, count):
    return [Value("input", (), shape, dtype, (i,)) for i in range(count)]


def both(inputs, value, arrays):
    """What native code and NumPy make of it."""
    graph = Graph(inputs, [value], [View(value)])
    native = program.build(graph)
    assert isinstance(native, program.NativeProgram)
    return native(arrays)[0], plain.build(graph)(arrays)[0]


@given(integers(2), st.sampled_from(TWO))
def test_two_integers(arrays, op):
    dtype = arrays[0].dtype
    inputs = values_of(dtype, arrays[0].shape, 2)
    result = np.dtype(bool) if op in COMPARISONS else dtype
    value = Value(op, tuple(map(View, inputs)), arrays[0].shape, result)
    native, expected = both(inputs, value, arrays)
    np.testing.assert_array_equal(native, expected)
    np.testing.assert_array_equal(native, getattr(np, op)(*arrays))


@given(integers(1), st.sampled_from(SHIFTS), st.integers(0, 31))
def test_shifts_by_numbers(arrays, op, places):
    (x,) = arrays
    inputs = values_of(x.dtype, x.shape, 1)
    value = Value(op, (View(inputs[0]), places), x.shape, x.dtype)
    native, expected = both(inputs, value, arrays)
    np.testing.assert_array_equal(native, expected)


@given(integers(1), st.sampled_from([*KINDS, np.dtype(F), np.dtype(float), np.dtype(bool)]))
def test_conversions(arrays, wanted):
    (x,) = arrays
    inputs = values_of(x.dtype, x.shape, 1)
    value = Value("convert", (View(inputs[0]),), x.shape, wanted)
    native, expected = both(inputs, value, arrays)
    np.testing.assert_array_equal(native, expected)


def test_shifts_further_than_there_are_bits_are_left_to_numpy():
    x = np.array([-5, 3, 2**30], np.int32)
    inputs = values_of(x.dtype, x.shape, 1)
    for op in SHIFTS:
        value = Value(op, (View(inputs[0]), 40), x.shape, x.dtype)
        built = program.build(Graph(inputs, [value], [View(value)]))
        assert not isinstance(built, program.NativeProgram)
        np.testing.assert_array_equal(built([x])[0], getattr(np, op)(x, np.int32(40)))


def is_native(function, *arguments):
    """Whether its program is native as a whole; what it computes is checked."""
    compiled = mg.compile(function)
    for _ in range(2):
        found, expected = compiled(*arguments), function(*arguments)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert compiled.refusals == []
    (only,) = compiled.programs
    return isinstance(only._forward, program.NativeProgram)


X = np.random.default_rng(0).standard_normal((4, 6)).astype(F)
TIES = np.array([[1.0, 3.0, 3.0], [np.nan, 9.0, np.nan], [-np.inf, -np.inf, -np.inf]], F)
SEARCHES = {
    "largest of rows": lambda x: mg.argmax(x, axis=-1),
    "largest of columns": lambda x: mg.argmax(x, axis=0, keepdims=True),
    "largest of all": mg.argmax,
    "smallest": lambda x: mg.argmin(x, axis=1),
    "least": lambda x: mg.min(x, axis=1) * 2,
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("array", [X, TIES, X.astype(float)], ids=["numbers", "ties", "float64"])
def test_searches(name, array):
    assert is_native(SEARCHES[name], mg.Tensor(array))


@pytest.mark.parametrize("correction", [0, 1, 6])
@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:divide", "ignore:invalid")
def test_variances(correction):
    native = is_native(lambda x: mg.var(x, axis=1, correction=correction), mg.Tensor(X))
    assert native == (correction < 6)


def masked(lengths, x):
    mask = lengths[:, None] > np.arange(x.shape[1])
    return (x * mask).sum(axis=1) / (~mask | mask).sum(axis=1)


def test_masks_that_numpy_makes():
    assert is_native(masked, np.array([1, 6, 3, 2]), mg.Tensor(X))


@pytest.mark.parametrize("kind", ["i4", "u4", "i8"])
def test_rows_by_integers_of_any_size(kind):
    table = layers.Embedding(9, 5)
    assert is_native(table, np.array([[0, 8], [3, 3]], kind))


def test_a_transformer_with_dropout_is_one_native_program():
    mg.seed(0)
    layer = layers.TransformerEncoderLayer(12, 3, 20, dropout=0.4)
    x = mg.Tensor(np.random.default_rng(1).standard_normal((2, 7, 12)).astype(F), None, True)
    compiled = mg.compile(lambda x: (layer(x) ** 2).mean())
    for seed in range(3):
        outcomes = []
        for function in (compiled, lambda x: (layer(x) ** 2).mean()):
            mg.seed(seed)
            x.grad = None
            value = function(x)
            value.backward()
            outcomes.append((value.item(), x.grad.numpy()))
        np.testing.assert_allclose(outcomes[0][0], outcomes[1][0], rtol=1e-5)
        np.testing.assert_allclose(outcomes[0][1], outcomes[1][1], rtol=1e-3, atol=1e-6)
    (only,) = compiled.programs
    assert isinstance(only._forward, program.NativeProgram)


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32", "int64", "uint64"])
def test_comparisons_with_numbers_that_the_dtype_cannot_hold(dtype, backend):
    info = np.iinfo(dtype)
    numbers = np.array([info.min, 0, 100, info.max], dtype)
    names = sorted(COMPARISONS)
    beyond = [info.min - 1, info.max + 1, -(2**70), 2**70, info.max, info.min]

    def compared(x, scale):
        ufuncs = [getattr(np, name) for name in names]
        found = [u(x, b) * scale for u in ufuncs for b in beyond]
        return mg.stack(found + [u(b, x) * scale for u in ufuncs for b in beyond])

    compiled = mg.compile(compared, backend=backend)
    scale = mg.Tensor(np.ones(4, F))
    for x in (mg.Tensor(numbers), numbers):
        expected = compared(x, scale).numpy()
        for _ in range(2):
            np.testing.assert_array_equal(compiled(x, scale).numpy(), expected)
    assert len(compiled.programs) == 2


def test_labels_of_one_byte():
    x = mg.Tensor(np.random.default_rng(0).standard_normal((4, 3), F), requires_grad=True)
    labels = np.array([0, 2, 1, 2], np.uint8)
    compiled = mg.compile(mg.value_and_grad(mg.cross_entropy))
    for _ in range(2):
        loss, gradient = compiled(x, labels)
    wanted, by_x = mg.value_and_grad(mg.cross_entropy)(x, labels.astype(int))
    np.testing.assert_allclose(loss.numpy(), wanted.numpy(), rtol=1e-6)
    np.testing.assert_allclose(gradient.numpy(), by_x.numpy(), rtol=1e-5, atol=1e-7)
    assert len(compiled.programs) == 1


WITH_NUMBERS = {
    "logical_and": lambda k: np.logical_and(k, -3),
    "logical_or": lambda k: np.logical_or(k, 0.5),
    "logical_xor": lambda k: np.logical_xor(k, np.float64(0.5)),
    "where": lambda k: np.where(k > 1, k, -1),
    "where, too large": lambda k: np.where(k > 1, 300, k),
    "tril": lambda k: np.tril(k > 0) & np.triu(k < 3),
}


@pytest.mark.parametrize("backend", ["plain", "default"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32", "int64"])
@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_numbers_that_a_dtype_cannot_hold(name, dtype, backend):
    function = WITH_NUMBERS[name]
    compiled = mg.compile(lambda k: mg.Tensor(function(k)), backend=_backend(backend))
    for numbers in ([[0, 1], [2, 3]], [[3, 0], [0, 2]]):
        k = np.array(numbers, dtype)
        found = compiled(k).numpy()
        np.testing.assert_array_equal(found, function(k))
        assert found.dtype == function(k).dtype


@pytest.mark.parametrize("backend", ["plain", "default"])
def test_integers_with_and_without_a_sign_are_compared_exactly(backend):
    def function(signed, unsigned):
        return tuple(mg.Tensor(t) for t in (unsigned > signed, signed == unsigned))

    compiled = mg.compile(function, backend=_backend(backend))
    signed = np.array([2**63 - 1, -1, 5])
    for unsigned in ([2**63 - 1, 0, 6], [2**63, 2**64 - 1, 5]):
        k = np.array(unsigned, np.uint64)
        more, same = compiled(signed, k)
        assert more.tolist() == [a > b for a, b in zip(unsigned, signed.tolist(), strict=True)]
        assert same.tolist() == [a == b for a, b in zip(unsigned, signed.tolist(), strict=True)]


def _backend(name):
    return plain if name == "plain" else None
