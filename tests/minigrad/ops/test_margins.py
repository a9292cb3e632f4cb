"""Losses with margins, similarities and likelihoods: formulas, derivatives, refused targets."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, examples, property_test

SIGNS = np.array([1, -1, 1])
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
ROWS = st.just(((3, 2), (3, 2)))
PAIRS = st.just(((3,), (3,)))


def wide(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x


def quick(*arguments, **options):
    """A property test of few examples, for what is made of operations that have their own."""
    return examples(0.3)(property_test(*arguments, **options))


def loss_test(op, formula, *inputs, shapes, **params):
    """Property-test a loss against its formula for single places."""

    def reference(*arrays, reduction, **options):
        rows = np.asarray(formula(*map(wide, arrays), **options))
        total = {"mean": rows.mean, "sum": rows.sum, "none": lambda: rows}[reduction]()
        return total.astype(arrays[0].dtype)

    return quick(
        op,
        *inputs,
        params={"reduction": REDUCTIONS, **params},
        reference=reference,
        shapes=shapes,
    )


def cosine(a, b, axis=-1, tiny=0.0):
    squares = [(v * v).sum(axis=axis) + v.dtype.type(tiny) for v in (a, b)]
    return (a * b).sum(axis=axis) / np.sqrt(squares[0]) / np.sqrt(squares[1])


VECTOR = Input(0.2, 2.0)  # whose cosines are above 0

test_margin_ranking_loss = loss_test(
    mg.margin_ranking_loss,
    lambda x1, x2, target, margin: np.maximum(0, -target * (x1 - x2) + margin),
    Input(0.5, 2),
    Input(-2, -0.5),
    shapes=PAIRS,
    target=SIGNS,
    margin=0.25,
)
test_hinge_embedding_loss = loss_test(
    mg.hinge_embedding_loss,
    lambda x, target, margin: np.where(target > 0, x, np.maximum(0, margin - x)),
    Input(0, 3, avoid=(1.5,)),
    shapes=st.just(((3,),)),
    target=SIGNS,
    margin=1.5,
)
test_soft_margin_loss = loss_test(
    mg.soft_margin_loss,
    lambda x, target: np.log(1 + np.exp(-target * x)),
    Input(),
    shapes=st.just(((3,),)),
    target=SIGNS,
)
test_cosine_embedding_loss = loss_test(
    mg.cosine_embedding_loss,
    lambda x1, x2, target, margin: np.where(
        target > 0,
        1 - cosine(x1, x2, tiny=1e-12),
        np.maximum(0, cosine(x1, x2, tiny=1e-12) - margin),
    ),
    Input(0.2, 2.0),
    Input(-2.0, -0.2),  # whose cosines are below 0, far from 1, where 1 - cos loses its digits
    shapes=ROWS,
    target=SIGNS,
    margin=-1.0,
)
test_multi_margin_loss = loss_test(
    mg.multi_margin_loss,
    lambda x, target, p: np.array(
        [
            sum(max(0, 1 - row[t] + row[j]) ** p for j in range(3) if j != t) / 3
            for row, t in zip(x, target, strict=True)
        ],
        x.dtype,
    ),
    Input(-0.4, 0.4),
    shapes=st.just(((2, 3),)),
    target=np.array([0, 2]),
    p=st.sampled_from([1, 2]),
)
test_triplet_margin_loss = loss_test(
    mg.triplet_margin_loss,
    lambda a, p, n: np.maximum(
        0, 1 + np.linalg.norm(a - p + 1e-6, axis=-1) - np.linalg.norm(a - n + 1e-6, axis=-1)
    ),
    Input(0.0, 0.2),
    Input(0.5, 0.8),
    Input(-0.4, -0.2),
    shapes=st.just(((2, 2),) * 3),
)
test_gaussian_nll_loss = loss_test(
    mg.gaussian_nll_loss,
    lambda x, t, var, full: (
        (np.log(var) + (x - t) ** 2 / var) / 2 + (math.log(2 * math.pi) / 2 if full else 0)
    ).astype(x.dtype),
    Input(),
    Input(),
    Input(0.5, 2),
    shapes=st.sampled_from([((2, 2),) * 3, ((2, 2), (2, 2), (2, 1)), ((), (), ())]),
    full=st.booleans(),
)
test_poisson_nll_loss = loss_test(
    mg.poisson_nll_loss,
    lambda x, t, log_input: np.exp(x) - t * x if log_input else x - t * np.log(x + 1e-8),
    Input(0.5, 2),
    Input(0, 3),
    shapes=PAIRS,
    log_input=st.booleans(),
)
test_cosine_similarity = quick(
    mg.cosine_similarity,
    VECTOR,
    VECTOR,
    params={"axis": st.sampled_from([0, -1])},
    reference=lambda x1, x2, axis: cosine(wide(x1), wide(x2), axis).astype(x1.dtype),
    shapes=ROWS,
)
test_pairwise_distance = quick(
    mg.pairwise_distance,
    Input(1, 2),
    Input(-2, -1),
    params={"p": st.sampled_from([1.0, 2.0, 3.0])},
    reference=lambda x1, x2, p: np.linalg.norm(
        wide(x1) - wide(x2) + np.float32(1e-6), p, axis=-1
    ).astype(x1.dtype),
    shapes=ROWS,
)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: mg.margin_ranking_loss([1.0], [2.0], [0]),
            "must hold 1 and -1, .*2 \\* target - 1",
        ),
        (
            lambda: mg.hinge_embedding_loss([1.0], [True, False]),
            "target must broadcast to the shape",
        ),
        (lambda: mg.soft_margin_loss([1.0, 2.0], [0, 1]), "target must hold 1 and -1"),
        (lambda: mg.cosine_embedding_loss([[1.0]], [[1.0]], [0.5]), "must hold 1 and -1"),
        (lambda: mg.cosine_embedding_loss(np.ones((1, 1, 1)), np.ones((1, 1, 1)), 1), "x1 and x2"),
        (lambda: mg.margin_ranking_loss([1.0], [[2.0]], [1]), "the shapes must be equal"),
        (lambda: mg.multi_margin_loss([[1.0, 2.0]], [2]), "class number 2, .* classes 0 to 1"),
        (lambda: mg.multi_margin_loss([[1.0, 2.0]], [-1]), "class number -1"),
        (lambda: mg.multi_margin_loss([[1.0, 2.0]], [0], p=3), "p must be 1 or 2, got 3"),
        (lambda: mg.multi_margin_loss(np.zeros((1, 0)), [0]), r"x must be \(batch, classes\)"),
        (lambda: mg.triplet_margin_loss(1.0, 1.0, 1.0), "must have an axis of features"),
        (lambda: mg.gaussian_nll_loss([1.0], [0.0], [-1.0]), "variance must not be negative"),
        (
            lambda: mg.gaussian_nll_loss([1.0, 1.0], [0.0, 0.0], [1.0] * 3),
            "var must have the shape",
        ),
        (lambda: mg.gaussian_nll_loss([1.0], [0.0], [1.0], eps=0), "eps must be above 0"),
        (lambda: mg.poisson_nll_loss([1.0], [1.0, 2.0]), "the shapes must be equal"),
        (lambda: mg.cosine_similarity(1.0, 1.0), "must have an axis of vectors"),
        (lambda: mg.cosine_similarity([1.0], [1.0], axis=1), "cosine_similarity: axis: 1"),
        (lambda: mg.soft_margin_loss([1.0], [1], reduction="median"), "reduction must be one of"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_of_any_length_have_a_cosine(dtype):
    for scale in (dtype(1e-3), dtype(np.finfo(dtype).max / 8)):
        vector = np.array([3.0, 4.0], dtype) * scale
        x = mg.Tensor(vector, requires_grad=True)
        similarity = mg.cosine_similarity(x, vector[::-1].copy())
        assert similarity.item() == pytest.approx(0.96, rel=4e-3)
        similarity.backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_a_zero_vector_has_no_direction_and_a_finite_gradient():
    x = mg.Tensor([0.0, 0.0], requires_grad=True)
    for loss in (mg.cosine_similarity(x, [1.0, 2.0]), mg.cosine_embedding_loss(x, [1.0, 2.0], 1)):
        (gradient,) = mg.gradients(loss, [x])
        assert np.isfinite(gradient.numpy()).all()


def test_a_variance_below_eps_may_grow_again():
    variance = mg.Tensor([0.0], requires_grad=True)
    loss = mg.gaussian_nll_loss([1.0], [0.0], variance, eps=0.5)
    assert loss.item() == pytest.approx((math.log(0.5) + 2) / 2)
    loss.backward()
    assert variance.grad.item() == pytest.approx((2 - 4) / 2)


def test_a_compiled_variance_is_looked_at_in_each_call():
    compiled = mg.compile(mg.value_and_grad(lambda v: mg.gaussian_nll_loss([1.0], [0.0], v)))
    for value in (1.0, 0.0, 4.0):  # the smallest is 1e-6
        variance = max(value, 1e-6)
        loss, slope = compiled(np.array([value]))
        assert loss.item() == pytest.approx((math.log(variance) + 1 / variance) / 2)
        assert slope.item() == pytest.approx((1 / variance - 1 / variance**2) / 2)
    with pytest.raises(ValueError, match=r"must not be negative, got var from -0\.5"):
        compiled(np.array([-0.5]))
    assert (len(compiled.programs), compiled.refusals) == (1, [])


def test_counts_of_zero_have_a_gradient_with_stirlings_formula():
    x, target = (mg.Tensor([1.0, 1.0], requires_grad=True) for _ in range(2))
    target.write(np.array([0.0, 5.0], np.float32))
    loss = mg.poisson_nll_loss(x, target, full=True, reduction="none")
    stirling = 5 * math.log(5) - 5 + math.log(10 * math.pi) / 2
    np.testing.assert_allclose(loss.tolist(), [math.e, math.e - 5 + stirling], rtol=1e-6)
    loss.sum().backward()
    assert np.isfinite(target.grad.numpy()).all()


def test_nothing_at_all_gives_nan():
    empty, none = np.zeros((0, 3)), np.zeros((0,), int)
    for loss in (
        mg.cosine_embedding_loss(empty, empty, none),
        mg.multi_margin_loss(empty, none),
        mg.margin_ranking_loss(empty, empty, np.zeros((0, 3), int)),
        mg.triplet_margin_loss(empty, empty, empty),
        mg.gaussian_nll_loss(empty, empty, empty),
        mg.poisson_nll_loss(empty, empty),
    ):
        assert math.isnan(loss.item())
