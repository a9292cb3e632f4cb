"""Attention: kernel and reference, masks, rows without keys, dropout, refused names."""

import math
import re

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, fused_test

attend = mg.scaled_dot_product_attention


def by_formula(q, k, v, bias=None, mask=None, causal=False, scale=None):
    """One query at a time, in float64."""
    dtype = q.dtype
    q, k, v = (a.astype(float) for a in (q, k, v))
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    queries, keys = q.shape[-2], k.shape[-2]
    allowed = np.broadcast_to(True if mask is None else mask, (*lead, queries, keys))
    added = np.broadcast_to(0 if bias is None else bias.astype(float), (*lead, queries, keys))
    q, k, v = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (q, k, v))
    y = np.zeros((*lead, queries, v.shape[-1]))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    for place in np.ndindex(*lead, queries):
        where, i = place[:-1], place[-1]
        chosen = [
            j for j in range(keys) if allowed[place][j] and (not causal or j <= i + keys - queries)
        ]
        if chosen:
            scores = k[where][chosen] @ q[place] * scale + added[place][chosen]
            e = np.exp(scores - scores.max())
            y[place] = (e / e.sum()) @ v[where][chosen]
    return y.astype(dtype)


@st.composite
def options(draw, arrays):
    shape = (arrays[0].shape[-2], arrays[1].shape[-2])
    mask = np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.6
    if mask.size:
        mask[0] = draw(st.booleans())
    return {
        "mask": draw(st.sampled_from([None, mask])),
        "causal": draw(st.booleans()),
        "scale": draw(st.sampled_from([None, 0.7])),
    }


QKV = st.sampled_from(
    [
        ((2, 3), (2, 3), (2, 3)),
        ((2, 2, 3), (2, 3, 3), (2, 3, 1)),
        ((2, 1, 2, 2), (1, 3, 2), (2, 3, 2)),
        ((3, 1), (2, 1), (2, 2)),
        ((0, 2, 2), (0, 2, 2), (0, 2, 2)),
        ((2, 0, 2), (2, 3, 2), (2, 3, 2)),
        ((2, 2), (0, 2), (0, 2)),
    ]
)

test_attention = fused_test(
    attend, Input(), Input(), Input(), shapes=QKV, params=options, reference=by_formula
)


def with_bias(q, k, v, bias, **chosen):
    return attend(q, k, v, bias=bias, **chosen)


test_attention_with_bias = fused_test(
    with_bias,
    Input(),
    Input(),
    Input(),
    Input(),
    shapes=st.sampled_from(
        [((2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)), ((2, 2, 1), (3, 1), (3, 2), (2, 1, 3))]
    ),
    params=options,
    reference=by_formula,
)


def with_dropout(q, k, v, **chosen):
    return attend(q, k, v, dropout=0.4, generator=np.random.default_rng(3), **chosen)


test_attention_with_dropout = fused_test(
    with_dropout,
    Input(),
    Input(),
    Input(),
    shapes=st.just(((2, 2, 3), (2, 3, 3), (2, 3, 1))),
    params=options,
)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("fused", [True, False])
def test_queries_without_keys_give_zeros_and_zero_gradients(dtype, fused):
    generator = np.random.default_rng(0)
    q, k, v = (
        mg.Tensor(generator.normal(size=(3, 4)).astype(dtype), requires_grad=True) for _ in range(3)
    )
    mask = np.array([[True] * 3, [False] * 3, [True, False, False]])
    with mg.recording(fused=fused):
        for blocked in ({"mask": mask}, {"bias": np.where(mask, 0, -np.inf).astype(dtype)}):
            y = attend(q, k, v, **blocked)
            np.testing.assert_array_equal(y.numpy()[1], np.zeros(4))
            np.testing.assert_array_equal(y.numpy()[2], v.numpy()[0])
            grads = mg.gradients((y * y).sum(), [q, k, v], create_graph=True)
            assert all(np.isfinite(g.numpy()).all() for g in grads)
            np.testing.assert_array_equal(grads[0].numpy()[1], np.zeros(4))
            total = sum((g * g).sum() for g in grads)
            for g in mg.gradients(total, [q, k, v]):
                assert np.isfinite(g.numpy()).all()
        weights = mg.attention_weights(q, k, mask=mask).numpy()
        np.testing.assert_allclose(weights.sum(axis=-1), [1, 0, 1], rtol=1e-3)


def test_no_gradient_reaches_later_places_under_causal():
    x = mg.Tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True)
    y = attend(x, x, x, causal=True)
    for t in range(5):
        (g,) = mg.gradients(y[t].sum(), [x])
        assert np.abs(g.numpy()[: t + 1]).min() > 0
        np.testing.assert_array_equal(g.numpy()[t + 1 :], np.zeros((4 - t, 3)))


def test_causal_with_a_cache_of_earlier_keys():
    generator = np.random.default_rng(0)
    q, k, v = (generator.normal(size=(2, 6, 4)) for _ in range(3))
    whole = attend(q, k, v, causal=True).numpy()
    latest = attend(q[:, 4:], k, v, causal=True).numpy()
    np.testing.assert_allclose(latest, whole[:, 4:], rtol=1e-12)
    first = attend(q, k[:, :4], v[:, :4], causal=True).numpy()
    np.testing.assert_array_equal(first[:, :2], np.zeros((2, 2, 4)))


def test_weights_are_what_the_values_are_multiplied_with():
    generator = np.random.default_rng(0)
    q, k = generator.normal(size=(2, 3, 4)), generator.normal(size=(2, 5, 4))
    bias = generator.normal(size=(3, 5))
    weights = mg.attention_weights(q, k, bias=bias, scale=0.3)
    assert weights.shape == (2, 3, 5)
    y = attend(q, k, np.broadcast_to(np.eye(5), (2, 5, 5)), bias=bias, scale=0.3)
    np.testing.assert_allclose(y.numpy(), weights.numpy(), rtol=1e-12)
    half = mg.attention_weights(q.astype(np.float16), k.astype(np.float16))
    assert half.dtype == np.float16


def test_dropout_of_attention():
    q, v = np.ones((1, 400, 2)), np.ones((1, 400, 1))
    y = attend(q, q, v, dropout=0.25, generator=np.random.default_rng(0)).numpy()
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert y.std() > 0
    np.testing.assert_allclose(attend(q, q, v, dropout=0.25, training=False).numpy(), 1)
    np.testing.assert_array_equal(attend(q, q, v, dropout=1.0).numpy(), np.zeros((1, 400, 1)))
    with pytest.raises(ValueError, match="the probability p must be within 0 to 1, got 2"):
        attend(q, q, v, dropout=2)


def test_scores_that_float16_cannot_hold():
    q = np.full((2, 64), 100, np.float16)  # whose products are 640,000
    y = attend(q, q, np.array([[1.0], [3.0]], np.float16), scale=1.0)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.numpy(), [[2], [2]])


X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: attend(X, np.ones((2, 4)), X), "query and key must have as many features"),
        (lambda: attend(X, X, np.ones((3, 3))), "there must be as many values as keys"),
        (lambda: attend(np.ones(3), X, X), "query must be (..., time, features), got f64[3]"),
        (
            lambda: attend(np.ones((2, 2, 3)), np.ones((3, 2, 3)), X),
            "the leading axes do not broadcast, got query: f64[2, 2, 3]",
        ),
        (lambda: attend(X, X, X, mask=np.ones((2, 2))), "mask must be boolean, True where"),
        (
            lambda: attend(X, X, X, mask=np.ones((3, 2), bool)),
            "mask must broadcast to the scores (..., queries, keys) = (2, 2), got bool[3, 2]",
        ),
        (lambda: attend(X, X, X, mask=np.ones((4, 2, 2), bool)), "mask must broadcast"),
        (lambda: attend(X, X, X, bias=np.ones(3)), "bias must broadcast to the scores"),
        (lambda: attend(X, X, X, attn_mask=None), "no attn_mask=. Write mask= for booleans"),
        (lambda: attend(X, X, X, key_padding_mask=1), "mask=~key_padding_mask[:, None, :]"),
        (lambda: attend(X, X, X, is_causal=True), "Write causal=True."),
        (lambda: attend(X, X, X, dropout_p=0.1), "Write dropout=."),
        (lambda: attend(X, X, X, enable_gqa=True), "Repeat the heads"),
        (lambda: attend(X, X, X, maks=None), "unexpected keyword argument 'maks'"),
        (lambda: mg.attention_weights(X, X, attn_mask=None), "attention_weights: there is no"),
        (lambda: attend(X, X, X, method="fast"), "method must be one of ['plain'], got 'fast'"),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        call()
