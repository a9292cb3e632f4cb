import numpy as np
import pytest

import minigrad as mg
from layers import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    MaxPool1d,
    MaxPool2d,
)
from minigrad.core.errors import ShapeError


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def naive_conv1d(x, weight, bias, stride, dilation, groups):
    """The sum that the docstring states, place by place; x is padded already."""
    batch, _, length = x.shape
    outs, ins, kernel = weight.shape
    places = (length - dilation * (kernel - 1) - 1) // stride + 1
    y = np.zeros((batch, outs, places))
    for n, o, p in np.ndindex(y.shape):
        first = o // (outs // groups) * ins
        for i, k in np.ndindex(ins, kernel):
            y[n, o, p] += weight[o, i, k] * x[n, first + i, p * stride + k * dilation]
    return y + bias[:, None]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": 2},
        {"groups": 2, "stride": 3},
        {"padding": "same", "dilation": 2},
    ],
    ids=str,
)
def test_conv1d_is_the_sum_over_windows(options):
    layer, x = Conv1d(4, 6, 3, **options).to("float64"), drawn(2, 4, 9)
    padding = options.get("padding", 0)
    pads = 2 if padding == "same" else padding  # (kernel - 1) dilation / 2
    expected = naive_conv1d(
        np.pad(x, [(0, 0), (0, 0), (pads, pads)]),
        layer.weight.numpy(),
        layer.bias.numpy(),
        options.get("stride", 1),
        options.get("dilation", 1),
        options.get("groups", 1),
    )
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "name"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
@pytest.mark.parametrize("padding", [2, "same"])
def test_padding_modes(mode, name, padding):
    layer, x = Conv1d(2, 3, 4, padding=padding, padding_mode=mode).to("float64"), drawn(2, 2, 7)
    # Of the three places that "same" adds, the odd one goes to the right end.
    widths = (1, 2) if padding == "same" else (2, 2)
    padded = np.pad(x, [(0, 0), (0, 0), widths], mode=name)
    expected = naive_conv1d(padded, layer.weight.numpy(), layer.bias.numpy(), 1, 1, 1)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_same_padding_keeps_the_length(kernel, dilation, mode):
    layer = Conv1d(1, 1, kernel, padding="same", dilation=dilation, padding_mode=mode)
    assert layer(np.zeros((1, 1, 11), np.float32)).shape == (1, 1, 11)


@pytest.mark.parametrize(
    ("forward", "transposed", "shape"),
    [
        (
            Conv1d(2, 4, 3, stride=2, padding=1, groups=2, bias=False),
            ConvTranspose1d(4, 2, 3, stride=2, padding=1, groups=2, bias=False),
            (3, 2, 9),
        ),
        (
            Conv2d(2, 3, (2, 3), stride=(2, 1), padding=(0, 1), dilation=(1, 2), bias=False),
            ConvTranspose2d(3, 2, (2, 3), (2, 1), (0, 1), bias=False, dilation=(1, 2)),
            (2, 2, 6, 7),
        ),
    ],
    ids=["1d", "2d"],
)
def test_a_transposed_convolution_is_the_transpose(forward, transposed, shape):
    forward.to("float64")
    transposed.to("float64").load_state_dict(forward.state_dict())
    x = drawn(*shape)
    y = forward(x)
    z = drawn(*y.shape, seed=1)
    # <conv(x), z> = <x, transpose(z)>
    back = transposed(z, output_size=shape[2:])
    assert back.shape == shape
    assert np.sum(y.numpy() * z) == pytest.approx(np.sum(x * back.numpy()), rel=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv1d(3, 5, 3), (2, 3, 8), (2, 5, 6)),
        (Conv1d(3, 5, 3), (3, 8), (5, 6)),
        (Conv1d(3, 5, 3), (0, 3, 8), (0, 5, 6)),
        (Conv2d(3, 5, (1, 3), stride=(2, 1)), (2, 3, 7, 8), (2, 5, 4, 6)),
        (Conv2d(3, 5, 3), (3, 7, 8), (5, 5, 6)),
        (ConvTranspose1d(3, 5, 4, stride=2, padding=1), (2, 3, 8), (2, 5, 16)),
        (ConvTranspose1d(3, 5, 4, stride=2, output_padding=1), (3, 8), (5, 19)),
        (ConvTranspose2d(3, 5, 2, stride=2), (0, 3, 4, 5), (0, 5, 8, 10)),
        pytest.param(
            lambda x: ConvTranspose1d(1, 1, 2, 2, 1)(x, output_size=0),
            (1, 1, 1),
            (1, 1, 0),
            id="ConvTranspose1d to no length",
        ),
        (MaxPool1d(3), (2, 4, 8), (2, 4, 2)),
        (MaxPool1d(3, stride=1, padding=1), (4, 8), (4, 8)),
        (MaxPool2d((2, 3)), (0, 4, 8, 9), (0, 4, 4, 3)),
        (AvgPool1d(2), (4, 8), (4, 4)),
        (AvgPool2d(2, stride=1), (1, 4, 8, 9), (1, 4, 7, 8)),
    ],
    ids=str,
)
def test_shapes(layer, shape, expected):
    assert layer(np.zeros(shape, np.float32)).shape == expected


@pytest.mark.parametrize(
    ("layer", "weight", "fan_in"),
    [
        (Conv1d(8, 40, 5, groups=2), (40, 4, 5), 20),
        (Conv2d(4, 30, (3, 2)), (30, 4, 3, 2), 24),
        # PyTorch takes the second axis of the weight for fan_in, transposed or not.
        (ConvTranspose1d(40, 8, 5, groups=2), (40, 4, 5), 20),
        (ConvTranspose2d(30, 4, (3, 2)), (30, 4, 3, 2), 24),
    ],
    ids=str,
)
def test_weights_begin_evenly_within_pytorchs_bound(layer, weight, fan_in):
    layer.reset_parameters(np.random.default_rng(0))
    assert layer.weight.shape == weight
    bound = 1 / np.sqrt(fan_in)
    for numbers in (layer.weight.numpy(), layer.bias.numpy()):
        assert 0.6 * bound < np.abs(numbers).max() <= bound
    assert layer.weight.numpy().std() == pytest.approx(bound / np.sqrt(3), rel=0.1)


def test_a_causal_convolution_looks_at_no_later_time():
    layer = Conv1d(1, 1, 3, dilation=2, padding=4)
    x = mg.Tensor(np.ones((1, 1, 9), np.float32), requires_grad=True)
    layer(x)[:, :, :9][0, 0, 5].backward()
    assert (x.grad.numpy()[0, 0] != 0).nonzero()[0].tolist() == [1, 3, 5]


def test_averages_with_and_without_the_padding():
    x = np.ones((1, 1, 4))
    np.testing.assert_allclose(AvgPool1d(2, padding=1)(x).numpy(), [[[0.5, 1.0, 0.5]]])
    inside = AvgPool1d(2, padding=1, count_include_pad=False)
    np.testing.assert_allclose(inside(x).numpy(), [[[1.0, 1.0, 1.0]]])


def test_of_equal_numbers_the_first_gets_the_gradient():
    x = mg.Tensor(np.ones((1, 1, 4)), requires_grad=True)
    MaxPool1d(2)(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[[1.0, 0.0, 1.0, 0.0]]])


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Conv1d(2, 4, 3, groups=2, padding="same")) == (
        "Conv1d(in_channels=2, out_channels=4, kernel_size=(3,), padding='same', groups=2)"
    )
    assert repr(Conv2d(1, 2, 3, bias=False)) == (
        "Conv2d(in_channels=1, out_channels=2, kernel_size=(3, 3), bias=False)"
    )


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Conv1d(3, 5, 3)(zeros(2, 8, 3)), r"Conv1d: .* swap: x\.swapaxes\(1, 2\)"),
        (lambda: Conv1d(3, 5, 3)(zeros(3)), r"Conv1d: x must be \(batch, channels, length\)"),
        (lambda: Conv2d(3, 5, 3)(zeros(2, 4, 5, 5)), r"Conv2d: .* for 3 input channels"),
        (lambda: Conv1d(3, 5, 3)(zeros(1, 3, 2)), "a window reaches over 3 places"),
        (lambda: Conv1d(3, 4, 3, groups=2), "groups=2 must divide the 3 in channels"),
        (lambda: Conv1d(0, 4, 3), "Conv1d: in_channels must be an integer of 1 or more, got 0"),
        (lambda: Conv1d(1, 4, (3, 3)), "Conv1d: kernel_size must be an integer of 1 or more, got"),
        (lambda: Conv2d(1, 4, (3, 0)), r"Conv2d: kernel_size .* or 2 of them, got \(3, 0\)"),
        (lambda: Conv1d(1, 4, 3, padding="full"), '"same" or "valid", got \'full\''),
        (lambda: Conv1d(1, 4, 3, 2, padding="same"), 'padding="same" needs stride 1'),
        (lambda: Conv1d(1, 1, 3, padding_mode="wrap"), "zeros, reflect, replicate, circular, got"),
        (lambda: ConvTranspose1d(1, 1, 3, padding="same"), r"\(kernel_size - 1\) // 2 keeps"),
        (
            lambda: ConvTranspose1d(1, 1, 3, stride=2)(zeros(1, 1, 4), output_size=12),
            r"output_size must be from \(9,\) to \(10,\) for x f32\[1, 1, 4\] .* got \(12,\)",
        ),
        (
            lambda: ConvTranspose1d(1, 1, 3, stride=2, output_padding=2)(zeros(1, 1, 4)),
            "output_padding 2 must be less than stride 2",
        ),
        (lambda: MaxPool1d(3, padding=2), r"padding 2 must be at most half the window 3"),
        (lambda: AvgPool2d((2, 2, 2)), "AvgPool2d: kernel_size must be an integer of 1 or more"),
        (lambda: MaxPool1d(3)(zeros(1, 1, 2)), "a window reaches over 3 places"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_wrong_shape_is_a_shape_error():
    with pytest.raises(ShapeError, match="channel axis"):
        Conv1d(3, 5, 3)(zeros(2, 4, 8))
