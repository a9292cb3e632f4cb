"""Sorting: values as NumPy's, gradients to the element that each value came from."""

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, property_test
from minigrad.testing.strategies import shapes

DISTINCT = Input(distinct=True, shape=shapes(min_dims=1))


def bend(f):
    """The squares of the results: a linear operation alone has no second derivative to check."""

    def bent(*args, **kwargs):
        y = f(*args, **kwargs)
        return y * y

    return bent


def an_axis(arrays):
    n = arrays[0].ndim
    return st.fixed_dictionaries({"axis": st.none() | st.integers(-n, n - 1)})


def falling(x, axis):
    """NumPy has no falling order of its own."""
    if isinstance(x, mg.Tensor):
        return mg.sort(x, axis=axis, descending=True)
    x = x.reshape(-1) if axis is None else x
    return np.flip(np.sort(x, axis), -1 if axis is None else axis)


@st.composite
def selections(draw, arrays):
    axis = draw(st.integers(-arrays[0].ndim, arrays[0].ndim - 1))
    k = draw(st.integers(0, arrays[0].shape[axis]))
    return {"k": k, "axis": axis, "largest": draw(st.booleans())}


def top(x, k, axis, largest):
    if isinstance(x, mg.Tensor):
        return mg.topk(x, k, axis, largest)[0]
    y = np.sort(x, axis)
    y = np.flip(y, axis) if largest else y
    return np.take(y, np.arange(k), axis)


test_sort = property_test(bend(np.sort), DISTINCT, params=an_axis, reference=bend(np.sort))
test_sort_falling = property_test(bend(falling), DISTINCT, params=an_axis, reference=bend(falling))
test_topk = property_test(bend(top), DISTINCT, params=selections, reference=bend(top))
test_partition = property_test(
    bend(np.partition),
    Input(distinct=True, shape=shapes(min_dims=1, min_side=2)),
    params={"kth": st.sampled_from([0, 1, (0, 1)]), "axis": st.sampled_from([None, 0, -1])},
    reference=bend(lambda x, kth, axis: np.take_along_axis(x, np.argpartition(x, kth, axis), axis)),
)


def test_partition_parts():
    x = np.random.default_rng(0).standard_normal(20)
    parted = mg.partition(x, 7).numpy()
    assert parted[7] == np.sort(x)[7]
    assert parted[:7].max() < parted[7] < parted[8:].min()


def test_equal_elements_keep_their_order():
    x = mg.Tensor([2.0, 1.0, 2.0, 1.0], requires_grad=True)
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    assert mg.argsort(x).tolist() == [1, 3, 0, 2]
    assert mg.argsort(x, descending=True).tolist() == [0, 2, 1, 3]
    (np.sort(x) * weights).sum().backward()
    assert x.grad.tolist() == [3.0, 1.0, 4.0, 2.0]
    values, places = x.topk(3)
    assert (values.tolist(), places.tolist()) == ([2.0, 2.0, 1.0], [0, 2, 1])
    assert x.topk(3, largest=False)[1].tolist() == [1, 3, 0]


def test_nan_comes_last_and_counts_as_the_largest():
    x = mg.Tensor([1.0, np.nan, 0.0])
    np.testing.assert_array_equal(mg.sort(x).numpy(), [0.0, 1.0, np.nan])
    assert x.topk(2)[1].tolist() == [1, 0]


def test_places_are_constants_that_index():
    x = mg.Tensor(np.array([[3.0, 1.0], [5.0, 9.0]]), requires_grad=True)
    order = np.argsort(x, axis=1)
    assert not order.requires_grad
    assert order.dtype == np.intp
    np.testing.assert_array_equal(
        np.take_along_axis(x, order, axis=1).numpy(), np.sort(x, axis=1).numpy()
    )
    assert np.argpartition(x, 0, axis=0).numpy()[0].tolist() == [0, 0]
    assert x.argsort(axis=0, kind="stable").tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: mg.sort(t, axis=1), mg.ShapeError, r"sort: axis 1 is out of bounds.*f64\[3\]"),
        (lambda t: mg.topk(t, 4), mg.ShapeError, "k must be from 0 to the length 3"),
        (lambda t: mg.topk(t, 1.5), TypeError, "topk: k must be an integer"),
        (lambda t: mg.partition(t, 5), mg.ShapeError, "partition: kth"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.Tensor(np.ones(3), requires_grad=True))
