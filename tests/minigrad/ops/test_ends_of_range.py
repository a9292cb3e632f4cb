"""Gradients at infinities, at ties, and at the ends of what floats hold: those of the policy."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops

DTYPES = [np.float16, np.float32, np.float64]
INF, NAN = math.inf, math.nan


def gradients(function, *inputs, dtype=np.float64, seed=1.0):
    """The gradients of a function by all its inputs, each a list."""
    tensors = [mg.Tensor(np.array(x, dtype), requires_grad=True) for x in inputs]
    with np.errstate(all="ignore"):
        y = function(*tensors)
        y.backward(np.full(y.shape, seed, y.dtype))
    return [t.grad.numpy().tolist() for t in tensors]


# Numbers that every dtype holds exactly: what is documented has to come out to the last bit.
CONVENTIONS = {
    "absolute": (ops.absolute, [[0.0, -0.0, -INF, INF]], [[0, 0, -1, 1]]),
    "relu": (ops.relu, [[0.0, -0.0, -INF, INF, NAN]], [[0, 0, 0, 1, 1]]),
    "max at ties": (ops.max, [[1.0, 1.0, -INF, 0.0]], [[0.5, 0.5, 0, 0]]),
    "min at infinities": (ops.min, [[-INF, -INF, 0.0]], [[0.5, 0.5, 0]]),
    "maximum at ties": (ops.maximum, [[1.0, INF], [1.0, INF]], [[0.5, 0.5]] * 2),
    "where": (lambda x: ops.where([True, False], x, 0.0), [[2.0, INF]], [[1, 0]]),
    "sqrt": (ops.sqrt, [[0.0, 4.0, INF]], [[INF, 0.25, 0]]),
    "log": (ops.log, [[0.0, 4.0, INF, -4.0]], [[INF, 0.25, 0, -0.25]]),
    "x ** 0": (lambda x: x**0, [[0.0, 2.0, INF]], [[0, 0, 0]]),
    "power at 0": (ops.power, [[0.0, 0.0], [0.0, 2.0]], [[0, 0], [0, 0]]),
    "xlogy at 0": (ops.xlogy, [[0.0, 0.0], [0.0, -1.0]], [[0, 0], [0, 0]]),
    "norm at 0": (ops.norm, [[0.0, 0.0]], [[0, 0]]),
    "hypot at 0": (ops.hypot, [[0.0], [0.0]], [[0], [0]]),
    "arctan2 at 0": (ops.arctan2, [[0.0], [0.0]], [[0], [0]]),
    "arctan2 at infinities": (ops.arctan2, [[INF, 1.0, INF], [1.0, -INF, INF]], [[0, 0, 0]] * 2),
    "std of a constant": (ops.std, [[2.0, 2.0]], [[0, 0]]),
    "var of a constant": (ops.var, [[2.0, 2.0]], [[0, 0]]),
    "logsumexp": (ops.logsumexp, [[0.0, -INF, 0.0]], [[0.5, 0, 0.5]]),
    "logsumexp of impossible ones": (ops.logsumexp, [[-INF, -INF]], [[0, 0]]),
    "logsumexp of certain ones": (ops.logsumexp, [[INF, 0.0, INF]], [[0.5, 0, 0.5]]),
    "logaddexp": (ops.logaddexp, [[INF, -INF, INF], [INF, -INF, 0.0]], [[0.5, 0, 1], [0.5, 0, 0]]),
    "softmax": (lambda x: ops.softmax(x)[..., :1], [[0.0, -INF, 0.0]], [[0.25, 0, -0.25]]),
    "softmax of impossible ones": (lambda x: ops.softmax(x)[:1], [[-INF, -INF]], [[0, 0]]),
    "cross entropy": (lambda x: ops.cross_entropy(x, 0), [[0.0, -INF, 0.0]], [[-0.5, 0, 0.5]]),
    "tanh": (ops.tanh, [[-INF, INF]], [[0, 0]]),
    "sigmoid": (ops.sigmoid, [[-INF, INF]], [[0, 0]]),
    "softplus": (ops.softplus, [[-INF, INF]], [[0, 1]]),
    "log_sigmoid": (ops.log_sigmoid, [[-INF, INF]], [[1, 0]]),
    "expm1": (ops.expm1, [[-INF, 0.0]], [[0, 1]]),
    "log1p": (ops.log1p, [[-1.0, 0.0, INF]], [[INF, 1, 0]]),
    "0 / 0": (ops.divide, [[0.0], [0.0]], [[INF], [NAN]]),
    "1 / inf": (ops.divide, [[1.0], [INF]], [[0], [0]]),
    "prod": (ops.prod, [[0.0, 2.0, 0.0]], [[0, 0, 0]]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_conventions_hold_exactly(name, dtype):
    function, inputs, expected = CONVENTIONS[name]
    found = gradients(function, *inputs, dtype=dtype)
    for mine, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "log_sigmoid", "silu", "gelu"])
def test_activations_of_the_largest_numbers_have_slopes_0_and_1(name, dtype):
    most = float(np.finfo(dtype).max)
    (slopes,) = gradients(getattr(ops, name), [-most, most], dtype=dtype)
    ends = {"tanh": [0, 0], "sigmoid": [0, 0], "log_sigmoid": [1, 0]}
    assert slopes == ends.get(name, [0, 1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", ["tiny", "max"])
@pytest.mark.parametrize("p", [0.5, 2, 3, 7.5, -1, -3])
def test_norms_of_all_orders_at_the_ends_of_the_range(p, size, dtype):
    scale = float(getattr(np.finfo(dtype), size)) * (1 if size == "tiny" else 2.0**-6)
    row = np.array([1.0, 2.0, 4.0])
    norm = lambda x: ops.norm(x, ord=p)  # noqa: E731 - of one row
    with np.errstate(all="ignore"):
        value = norm(mg.Tensor((row * scale).astype(dtype))).item() / scale
    true = float((row**p).sum() ** (1 / p))
    np.testing.assert_allclose(value, true, rtol=8 * float(np.finfo(dtype).eps))
    (found,) = gradients(norm, row * scale, dtype=dtype)
    np.testing.assert_allclose(found, (row / true) ** (p - 1), rtol=40 * float(np.finfo(dtype).eps))


def test_quotients_whose_derivative_is_of_ordinary_size_do_not_overflow():
    # -g x1 / x2 ** 2 is 1e-10 g; of g = 1e300 and the quotient 1e95, the product would overflow.
    _, (slope,) = gradients(ops.divide, [1e200], [1e105], seed=1e300)
    np.testing.assert_allclose(slope, -1e290, rtol=1e-14)


def test_products_whose_value_is_subnormal_keep_the_digits_of_their_gradients():
    x = [1e-160, 1e-160, 7e-4]  # their product has two digits left
    (found,) = gradients(lambda x: ops.prod(x), x)
    np.testing.assert_allclose(found, [7e-164, 7e-164, 1e-320], rtol=1e-14, atol=5e-324)
    (found,) = gradients(lambda x: ops.cumprod(x)[1:], [1e-160, 1e-160, 7.0])
    np.testing.assert_allclose(found, [8e-160, 8e-160, 1e-320], rtol=1e-14, atol=5e-324)


def test_cumulative_products_of_small_gradients_do_not_vanish():
    x = mg.Tensor(np.array([2.0, 1e-200]), requires_grad=True)
    ops.cumprod(x).backward(np.array([0.0, 1e-200]))
    np.testing.assert_allclose(x.grad.tolist(), [0.0, 2e-200], rtol=1e-15)


def test_rms_norm_of_large_numbers_has_the_gradient_of_small_ones():
    row = np.array([3.0, 4.0, -1.0])
    weights = np.array([1.0, -2.0, 0.5])
    (small,) = gradients(lambda x: ops.rms_norm(x, eps=0.0) * weights, row)
    large = mg.Tensor((row * 2.0**50).astype(np.float32), requires_grad=True)
    (ops.rms_norm(large, eps=0.0) * weights.astype(np.float32)).sum().backward()
    np.testing.assert_allclose(large.grad.numpy() * 2.0**50, small, rtol=1e-6)


def test_rms_norm_in_native_code_has_the_same_gradient_at_large_numbers():
    x = np.random.default_rng(0).normal(size=(1024, 64))
    found = []
    for dtype, scale in ((np.float32, 2.0**50), (np.float64, 1.0)):
        leaf = mg.Tensor((x * scale).astype(dtype), requires_grad=True)
        weights = np.cos(np.arange(64)).astype(dtype)
        (ops.rms_norm(leaf, eps=0.0) * weights).sum().backward()
        found.append(leaf.grad.numpy() * scale)
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_std_of_large_numbers_passes_small_gradients_on():
    x = mg.Tensor(np.array([3e18, 5e18], np.float32), requires_grad=True)
    ops.std(x).backward(np.float32(1e-36))
    np.testing.assert_allclose(x.grad.tolist(), [-5e-37, 5e-37], rtol=1e-6)


def test_compiled_programs_look_for_zeros_at_every_call(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_CACHE", str(tmp_path))
    edges = {
        "xlogy": (ops.xlogy, [[2.0, 3.0], [1.0, 4.0]], [[0.0, 3.0], [0.0, 4.0]]),
        "xlog1py": (ops.xlog1py, [[2.0, 3.0], [1.0, 4.0]], [[0.0, 3.0], [-1.0, 4.0]]),
        "logit": (lambda x: ops.logit(x, eps=0.1), [[0.5, 0.25]], [[0.01, 0.25]]),
    }
    for function, ordinary, special in edges.values():
        compiled = mg.compile(function)
        for _ in range(2):
            gradients(compiled, *ordinary)
        assert gradients(compiled, *special) == gradients(function, *special)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sinc_of_the_largest_number_is_0_nearly(dtype):
    limits = np.finfo(dtype)
    x = mg.Tensor(np.array([-limits.max, limits.max], dtype), requires_grad=True)
    y = ops.sinc(x)
    y.sum().backward()
    assert (np.abs(y.numpy()) <= limits.tiny).all()
    assert (np.abs(x.grad.numpy()) <= 4 * limits.tiny).all()


def test_powers_of_subnormal_halves_have_finite_derivatives():
    x = np.array([2.0**-24, 2.0**-20], np.float16)
    slope, _ = gradients(ops.power, x, [2.0**-20, 0.5], dtype=np.float16)
    np.testing.assert_allclose(slope, [2.0**4, 2.0**9], rtol=2e-3)
    (slope,) = gradients(lambda x: x**0.25, x[:1], dtype=np.float16)
    np.testing.assert_allclose(slope, [INF])  # 2 ** 16 is more than float16 holds
    (slope,) = gradients(lambda x: x**0.01, x[:1], dtype=np.float16)
    np.testing.assert_allclose(slope, [INF])
    (slope,) = gradients(lambda x: x**1e-4, x[:1], dtype=np.float16)
    np.testing.assert_allclose(slope, [1e-4 * 2.0**24], rtol=2e-3)
