"""Attention: kernel and reference, masks, rows without keys, dropout, refused names."""

import math
import re
import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.nn import attention_blockwise
from minigrad.ops.nn.attention import draw_dropout
from minigrad.testing import Input, fused_test

attend = mg.scaled_dot_product_attention


def some(*arguments, **options):
    """A test of fewer examples than others have: each takes half a second in blocks."""
    return fused_test(*arguments, **options, factor=0.2)


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


def by_blocks(q, k, v, bias=None, *, block=(2, 3), **chosen):
    """Attention in blocks so small that there are several of them."""
    with mock.patch.object(attention_blockwise, "BLOCK", block):
        return attend(q, k, v, bias=bias, method="blockwise", **chosen)


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
LONGER = st.sampled_from(
    [
        ((3, 1), (4, 1), (4, 2)),
        ((2, 1, 3, 1), (1, 4, 1), (2, 4, 1)),
        ((2, 5, 1), (2, 1), (2, 1)),
        ((3, 1), (3, 1), (2, 3, 1)),
        ((0, 2), (3, 2), (3, 2)),
        ((3, 2), (0, 2), (0, 2)),
    ]
)

test_attention = fused_test(
    attend, Input(), Input(), Input(), shapes=QKV, params=options, reference=by_formula
)
test_blockwise = some(
    by_blocks, Input(), Input(), Input(), shapes=LONGER, params=options, reference=by_formula
)


def with_bias(q, k, v, bias, **chosen):
    return attend(q, k, v, bias=bias, **chosen)


test_attention_with_bias = some(
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
test_blockwise_with_bias = some(
    by_blocks,
    Input(),
    Input(),
    Input(),
    Input(),
    shapes=st.sampled_from(
        [
            ((3, 1), (4, 1), (4, 1), (3, 4)),
            ((2, 3, 1), (4, 1), (4, 1), (2, 1, 4)),
            ((2, 3, 1), (4, 1), (4, 1), (3, 1)),
            ((3, 1), (4, 1), (4, 2), (4,)),
        ]
    ),
    params=options,
    reference=by_formula,
)


def with_dropout(q, k, v, **chosen):
    return attend(q, k, v, dropout=0.4, generator=np.random.default_rng(3), **chosen)


def blocks_with_dropout(q, k, v, **chosen):
    return by_blocks(q, k, v, dropout=0.4, generator=np.random.default_rng(3), **chosen)


test_attention_with_dropout = some(
    with_dropout,
    Input(),
    Input(),
    Input(),
    shapes=st.sampled_from([((2, 2), (3, 2), (3, 1)), ((2, 2, 1), (3, 1), (2, 3, 1))]),
    params=options,
)
test_blockwise_with_dropout = some(
    blocks_with_dropout,
    Input(),
    Input(),
    Input(),
    shapes=st.sampled_from([((3, 1), (4, 1), (4, 1)), ((2, 3, 1), (1, 4, 1), (2, 4, 1))]),
    params=options,
)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("attend", [attend, by_blocks])
def test_queries_without_keys_give_zeros_and_zero_gradients(attend, dtype, fused):
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


@pytest.mark.parametrize("attend", [attend, by_blocks])
def test_no_gradient_reaches_later_places_under_causal(attend):
    x = mg.Tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True)
    y = attend(x, x, x, causal=True)
    for t in range(5):
        (g,) = mg.gradients(y[t].sum(), [x])
        assert np.abs(g.numpy()[: t + 1]).min() > 0
        np.testing.assert_array_equal(g.numpy()[t + 1 :], np.zeros((4 - t, 3)))


@pytest.mark.parametrize("attend", [attend, by_blocks])
def test_causal_with_a_cache_of_earlier_keys(attend):
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
    with pytest.raises(ValueError, match="p must be 0 to 1, got 2"):
        attend(q, q, v, dropout=2)


def test_dropout_keeps_weights_independently():
    dropout = draw_dropout("test", (2, 600, 500), 0.3, True, np.random.default_rng(0))
    kept = dropout.keep() - 0.7
    assert abs(kept.mean()) < 0.002  # 600,000 draws: three standard deviations
    for axes, count in (((0, 1), 1200), ((0, 2), 1000)):
        assert np.abs(kept.mean(axis=axes)).max() < 5 * math.sqrt(0.21 / count)
    for left, right in ((kept[:, 1:], kept[:, :-1]), (kept[..., 1:], kept[..., :-1]), kept):
        assert abs((left * right).mean() / 0.21) < 0.008
    pairs = kept[0] @ kept[0].T / (500 * 0.21)  # the correlations of every two rows
    assert np.abs(pairs[~np.eye(600, dtype=bool)]).max() < 0.26
    tile = dropout.tile((1,), slice(30, 50), slice(70, 80))
    np.testing.assert_array_equal(tile, dropout.keep()[1, 30:50, 70:80])


@pytest.mark.parametrize("method", ["plain", "blockwise"])
def test_lengths_keep_padding_out(method):
    generator = np.random.default_rng(0)
    q, k, v = (generator.normal(size=(3, 2, 5, 4)) for _ in range(3))
    lengths = np.array([4, 0, 5])
    for b, length in enumerate(lengths):
        k[b, :, length:] = v[b, :, length:] = np.nan
    mask = generator.random((5, 5)) < 0.7
    mask[0] = True
    tensors = [mg.Tensor(a, requires_grad=True) for a in (q, k, v)]
    y = attend(*tensors, lengths=lengths, mask=(mask, mask.T | mask), method=method)
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy()[1], np.zeros((2, 5, 4)))
    weights = mg.attention_weights(q, k, lengths=lengths, mask=mask).numpy()
    for b, length in enumerate(lengths):
        alone = [mg.Tensor(q[b], requires_grad=True)]
        alone += [mg.Tensor(a[b, :, :length], requires_grad=True) for a in (k, v)]
        expected = attend(*alone, mask=mask[:, :length], method=method)
        expected.sum().backward()
        np.testing.assert_allclose(y.numpy()[b], expected.numpy(), rtol=1e-12)
        for mine, theirs in zip(tensors, alone, strict=True):
            count = theirs.shape[1]
            np.testing.assert_allclose(
                mine.grad.numpy()[b, :, :count], theirs.grad.numpy(), rtol=1e-11, atol=1e-14
            )
            np.testing.assert_array_equal(mine.grad.numpy()[b, :, count:], 0)
        expected = mg.attention_weights(*alone[:2], mask=mask[:, :length]).numpy()
        np.testing.assert_allclose(weights[b, ..., :length], expected, rtol=1e-12)
        np.testing.assert_array_equal(weights[b, ..., length:], 0)
    np.testing.assert_array_equal(
        attend(q[0, 0], q[0, 0], v[2, 0], lengths=3).numpy(),
        attend(q[0, 0], q[0, 0, :3], v[2, 0, :3]).numpy(),
    )


def long_inputs(requires_grad=True):
    generator = np.random.default_rng(0)
    arrays = (generator.standard_normal((4, 4096, 64), np.float32) for _ in range(3))
    return [mg.Tensor(a, requires_grad=requires_grad) for a in arrays]


def run_long(method, cotangent=None, **chosen):
    tensors = long_inputs()
    y = attend(*tensors, method=method, **chosen)
    y.backward(cotangent)
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def test_4096_places_take_little_memory_and_give_what_plain_attention_gives():
    cotangent = np.random.default_rng(1).standard_normal((4, 4096, 64), np.float32)
    tensors = long_inputs()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        y = attend(*tensors)  # in blocks: that is the default at this length
        y.backward(cotangent)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20
    mine = [y.numpy(), *(t.grad.numpy() for t in tensors)]
    for found, plain in zip(mine, run_long("plain", cotangent), strict=True):
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-5)


def test_memory_stays_linear_with_every_option():
    generator = np.random.default_rng(0)
    peaks = []
    for length in (1024, 4096):
        tensors = [
            mg.Tensor(generator.standard_normal((2, 1, length, 8), np.float32), requires_grad=True)
            for _ in range(3)
        ]
        bias = mg.Tensor(generator.standard_normal((1, length), np.float32), requires_grad=True)
        mask = generator.random((2, 1, 1, length)) < 0.9
        tracemalloc.start()
        try:
            y = attend(
                *tensors,
                bias=bias,
                mask=mask,
                causal=True,
                lengths=np.array([length, length // 2]),
                dropout=0.1,
                generator=generator,
            )
            y.backward(np.ones(y.shape, np.float32))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 4.2 * peaks[0]
    assert peaks[1] < 16 * 2**20  # half the weights of one head


def test_blocks_are_the_default_where_the_weights_are_many():
    q, k = np.ones((600, 1), np.float32), np.ones((500, 1), np.float32)
    with mock.patch.object(attention_blockwise, "blockwise_attention") as blocks:
        table = mock.patch.dict("minigrad.ops.nn.attention.METHODS_OF_ATTENTION", blockwise=blocks)
        with table:
            attend(q, k, k)
            assert blocks.call_count == 1
            attend(q[:1], np.ones((9000, 1), np.float32), np.ones((9000, 1), np.float32))
            attend(k, k, k)
            attend(q, k, k, method="plain")
            assert blocks.call_count == 1


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
            "mask must broadcast to the shape (2, 2) of the scores (..., queries, keys)",
        ),
        (lambda: attend(X, X, X, mask=np.ones((4, 2, 2), bool)), "mask must broadcast"),
        (
            lambda: attend(X, X, X, bias=np.ones(3)),
            "bias must broadcast to the shape (2, 2) of the scores",
        ),
        (lambda: attend(X, X, X, attn_mask=None), "no attn_mask=. Write mask= for booleans"),
        (lambda: attend(X, X, X, key_padding_mask=1), "mask=~key_padding_mask[:, None, :]"),
        (lambda: attend(X, X, X, is_causal=True), "Write causal=True."),
        (lambda: attend(X, X, X, dropout_p=0.1), "Write dropout=."),
        (lambda: attend(X, X, X, enable_gqa=True), "Repeat the heads"),
        (lambda: attend(X, X, X, maks=None), "unexpected keyword argument 'maks'"),
        (lambda: mg.attention_weights(X, X, attn_mask=None), "attention_weights: there is no"),
        (
            lambda: attend(X, X, X, method="fast"),
            "method must be one of ['plain', 'blockwise'] or None, got 'fast'",
        ),
        (
            lambda: attend(X, X, X, lengths=[1, 2]),
            "lengths must have shape (), one for each sequence of key f64[2, 3], got i64[2]",
        ),
        (
            lambda: attend(X[None], X, X, lengths=[3]),
            "lengths must be 0 to 2, the time steps of key f64[2, 3], got 3 at place 0",
        ),
        (lambda: attend(X, X, X, lengths=-1), "lengths must be 0 to 2"),
        (
            lambda: attend(X[None], X, X, lengths=np.ones(1)),
            "lengths must be integers, got f64[1]; from a mask (batch, time)",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        call()
