import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import ShapeError, Tensor
from minigrad.testing import Input, check_gradients, property_test
from minigrad.testing.strategies import shapes


def axis_of(arrays):
    ndim = arrays[0].ndim
    one = [st.integers(-ndim, ndim - 1)] if ndim else []
    return st.fixed_dictionaries({"axis": st.one_of(st.none(), *one)})


def one_axis(arrays):
    return st.fixed_dictionaries({"axis": st.integers(-arrays[0].ndim, arrays[0].ndim - 1)})


SOME_AXES = Input(shape=shapes(min_dims=1))

test_cumsum = property_test(np.cumsum, Input(), params=axis_of, reference=np.cumsum)
test_cumprod = property_test(np.cumprod, Input(), params=axis_of, reference=np.cumprod)
test_cumulative_sum = property_test(
    minigrad.cumulative_sum,
    SOME_AXES,
    params=lambda a: st.fixed_dictionaries(
        {"axis": st.integers(-a[0].ndim, a[0].ndim - 1), "include_initial": st.booleans()}
    ),
)
test_diff = property_test(np.diff, SOME_AXES, params=one_axis, reference=np.diff)
test_diff_twice = property_test(
    lambda x, axis: np.diff(x, 2, axis),
    SOME_AXES,
    params=one_axis,
    reference=lambda x, axis: np.diff(x, 2, axis),
)
test_diff_with_ends = property_test(
    lambda x, z: np.diff(x, prepend=z, append=0.0),
    Input(shape=(2, 3)),
    Input(shape=(2, 1)),
    reference=lambda x, z: np.diff(x, prepend=z, append=np.zeros((2, 1), x.dtype)),
    dtypes=(np.float64,),
)
test_trapezoid = property_test(
    np.trapezoid, Input(shape=(2, 4)), Input(shape=(4,)), reference=np.trapezoid
)
test_trapezoid_by_its_step = property_test(
    lambda y, axis: np.trapezoid(y, dx=0.5, axis=axis),
    SOME_AXES,
    params=one_axis,
    reference=lambda y, axis: np.trapezoid(y, dx=0.5, axis=axis),
)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_cumprod_with_any_zeros(axis):
    numbers = st.sampled_from([0.0, 0.0, 1.0, -2.0, 0.5])

    @given(st.lists(numbers, min_size=1, max_size=7), st.booleans())
    def check(values, twice):
        x = np.array([values, values[::-1]] if twice else [values])
        check_gradients(lambda t: np.cumprod(t, axis=axis), x)

    check()


def test_cumprod_with_zeros_as_in_pytorch():
    x = Tensor(np.array([2.0, 0.0, 3.0, 0.0, 5.0]), requires_grad=True)
    np.cumprod(x).sum().backward()
    assert x.grad.tolist() == [1, 8, 0, 0, 0]


@pytest.mark.present_numpy  # 2.1 brought cumulative_sum
def test_cumulative_sums_may_start_with_the_sum_of_nothing():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert np.cumulative_sum(x, axis=1, include_initial=True).tolist() == [[0, 1, 3], [0, 3, 7]]
    assert np.cumulative_prod(x, axis=0, include_initial=True).tolist() == [[1, 1], [1, 2], [3, 8]]
    assert np.cumulative_sum(Tensor([1.0, 2.0])).tolist() == [1, 3]
    with pytest.raises(ShapeError, match=r"cumulative_sum: axis= is needed for f32\[2, 2\]"):
        np.cumulative_sum(x)


def test_cumulative_sums_take_a_dtype():
    x = Tensor(np.array([1, 2], np.int8))
    assert np.cumsum(x, dtype=np.float64).dtype == np.float64


def test_differences_of_booleans_and_wrong_arguments():
    assert np.diff(Tensor([True, False, False])).tolist() == [True, False]
    with pytest.raises(ValueError, match="diff: n must be 0 or more, got -1"):
        np.diff(Tensor([1.0]), n=-1)
    with pytest.raises(ShapeError, match="axis: -1 is out of bounds for 0 axes"):
        np.diff(Tensor(1.0))


def test_trapezoid_of_places_with_the_integrands_shape():
    y, x = np.array([[1.0, 2.0], [4.0, 8.0]]), np.array([[0.0, 1.0], [2.0, 4.0]])
    assert np.trapezoid(Tensor(y), x, axis=0).tolist() == np.trapezoid(y, x, axis=0).tolist()
    check_gradients(lambda y, x: np.trapezoid(y, x, axis=0), y, x)


def test_no_differences_leave_the_array_as_it_is():
    x = np.array([1.0, 4.0, 9.0])
    for options in ({"prepend": 0.0}, {"append": x}, {}):
        assert np.diff(Tensor(x), n=0, **options).tolist() == np.diff(x, n=0, **options).tolist()


@pytest.mark.present_numpy  # 2.1 brought cumulative_sum
def test_running_sums_of_a_number():
    x = Tensor(2.0, requires_grad=True)
    y = np.cumulative_sum(x, include_initial=True)
    assert y.tolist() == [0, 2]
    y.sum().backward()
    assert x.grad.item() == 1
