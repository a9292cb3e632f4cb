"""Losses that compare place by place: values, derivatives, reductions, refused broadcasts."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.nn.losses import bernoulli_surprise, entropy_term, huber, logistic_loss
from minigrad.testing import Input, property_test, strategies

ELEMENTWISE = (
    "mse_loss",
    "l1_loss",
    "huber_loss",
    "smooth_l1_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
)
FILLED = strategies.shapes(min_side=1, max_side=2).map(lambda shape: (shape, shape))
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


def reduced(rows, reduction):
    wide = rows.astype(np.float32) if rows.dtype == np.float16 else rows
    total = {"mean": lambda: wide.mean(), "sum": lambda: wide.sum(), "none": lambda: wide}
    return total[reduction]().astype(rows.dtype)


def softplus(x):
    return np.log1p(np.exp(x))


def loss_test(op, formula, *inputs, **params):
    """Property-test a loss against its formula for one place."""

    def reference(x, t, reduction, **options):
        wide = [a.astype(np.float32) if a.dtype == np.float16 else a for a in (x, t)]
        rows = formula(*wide, **options)
        return reduced(rows, reduction).astype(x.dtype)

    return property_test(
        op,
        *inputs,
        params={"reduction": REDUCTIONS, **params},
        reference=reference,
        shapes=FILLED,
    )


FAR = (Input(-1, 0.4), Input(0.5, 2))  # so that no difference is 0 or on the bound 2 or 3
PROBABILITIES = (Input(0.1, 0.9), Input(0.1, 0.9))

test_mse_loss = loss_test(mg.mse_loss, lambda x, t: (x - t) ** 2, Input(), Input())
test_l1_loss = loss_test(mg.l1_loss, lambda x, t: abs(x - t), *FAR)
test_huber_loss = loss_test(
    mg.huber_loss,
    lambda x, t, delta: np.where(
        abs(x - t) < delta, (x - t) ** 2 / 2, delta * (abs(x - t) - delta / 2)
    ),
    *FAR,
    delta=st.sampled_from([0.05, 3.5]),
)
test_smooth_l1_loss = loss_test(
    mg.smooth_l1_loss,
    lambda x, t, beta: np.where(
        abs(x - t) < beta, (x - t) ** 2 / 2 / (beta or 1), abs(x - t) - beta / 2
    ),
    *FAR,
    beta=st.sampled_from([0.0, 0.05, 3.5]),
)
test_binary_cross_entropy = loss_test(
    mg.binary_cross_entropy,
    lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
    *PROBABILITIES,
)
test_binary_cross_entropy_with_logits = loss_test(
    mg.binary_cross_entropy_with_logits,
    lambda x, t, pos_weight: (pos_weight or 1) * t * softplus(-x) + (1 - t) * softplus(x),
    Input(),
    Input(0, 1),
    pos_weight=st.sampled_from([None, 3.0]),
)
test_kl_div = loss_test(
    mg.kl_div,
    lambda x, t, log_target: np.exp(t) * (t - x) if log_target else t * (np.log(t) - x),
    *PROBABILITIES,
    log_target=st.booleans(),
)
test_huber = property_test(huber, Input(-3, 3, avoid=(-1.0, 1.0)), params={"delta": 1.0})
test_entropy_term = property_test(entropy_term, Input(0.1, 2))
test_logistic_loss = property_test(logistic_loss, Input(), Input(0, 1), Input(0, 1))
test_bernoulli_surprise = property_test(bernoulli_surprise, *PROBABILITIES)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_losses_do_not_broadcast(name):
    x, t = np.full((3, 1), 0.5), np.full(3, 0.5)
    with pytest.raises(mg.ShapeError) as caught:
        getattr(mg, name)(x, t)
    assert f"{name}: the shapes must be equal, got x: f64[3, 1], target: f64[3]" in str(
        caught.value
    )


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_at_all_gives_nan_and_an_empty_gradient(name, dtype):
    x = mg.Tensor(np.zeros((0, 2), dtype), requires_grad=True)
    loss = getattr(mg, name)(x, np.zeros((0, 2), dtype))
    assert math.isnan(loss.item())
    assert loss.dtype == dtype
    loss.backward()
    assert x.grad.shape == (0, 2)
    assert getattr(mg, name)(x, np.zeros((0, 2), dtype), reduction="sum").item() == 0


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_unknown_reductions(name):
    with pytest.raises(ValueError, match=f"{name}: reduction must be one of .*, got 'average'"):
        getattr(mg, name)(np.full(2, 0.5), np.full(2, 0.5), reduction="average")


def test_targets_of_integers_and_booleans_keep_the_dtype():
    x = np.array([0.25, -0.5], np.float32)
    for target in ([1, 0], np.array([1, 0]), np.array([True, False]), [1.0, 0.0]):
        for name in ("mse_loss", "binary_cross_entropy_with_logits"):
            assert getattr(mg, name)(x, target).dtype == np.float32


def test_predictions_must_be_floating():
    with pytest.raises(mg.DtypeError, match="mse_loss: x must be floating, got i64"):
        mg.mse_loss(np.array([1, 2]), np.array([1, 2]))


def test_weights_scale_each_place():
    x, t = np.array([[1.0, 2.0]]), np.zeros((1, 2))
    assert mg.mse_loss(x, t, weight=np.array([1.0, 10.0]), reduction="sum").item() == 41
    assert mg.mse_loss(x, t, weight=[[2]], reduction="sum").item() == 10
    with pytest.raises(mg.ShapeError, match=r"mse_loss: weight must broadcast to the shape \(1, 2"):
        mg.mse_loss(x, t, weight=np.ones((3, 2)))
    with pytest.raises(mg.DetachError, match="mse_loss: weight is a constant"):
        mg.mse_loss(x, t, weight=mg.Tensor([1.0, 1.0], requires_grad=True))


def test_sums_do_not_overflow_in_float16():
    x = mg.Tensor(np.full(8, 300, np.float16), requires_grad=True)
    loss = mg.mse_loss(x, np.full(8, 100, np.float16))
    assert loss.item() == 40_000  # whose sum over 8 places float16 cannot hold
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(8, 50))


def slope(loss, x, *args, **options):
    t = mg.Tensor(x, requires_grad=True)
    loss(t, *args, **options).backward()
    return t.grad.tolist()


def test_slopes_at_kinks_and_bounds_are_those_of_pytorch():
    one = np.array([0.0])
    assert slope(mg.l1_loss, one, one) == [0]
    assert slope(mg.smooth_l1_loss, one, one, beta=0) == [0]
    assert slope(mg.huber_loss, one + 2, one, delta=2.0) == [2]
    assert slope(mg.smooth_l1_loss, one - 2, one, beta=2.0) == [-1]


def test_certain_probabilities():
    x, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    rows = mg.binary_cross_entropy(x, t, reduction="none")
    assert rows.tolist() == [0, 0, 100, 100]
    gradient = slope(mg.binary_cross_entropy, x, t, reduction="sum")
    assert gradient == [0, 0, -1e12, 1e12]
    with pytest.raises(ValueError, match=r"within 0 to 1, got 0.0 to 2.0 .*_with_logits"):
        mg.binary_cross_entropy(x * 2, t)


def test_logits_of_any_size_keep_their_digits():
    x, t = np.array([-50.0, 50.0, 1e4, -1e4, -50.0]), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    rows = mg.binary_cross_entropy_with_logits(x, t, reduction="none").numpy()
    tail = math.exp(-50)
    np.testing.assert_allclose(rows, [tail, tail, 0, 0, 50], rtol=1e-14)
    gradient = slope(mg.binary_cross_entropy_with_logits, x, t, reduction="sum")
    np.testing.assert_allclose(gradient, [tail, -tail, 0, 0, -1], rtol=1e-14)
    huge = mg.binary_cross_entropy_with_logits(np.array([3e38], np.float32), [0])
    assert huge.item() == np.float32(3e38)


def test_pos_weight_is_one_for_each_class():
    x, t = np.zeros((2, 3)), np.ones((2, 3))
    weight = np.array([1.0, 2.0, 3.0])
    rows = mg.binary_cross_entropy_with_logits(x, t, pos_weight=weight, reduction="none")
    np.testing.assert_allclose(rows.numpy(), math.log(2) * weight * t)
    with pytest.raises(mg.ShapeError, match="pos_weight must broadcast to the shape"):
        mg.binary_cross_entropy_with_logits(x, t, pos_weight=np.ones(2))


def test_divergence_where_probabilities_are_zero():
    x = mg.Tensor([[math.log(0.5), math.log(0.5), -math.inf]], requires_grad=True)
    t = mg.Tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    loss = mg.kl_div(x, t, reduction="batchmean")
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[-1, 0, 0]])
    assert np.isfinite(t.grad.numpy()).all()
    logs = mg.kl_div([[math.log(0.5)] * 2], [[0.0, -math.inf]], reduction="sum", log_target=True)
    assert logs.item() == pytest.approx(math.log(2))


def test_batchmean_divides_by_the_first_axis():
    x, t = np.log(np.full((4, 2), 0.5)), np.full((4, 2), 0.25)
    total = mg.kl_div(x, t, reduction="sum").item()
    assert mg.kl_div(x, t, reduction="batchmean").item() == pytest.approx(total / 4)
    assert math.isnan(mg.kl_div(x[:0], t[:0], reduction="batchmean").item())
    one = mg.kl_div(np.array(-0.5), np.array(0.5), reduction="batchmean")  # as in PyTorch
    assert one.item() == mg.kl_div(np.array(-0.5), np.array(0.5), reduction="sum").item()


def test_bounds_must_make_sense():
    with pytest.raises(ValueError, match="huber_loss: delta must be above 0, got 0"):
        mg.huber_loss(np.ones(1), np.ones(1), delta=0)
    with pytest.raises(ValueError, match="smooth_l1_loss: beta must be 0 or more, got -1"):
        mg.smooth_l1_loss(np.ones(1), np.ones(1), beta=-1)


def test_an_equal_prediction_and_target():
    x = mg.Tensor([1.0, 2.0], requires_grad=True)
    mg.mse_loss(x, x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0])
