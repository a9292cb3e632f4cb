"""Operations along rows as native code: what they compute, and when it is used."""

import threading
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled.llvm import by_rows
from minigrad.ops import natives


@pytest.fixture(autouse=True, scope="module")
def of_every_length():
    """Kernels for rows of all lengths."""
    with mock.patch.object(natives, "STEP", 1):
        yield


TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}


def cross_entropy(x, *_, **options):
    target = np.arange(x.size // x.shape[-1]).reshape(x.shape[:-1]) % x.shape[-1]
    return mg.cross_entropy(x, target, reduction="none", **options)


OPERATIONS = {
    "softmax": lambda x, *_: mg.softmax(x, axis=-1),
    "softmax of the last": lambda x, *_: mg.softmax(x, axis=x.ndim - 1),
    "log_softmax": lambda x, *_: mg.log_softmax(x, axis=-1),
    "cross_entropy": cross_entropy,
    "smoothed": lambda x, *_: cross_entropy(x, label_smoothing=0.1),
    "layer_norm": lambda x, w, b: mg.layer_norm(x, w, b),
    "layer_norm alone": lambda x, *_: mg.layer_norm(x, eps=1e-3),
    "rms_norm": lambda x, w, _: mg.rms_norm(x, w),
    "rms_norm alone": lambda x, *_: mg.rms_norm(x, eps=1e-3),
}


ELEMENTWISE = {
    "gelu": lambda x: mg.gelu(x),
    "gelu by tanh": lambda x: mg.gelu(x, approximate="tanh"),
}


def results(name, arrays, natively):
    """The output and the gradients of those that were used."""
    worth, compiling = (1, "1") if natively else (10**9, "0")
    with (
        mock.patch.object(natives, "WORTH_ROWS", worth),
        mock.patch.dict("os.environ", MINIGRAD_COMPILE=compiling),
    ):
        leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
        y = (OPERATIONS | ELEMENTWISE)[name](*leaves)
        weights = np.random.default_rng(6).standard_normal(y.shape).astype(y.dtype)
        y.backward(weights)
    return [y.numpy(), *(leaf.grad.numpy() for leaf in leaves if leaf.grad is not None)]


def inputs(lead, length, dtype, spread=1.0):
    rng = np.random.default_rng(length)
    shapes = ((*lead, length), (length,), (length,))
    return [(spread * rng.standard_normal(shape)).astype(dtype) for shape in shapes]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        bound = TOLERANCE[one.dtype] * max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=0, atol=bound)


@given(
    name=st.sampled_from(sorted(OPERATIONS)),
    lead=st.sampled_from([(1,), (2,), (63,), (65,), (2, 3), (3, 1, 2)]),
    length=st.sampled_from([2, 3, 16, 33, 513]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_it_is_what_numpy_computes(name, lead, length, dtype):
    arrays = inputs(lead, length, dtype)
    assert_same(results(name, arrays, True), results(name, arrays, False))


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elements_are_what_numpy_computes(name, dtype):
    x = np.linspace(-15, 15, 5 * 64).astype(dtype).reshape(2, 10, 16)
    x[0, 0, :4] = np.inf, -np.inf, np.nan, -0.0
    with mock.patch.object(by_rows, "_kernel", wraps=by_rows._kernel) as kernel:
        found = results(name, [x], True)
    made = [by_rows._kernel(*call.args) for call in kernel.call_args_list]
    exact_of_float64 = name == "gelu" and dtype is np.float64  # needs erfc
    assert [kernel is None for kernel in made] == [exact_of_float64] * 2
    for one, other in zip(found, results(name, [x], False), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[one.dtype])


def test_elements_that_fill_no_row_are_left_to_numpy():
    x = np.ones((3, 63), np.float32)
    with (
        mock.patch.object(natives, "WORTH_ROWS", 1),
        mock.patch.object(by_rows, "_kernel", side_effect=AssertionError),
    ):
        np.testing.assert_allclose(mg.gelu(x).numpy(), 0.8413447, rtol=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_kernels_are_used(name):
    with mock.patch.object(by_rows, "_kernel", wraps=by_rows._kernel) as kernel:
        results(name, inputs((5,), 32, np.float32), True)
    asked = {call.args[0] for call in kernel.call_args_list}
    assert asked
    assert all(by_rows._kernel(*call.args) is not None for call in kernel.call_args_list)
    wanted = {"cross_entropy": {"partition", "shares"}, "smoothed": {"log_partition"}}
    assert asked == wanted.get(name, asked)
    assert name in wanted or any(one.endswith("_gradient") for one in asked)


@pytest.mark.parametrize("name", OPERATIONS)
def test_small_arrays_are_left_to_numpy(name):
    leaves = [mg.Tensor(a, requires_grad=True) for a in inputs((31,), 32, np.float32)]
    with mock.patch.object(by_rows, "_kernel", side_effect=AssertionError):
        OPERATIONS[name](*leaves).sum().backward()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cross_entropy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_scores_and_nan(name, dtype):
    arrays = inputs((8,), 33, dtype)
    x = arrays[0]
    x[0, 5] = -np.inf
    x[1] = -np.inf
    x[2, 3] = x[2, 9] = np.inf
    x[3, 32] = np.nan
    x[4] = 1e30
    x[5, 0] = 88 * 2 if dtype == np.float32 else 709 * 2
    found, expected = (results(name, arrays, natively) for natively in (True, False))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[one.dtype] * 10)


def test_small_probabilities_are_not_flushed():
    x = np.zeros((4, 16), np.float32)
    x[:, 0] = 95.0
    (found, _), (expected, _) = (results("softmax", [x], natively) for natively in (True, False))
    assert 0 < expected[0, 1] < np.finfo(np.float32).tiny
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_rows_that_do_not_lie_side_by_side():
    x = inputs((40,), 24, np.float32)[0].T
    assert_same(results("softmax", [x], True), results("softmax", [x], False))


@pytest.mark.parametrize(
    ("length", "native"), [(64, True), (100, False), (4096, True), (4100, True), (4030, False)]
)
def test_lengths_that_change_are_left_to_numpy(length, native):
    with (
        mock.patch.object(natives, "WORTH_ROWS", 1),
        mock.patch.object(natives, "STEP", 64),
        mock.patch.object(by_rows, "_kernel", return_value=None) as kernel,
    ):
        mg.softmax(np.zeros((2, length)))
    assert kernel.called == native


@pytest.mark.parametrize("axis", [0, (0, 1), None])
def test_other_axes_are_left_to_numpy(axis):
    x = inputs((9,), 24, np.float64)[0]
    with (
        mock.patch.object(natives, "WORTH_ROWS", 1),
        mock.patch.object(by_rows, "_kernel", side_effect=AssertionError),
    ):
        found = mg.softmax(x, axis=axis).numpy()
    np.testing.assert_allclose(found.sum(axis=axis), 1.0)


def test_float16_is_left_to_numpy():
    x = inputs((9,), 24, np.float16)[0]
    with mock.patch.object(natives, "WORTH_ROWS", 1):
        assert mg.softmax(x).dtype == np.float16


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("threads", ["2", "3"])
def test_threads_make_no_difference(name, threads, monkeypatch):
    monkeypatch.setattr(by_rows, "_WORTH_THREADS", 1)
    arrays = inputs((37,), 33, np.float32)
    alone = results(name, arrays, True)
    monkeypatch.setenv("MINIGRAD_THREADS", threads)
    for one, other in zip(results(name, arrays, True), alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_of_the_user_may_call_it_at_once():
    arrays = inputs((50,), 48, np.float32)
    expected = mg.softmax(arrays[0]).numpy()
    found = []

    def work():
        found.extend(mg.softmax(arrays[0]).numpy() for _ in range(20))

    with mock.patch.object(natives, "WORTH_ROWS", 1):
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(found) == 60
    for one in found:
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "rms_norm", "log_softmax"])
def test_second_order(name):
    found = []
    for worth in (1, 10**9):
        with mock.patch.object(natives, "WORTH_ROWS", worth):
            leaves = [mg.Tensor(a, requires_grad=True) for a in inputs((7,), 18, np.float64)]
            y = OPERATIONS[name](*leaves)
            (grad,) = mg.gradients((y**3).sum(), [leaves[0]], create_graph=True)
            (grad**2).sum().backward()
            found.append([leaves[0].grad.numpy()])
    assert_same(*found)


def test_a_kernel_is_built_while_nobody_looks_on():
    """Also when the first call of its kind is one that is traced."""
    by_rows._kernel.cache_clear()
    arrays = inputs((6,), 29, np.float32)
    with mock.patch.object(natives, "WORTH_ROWS", 1):
        compiled = mg.compile(lambda x: mg.softmax(x * 2).sum(axis=0))
        leaf = mg.Tensor(arrays[0], requires_grad=True)
        first = compiled(leaf).numpy()
        np.testing.assert_allclose(compiled(leaf).numpy(), first, rtol=1e-5)
    assert compiled.refusals == []
