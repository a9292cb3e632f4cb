"""Max-pooling with dilation, rounded-up counts and indices, against a plain loop."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from layers import MaxPool1d, MaxPool2d
from minigrad import Tensor
from minigrad.testing import check_gradients


def count(length, kernel, stride, padding, dilation, ceil_mode):
    """The number of windows, as PyTorch's documentation gives it."""
    room = length + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    windows = math.ceil(room / stride) + 1
    return windows - 1 if (windows - 1) * stride >= length + padding else windows


def plane_pooled(plane, kernel, stride, padding, dilation, ceil_mode):
    """The largest of each window of a plane, and where it stands in the flattened plane."""
    axes = range(plane.ndim)
    shape = [
        count(plane.shape[i], kernel[i], stride[i], padding[i], dilation[i], ceil_mode)
        for i in axes
    ]
    y, places = np.empty(shape), np.empty(shape, int)
    for window in np.ndindex(*shape):
        seen = []
        for step in itertools.product(*(range(k) for k in kernel)):
            at = [window[i] * stride[i] - padding[i] + step[i] * dilation[i] for i in axes]
            if all(0 <= at[i] < plane.shape[i] for i in axes):
                seen.append((plane[tuple(at)], np.ravel_multi_index(at, plane.shape)))
        y[window], places[window] = max(seen, key=lambda pair: pair[0])
    return y, places


OPTIONS = [
    {"kernel_size": 2, "dilation": 2},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 3, "padding": 1, "dilation": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 3, "stride": 2, "dilation": 3, "ceil_mode": True},
]


def full(options, dims):
    values = {"stride": options["kernel_size"], "padding": 0, "dilation": 1, "ceil_mode": False}
    values |= options
    ceil_mode = values.pop("ceil_mode")
    names = ("kernel_size", "stride", "padding", "dilation")
    return (*((values[name],) * dims for name in names), ceil_mode)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("options", OPTIONS)
def test_values_and_indices(options, dims):
    x = np.random.default_rng(0).integers(0, 5, (2, 3, *(7, 6)[:dims])).astype(float)
    pool, layer = (mg.max_pool1d, MaxPool1d) if dims == 1 else (mg.max_pool2d, MaxPool2d)
    y, places = pool(Tensor(x), **options, return_indices=True)
    for index in np.ndindex(2, 3):
        expected, at = plane_pooled(x[index], *full(options, dims))
        np.testing.assert_array_equal(y[index].numpy(), expected)
        np.testing.assert_array_equal(places[index].numpy(), at)
    assert not places.requires_grad
    assert layer(**options)(Tensor(x)).tolist() == y.tolist()
    assert layer(**options, return_indices=True)(Tensor(x))[1].tolist() == places.tolist()


@pytest.mark.parametrize("options", OPTIONS)
def test_derivatives(options):
    x = np.random.default_rng(1).permutation(2 * 7).reshape(1, 2, 7).astype(float)
    check_gradients(lambda t: mg.max_pool1d(t, **options), x, analytic=False)


def test_a_window_longer_than_the_input_fits_only_rounded_up():
    x = Tensor(np.arange(4.0).reshape(1, 1, 4))
    assert mg.max_pool1d(x, 3, dilation=2, ceil_mode=True).tolist() == [[[2.0]]]
    with pytest.raises(mg.ShapeError, match="a window reaches over 5 places"):
        mg.max_pool1d(x, 3, dilation=2)
    with pytest.raises(ValueError, match="dilation must be an integer of 1 or more, got 0"):
        mg.max_pool1d(x, 3, dilation=0)
    with pytest.raises(ValueError, match="MaxPool1d: dilation must be an integer of 1 or more"):
        MaxPool1d(3, dilation=0)
