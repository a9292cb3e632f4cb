import numpy as np
import pytest

import minigrad as mg
from layers import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    Linear,
    RMSNorm,
)
from layers.base import init
from minigrad.core.errors import ShapeError
from minigrad.testing import check_gradients


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape) * 3 + 1


# -- over the features -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 5), (0, 5), (2, 3, 5)])
def test_layer_norm_has_mean_zero_and_variance_one(shape):
    y = LayerNorm(5, eps=0.0)(drawn(*shape)).numpy()
    assert y.shape == shape
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=-1), 1, rtol=1e-6)


def test_layer_norm_over_two_axes_has_weights_for_each_place():
    layer = LayerNorm((3, 5))
    assert layer.weight.shape == layer.bias.shape == (3, 5)
    weight = drawn(3, 5)
    layer.load_state_dict({"weight": weight, "bias": -weight})
    x = drawn(2, 3, 5, seed=1)
    normal = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(layer(x).numpy(), normal * weight - weight, rtol=1e-4, atol=1e-4)


def test_rms_norm_has_mean_square_one_and_keeps_the_mean():
    x = drawn(4, 5)
    y = RMSNorm(5, eps=0.0)(x).numpy()
    np.testing.assert_allclose(np.mean(y * y, axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(y / y[:, :1], x / x[:, :1], rtol=1e-6)


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
def test_a_constant_row_gives_no_nan(kind):
    x = mg.Tensor(np.zeros((1, 4), np.float32), requires_grad=True)
    y = kind(4)(x)
    y.sum().backward()
    assert np.isfinite(y.detach().numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (LayerNorm(4), ["weight", "bias"]),
        (LayerNorm(4, bias=False), ["weight"]),
        (LayerNorm(4, elementwise_affine=False), []),
        (RMSNorm(4), ["weight"]),
        (RMSNorm(4, elementwise_affine=False), []),
        (
            BatchNorm1d(4),
            ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
        ),
        (BatchNorm1d(4, affine=False), ["running_mean", "running_var", "num_batches_tracked"]),
        (BatchNorm1d(4, track_running_stats=False), ["weight", "bias"]),
    ],
)
def test_parameters_begin_by_changing_nothing(layer, names):
    state = layer.state_dict()
    assert list(state) == names
    beginnings = {"weight": 1, "running_var": 1}
    for name in names:
        np.testing.assert_array_equal(
            state[name], np.full_like(state[name], beginnings.get(name, 0))
        )


def test_reset_parameters_begins_anew():
    layer = BatchNorm1d(3)
    layer(drawn(4, 3))
    for parameter in layer.parameters():
        init.normal_(parameter)
    layer.reset_parameters()
    for name, array in BatchNorm1d(3).state_dict().items():
        np.testing.assert_array_equal(layer.state_dict()[name], array)


# -- over the batch --------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "axes"), [((6, 3), 0), ((4, 3, 5), (0, 2))])
def test_batch_norm_normalises_each_channel_and_tracks_it(shape, axes):
    layer, x = BatchNorm1d(3), drawn(*shape)
    y = layer(x).numpy()
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-4)
    mean, variance = 0.1 * x.mean(axis=axes), 0.9 + 0.1 * x.var(axis=axes, ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 1


def test_without_momentum_the_averages_are_plain_ones():
    layer, batches = BatchNorm1d(2, momentum=None), drawn(5, 4, 2)
    for x in batches:
        layer(x)
    mean = batches.mean(axis=(0, 1))
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
    variance = batches.var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=1e-5)


def test_evaluation_uses_the_averages_and_leaves_them_alone():
    layer = BatchNorm1d(2, eps=0.0)
    state = {"running_mean": np.array([1.0, 2.0]), "running_var": np.array([4.0, 9.0])}
    layer.load_state_dict(state, strict=False)
    layer.eval()
    y = layer(np.array([[3.0, 5.0]]))  # one row is enough
    np.testing.assert_allclose(y.numpy(), [[1.0, 1.0]])
    np.testing.assert_array_equal(layer.running_mean.numpy(), state["running_mean"])
    assert layer.num_batches_tracked.item() == 0


def test_without_tracking_evaluation_uses_the_batch():
    layer, x = BatchNorm1d(2, track_running_stats=False), drawn(5, 2)
    np.testing.assert_array_equal(layer(x).numpy(), layer.eval()(x).numpy())


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)])
def test_an_empty_batch_gives_nothing_and_leaves_the_averages_alone(shape):
    layer = BatchNorm1d(3)
    x = mg.Tensor(np.zeros(shape, np.float32), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape
    np.testing.assert_array_equal(layer.running_mean.numpy(), np.zeros(3))
    assert layer.num_batches_tracked.item() == 0


def test_the_averages_are_no_part_of_the_graph():
    layer = BatchNorm1d(2)
    layer(mg.Tensor(drawn(4, 2), requires_grad=True))
    assert not layer.running_mean.requires_grad
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer.running_mean.dtype == np.float32


def test_the_averages_are_written_under_no_grad_too():
    layer = BatchNorm1d(2)
    with mg.no_grad():
        layer(drawn(4, 2))
    assert layer.num_batches_tracked.item() == 1


def test_a_state_dict_moves_with_its_averages():
    one, other = BatchNorm1d(3), BatchNorm1d(3)
    for seed in range(3):
        one(drawn(5, 3, seed=seed))
    other.load_state_dict(one.state_dict())
    x = drawn(4, 3, seed=9)
    np.testing.assert_array_equal(one.eval()(x).numpy(), other.eval()(x).numpy())
    assert other.num_batches_tracked.item() == 3


def test_a_model_with_batch_norm_has_right_derivatives():
    with mg.default_dtype("float64"):
        linear, norm = Linear(3, 2), BatchNorm1d(2, eps=0.1)
    parameters = {**dict(linear.named_parameters()), "gain": norm.weight, "shift": norm.bias}
    check_gradients(lambda x: np.tanh(norm(linear(x))), drawn(4, 3), parameters=parameters)


def test_half_precision_is_averaged_in_single():
    layer = BatchNorm1d(1)
    layer(np.full((5000, 1), 100.0, np.float16))  # its squares add up beyond float16
    np.testing.assert_allclose(layer.running_mean.numpy(), [10.0], rtol=1e-3)
    np.testing.assert_allclose(layer.running_var.numpy(), [0.9], rtol=1e-3)


# -- errors ----------------------------------------------------------------------------------------


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: LayerNorm((3, 4))(zeros(2, 4)),
            r"LayerNorm: the last 2 axes of x must be the normalized_shape \(3, 4\), got x",
        ),
        (lambda: LayerNorm(3)(zeros()), r"LayerNorm: the last 1 axes .* got x f32\[\]"),
        (lambda: RMSNorm(3)(zeros(3, 4)), r"RMSNorm: .* \(3,\), got x f32\[3, 4\]"),
        (lambda: LayerNorm(-1), "LayerNorm: normalized_shape must be an integer of 0 .* got -1"),
        (lambda: RMSNorm(()), r"RMSNorm: normalized_shape must name at least one axis, got \(\)"),
        (lambda: BatchNorm1d(2.5), "BatchNorm1d: num_features must be an integer .* got 2.5"),
        (lambda: BatchNorm1d(3)(zeros(3)), r"x must be \(batch, 3\) or .* Got f32\[3\]"),
        (lambda: BatchNorm1d(3)(zeros(2, 5, 3)), r"swap the axes: x\.swapaxes\(1, 2\)"),
        (lambda: BatchNorm1d(3)(zeros(2, 3, 4, 5)), r"Got f32\[2, 3, 4, 5\]"),
        (lambda: BatchNorm1d(3)(zeros(1, 3)), r"more than one number .* got f32\[1, 3\]"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_wrong_shape_is_a_shape_error():
    with pytest.raises(ShapeError, match="channels"):
        BatchNorm1d(3)(zeros(2, 4))


def test_a_refused_batch_leaves_the_averages_alone():
    layer = BatchNorm1d(3)
    with pytest.raises(ShapeError, match="larger batch"):
        layer(zeros(1, 3))
    assert layer.num_batches_tracked.item() == 0


def test_groups_of_channels_are_normalised_by_themselves():
    x = drawn(3, 6, 4)
    y = GroupNorm(2, 6, eps=0.0)(x).numpy().reshape(3, 2, 12)
    groups = x.astype(np.float64).reshape(3, 2, 12)
    expected = groups - groups.mean(axis=2, keepdims=True)
    expected /= groups.std(axis=2, keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 2, 4, 5)])
def test_instances_are_groups_of_one_channel(shape):
    x = drawn(*shape)
    one = (InstanceNorm1d if len(shape) == 3 else InstanceNorm2d)(2)(x).numpy()
    np.testing.assert_allclose(one, GroupNorm(2, 2)(x).numpy(), rtol=1e-5, atol=1e-6)


def test_images_are_normalised_like_sequences_of_their_places():
    x = drawn(3, 2, 4, 5)
    images, rows = BatchNorm2d(2), BatchNorm1d(2)
    flat = x.reshape(3, 2, 20)
    for _ in range(2):
        expected = rows(flat).numpy().reshape(x.shape)
        np.testing.assert_allclose(images(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    images.eval()
    rows.eval()
    expected = rows(flat).numpy().reshape(x.shape)
    np.testing.assert_allclose(images(x).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (lambda: GroupNorm(2, 4), (3, 5), r"GroupNorm: x must be \(batch, 4, ...\)"),
        (lambda: GroupNorm(2, 4), (4,), r"GroupNorm: x must be \(batch, 4, ...\)"),
        (lambda: GroupNorm(4, 4), (3, 4), "a group has a single number"),
        (lambda: BatchNorm2d(2), (3, 2, 4), r"BatchNorm2d: x must be \(batch, 2, height, width\)"),
        (lambda: BatchNorm2d(2), (1, 2, 1, 1), "BatchNorm2d: training needs more than one number"),
        (lambda: InstanceNorm1d(2), (3, 4, 2), r"\(2, length\) or \(batch, 2, length\).*swapaxes"),
        (lambda: InstanceNorm1d(2), (3, 2, 1), "training needs more .* LayerNorm or GroupNorm"),
        (lambda: InstanceNorm2d(2), (2, 3), r"InstanceNorm2d: x must be \(2, height, width\) or"),
    ],
)
def test_other_shapes_are_refused(make, shape, words):
    with pytest.raises(mg.ShapeError, match=words):
        make()(np.ones(shape, np.float32))


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("make", [BatchNorm1d, lambda n: GroupNorm(2, n)])
def test_weight_or_bias_may_go_alone(make, name):
    layer, plain = make(4), make(4)
    numbers = np.array([2.0, 3.0, 4.0, 5.0], np.float32)
    layer.weight.write(numbers)
    layer.bias.write(numbers)
    setattr(layer, name, None)
    x = drawn(3, 4)
    expected = plain(x).numpy() * numbers if name == "bias" else plain(x).numpy() + numbers
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(BatchNorm1d(2, track_running_stats=False).eval(), (1, 2)), (InstanceNorm1d(2), (0, 2, 1))],
)
def test_a_single_number_is_normalised_to_zero_where_nothing_trains_by_it(layer, shape):
    assert not layer(np.full(shape, 3, np.float32)).numpy().any()
    assert layer(np.full(shape, 3, np.float32)).shape == shape


@pytest.mark.parametrize("name", ["running_var", "num_batches_tracked"])
def test_averages_that_were_taken_away_are_missed(name):
    layer = BatchNorm1d(2)
    setattr(layer, name, None)
    with pytest.raises(AttributeError, match="BatchNorm1d: there are no running averages"):
        layer(drawn(3, 2))


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="num_channels=5 must divide into num_groups=2"):
        GroupNorm(2, 5)
