"""MultiheadAttention: masks, lengths, caches, weights, steps, and what it refuses."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import KeyValueCache, MultiheadAttention, RotaryPositions, attention_steps
from minigrad.testing import check_gradients


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr("minigrad.ops.nn.attention_blockwise.BLOCK", (2, 3))


def make(seed=0, dtype="float64", size=6, heads=2, **options):
    mg.seed(seed)
    with mg.default_dtype(dtype):
        attention = MultiheadAttention(size, heads, **options)
    for parameter in attention.parameters():
        layers.init.normal_(parameter, 0.0, 0.5)
    return attention


def draw(*shape, seed=0, dtype="float64", requires_grad=True):
    numbers = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return mg.Tensor(numbers, requires_grad=requires_grad)


def gradients(loss, *leaves):
    return [g.numpy() for g in mg.gradients(loss, list(leaves))]


METHODS = pytest.mark.parametrize("method", ["plain", "blockwise", "weights"])


def call(attention, method, *inputs, **chosen):
    """The output, by a method of the fused operation or by way of the weights."""
    attention.method = None if method == "weights" else method
    return attention(*inputs, need_weights=method == "weights", **chosen)[0]


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    causal=st.booleans(),
    masked=st.booleans(),
    method=st.sampled_from(["plain", "blockwise", "weights"]),
    options=st.sampled_from(
        [
            {},
            {"add_bias_kv": True, "add_zero_attn": True},
            {"batch_first": False},
            {"rotary": RotaryPositions(2)},
        ]
    ),
    own=st.booleans(),
)
def test_a_padded_batch_equals_the_sequences_alone(lengths, causal, masked, method, options, own):
    attention = make(size=4, **options)
    batch, time = len(lengths), 5
    numbers = np.random.default_rng(1).normal(size=(batch, time, 4))
    other = np.random.default_rng(2).normal(size=(batch, 3, 4))
    for b, length in enumerate(lengths):
        numbers[b, length:] = np.nan
    cotangent = np.random.default_rng(3).normal(size=(batch, time if own else 3, 4))
    mask = np.random.default_rng(4).random((time if own else 3, time)) < 0.7 if masked else None
    turn = (lambda x: x) if attention.batch_first else (lambda x: x.swapaxes(0, 1))
    chosen = {"causal": causal and own}
    x, q = mg.Tensor(numbers, requires_grad=True), mg.Tensor(other, requires_grad=True)
    inputs = [turn(x)] if own else [turn(q), turn(x)]
    y = turn(call(attention, method, *inputs, lengths=lengths, mask=mask, **chosen))
    parameters = list(attention.parameters())
    # Beyond the lengths nothing may be read, and nothing may come out.
    found = gradients((y * cotangent).sum(), x, *([] if own else [q]), *parameters)
    total = None
    for b, length in enumerate(lengths):
        xb = mg.Tensor(numbers[b : b + 1, :length], requires_grad=True)
        qb = mg.Tensor(other[b : b + 1], requires_grad=True)
        inputs = [turn(xb)] if own else [turn(qb), turn(xb)]
        part = None if mask is None else mask[: length if own else 3, :length]
        yb = turn(call(attention, method, *inputs, mask=part, **chosen))
        count = length if own else 3
        np.testing.assert_allclose(y.numpy()[b, :count], yb.numpy()[0], rtol=1e-11, atol=1e-12)
        np.testing.assert_array_equal(y.numpy()[b, count:], 0)
        loss = (yb * cotangent[b, :count]).sum()
        alone = gradients(loss, xb, *([] if own else [qb]), *parameters)
        np.testing.assert_allclose(found[0][b, :length], alone[0][0], rtol=1e-9, atol=1e-11)
        np.testing.assert_array_equal(found[0][b, length:], 0)
        if not own:
            np.testing.assert_allclose(found[1][b], alone[1][0], rtol=1e-9, atol=1e-11)
        rest = alone[-len(parameters) :]
        total = rest if total is None else [t + a for t, a in zip(total, rest, strict=True)]
    for mine, theirs in zip(found[-len(parameters) :], total, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-10)


@METHODS
def test_no_gradient_reaches_later_places_under_causal(method):
    attention = make()
    x = draw(2, 7, 6)
    y = call(attention, method, x, causal=True)
    for t in range(7):
        (g,) = gradients(y[:, t].sum(), x)
        np.testing.assert_array_equal(g[:, t + 1 :], 0)
        assert np.abs(g[:, : t + 1]).max(axis=-1).min() > 0


@METHODS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_queries_that_may_attend_to_nothing(method, dtype):
    attention = make(dtype=dtype)
    x = draw(2, 4, 6, dtype=dtype)
    mask = np.ones((2, 4, 4), bool)
    mask[0, 1] = False
    mask[1] = False
    y = call(attention, method, x, mask=mask)
    rows = y.numpy()[~mask.any(axis=-1)]
    np.testing.assert_array_equal(rows, np.broadcast_to(attention.out_proj.bias.numpy(), (5, 6)))
    leaves = [x, *attention.parameters()]
    grads = mg.gradients((y * y).sum(), leaves, create_graph=True)
    assert all(np.isfinite(g.numpy()).all() for g in grads)
    np.testing.assert_array_equal(grads[0].numpy()[1], 0)
    second = mg.gradients(sum((g * g).sum() for g in grads), leaves)
    assert all(np.isfinite(g.numpy()).all() for g in second)
    weights = attention(x, mask=mask)[1].numpy()
    np.testing.assert_array_equal(weights[~mask], 0)
    np.testing.assert_allclose(weights.sum(axis=-1), mask.any(axis=-1), rtol=1e-6)


@given(order=st.permutations(range(3)), chosen=st.sampled_from([{}, {"causal": True}]))
def test_permuting_heads_permutes_weights(order, chosen):
    attention, other = make(heads=3), make(heads=3)
    rows = np.arange(6).reshape(3, 2)[list(order)].reshape(-1)
    state = attention.state_dict()
    places = np.concatenate([rows, rows + 6, rows + 12])
    state["in_proj_weight"] = state["in_proj_weight"][places]
    state["in_proj_bias"] = state["in_proj_bias"][places]
    state["out_proj.weight"] = state["out_proj.weight"][:, rows]
    other.load_state_dict(state)
    x = draw(2, 4, 6)
    output, weights = attention(x, average_attn_weights=False, **chosen)
    permuted, others = other(x, average_attn_weights=False, **chosen)
    np.testing.assert_array_equal(others.numpy(), weights.numpy()[:, list(order)])
    np.testing.assert_allclose(permuted.numpy(), output.numpy(), rtol=1e-12, atol=1e-13)


@given(
    dtype=st.sampled_from(["float32", "float64"]),
    cuts=st.sets(st.integers(1, 7)),
    method=st.sampled_from(["plain", "blockwise", "weights"]),
    options=st.sampled_from(
        [
            {},
            {"rotary": RotaryPositions(3 * 2)},
            {"rotary": RotaryPositions(3 * 2, interleaved=False)},
            {"add_bias_kv": True, "batch_first": False},
        ]
    ),
    recorded=st.booleans(),
)
def test_cached_decoding_equals_uncached(dtype, cuts, method, options, recorded):
    attention = make(dtype=dtype, size=12, **options)
    turn = (lambda x: x) if attention.batch_first else (lambda x: x.swapaxes(0, 1))
    numbers = draw(2, 8, 12, dtype=dtype, requires_grad=recorded)
    cache = KeyValueCache()
    whole = turn(call(attention, method, turn(numbers), causal=True))
    edges = [0, *sorted(cuts), 8]
    with mg.enable_grad() if recorded else mg.no_grad():
        parts = [
            turn(call(attention, method, turn(numbers[:, a:b]), causal=True, cache=cache))
            for a, b in pairwise(edges)
        ]
    assert len(cache) == 8
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    together = mg.concatenate(parts, axis=1)
    np.testing.assert_allclose(together.numpy(), whole.numpy(), rtol=tolerance, atol=tolerance)
    if recorded and dtype == "float64":
        leaves = [numbers, *attention.parameters()]
        mine = gradients((together**2).sum(), *leaves)
        for found, expected in zip(mine, gradients((whole**2).sum(), *leaves), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@given(
    lengths=st.lists(st.integers(0, 4), min_size=2, max_size=2),
    rotary=st.sampled_from([None, RotaryPositions(4)]),
    method=st.sampled_from(["plain", "blockwise"]),
)
def test_prompts_of_several_lengths_go_on_in_one_cache(lengths, rotary, method):
    attention = make(size=8, rotary=rotary, method=method)
    prompt, more = draw(2, 4, 8, seed=1), draw(2, 3, 8, seed=2)
    cache = KeyValueCache()
    attention(prompt, causal=True, lengths=lengths, cache=cache, need_weights=False)
    assert list(np.broadcast_to(cache.counts(), 2)) == lengths
    parts = [
        attention(more[:, t : t + 1], causal=True, cache=cache, need_weights=False)[0]
        for t in range(3)
    ]
    together = mg.concatenate(parts, axis=1).numpy()
    for b, length in enumerate(lengths):
        alone = mg.concatenate([prompt[b, :length], more[b]], axis=0)
        expected = attention(alone, causal=True)[0].numpy()[length:]
        np.testing.assert_allclose(together[b], expected, rtol=1e-12, atol=1e-12)


def test_a_cache_of_a_memory():
    attention = make(kdim=3, vdim=3)
    memory, lengths = draw(2, 5, 3), [5, 2]
    cache = KeyValueCache(fixed=True)
    for seed in range(3):
        q = draw(2, 2, 6, seed=seed)
        key = memory if seed < 2 else None
        output, weights = attention(q, key, cache=cache, lengths=lengths if seed < 1 else None)
        expected, others = attention(q, memory, lengths=lengths)
        np.testing.assert_allclose(output.numpy(), expected.numpy(), rtol=1e-12)
        np.testing.assert_allclose(weights.numpy(), others.numpy(), rtol=1e-12)
    attention(q, mg.Tensor(memory.numpy()), cache=cache)  # of equal values
    with pytest.raises(ValueError, match=r"another memory f64\[2, 5, 3\].*new cache"):
        attention(q, memory + 1.0, cache=cache)
    with pytest.raises(mg.ShapeError, match="has 1 sequences, and the cache 2"):
        attention(q[:1], cache=cache)
    with pytest.raises(ValueError, match="a cache that grows serves self-attention"):
        attention(q, memory, cache=KeyValueCache())
    with pytest.raises(ValueError, match="given as key="):
        attention(q, cache=KeyValueCache(fixed=True))


def test_a_cache_can_be_reordered_detached_and_shown():
    attention = make()
    x, y = draw(3, 4, 6), draw(3, 1, 6, seed=1)
    cache = KeyValueCache()
    assert repr(cache) == "KeyValueCache(empty)"
    attention(x, causal=True, lengths=[4, 1, 2], cache=cache)
    assert repr(cache) == "KeyValueCache(f64[3, 2, 4, 3])"
    cache.reorder([2, 2, 0])
    np.testing.assert_array_equal(cache.counts(), [2, 2, 4])
    output, _ = attention(y, causal=True, cache=cache)
    for b, (source, length) in enumerate(((2, 2), (2, 2), (0, 4))):
        alone = mg.concatenate([x[source, :length], y[b]], axis=0)
        expected = attention(alone, causal=True)[0][-1]
        np.testing.assert_allclose(output.numpy()[b, 0], expected.numpy(), rtol=1e-12)
    assert mg.gradients(output.sum(), [x])[0].numpy().any()
    cache.detach()
    output, _ = attention(y, causal=True, cache=cache)
    with pytest.raises(mg.GradientError):
        mg.gradients(output.sum(), [x])
    with pytest.raises(mg.ShapeError, match=r"do not continue those of before f64\[3, 2, 6, 3\]"):
        attention(y[:2], causal=True, cache=cache)


def test_a_cache_serves_calls_with_and_without_gradients():
    attention = make()
    x, cache = draw(1, 6, 6), KeyValueCache()
    parts = []
    for t in range(6):
        with mg.enable_grad() if t == 3 else mg.no_grad():
            parts.append(attention(x[:, t : t + 1], causal=True, cache=cache)[0].numpy())
    whole = attention(x, causal=True)[0].numpy()
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-12, atol=1e-12)


def test_steps_are_what_their_names_say():
    attention = make(dtype="float64").eval()
    x, bias = draw(2, 4, 6), draw(4, 4, seed=3)
    mask = np.array([[True] * 4, [False] * 4, [True, False, True, True], [True] * 4])
    steps = attention_steps(attention, x, mask=mask, bias=bias, causal=True)
    w, b = attention.in_proj_weight.numpy(), attention.in_proj_bias.numpy()
    for i, part in enumerate(steps[:3]):
        flat = x.numpy() @ w[6 * i : 6 * i + 6].T + b[6 * i : 6 * i + 6]
        for h in range(2):
            np.testing.assert_allclose(part.numpy()[:, h], flat[..., 3 * h : 3 * h + 3], rtol=1e-12)
    q, k, v, scores, scaled, masked, weights, heads, concatenated, output = (
        step.numpy() for step in steps
    )
    allowed = mask & np.tri(4, dtype=bool)
    np.testing.assert_allclose(scores, np.einsum("bhqd,bhkd->bhqk", q, k), rtol=1e-12)
    np.testing.assert_allclose(scaled, scores / math.sqrt(3), rtol=1e-12)
    np.testing.assert_array_equal(masked, np.where(allowed, scaled + bias.numpy(), -np.inf))
    raised = np.where(allowed, np.exp(scaled + bias.numpy()), 0)
    total = raised.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(weights, raised / np.where(total == 0, 1, total), rtol=1e-12)
    np.testing.assert_allclose(heads, weights @ v, rtol=1e-12)
    np.testing.assert_array_equal(concatenated[..., 3:], heads[:, 1])
    np.testing.assert_allclose(
        output, attention(x, mask=mask, bias=bias, causal=True)[0].numpy(), rtol=1e-12
    )
    assert {"scores", "weights", "concatenated"} < set(steps._fields)
    nodes = [node for node in mg.graph(steps.output).nodes if node.scope is not None]
    frames = {scope.name for node in nodes for scope in node.scope.chain()}
    assert {"query", "key", "value", "scores", "weights", "heads"} <= frames
    one = attention_steps(attention, x[0], mask=mask, bias=bias, causal=True)
    for alone, step in zip(one, steps, strict=True):
        np.testing.assert_allclose(alone.numpy(), step.numpy()[0], rtol=1e-12)
    assert attention_steps(attention, x, lengths=[4, 0]).weights.numpy()[1].max() == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"add_bias_kv": True, "add_zero_attn": True, "kdim": 3},
        {"rotary": RotaryPositions(2), "bias": False},
    ],
)
@METHODS
def test_derivatives_to_second_order(method, options):
    attention = make(size=4, **options)
    mask = np.array([[True, False, True], [True, True, False]])
    check_gradients(
        lambda q, k, b: call(
            attention,
            method,
            q,
            k,
            k if "kdim" not in options else q[:, [0, 1, 1]],
            mask=mask,
            bias=b,
            lengths=[2],
        ),
        draw(1, 2, 4).numpy(),
        draw(1, 3, attention.kdim, seed=1).numpy(),
        draw(2, 3, seed=2).numpy(),
        parameters=dict(attention.named_parameters()),
    )


def test_dropout_of_weights():
    attention = make(dtype="float32", dropout=0.5)
    x = draw(2, 40, 6, dtype="float32")
    quiet = attention.eval()(x)[0].numpy()
    np.testing.assert_array_equal(quiet, attention(x)[0].numpy())
    attention.train()
    mg.seed(1)
    output, weights = attention(x, average_attn_weights=False)
    assert 0.4 < (weights.numpy() == 0).mean() < 0.6
    value = attention_steps(attention.eval(), x).value.numpy()
    heads = (weights.numpy() @ value).swapaxes(1, 2).reshape(2, 40, 6)
    expected = attention.out_proj(heads).numpy()
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-4, atol=1e-5)
    attention.train()
    for method in ("plain", "blockwise"):
        mg.seed(2)
        first = call(attention, method, x).numpy()
        assert np.abs(first - quiet).max() > 0.01
        mg.seed(2)
        np.testing.assert_allclose(call(attention, "plain", x).numpy(), first, rtol=1e-4, atol=1e-6)


def test_parameters_begin_as_those_of_pytorch():
    mg.seed(0)
    attention = MultiheadAttention(64, 4, add_bias_kv=True)
    largest = np.abs(attention.in_proj_weight.numpy()).max()
    assert 0.98 < largest / math.sqrt(6 / (4 * 64)) <= 1
    assert 0.98 < np.abs(attention.out_proj.weight.numpy()).max() * 8 <= 1
    assert not attention.in_proj_bias.numpy().any()
    assert not attention.out_proj.bias.numpy().any()
    np.testing.assert_allclose(attention.bias_k.numpy().std(), math.sqrt(2 / 128), rtol=0.3)
    shapes = {n: a.shape for n, a in MultiheadAttention(6, 2, kdim=3, vdim=4).state_dict().items()}
    assert shapes == {
        "q_proj_weight": (6, 6),
        "k_proj_weight": (6, 3),
        "v_proj_weight": (6, 4),
        "in_proj_bias": (18,),
        "out_proj.weight": (6, 6),
        "out_proj.bias": (6,),
    }
    assert repr(make(dropout=0.5, kdim=3)).startswith(
        "MultiheadAttention(embed_dim=6, num_heads=2, dropout=0.5, kdim=3"
    )


def test_batch_first_is_the_first_thing_that_is_said():
    for name in ("MultiheadAttention", "TransformerEncoderLayer", "Transformer"):
        assert "batch first" in getattr(layers, name).__doc__.splitlines()[0]
