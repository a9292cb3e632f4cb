"""Convolutions, their transposes, and pooling, in one and two axes."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.signal.convolution import convolution, convolution_transpose, convolution_weight
from minigrad.ops.signal.spatial import Windows
from minigrad.testing import Input, check_gradients, property_test


def by_formula(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """One output place at a time, in float64."""
    dims = weight.ndim - 2
    stride, dilation = np.broadcast_to(stride, dims), np.broadcast_to(dilation, dims)
    kernel = np.array(weight.shape[2:])
    span = dilation * (kernel - 1) + 1
    if padding == "same":
        pads = [((n - 1) // 2, n - 1 - (n - 1) // 2) for n in span]
    else:
        pads = [(n, n) for n in np.broadcast_to(0 if padding == "valid" else padding, dims)]
    padded = np.pad(x.astype(float), [(0, 0), (0, 0), *pads])
    lengths = (np.array(padded.shape[2:]) - span) // stride + 1
    y = np.zeros((len(x), len(weight), *lengths))
    width, per_group = weight.shape[1], len(weight) // groups
    for out in range(len(weight)):
        first = out // per_group * width
        for place in np.ndindex(*lengths):
            for offset in np.ndindex(*kernel):
                at = tuple(np.array(place) * stride + np.array(offset) * dilation)
                for channel in range(width):
                    factor = float(weight[(out, channel, *offset)])
                    y[(slice(None), out, *place)] += (
                        factor * padded[(slice(None), first + channel, *at)]
                    )
    if bias is not None:
        y += bias.astype(float).reshape(-1, *(1,) * dims)
    return y.astype(x.dtype)


ONE = st.sampled_from(
    [
        (((2, 4, 5), (2, 2, 2), (2,)), {"groups": 2, "stride": 2}),
        (((1, 2, 6), (3, 2, 3), (3,)), {"padding": 2, "dilation": 2}),
        (((2, 1, 4), (1, 1, 2), (1,)), {"padding": "same"}),
        (((2, 2, 7), (2, 1, 3), (2,)), {"stride": 3, "padding": 1, "groups": 2}),
        (((0, 2, 5), (2, 2, 3), (2,)), {"padding": "valid"}),
        (((2, 1, 5), (2, 1, 4), (2,)), {"padding": "same", "dilation": 2}),
    ]
)
TWO = st.sampled_from(
    [
        (((1, 2, 3, 4), (2, 1, 2, 3), (2,)), {"groups": 2, "padding": (1, 0)}),
        (((2, 1, 4, 3), (1, 1, 2, 2), (1,)), {"stride": (2, 1), "dilation": (1, 2)}),
        (((1, 1, 3, 3), (2, 1, 2, 3), (2,)), {"padding": "same"}),
    ]
)


def convolution_test(op, cases, reference):
    """Property-test an operation over pairs of shapes and the options that go with them."""
    table = {}

    def options(arrays):
        return st.just(table[tuple(a.shape for a in arrays)])

    def shapes(case):
        table[case[0]] = case[1]
        return case[0]

    return property_test(
        op,
        Input(),
        Input(),
        Input(),
        shapes=cases.map(shapes),
        params=options,
        reference=reference,
    )


test_conv1d = convolution_test(mg.conv1d, ONE, by_formula)
test_conv2d = convolution_test(mg.conv2d, TWO, by_formula)


def transposed_by_formula(
    x, weight, bias, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Each number of x adds the kernel to the places that a convolution would read for it."""
    dims = weight.ndim - 2
    stride, dilation, padding, more = (
        np.broadcast_to(n, dims) for n in (stride, dilation, padding, output_padding)
    )
    kernel = np.array(weight.shape[2:])
    lengths = (np.array(x.shape[2:]) - 1) * stride + dilation * (kernel - 1) + 1 + more
    width, per_group = weight.shape[1], x.shape[1] // groups
    y = np.zeros((len(x), width * groups, *lengths))
    for channel in range(x.shape[1]):
        first = channel // per_group * width
        for place in np.ndindex(*x.shape[2:]):
            for offset in np.ndindex(*kernel):
                at = tuple(np.array(place) * stride + np.array(offset) * dilation)
                for out in range(width):
                    factor = float(weight[(channel, out, *offset)])
                    y[(slice(None), first + out, *at)] += factor * x[
                        (slice(None), channel, *place)
                    ].astype(float)
    y = y[(..., *(slice(p, n - p) for p, n in zip(padding, lengths, strict=True)))]
    return (y + bias.astype(float).reshape(-1, *(1,) * dims)).astype(x.dtype)


TRANSPOSED_ONE = st.sampled_from(
    [
        (((2, 2, 3), (2, 3, 2), (3,)), {"stride": 2, "output_padding": 1}),
        (((1, 4, 3), (4, 1, 3), (2,)), {"groups": 2, "padding": 1, "dilation": 2}),
        (((0, 2, 3), (2, 1, 2), (1,)), {}),
    ]
)
TRANSPOSED_TWO = st.sampled_from(
    [(((1, 2, 2, 3), (2, 1, 2, 3), (1,)), {"stride": (2, 1), "padding": (0, 1)})]
)
test_conv_transpose1d = convolution_test(mg.conv_transpose1d, TRANSPOSED_ONE, transposed_by_formula)
test_conv_transpose2d = convolution_test(mg.conv_transpose2d, TRANSPOSED_TWO, transposed_by_formula)

FIXED = {
    "windows": Windows(kernel=(2,), stride=(2,), dilation=(1,), pads=((1, 0),)),
    "groups": 1,
}
test_convolution = property_test(
    convolution, Input(shape=(2, 2, 5)), Input(shape=(3, 2, 2)), params=FIXED
)
test_convolution_transpose = property_test(
    convolution_transpose,
    Input(shape=(2, 3, 3)),
    Input(shape=(3, 2, 2)),
    params={"lengths": (5,), **FIXED},
)
test_convolution_weight = property_test(
    convolution_weight,
    Input(shape=(2, 2, 5)),
    Input(shape=(2, 3, 3)),
    params=FIXED,
)


def test_an_input_that_is_its_own_kernel():
    x = np.random.default_rng(0).normal(size=(2, 2, 3))
    check_gradients(lambda t: mg.conv1d(t, t, padding=1), x)
    check_gradients(lambda t: mg.conv1d(t, np.tanh(t), padding=1), x)


def test_the_transpose_is_the_adjoint():
    generator = np.random.default_rng(0)
    for stride, padding, dilation in itertools.product((1, 2), (0, 1), (1, 2)):
        x, w = generator.normal(size=(2, 4, 9)), generator.normal(size=(6, 2, 3))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2}
        y = mg.conv1d(x, w, **options).numpy()
        u = generator.normal(size=y.shape)
        more = 9 - mg.conv_transpose1d(u, w, **options).shape[-1]
        back = mg.conv_transpose1d(u, w, output_padding=more, **options).numpy()
        np.testing.assert_allclose((y * u).sum(), (x * back).sum(), rtol=1e-12)


def test_without_a_batch_axis():
    generator = np.random.default_rng(0)
    x, w = generator.normal(size=(1, 2, 6)), generator.normal(size=(3, 2, 2))
    np.testing.assert_array_equal(mg.conv1d(x[0], w).numpy(), mg.conv1d(x, w).numpy()[0])
    back = mg.conv_transpose1d(x[0], w[:2]).numpy()
    np.testing.assert_array_equal(back, mg.conv_transpose1d(x, w[:2]).numpy()[0])


def test_products_that_float16_cannot_hold():
    x, w = np.full((1, 1, 3), 300, np.float16), np.full((1, 1, 3), 300, np.float16)
    w[0, 0, 1] = -600  # the sum is 0, but 300 * 300 is not a float16
    assert mg.conv1d(x, w).item() == 0
    assert mg.conv1d(x, w).dtype == np.float16


def pooled(reduce, fill):
    def pool(x, kernel_size, stride, padding):
        dims = 1 if isinstance(kernel_size, int) else 2
        k, s, p = (np.broadcast_to(n, dims) for n in (kernel_size, stride, padding))
        lead = x.ndim - dims
        padded = np.pad(
            x.astype(float), [(0, 0)] * lead + [(n, n) for n in p], constant_values=fill
        )
        lengths = (np.array(padded.shape[lead:]) - k) // s + 1
        y = np.zeros((*x.shape[:lead], *lengths))
        for place in np.ndindex(*lengths):
            at = tuple(slice(i * n, i * n + m) for i, n, m in zip(place, s, k, strict=True))
            y[(..., *place)] = reduce(padded[(..., *at)], axis=tuple(range(-dims, 0)))
        return y.astype(x.dtype)

    return pool


WINDOWS = st.sampled_from([(2, 2, 0), (3, 2, 1), (2, 1, 1)])


def windows(arrays):
    return WINDOWS.map(lambda w: dict(zip(("kernel_size", "stride", "padding"), w, strict=True)))


def windows_of_two(arrays):
    return st.just({"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)})


LINES = st.sampled_from([(2, 1, 5), (2, 4), (0, 1, 4)])
IMAGES = st.sampled_from([(1, 2, 3, 4), (2, 3, 3)])
test_max_pool1d = property_test(
    mg.max_pool1d,
    Input(shape=LINES, distinct=True),
    params=windows,
    reference=pooled(np.max, -np.inf),
)
test_max_pool2d = property_test(
    mg.max_pool2d,
    Input(shape=IMAGES, distinct=True),
    params=windows_of_two,
    reference=pooled(np.max, -np.inf),
)
test_avg_pool1d = property_test(
    mg.avg_pool1d, Input(shape=LINES), params=windows, reference=pooled(np.mean, 0)
)
test_avg_pool2d = property_test(
    mg.avg_pool2d, Input(shape=IMAGES), params=windows_of_two, reference=pooled(np.mean, 0)
)


def test_the_mean_of_a_window_without_its_padding():
    y = mg.avg_pool1d(np.array([[2.0, 4.0, 6.0]]), 2, padding=1, count_include_pad=False)
    np.testing.assert_array_equal(y.numpy(), [[2.0, 5.0]])
    y = mg.avg_pool1d(np.array([[2.0, 4.0, 6.0]]), 2, padding=1)
    np.testing.assert_array_equal(y.numpy(), [[1.0, 5.0]])


def test_the_first_of_equal_numbers_gets_the_gradient():
    x = mg.Tensor([[1.0, 3.0, 3.0, 3.0, 2.0]], requires_grad=True)
    mg.max_pool1d(x, 3, stride=1).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 2, 1, 0, 0]])


def test_windows_of_minus_infinity_and_nan():
    x = mg.Tensor([[1.0] * 4, [-np.inf, -np.inf, np.nan, 1.0]], requires_grad=True)
    y = mg.max_pool1d(x, 2, padding=1)
    np.testing.assert_array_equal(y.numpy(), [[1, 1, 1], [-np.inf, np.nan, 1.0]])
    y[1].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0] * 4, [1, 0, 1, 1]])


X = np.ones((2, 3, 5))
W = np.ones((4, 3, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.conv1d(X.swapaxes(1, 2), W), "has 5 on axis 1, its channel axis"),
        (lambda: mg.conv1d(X[0, 0], W), "x must be (batch, channels, length)"),
        (lambda: mg.conv1d(X, W[0]), "weight must have 3 axes"),
        (lambda: mg.conv1d(X, W[..., :0]), "not empty), got f64[4, 3, 0]"),
        (lambda: mg.conv1d(X, W, np.ones(3)), "each of the 4 output channels, got f64[3]"),
        (lambda: mg.conv1d(X, np.ones((4, 1, 2)), groups=3), "groups=3 must divide the 4 output"),
        (lambda: mg.conv1d(X, W, stride=0), "stride must be an integer of 1 or more, got 0"),
        (lambda: mg.conv1d(X, W, padding=-1), "padding must be an integer of 0 or more, got -1"),
        (lambda: mg.conv1d(X, W, padding="full"), 'padding must be a number, "same" or "valid"'),
        (lambda: mg.conv1d(X, W, stride=2, padding="same"), '"same" needs stride 1'),
        (lambda: mg.conv1d(X, np.ones((4, 3, 6))), "a window reaches over 6 places, but x"),
        (lambda: mg.conv2d(X[None], W[None, :2], stride=(1, 2, 3)), "1 or more, or 2 of them, got"),
        (lambda: mg.conv1d(X.astype(int), W), "conv1d: x must be floating, got i64[2, 3, 5]"),
        (lambda: mg.conv_transpose1d(X, W), "is for 4 input channels, but x"),
        (
            lambda: mg.conv_transpose1d(X, W[:3], output_padding=1),
            "output_padding 1 must be less than stride 1",
        ),
        (lambda: mg.conv_transpose1d(X, W[:3], padding=4), "use less padding"),
        (
            lambda: mg.max_pool1d(X, 6),
            "reaches over 6 places, but x f64[2, 3, 5] has only 5",
        ),
        (lambda: mg.max_pool1d(X[..., :0], 2, padding=1), "x must not be empty"),
        (lambda: mg.max_pool1d(X, 2, padding=2), "padding 2 must be at most half the window 2"),
        (
            lambda: mg.avg_pool2d(X[0, 0], 2),
            "avg_pool2d: x must be (batch, channels, height",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        call()
