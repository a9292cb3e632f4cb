import math

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from minigrad.core.errors import DetachError, DtypeError, ShapeError

SCORES = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
CLASSES = np.array([0, 2])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (CrossEntropyLoss(reduction="none"), [-math.log(0.5), -math.log(0.8)]),
        (CrossEntropyLoss(), -(math.log(0.5) + math.log(0.8)) / 2),
        (CrossEntropyLoss(reduction="sum"), -math.log(0.5) - math.log(0.8)),
        (CrossEntropyLoss([1.0, 1.0, 3.0]), -(math.log(0.5) + 3 * math.log(0.8)) / 4),
        (CrossEntropyLoss(ignore_index=0), -math.log(0.8)),
        (NLLLoss(), -(math.log(0.5) + math.log(0.8)) / 2),
        (NLLLoss([2.0, 0.0, 0.0], reduction="sum"), -2 * math.log(0.5)),
        (NLLLoss(ignore_index=2, reduction="none"), [-math.log(0.5), 0.0]),
    ],
    ids=repr,
)
def test_losses_of_classes(loss, expected):
    np.testing.assert_allclose(loss(SCORES, CLASSES).numpy(), expected, rtol=1e-12)


def test_label_smoothing_is_a_mixture_with_an_even_target():
    plain = CrossEntropyLoss()(SCORES, CLASSES).item()
    even = CrossEntropyLoss()(SCORES, np.full((2, 3), 1 / 3)).item()
    smooth = CrossEntropyLoss(label_smoothing=0.3)(SCORES, CLASSES).item()
    assert smooth == pytest.approx(0.7 * plain + 0.3 * even, rel=1e-12)


def test_probabilities_that_name_one_class_give_its_loss():
    one_hot = mg.one_hot(CLASSES, 3)
    mine = CrossEntropyLoss()(SCORES, one_hot).item()
    assert mine == pytest.approx(CrossEntropyLoss()(SCORES, CLASSES).item(), rel=1e-12)


def test_the_class_axis_is_the_last_one_unless_said():
    scores = np.random.default_rng(0).standard_normal((2, 5, 3))
    target = np.random.default_rng(1).integers(3, size=(2, 5))
    last = CrossEntropyLoss()(scores, target).item()
    second = CrossEntropyLoss(axis=1)(scores.swapaxes(1, 2), target).item()
    assert last == pytest.approx(second, rel=1e-14)


def test_no_place_at_all_is_nan_with_zero_gradients():
    scores = mg.Tensor(SCORES, requires_grad=True)
    loss = CrossEntropyLoss(ignore_index=0)(scores, np.array([0, 0]))
    loss.backward()
    assert math.isnan(loss.item())
    assert not scores.grad.numpy().any()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (MSELoss("none"), [0.25, 9.0]),
        (L1Loss("none"), [0.5, 3.0]),
        (HuberLoss("none", delta=2.0), [0.125, 2 * (3 - 1)]),
        (SmoothL1Loss("none", beta=2.0), [0.0625, 3 - 1]),
        (SmoothL1Loss("none", beta=0.0), [0.5, 3.0]),
        (MSELoss(), 4.625),
        (L1Loss("sum"), 3.5),
    ],
    ids=repr,
)
def test_losses_of_numbers(loss, expected):
    mine = loss(np.array([1.0, 2.0]), np.array([1.5, -1.0])).numpy()
    np.testing.assert_allclose(mine, expected)


def test_losses_of_binary_classes():
    chances, target = np.array([0.9, 0.2]), np.array([1, 0])
    expected = [-math.log(0.9), -math.log(0.8)]
    np.testing.assert_allclose(BCELoss(reduction="none")(chances, target).numpy(), expected)
    scores = np.log(chances / (1 - chances))
    mine = BCEWithLogitsLoss(reduction="none")(scores, target).numpy()
    np.testing.assert_allclose(mine, expected, rtol=1e-12)
    weighed = BCEWithLogitsLoss([2.0, 1.0], "none", pos_weight=3.0)(scores, target).numpy()
    np.testing.assert_allclose(weighed, [6 * expected[0], expected[1]], rtol=1e-12)


def test_certainty_in_the_wrong_costs_a_hundred():
    chances = mg.Tensor([0.0, 1.0], dtype="float64", requires_grad=True)
    loss = BCELoss(reduction="sum")(chances, np.array([1.0, 0.0]))
    loss.backward()
    assert loss.item() == 200
    np.testing.assert_allclose(chances.grad.numpy(), [-1e12, 1e12])


def test_extreme_scores_cost_what_they_say():
    scores = mg.Tensor([1000.0, -1000.0, 1000.0], requires_grad=True)
    loss = BCEWithLogitsLoss(reduction="none")(scores, np.array([1, 0, 0]))
    loss.sum().backward()
    np.testing.assert_array_equal(loss.detach().numpy(), np.array([0, 0, 1000], np.float32))
    np.testing.assert_array_equal(scores.grad.numpy(), np.array([0, 0, 1], np.float32))


def test_divergence():
    p, q = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [0.5, 0.5]])
    rows = [math.log(2) / 2 + math.log(2 / 3) / 2, math.log(2)]
    assert KLDivLoss("batchmean")(np.log(q), p).item() == pytest.approx(sum(rows) / 2)
    assert KLDivLoss()(np.log(q), p).item() == pytest.approx(sum(rows) / 4)
    with np.errstate(divide="ignore"):
        logarithms = np.log(p)
    log = KLDivLoss("sum", log_target=True)(np.log(q), logarithms)
    assert log.item() == pytest.approx(sum(rows))


def test_weights_are_buffers_that_move_and_are_saved():
    loss = BCEWithLogitsLoss([1.0, 2.0], pos_weight=[3.0, 4.0])
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    assert not list(loss.parameters())
    assert loss.weight.dtype == np.float32
    assert loss.to("float64").weight.dtype == np.float64
    other = BCEWithLogitsLoss([0.0, 0.0], pos_weight=[0.0, 0.0])
    other.load_state_dict(loss.state_dict())
    np.testing.assert_array_equal(other.pos_weight.numpy(), [3.0, 4.0])
    assert not CrossEntropyLoss().state_dict()
    assert CrossEntropyLoss().weight is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_weights_do_not_change_the_dtype(dtype):
    scores = SCORES.astype(dtype)
    assert CrossEntropyLoss([1.0, 2.0, 3.0])(scores, CLASSES).dtype == dtype
    ones = np.ones((2, 3), dtype)
    assert BCEWithLogitsLoss([1.0, 2.0, 3.0], pos_weight=2.0)(scores, ones).dtype == dtype


def test_an_empty_batch():
    scores, target = np.zeros((0, 3)), np.zeros(0, int)
    assert CrossEntropyLoss(reduction="sum")(scores, target).item() == 0
    assert math.isnan(CrossEntropyLoss()(scores, target).item())
    assert math.isnan(MSELoss()(scores, scores).item())
    assert NLLLoss(reduction="none")(scores, target).shape == (0,)


@pytest.mark.parametrize("name", layers.basic.losses.__all__)
def test_an_unknown_reduction_is_refused_when_the_loss_is_made(name):
    with pytest.raises(ValueError, match=f"{name}: reduction must be one of .*, got 'median'"):
        getattr(layers, name)(reduction="median")


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CrossEntropyLoss(label_smoothing=1.5), "label_smoothing must be 0 to 1, got 1.5"),
        (lambda: HuberLoss(delta=0), "HuberLoss: delta must be above 0, got 0"),
        (lambda: SmoothL1Loss(beta=-1), "SmoothL1Loss: beta must be 0 or more, got -1"),
        (lambda: MSELoss()(zeros(3, 1), zeros(3)), r"equal, got x: f32\[3, 1\], target: f32\[3\]"),
        (
            lambda: CrossEntropyLoss()(zeros(2, 4, 3), np.zeros((2, 3), int)),
            "fits classes along axis 1: pass axis=1",
        ),
        (lambda: CrossEntropyLoss()(zeros(1, 3), np.array([3])), "class number 3, .* 0 to 2"),
        (lambda: CrossEntropyLoss([1.0])(zeros(1, 3), np.array([0])), "each of the 3 classes"),
        (
            lambda: BCEWithLogitsLoss(zeros(2))(zeros(4, 3), zeros(4, 3)),
            r"weight must broadcast to the shape \(4, 3\) of the losses, got f32\[2\]",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_kinds():
    with pytest.raises(ShapeError, match="does not broadcast"):
        L1Loss()(zeros(2), zeros(1))
    with pytest.raises(DtypeError, match="integer class numbers"):
        NLLLoss()(zeros(1, 3), zeros(1))
    with pytest.raises((DetachError, mg.GradientError), match="weight"):
        CrossEntropyLoss(mg.Tensor([1.0, 2.0], requires_grad=True))
