"""The public contract of Tensor: dtypes, detaching, backward, and the errors that guard them."""

import math
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg


@given(
    hnp.arrays(
        st.sampled_from(
            [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]
        ),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
def test_arrays_keep_their_dtype_and_are_copied(array):
    tensor = mg.Tensor(array)
    assert tensor.dtype == array.dtype
    assert tensor.shape == array.shape
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert not np.shares_memory(tensor.numpy(), array)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.0, 2.0], "float32"),
        ([[1, 2.5]], "float32"),
        (3, "int64"),
        ([True, False], "bool"),
        (np.float64(1.5), "float64"),
        ([np.float64(1.5)], "float64"),
        ([np.zeros(2), np.ones(2)], "float64"),
        (np.float32(1.5), "float32"),
        (1j, "complex128"),
    ],
)
def test_dtypes_of_data(data, dtype):
    assert mg.Tensor(data).dtype == dtype


def test_default_dtype_is_settable_and_restored():
    with mg.default_dtype("float64"):
        assert mg.Tensor(1.0).dtype == np.float64
    assert mg.Tensor(1.0).dtype == np.float32
    assert mg.tensor is mg.Tensor
    with pytest.raises(mg.DtypeError, match="must be floating"):
        mg.set_default_dtype(int)


def test_python_numbers_are_weak_and_arrays_promote_as_in_numpy():
    single = mg.Tensor([1.0], requires_grad=True)
    assert (single * 2.0 + 1).dtype == np.float32
    assert (single * np.float64(2)).dtype == np.float64
    assert (single * np.array([2.0])).dtype == np.float64
    (single * np.array([2.0])).sum().backward()
    assert single.grad.dtype == np.float32
    double = mg.Tensor([1.0], dtype="float64")
    numbers = [0.1]
    assert (double + numbers).item() == 1.0 + 0.1


def leaf(value=1.5):
    return mg.Tensor(value, dtype="float64", requires_grad=True)


@pytest.mark.parametrize(
    ("detach", "raised"),
    [
        (lambda t: np.asarray(t), mg.DetachError),
        (lambda t: np.array([t, t]), mg.DetachError),
        (lambda t: np.asarray(t[None], dtype="float32"), mg.DetachError),
        (float, mg.DetachError),
        (int, mg.DetachError),
        (complex, mg.DetachError),
        (np.float64, mg.DetachError),
        (math.exp, mg.DetachError),
        (math.sqrt, mg.DetachError),
        (math.floor, mg.DetachError),
        (lambda t: [1, 2][t], mg.DetachError),
        (range, mg.DetachError),
        (lambda t: mg.Tensor([t, t]), mg.DetachError),
    ],
)
def test_nothing_detaches_silently(detach, raised):
    with pytest.raises(raised):
        detach(leaf())


@pytest.mark.parametrize("convert", [np.asarray, float, int, complex, lambda t: [1][t]])
def test_the_error_names_the_ways_out(convert):
    with pytest.raises(mg.DetachError, match=r"t\.item\(\), t\.detach\(\) or t\.numpy\(\)"):
        convert(leaf())


def test_writing_into_a_numpy_buffer_is_refused():
    buffer = np.zeros(2)
    with pytest.raises(ValueError, match="setting an array element") as info:
        buffer[0] = leaf()
    assert isinstance(info.value.__cause__, mg.DetachError)
    with pytest.raises(mg.DetachError):
        buffer[:] = mg.Tensor([1.0, 2.0], requires_grad=True)
    assert not buffer.any()


def test_tensors_without_grad_convert_freely():
    t = mg.Tensor(2.0)
    assert (float(t), int(t), complex(t)) == (2.0, 2, 2 + 0j)
    assert [5, 6, 7][mg.Tensor(1)] == 6
    assert np.asarray(mg.Tensor([1.0])).dtype == np.float32


def test_explicit_ways_out():
    t = leaf([1.0, 2.0])
    view = t.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    assert not t.detach().requires_grad
    assert t[1].item() == 2.0
    assert t.tolist() == [1.0, 2.0]
    with pytest.raises(mg.ShapeError, match=r"one element, got f64\[2\]"):
        t.item()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "Pass dtype='float32'"),
        (True, "needs a floating dtype, got bool"),
        (1j, "real and the imaginary part"),
    ],
)
def test_only_floats_require_grad(data, message):
    with pytest.raises(mg.DtypeError, match=message):
        mg.Tensor(data, requires_grad=True)


@pytest.mark.parametrize("data", ["text", ["a", "b"], [None], object(), [[1], [2, 3]], {"a": 1}])
def test_what_is_not_numbers_is_refused(data):
    with pytest.raises(mg.DtypeError, match="data: "):
        mg.Tensor(data)


def test_complex_numbers_pass_while_nothing_requires_grad():
    assert (mg.Tensor(1j) * 2.0).dtype == np.complex128
    assert np.exp(mg.Tensor(1 + 1j)).dtype == np.complex128
    with pytest.raises(mg.DtypeError, match="Complex numbers are supported only while nothing"):
        leaf() * 1j


def test_backward_without_gradient_needs_one_element():
    x = leaf([1.0, 2.0])
    with pytest.raises(mg.GradientError, match=r"gradient= of shape \(2,\)"):
        (x * 2).backward()
    (x * 2).backward([1.0, 10.0])
    np.testing.assert_array_equal(x.grad.numpy(), [2, 20])
    with pytest.raises(mg.ShapeError, match=r"\(2,\), got \(3,\)"):
        (x * 2).backward(np.ones(3))


def test_backward_of_what_requires_no_grad():
    with pytest.raises(mg.GradientError, match="does not require grad"):
        mg.Tensor(1.0).backward()


def test_a_second_backward_on_a_freed_graph():
    x = leaf()
    y = x * x
    y.backward()
    with pytest.raises(mg.GradientError, match="retain_graph=True"):
        y.backward()
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 9.0


def test_the_gradient_is_a_tensor_of_the_leafs_kind_and_can_be_set():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    assert x.grad is None
    (x * np.array([2.0, 3.0])).sum().backward()
    assert isinstance(x.grad, mg.Tensor)
    assert x.grad.dtype == np.float32
    x.grad *= 2
    np.testing.assert_array_equal(x.grad.numpy(), [4, 6])
    with pytest.raises(mg.ShapeError, match=r"f32\[2\], got f32\[3\]"):
        x.grad = np.zeros(3)
    x.grad = None
    assert x.grad is None


def test_a_callers_array_may_change_after_backward():
    x = leaf([1.0, 2.0])
    seed = np.ones(2)
    (x + 0.0).backward(seed)
    seed[:] = 7
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])


def test_truth_value_length_and_iteration():
    t = leaf([1.0, 2.0])
    assert len(t) == 2
    assert [v.item() for v in t] == [1.0, 2.0]
    assert all(v.requires_grad for v in t)
    assert bool(t[0] > 0)
    with pytest.raises(mg.ShapeError, match="ambiguous"):
        bool(t > 0)
    with pytest.raises(TypeError, match="without axes"):
        len(t[0])
    with pytest.raises(TypeError, match="without axes"):
        iter(t[0])


def test_repr_is_short():
    assert repr(leaf([1.0, 2.0])) == "Tensor([1., 2.], f64[2], requires_grad)"
    assert repr(mg.Tensor(np.zeros((30, 40), np.float32))) == "Tensor(f32[30, 40])"
    assert f"{mg.Tensor(1.23456):.2f}" == "1.23"


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.fft.fft(t),
        lambda t: np.add(t, t, out=np.zeros(2)),
        lambda t: np.add.reduceat(t, [0]),
        lambda t: np.add(t, t, where=np.array([True, False])),
        lambda t: np.histogram(t),
    ],
)
def test_numpy_functions_that_are_not_known_are_refused_by_name(call):
    with pytest.raises(mg.DtypeError, match=r"np\."):
        call(leaf([1.0, 2.0]))


def test_an_error_names_operation_module_step_and_arguments():
    x, w = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    with (
        mg.scope("model"),
        mg.scope("head"),
        mg.step(4),
        pytest.raises(mg.ShapeError, match=r"matmul in model\.head, step 4: .*x1: f64\[2, 3\]"),
    ):
        x @ w


def test_no_module_is_named_like_a_public_function():
    modules = {m.name for m in pkgutil.iter_modules(mg.__path__)}
    functions = {n for n in mg.__all__ if callable(getattr(mg, n))}
    assert not modules & functions


def test_requiring_grad_is_switched_in_place():
    t = mg.Tensor([1.0, 2.0])
    t.requires_grad = True
    t.name = "t"
    assert t.requires_grad_() is t
    assert t.name == "t"  # the same leaf
    y = t * t
    assert y.requires_grad_() is y
    with pytest.raises(mg.GradientError, match=r"computed by multiply .*t\.detach\(\)"):
        y.requires_grad = False
    y.sum().backward()
    assert t.grad.tolist() == [2, 4]
    t.requires_grad = False
    assert (t.requires_grad, t.grad, t.name, (t * t).requires_grad) == (False, None, None, False)


def test_a_part_that_requires_grad_is_a_value_of_its_own():
    rows = mg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    row = rows[0].requires_grad_()
    with mg.no_grad():
        row[0] = 9.0
    assert row.tolist() == [9, 2]
    assert rows.tolist() == [[1, 2], [3, 4]]


def test_a_gradient_of_another_dtype_is_cast_to_that_of_the_tensor():
    x = mg.Tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    (x * x).backward(mg.Tensor(np.array([1.0, 10.0])))
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2, 40]
