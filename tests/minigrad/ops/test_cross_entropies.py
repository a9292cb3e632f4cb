"""The cross entropy of classes and of probabilities: kernel, reference, options and errors."""

import math
import re

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, fused_test, property_test


def log_softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def by_formula(x, target, weight, ignore_index, reduction, label_smoothing, axis, logs=False):
    """The definition, one place at a time, in float64."""
    log_p = np.moveaxis(x.astype(float) if logs else log_softmax(x.astype(float), axis), axis, -1)
    classes = log_p.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    rows, total = np.zeros(target.shape), 0.0
    for place in np.ndindex(*target.shape):
        code = target[place]
        if code == ignore_index:
            continue
        spread = -(weight * log_p[place]).sum() * label_smoothing / classes
        rows[place] = spread - (1 - label_smoothing) * weight[code] * log_p[place][code]
        total += weight[code]
    if reduction == "mean":
        return np.asarray(rows.sum() / total if total else np.nan).astype(x.dtype)
    return np.asarray(rows if reduction == "none" else rows.sum()).astype(x.dtype)


@st.composite
def class_options(draw, arrays, smoothing=True):
    shape = arrays[0].shape
    filled = [a for a in range(-len(shape), len(shape)) if shape[a]]
    axis = draw(st.sampled_from(filled))
    places = list(shape)
    classes = places.pop(axis)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    target = generator.integers(0, classes, places)
    ignored = draw(st.sampled_from([-100, 1]))
    if ignored == -100 and target.size:
        target.flat[0] = draw(st.sampled_from([-100, 0]))
    # The mean over nothing is NaN, which has no differences to compare with.
    reductions = ["mean", "sum", "none"] if (target != ignored).any() else ["sum", "none"]
    weight = draw(st.sampled_from([None, generator.uniform(0.5, 2, classes)]))
    options = {
        "target": target,
        "weight": weight,
        "ignore_index": ignored,
        "reduction": draw(st.sampled_from(reductions)),
        "axis": axis,
    }
    if smoothing:
        options["label_smoothing"] = draw(st.sampled_from([0.0, 0.2]))
    return options


SCORES = Input(-3, 3, shape=st.sampled_from([(3,), (2, 3), (0, 3), (2, 3, 2), (2, 0, 3), (2, 2)]))

test_cross_entropy_of_classes = fused_test(
    mg.cross_entropy, SCORES, params=class_options, reference=by_formula
)
test_nll_loss = property_test(
    mg.nll_loss,
    SCORES,
    params=lambda arrays: class_options(arrays, smoothing=False),
    reference=lambda x, **options: by_formula(x, label_smoothing=0.0, logs=True, **options),
)


def by_probabilities(x, target, weight, reduction, label_smoothing, axis):
    log_p = log_softmax(x.astype(float), axis)
    q = target.astype(float) * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    if weight is not None:
        q = np.moveaxis(np.moveaxis(q, axis, -1) * weight, -1, axis)
    rows = -(q * log_p).sum(axis=axis)
    total = {"mean": rows.mean, "sum": rows.sum, "none": lambda: rows}
    return np.asarray(total[reduction]()).astype(x.dtype)


@st.composite
def probability_options(draw, arrays):
    axis = draw(st.integers(-arrays[0].ndim, arrays[0].ndim - 1))
    classes = arrays[0].shape[axis]
    weight = np.linspace(0.5, 2, classes)
    return {
        "weight": draw(st.sampled_from([None, weight])),
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.2])),
        "axis": axis,
    }


test_cross_entropy_of_probabilities = fused_test(
    mg.cross_entropy,
    Input(-3, 3),
    Input(0, 1),
    shapes=st.sampled_from([(3,), (2, 3), (2, 3, 2)]).map(lambda shape: (shape, shape)),
    params=probability_options,
    reference=by_probabilities,
)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("loss", [mg.cross_entropy, mg.nll_loss])
def test_no_places_and_ignored_places_give_nan_and_zero_gradients(dtype, loss):
    for scores, target in (
        (np.zeros((0, 3), dtype), np.zeros(0, int)),
        (np.ones((2, 3), dtype), np.array([-100, -100])),
    ):
        x = mg.Tensor(scores, requires_grad=True)
        mean = loss(x, target)
        assert math.isnan(mean.item())
        assert mean.dtype == dtype
        mean.backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.zeros_like(scores))
        assert loss(x, target, reduction="sum").item() == 0
    empty = mg.Tensor(np.zeros((0, 3), dtype), requires_grad=True)
    assert math.isnan(mg.cross_entropy(empty, np.zeros((0, 3), dtype)).item())


def test_zero_gradients_of_ignored_places_in_second_order():
    x = mg.Tensor(np.ones((2, 3)), requires_grad=True)
    slope = mg.gradients(mg.cross_entropy(x, [-100, -100]), x, create_graph=True)
    np.testing.assert_array_equal(slope.numpy(), np.zeros((2, 3)))


def test_huge_scores_do_not_overflow():
    for dtype in (np.float16, np.float32, np.float64):
        big = float(np.finfo(dtype).max) / 4
        x = mg.Tensor(np.array([[big, 0.0], [-big, big]], dtype), requires_grad=True)
        loss = mg.cross_entropy(x, [0, 1])
        assert loss.item() == 0
        loss.backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 2)))


def test_impossible_classes_add_nothing_unless_they_are_asked_for():
    x = mg.Tensor(np.array([[0.0, 0.0, -np.inf]]), requires_grad=True)
    for target in ([0], np.array([[1.0, 0.0, 0.0]])):
        loss = mg.cross_entropy(x, target)
        assert loss.item() == pytest.approx(math.log(2))
        (g,) = mg.gradients(loss, [x])
        np.testing.assert_allclose(g.numpy(), [[-0.5, 0.5, 0]])
        (h,) = mg.gradients(loss, [x], create_graph=True)
        np.testing.assert_allclose(h.numpy(), [[-0.5, 0.5, 0]])
    assert mg.cross_entropy(x, [2]).item() == math.inf


def test_one_hot_targets_get_their_true_gradient():
    x = np.array([[1.0, 2.0, 3.0]])
    t = mg.Tensor([[0.0, 0.0, 1.0]], dtype="float64", requires_grad=True)
    mg.cross_entropy(x, t).backward()
    np.testing.assert_allclose(t.grad.numpy(), -log_softmax(x, -1))


def test_a_small_loss_in_float16_over_many_places():
    x = mg.Tensor(np.zeros((70_000, 2), np.float16), requires_grad=True)
    loss = mg.cross_entropy(x, np.zeros(70_000, int))
    assert loss.dtype == np.float16
    assert loss.item() == pytest.approx(math.log(2), rel=1e-3)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy()[0], [-0.5 / 70_000, 0.5 / 70_000], rtol=2e-2)


def test_pytorchs_layout_needs_its_axis():
    x, target = np.zeros((2, 5, 3)), np.zeros((2, 3), int)
    assert mg.cross_entropy(x, target, axis=1).item() == pytest.approx(math.log(5))
    with pytest.raises(mg.ShapeError) as caught:
        mg.cross_entropy(x, target)
    assert "target must have the shape (2, 5) of the scores f64[2, 5, 3]" in str(caught.value)
    assert "It fits classes along axis 1: pass axis=1" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mg.cross_entropy(x, [0, 3]), "target has the class number 3, but the scores"),
        (lambda x: mg.cross_entropy(x, [0, -1]), "class number -1"),
        (lambda x: mg.cross_entropy(x, [0]), "must have the shape (2,)"),
        (lambda x: mg.cross_entropy(x, [0.5, 1.0]), "probabilities in the logits' shape (2, 3)"),
        (lambda x: mg.cross_entropy(x, [True, False]), "integer class numbers, got bool[2]"),
        (lambda x: mg.cross_entropy(x, [0, 1], weight=[1.0, 2.0]), "each of the 3 classes"),
        (lambda x: mg.cross_entropy(x, [0, 1], label_smoothing=2), "label_smoothing must be 0"),
        (lambda x: mg.cross_entropy(x, [0, 1], reduction="average"), "reduction must be one of"),
        (lambda x: mg.cross_entropy(x, [0, 1], axis=2), "axis: 2 is out of bounds for 2 axes"),
        (lambda x: mg.cross_entropy(x.sum(), 0), "must have a class axis"),
        (lambda x: mg.cross_entropy(x.astype(int), [0, 1]), "logits must be floating"),
        (lambda x: mg.nll_loss(x, [0.0, 1.0]), "nll_loss: target must hold integer class"),
        (lambda x: mg.nll_loss(x, [[0, 1, 2]] * 2), "nll_loss: target must have the shape (2,)"),
        (
            lambda x: mg.cross_entropy(x, [0, 1], weight=mg.Tensor(np.ones(3), requires_grad=True)),
            "weight is a constant here and has no derivative",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        call(np.zeros((2, 3)))
