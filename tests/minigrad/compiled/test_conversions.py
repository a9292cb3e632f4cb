"""Ordinary operations and NumPy functions are native code, within loops too, and give the same."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compiled import backends, plain
from minigrad.compiled.llvm.program import NativeProgram

F = np.float32


def numbers(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(F)


def integers(seed, *shape):
    return np.random.default_rng(seed).integers(-5, 5, shape)


def written(x, index, value):
    y = x * 1
    y[index] = value
    return y


TABLE = numbers(3, 4)

# Of x (5, 6), and integers k (5, 6) from -5 to 4.
OPERATIONS = {
    "logsumexp": lambda x, k: mg.logsumexp(x, axis=1),
    "logsumexp of all": lambda x, k: mg.logsumexp(x),
    "logsumexp, kept": lambda x, k: mg.logsumexp(x, axis=0, keepdims=True) * x,
    "logaddexp": lambda x, k: mg.logaddexp(x, x[:, ::-1]) + mg.logaddexp(x, 0.5),
    "norm": lambda x, k: mg.norm(x, axis=1, keepdims=True) * x,
    "norm of all": lambda x, k: mg.norm(x),
    "norm, p = 1": lambda x, k: mg.norm(x, ord=1, axis=0),
    "cosine_similarity": lambda x, k: mg.cosine_similarity(x, x**2),
    "std": lambda x, k: mg.std(x, axis=1, ddof=1) + mg.std(x),
    "var": lambda x, k: mg.var(x, axis=0),
    "clip": lambda x, k: mg.clip(x, -0.5, 0.5) + mg.clip(x, None, 0) + mg.clip(x, 0.5, -0.5),
    "hardtanh": lambda x, k: mg.hardtanh(x) + mg.relu6(3 * x),
    "nan_to_num": lambda x, k: mg.nan_to_num(x, nan=1.0, posinf=2.0),
    "round": lambda x, k: mg.round(3 * x) + x,
    "pad": lambda x, k: mg.pad(x, ((1, 0), (0, 2))),
    "pad with a number": lambda x, k: mg.pad(x, ((1, 0), (0, 2)), constant_values=-0.5),
    "roll": lambda x, k: mg.roll(x, 2, axis=1) + mg.roll(x, (-1, 9), axis=(0, 1)) + mg.roll(x, 3),
    "roll along axes": lambda x, k: mg.roll(x, 1, axis=(0, 1)) + mg.roll(x, (1, 3), axis=0),
    "triangles": lambda x, k: mg.tril(x) + mg.triu(x, 1) * 2,
    "diagonal": lambda x, k: mg.diagonal(x, 1) + mg.diag(x[0])[2, 2] + mg.trace(x),
    "repeat": lambda x, k: mg.repeat(x, 2, axis=1) + mg.repeat(x[:2], 3).reshape(3, 12)[:1],
    "tile": lambda x, k: mg.tile(x, 2) + mg.tile(x[0], (5, 2)),
    "cumsum": lambda x, k: mg.cumsum(x, axis=1) * mg.cumsum(x, axis=0) + mg.cumsum(x)[::5],
    "places from a mask": lambda x, k: x * np.cumsum(k > 0, axis=1) + np.cumsum(k, axis=0),
    "outer": lambda x, k: mg.outer(x[0], x[1]),
    "vecdot": lambda x, k: mg.vecdot(x, x**2) + mg.vecdot(x, x[1]),
    "inner": lambda x, k: mg.inner(x, x**2),
    "tensordot": lambda x, k: mg.tensordot(
        x.reshape(5, 2, 3), x.reshape(2, 5, 3), ([0, 2], [1, 2])
    ),
    "einsum of one": lambda x, k: mg.einsum("ij->j", x) + mg.einsum("ii->", x[:, :5]),
    "einsum of a part": lambda x, k: mg.einsum(
        "btd,bts->bsd",
        mg.einsum("bts,su->btu", x.reshape(5, 2, 3), TABLE)[..., :2],
        x.reshape(5, 2, 3),
    ),
    "write": lambda x, k: written(x, (slice(None), 2), 1.5) + written(x, 0, x[1] * 2),
    "write a part": lambda x, k: written(x, (slice(0, 4, 2), slice(None, None, -1)), x[:2] ** 2),
    "rows": lambda x, k: x[k[:, 0]] ** 2,
    "known rows": lambda x, k: x[[1, 1, -1]] ** 2,
    "columns": lambda x, k: x[:, k[0]] ** 2,
    "known columns": lambda x, k: x[:, np.array([[0, 1], [1, -1]])] ** 2,
    "pairs": lambda x, k: x[np.arange(5)[:, None], k] ** 2,
    "pairs of two": lambda x, k: x[k[0], k[1]] ** 2,
    "a row of each": lambda x, k: x.reshape(5, 2, 3)[np.arange(5), k[:, 0] % 2] ** 2,
    "apart": lambda x, k: x.reshape(5, 2, 3)[k[0], :, k[1] % 3] ** 2,
    "in the middle": lambda x, k: x.reshape(5, 2, 3)[1:, k[0] % 2, ::2] ** 2,
    "with a number": lambda x, k: x.reshape(5, 2, 3)[k[0], 1, None] ** 2,
    "rows of one element": lambda x, k: (x.reshape(5, 3, 2)[:, :, :1] * 2)[k[:, 0]][:, ::2] ** 2,
    "of a part of a larger array": lambda x, k: (
        (mg.concatenate([x.reshape(5, 2, 3), x.reshape(5, 2, 3) ** 2], axis=2) ** 2).sum()
        + x.reshape(5, 2, 3)[k[0]] ** 2
    ),
    "take": lambda x, k: mg.take(x, k[0], axis=0) ** 2 + mg.take(x, k[0]),
    "take_along_axis": lambda x, k: mg.take_along_axis(x, k, axis=1) ** 2,
    "take_along_axis, one": lambda x, k: mg.take_along_axis(x, k[:, :1], axis=1) ** 2,
    "embedding": lambda x, k: mg.embedding(x, k % 5, padding_idx=1) ** 2,
    "known embedding": lambda x, k: mg.embedding(x, np.arange(4)) ** 2,
    "one_hot": lambda x, k: mg.one_hot(k % 6, 6)[:, :, 1] * x,
    "accuracy": lambda x, k: x.sum() * (mg.argmax(x, axis=1) == k[:, 0]).mean(),
    "masked mean": lambda x, k: (x * (k > 0)).sum(1) / np.maximum((k > 0).mean(axis=1), 0.5),
    "means of integers": lambda x, k: x * np.mean(k, axis=1, keepdims=True) + k.mean(),
    "truths": lambda x, k: x * (x > 1).any(axis=1, keepdims=True) * mg.count_nonzero(x > 0),
    "shifted integers": lambda x, k: x * np.concatenate([np.zeros_like(k[:, :1]), k[:, :-1]], 1),
    "stacked integers": lambda x, k: x * np.stack([k, np.roll(k, 1, 1), np.clip(k, 0, 2)]),
    "triangles of integers": lambda x, k: x * np.tril(k) + np.ones_like(k) * np.sum(k, axis=0),
    "remainder": lambda x, k: x * (k % 3) + x * (k // 3),
    "deviations of an argument": lambda x, k: (
        x * (k * F(1)).std() + (k * F(1)).var(axis=1, ddof=1)[0]
    ),
    "extremes": lambda x, k: x * np.max(k, axis=1, keepdims=True) - np.amin(k),
    "chosen integers": lambda x, k: x * k[k[:, 0]] + k[[1, 0]][0],
}


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_ordinary_operations_are_values_of_the_graph(name, backend):
    def function(x, k):
        return (mg.tanh(OPERATIONS[name](mg.tanh(x) * 2, k)) * 1.5).sum()

    compiled, x = mg.compile(function, backend=backend), mg.Tensor(numbers(5, 6), None, True)
    for seed in range(3):
        k = integers(seed, 5, 6)
        value, expected = compiled(x, k), function(x, k)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-4)
        pairs = zip(mg.gradients(value, [x]), mg.gradients(expected, [x]), strict=True)
        for found, wanted in pairs:
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)
    (program,) = compiled.programs
    assert not any(value.op == "call" for graph in program.graphs for value in graph.values)
    if backend is None and backends.default_backend() is not plain:
        assert all(isinstance(built, NativeProgram) for built in program.built)


SPECIAL = [
    [0, 1, -1, 2.5, -3],
    [np.inf, 1, -np.inf, np.nan, 0],
    [-np.inf] * 5,
    [np.inf, np.inf, 0, -1, 1],
    [0] * 5,
    [-0.0, 0.0, 3, 4, 5],
]


@pytest.mark.parametrize("backend", [None, "plain"])
def test_a_number_has_its_largest_along_an_axis_that_it_does_not_have(backend):
    def function(x):
        return mg.Tensor(np.argmax(x.mean(), axis=0) + np.argmin(x.sum(), axis=-1)) + x.sum()

    compiled = mg.compile(function, backend=backend)
    for x in (numbers(4), 2 * numbers(4)):
        np.testing.assert_allclose(compiled(x).numpy(), function(x).numpy(), rtol=1e-6)


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("bounds", [(0, 1), (-0.0, 0.0), (None, -0.0), (0, None)])
def test_zeros_keep_the_signs_that_numpy_gives_them(bounds, backend):
    def function(x):
        return np.clip(x, *bounds), np.pad(x, 1, constant_values=-0.0)

    compiled = mg.compile(function, backend=backend)
    for seed in range(3):
        x = mg.Tensor(np.random.default_rng(seed).permutation([-0.0, 0.0, 1.0, -1.0, -0.0]))
        for one, other in zip(compiled(x), function(x), strict=True):
            np.testing.assert_array_equal(np.signbit(one.numpy()), np.signbit(other.numpy()))


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize(
    "name", ["logsumexp", "logaddexp", "norm", "clip", "pad", "cumsum", "nan", "round"]
)
def test_special_numbers_come_out_as_they_do_without(name, backend):
    function = {
        "logsumexp": lambda x: mg.logsumexp(x, axis=1),
        "logaddexp": lambda x: mg.logaddexp(x, x[:, ::-1]),
        "norm": lambda x: mg.norm(x, axis=1),
        "clip": lambda x: mg.clip(x, -1, 2) + mg.clip(x, np.nan, 1),
        "pad": lambda x: mg.pad(x, 1, constant_values=-np.inf),
        "cumsum": lambda x: mg.cumsum(x, axis=1),
        "nan": mg.nan_to_num,
        "round": lambda x: mg.round(x) + x,
    }[name]
    compiled, x = mg.compile(function, backend=backend), mg.Tensor(np.array(SPECIAL, F), None, True)
    with np.errstate(all="ignore"):
        for _ in range(3):
            value, expected = compiled(x), function(x)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-6)
        (found,), (wanted,) = (mg.gradients(y.sum(), [x]) for y in (value, expected))
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-6)


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_neither_underflow_nor_overflow(scale, backend):
    compiled = mg.compile(lambda x: mg.norm(x, axis=1), backend=backend)
    x = (numbers(3, 4) * scale).astype(F)
    for _ in range(3):
        found = compiled(x)
    np.testing.assert_allclose(found.numpy(), np.linalg.norm(x.astype(float), axis=1), rtol=1e-6)


READERS = {
    "rows": lambda x, k: x[k],
    "pairs": lambda x, k: x[k, k],
    "one of each": lambda x, k: x[np.arange(2), k],
    "take": lambda x, k: mg.take(x, k, axis=0),
    "take_along_axis": lambda x, k: mg.take_along_axis(x, k[:, None], axis=0),
    "embedding": lambda x, k: mg.embedding(x, k),
    "one_hot": lambda x, k: mg.one_hot(k, 3) + x[:2],
}


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("name", READERS)
def test_an_index_out_of_bounds_is_the_error_that_it_is_without(name, backend):
    function = READERS[name]
    compiled, x = mg.compile(function, backend=backend), mg.Tensor(numbers(3, 3))
    for _ in range(3):
        compiled(x, np.array([1, 2]))
    for wrong in ([1, 3], [-4, 0], [10**12, 0]):
        with pytest.raises(IndexError) as expected:
            function(x, np.array(wrong))
        with pytest.raises(IndexError) as found:
            compiled(x, np.array(wrong))
        assert str(found.value) == str(expected.value)
    np.testing.assert_array_equal(
        compiled(x, np.array([2, 0])).numpy(), function(x, np.array([2, 0])).numpy()
    )


def steps(x, u, k, kind):
    h = np.zeros((5, 6), F) + 0.1
    for t in range(12):
        z = x[t % 5] + h @ u
        if kind == "clip":
            h = mg.clip(z, -1, 1)
        elif kind == "logsumexp":
            h = mg.logsumexp(z[:, :, None] + u, axis=1) * 0.1
        elif kind == "norm":
            h = z / mg.norm(z, axis=1, keepdims=True)
        elif kind == "roll":
            h = mg.tanh(0.5 * z + 0.5 * mg.roll(h, 1, axis=1))
        elif kind == "pad":
            h = mg.tanh(z + mg.pad(h[:, :-1], ((0, 0), (1, 0))))
        elif kind == "embedding":
            h = mg.tanh(z + u[k[:, t % 6]])
        elif kind == "own choice":
            h = mg.tanh(z + u[mg.argmax(z, axis=1)])
    return (h**2).sum()


@pytest.mark.parametrize(
    "kind", ["clip", "logsumexp", "norm", "roll", "pad", "embedding", "own choice"]
)
def test_steps_with_them_are_a_native_loop(kind):
    def function(x, u, k):
        return steps(x, u, k, kind)

    compiled = mg.compile(function)
    x, u = mg.Tensor(numbers(5, 5, 6), None, True), mg.Tensor(numbers(6, 6) * F(0.3), None, True)
    for seed in range(3):
        k = integers(seed, 5, 6)
        value, expected = compiled(x, u, k), function(x, u, k)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-4)
        pairs = zip(mg.gradients(value, [x, u]), mg.gradients(expected, [x, u]), strict=True)
        for found, wanted in pairs:
            np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-3, atol=1e-4)
    (program,) = compiled.programs
    assert program.unknown == ""
    assert any(value.op == "loop" for graph in program.graphs for value in graph.values)
    if backends.default_backend() is not plain:
        assert all(isinstance(built, NativeProgram) for built in program.built)


@pytest.mark.parametrize("backend", [None, "plain"])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 17, 64, 65, 100])
def test_the_largest_along_an_axis_that_others_follow(length, backend):
    def function(x):
        turned = x.swapaxes(1, 2)
        largest = mg.max(x, axis=0) + mg.min(x, axis=0) + mg.argmax(x, axis=0)
        return largest, mg.max(turned, axis=(0, 1)), mg.max(turned, axis=(0, 2)), mg.softmax(x, 0)

    compiled, x = mg.compile(function, backend=backend), numbers(length, 3, 4)
    x[-1, 0, 0], x[0, 1, 1], x[length // 2, 2] = 9, np.nan, -np.inf
    for _ in range(3):
        found = compiled(x)
    for one, other in zip(found, function(mg.Tensor(x)), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5)


def test_it_is_found_by_passes_over_rows_not_along_columns():
    compiled = mg.compile(lambda x: mg.max(x, axis=0))
    compiled(numbers(512, 8))
    (graph,) = compiled.programs[0].graphs
    assert {value.op for value in graph.values} == {"maximum", "copy"}
