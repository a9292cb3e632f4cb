"""Transformers: padding, causality, caches, fresh layers, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers
import minigrad as mg
from layers import (
    LayerNorm,
    RotaryPositions,
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from minigrad.testing import check_gradients


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch):
    monkeypatch.setattr("minigrad.ops.nn.attention_blockwise.BLOCK", (2, 3))


def make(kind, dtype="float64", count=2, norm=True, **options):
    """A model in evaluation whose parameters are all random, normalisations included."""
    mg.seed(0)
    options = {"dim_feedforward": 5, **options}
    with mg.default_dtype(dtype):
        if kind is Transformer:
            model = Transformer(4, 2, 1, 1, **options)
        elif kind in (TransformerEncoderLayer, TransformerDecoderLayer):
            model = kind(4, 2, **options)
        else:
            layer = getattr(layers, f"{kind.__name__}Layer")(4, 2, **options)
            model = kind(layer, count, LayerNorm(4) if norm else None)
    for parameter in model.parameters():
        layers.init.normal_(parameter, 0.0, 0.6)
    return model.eval()


def draw(*shape, seed=0, dtype="float64", requires_grad=True):
    numbers = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return mg.Tensor(numbers, requires_grad=requires_grad)


def gradients(loss, *leaves):
    return [g.numpy() for g in mg.gradients(loss, list(leaves))]


CHOICES = st.sampled_from(
    [
        {},
        {"norm_first": True, "method": "blockwise"},
        {"batch_first": False, "activation": "gelu"},
        {"method": "blockwise", "bias": False},
    ]
)


def compare_with_sequences_alone(model, call, arrays, lengths, time):
    """A padded batch against its sequences, one at a time: values and all gradients.

    `call(tensors, lengths)` runs the model; `arrays` and `lengths` go together, one length for
    each sequence of each array, and the output has the lengths of the last one.
    """
    padded = [np.array(a) for a in arrays]
    for array, counts in zip(padded, lengths, strict=True):
        for b, count in enumerate(counts):
            array[b, count:] = np.nan
    cotangent = np.random.default_rng(9).normal(size=(len(lengths[0]), time, 4))
    tensors = [mg.Tensor(a, requires_grad=True) for a in padded]
    parameters = list(model.parameters())
    y = call(tensors, lengths)
    found = gradients((y * cotangent).sum(), *tensors, *parameters)
    total = [np.zeros(p.shape) for p in parameters]
    for b in range(len(lengths[0])):
        alone = [
            mg.Tensor(a[b : b + 1, : counts[b]], requires_grad=True)
            for a, counts in zip(padded, lengths, strict=True)
        ]
        count = lengths[-1][b]
        one = call(alone, [None] * len(alone))
        np.testing.assert_allclose(y.numpy()[b, :count], one.numpy()[0], rtol=1e-9, atol=1e-10)
        np.testing.assert_array_equal(y.numpy()[b, count:], 0)
        grads = gradients((one * cotangent[b, :count]).sum(), *alone, *parameters)
        for mine, theirs, counts in zip(found, grads[: len(alone)], lengths, strict=False):
            np.testing.assert_allclose(mine[b, : counts[b]], theirs[0], rtol=1e-8, atol=1e-9)
            np.testing.assert_array_equal(mine[b, counts[b] :], 0)
        total = [t + g for t, g in zip(total, grads[len(alone) :], strict=True)]
    for mine, theirs in zip(found[len(tensors) :], total, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8)


def turned(model, x):
    first = model if hasattr(model, "batch_first") else model.layers[0]
    return x if first.batch_first else x.swapaxes(0, 1)


LENGTHS = st.lists(st.integers(0, 4), min_size=2, max_size=2)


@given(lengths=LENGTHS, options=CHOICES, causal=st.booleans(), norm=st.booleans())
def test_a_padded_batch_equals_the_sequences_alone_in_an_encoder(lengths, options, causal, norm):
    model = make(TransformerEncoder, norm=norm, **options)

    def call(tensors, counts):
        (x,) = (turned(model, t) for t in tensors)
        return turned(model, model(x, lengths=counts[0], causal=causal))

    compare_with_sequences_alone(model, call, [draw(2, 4, 4).numpy()], [lengths], 4)


@given(lengths=LENGTHS, others=LENGTHS, options=CHOICES, causal=st.booleans(), norm=st.booleans())
def test_a_padded_batch_equals_the_sequences_alone_in_a_decoder(
    lengths, others, options, causal, norm
):
    model = make(TransformerDecoder, norm=norm, **options)

    def call(tensors, counts):
        memory, tgt = (turned(model, t) for t in tensors)
        chosen = {"memory_lengths": counts[0], "lengths": counts[1], "causal": causal}
        return turned(model, model(tgt, memory, **chosen))

    arrays = [draw(2, 4, 4).numpy(), draw(2, 4, 4, seed=1).numpy()]
    compare_with_sequences_alone(model, call, arrays, [lengths, others], 4)


@given(lengths=LENGTHS, others=LENGTHS, options=CHOICES)
def test_a_padded_batch_equals_the_sequences_alone_in_a_transformer(lengths, others, options):
    model = make(Transformer, **options)

    def call(tensors, counts):
        src, tgt = (turned(model, t) for t in tensors)
        chosen = {"source_lengths": counts[0], "target_lengths": counts[1]}
        return turned(model, model(src, tgt, target_causal=True, **chosen))

    arrays = [draw(2, 4, 4).numpy(), draw(2, 4, 4, seed=1).numpy()]
    compare_with_sequences_alone(model, call, arrays, [lengths, others], 4)


@given(order=st.permutations(range(6)), options=CHOICES)
def test_an_encoder_without_positions_is_equivariant_to_permutations(order, options):
    model = make(TransformerEncoder, **options)
    x = draw(2, 6, 4)
    y = turned(model, model(turned(model, x))).numpy()
    other = turned(model, model(turned(model, x[:, list(order)]))).numpy()
    np.testing.assert_allclose(other, y[:, list(order)], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["plain", "blockwise"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("kind", [TransformerEncoder, TransformerDecoder])
def test_no_gradient_reaches_later_places_under_causal(kind, norm_first, method):
    model = make(kind, norm_first=norm_first, method=method)
    x = draw(1, 5, 4)
    y = model(x, *([draw(1, 3, 4, seed=1)] * (kind is TransformerDecoder)), causal=True)
    weight = np.random.default_rng(0).normal(size=4)
    for t in range(5):
        (g,) = gradients((y[:, t] * weight).sum(), x)
        np.testing.assert_array_equal(g[:, t + 1 :], 0)
        assert np.abs(g[:, : t + 1]).max(axis=-1).min() > 0


@given(
    kind=st.sampled_from([TransformerEncoder, TransformerDecoder]),
    dtype=st.sampled_from(["float32", "float64"]),
    cuts=st.sets(st.integers(1, 6)),
    options=CHOICES,
    rotary=st.booleans(),
    memory_lengths=st.sampled_from([None, [3, 0], [1, 2]]),
)
def test_cached_decoding_equals_uncached(kind, dtype, cuts, options, rotary, memory_lengths):
    options = dict(options, rotary=RotaryPositions(2)) if rotary else options
    model = make(kind, dtype, **options)
    x, memory = draw(2, 7, 4, dtype=dtype), draw(2, 3, 4, seed=1, dtype=dtype)
    beside, chosen = [], {"causal": True}
    if kind is TransformerDecoder:
        beside, chosen["memory_lengths"] = [turned(model, memory)], memory_lengths
    whole = turned(model, model(turned(model, x), *beside, **chosen)).numpy()
    cache = model.make_cache()
    parts = []
    with mg.no_grad():
        for a, b in pairwise([0, *sorted(cuts), 7]):
            assert cache.counts() == len(cache) == a
            part = model(turned(model, x[:, a:b]), *beside, **chosen, cache=cache)
            parts.append(turned(model, part).numpy())
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=tolerance, atol=tolerance)


def test_the_gradient_flows_through_the_cache():
    model = make(TransformerDecoder)
    x, memory = draw(2, 5, 4), draw(2, 3, 4, seed=1)
    cache = model.make_cache()
    parts = [model(x[:, t : t + 1], memory, causal=True, cache=cache) for t in range(5)]
    leaves = [x, memory, *model.parameters()]
    mine = gradients((mg.concatenate(parts, axis=1) ** 3).sum(), *leaves)
    whole = gradients((model(x, memory, causal=True) ** 3).sum(), *leaves)
    for found, expected in zip(mine, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    cache.detach()
    model(x[:, :1], memory, causal=True, cache=cache).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[:, 1:], 0)


def test_beams_are_reordered():
    model = make(TransformerDecoder)
    prompt, memory, more = draw(2, 3, 4), draw(2, 3, 4, seed=1), draw(3, 1, 4, seed=2)
    cache = model.make_cache()
    with mg.no_grad():
        model(prompt, memory, causal=True, cache=cache, memory_lengths=[3, 1], lengths=[2, 3])
        np.testing.assert_array_equal(cache.counts(), [2, 3])
        cache.reorder([1, 0, 1])
        again = model.make_cache()
        model(prompt, memory, causal=True, cache=again, memory_lengths=[3, 1], lengths=[2, 3])
        again.reorder(np.array([1, 0, 1]))
        y = model(more, None, causal=True, cache=cache)
        with_memory = model(more, memory[[1, 0, 1]], causal=True, cache=again)
    np.testing.assert_array_equal(y.numpy(), with_memory.numpy())
    for b, (source, count, far) in enumerate(((1, 3, 1), (0, 2, 3), (1, 3, 1))):
        alone = mg.concatenate([prompt[source, :count], more[b]], axis=0)
        expected = model(alone, memory[source, :far], causal=True)[-1]
        np.testing.assert_allclose(y.numpy()[b, 0], expected.numpy(), rtol=1e-11)
    assert repr(cache) == "StackCache(2 layers, 4 places)"


def test_masks_combine_with_the_cache():
    model = make(TransformerEncoder)
    x = draw(2, 5, 4)
    mask = np.random.default_rng(0).random((2, 5, 5)) < 0.6
    whole = model(x, mask=mask, causal=True).numpy()
    cache = model.make_cache()
    parts = [
        model(x[:, a:b], mask=mask[:, a:b, :b], causal=True, cache=cache).numpy()
        for a, b in ((0, 2), (2, 3), (3, 5))
    ]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-12, atol=1e-12)
    hint = "the keys are all places so far"
    with pytest.raises(mg.ShapeError, match=hint):
        model(x[:, :2], mask=mask[:, :2, :2], cache=cache)


def test_layers_of_a_stack_begin_afresh():
    mg.seed(0)
    layer = TransformerEncoderLayer(8, 2, dim_feedforward=16).to("float64").eval()
    stack = TransformerEncoder(layer, 3)
    for name, parameter in layer.named_parameters():
        drawn = [dict(one.named_parameters())[name].numpy() for one in stack.layers]
        assert {a.dtype for a in drawn} == {np.dtype(np.float64)}
        if parameter.ndim > 1:
            for one, other in pairwise([parameter.numpy(), *drawn]):
                assert np.abs(one - other).min() > 0
    assert not stack.layers[0].training
    made = TransformerDecoder(lambda: TransformerDecoderLayer(8, 2, 16), 2)
    first, second = (one.multihead_attn.in_proj_weight.numpy() for one in made.layers)
    assert np.abs(first - second).min() > 0
    model = Transformer(8, 2, 2, 2, 16)
    first, second = (one.linear1.weight.numpy() for one in model.decoder.layers)
    assert np.abs(first - second).min() > 0
    assert 0.9 < np.abs(first).max() / np.sqrt(6 / 24) <= 1

    class Own(layers.Module):
        def __init__(self):
            super().__init__()
            self.scale = layers.Parameter(np.ones(2))

    with pytest.raises(ValueError, match=r"Own: it has parameters and no reset_parameters\(\)"):
        TransformerEncoder(Own(), 2)


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "activation": mg.tanh}])
def test_derivatives_to_second_order(options):
    encoder = make(TransformerEncoderLayer, activation=options.pop("activation", "gelu"), **options)
    check_gradients(
        lambda x: encoder(x, causal=True, lengths=[3, 2]),
        draw(2, 3, 4).numpy(),
        parameters={n: p for n, p in encoder.named_parameters() if "linear" not in n},
    )
    decoder = make(TransformerDecoderLayer, activation="gelu", **options)
    check_gradients(
        lambda x, m: decoder(x, m, causal=True, memory_lengths=[1, 0]),
        draw(2, 2, 4).numpy(),
        draw(2, 2, 4, seed=1).numpy(),
        parameters={n: p for n, p in decoder.named_parameters() if "attn" in n},
    )


def test_dropout_is_on_in_training_alone():
    model = make(TransformerEncoder, dropout=0.5)
    x = draw(1, 4, 4)
    np.testing.assert_array_equal(model(x).numpy(), model(x).numpy())
    model.train()
    assert np.abs(model(x).numpy() - model(x).numpy()).max() > 0.01
    mg.seed(5)
    first = model(x).numpy()
    mg.seed(5)
    np.testing.assert_array_equal(model(x).numpy(), first)


def test_inputs_without_a_batch_axis():
    model = make(TransformerDecoder)
    x, memory = draw(3, 4), draw(2, 4, seed=1)
    y = model(x, memory, causal=True, lengths=2, memory_lengths=1)
    both = model(x[None], memory[None], causal=True, lengths=[2], memory_lengths=[1])
    np.testing.assert_allclose(y.numpy(), both.numpy()[0], rtol=1e-12)
    assert not y.numpy()[2].any()


def test_a_state_dict_goes_from_one_model_to_another():
    one, other = make(Transformer), Transformer(4, 2, 1, 1, 5).to("float64").eval()
    other.load_state_dict(one.state_dict())
    src, tgt = draw(2, 3, 4), draw(2, 2, 4, seed=1)
    np.testing.assert_array_equal(one(src, tgt).numpy(), other(src, tgt).numpy())
    assert "encoder.layers.0.self_attn.out_proj.weight" in one.state_dict()
    assert one.make_cache().layers[0].own.keys is None
