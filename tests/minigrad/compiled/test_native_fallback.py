"""What native code does not know runs by NumPy calls, and is told; what it should know does not."""

import numpy as np
import pytest

import layers
import minigrad as mg
from minigrad.compiled import backends, plain
from minigrad.compiled.graph import Unsupported
from minigrad.compiled.plain import PlainProgram

F = np.float32


def tokens(*shape):
    return np.random.default_rng(0).integers(0, 9, shape)


def numbers(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(F)


def language_model(kind):
    """A loss that cuts inputs and targets out of one array of tokens, as most are written."""
    mg.seed(0)
    table, readout = layers.Embedding(9, 6), layers.Linear(6, 9)

    def loss(_, token_ids):
        if kind == "joined":
            token_ids = np.concatenate([token_ids, token_ids + 0], axis=1)
        if kind == "turned":
            token_ids = token_ids.T
        step = -1 if kind == "backwards" else 1
        inputs, targets = token_ids[:, :-1][:, ::step], token_ids[:, 1:][:, ::step]
        return mg.cross_entropy(readout(table(inputs)), targets)

    return loss, [*table.parameters(), *readout.parameters()]


def pooled(x, _):
    return (layers.MaxPool1d(2)(x[:, None])[:, :, ::2] ** 2).sum()


def chosen_of_a_product(x, token_ids):  # NumPy chooses, between two products
    return ((x @ x.T)[token_ids[:, 0], token_ids[:, 1]] ** 2).sum()


CASES = {
    **{kind: language_model(kind) for kind in ("cut", "joined", "turned", "backwards")},
    "pooled": (pooled, []),
    "chosen of a product": (chosen_of_a_product, []),
}


@pytest.mark.parametrize("case", CASES)
def test_reads_of_parts_are_native(case):
    function, weights = CASES[case]
    compiled, x = mg.compile(function), mg.Tensor(numbers(9, 8), requires_grad=True)
    for seed in range(3):
        token_ids = np.roll(tokens(9, 4), seed)
        results = []
        for run in (compiled, function):
            value = run(x, token_ids) + (x * 0).sum()
            results.append([value, *mg.gradients(value, [x, *weights])])
        for one, other in zip(*results, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
    (program,) = compiled.programs
    assert program.unknown == ""
    if backends.default_backend() is not plain:
        assert not any(isinstance(built, PlainProgram) for built in program.built)


class Picky:
    """A back end that knows no products."""

    LIFTS = True

    @staticmethod
    def build(graph):
        if any(value.op == "matmul" for value in graph.values):
            raise Unsupported("products of this kind")
        return backends.default_backend().build(graph)


def two_results(x, w):
    y = mg.tanh(x @ w)
    return y.sum(), (y * x.sum()).mean(), mg.exp(x).sum()


def test_numpy_runs_what_a_back_end_does_not_know_and_it_is_told_once():
    compiled = mg.compile(two_results, backend=Picky())
    given = [mg.Tensor(numbers(4, 3), requires_grad=True), mg.Tensor(numbers(3, 5), None, True)]
    with pytest.warns(mg.CompileWarning, match="two_results runs by NumPy calls: the back end does "
                      "not know products of this kind") as told:  # fmt: skip
        compiled(*given)
    assert len(told) == 1
    for used in ([0], [1], [2], [0, 2], [0, 1, 2]):  # each set has a backward program of its own
        slopes = []
        for function in (compiled, two_results):
            results = function(*given)
            slopes.append(mg.gradients(sum(results[i] for i in used) + given[1].sum(), given))
        for one, other in zip(*slopes, strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
    (program,) = compiled.programs
    assert program.unknown == "products of this kind"
    assert any(isinstance(built, PlainProgram) for built in program.built)
    assert "matmul" in str(compiled.lowered(*given))


def rows_of_all_kinds():
    x = numbers(10, 6)
    x[0], x[1], x[2, ::2], x[3] = 0, -np.inf, -np.inf, 1e-30
    x[4], x[5], x[6, 1], x[7, 2], x[8] = 1e30, 1, np.inf, np.nan, 40
    return x


SPELT_OUT = {
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "clip from below": lambda x: np.clip(x, 0, None),
    "clip by arrays": lambda x: np.clip(x, np.linspace(-1, 0, 6, dtype=F), x * x + 0.25),
    "standard deviation": lambda x: np.std(x, axis=1, ddof=1),
    "variance": lambda x: np.var(x, axis=-1, keepdims=True),
    "logsumexp": lambda x: mg.logsumexp(x, axis=1),
    "logsumexp of columns": lambda x: mg.logsumexp(x[2:3].T, axis=0, keepdims=True),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "norm of sizes": lambda x: np.linalg.norm(x, 1, axis=-1, keepdims=True),
    "lower triangle": lambda x: np.tril(x[:6], -1),
    "upper triangle": lambda x: np.triu(x.reshape(2, 5, 6)),
    "outer product": lambda x: np.outer(x[5], x[9]),
}


@pytest.mark.parametrize("case", SPELT_OUT)
@pytest.mark.parametrize("backend", ["plain", "default"])
def test_ordinary_operations_are_spelt_out(case, backend):
    function = SPELT_OUT[case]

    def both(x):
        y = function(x)
        return y, (y * np.tanh(y)).sum()

    chosen = plain if backend == "plain" else backends.default_backend()
    compiled = mg.compile(both, backend=chosen)
    with np.errstate(all="ignore"):
        for values in (numbers(10, 6), rows_of_all_kinds()) * 2:
            found = []
            for run in (compiled, both):
                x = mg.Tensor(values, requires_grad=True)
                y, total = run(x)
                total.backward()
                found.append((y.numpy(), x.grad.numpy()))
            (one, slope), (other, expected) = found
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)
        lines = str(compiled.lowered(x)).splitlines()
    assert not any("= call(" in line for line in lines)
    assert compiled.refusals == []
