"""Arguments of the Transformer's layers: which layer and which argument an error names."""

import numpy as np
import pytest

import layers
import minigrad as mg
from layers.transformer.attention_arguments import valid_places

X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)


def test_integers_are_refused_by_the_layer_that_got_them():
    with pytest.raises(mg.DtypeError, match=r"^TransformerEncoderLayer: src must be floating"):
        layers.TransformerEncoderLayer(6, 2, 8)(np.ones((2, 4, 6), int))


def test_a_bias_of_booleans_is_a_mask(attention):
    with pytest.raises(mg.DtypeError, match=r"bias must hold numbers.* are given as mask="):
        attention(X, bias=np.ones((4, 4), bool))


@pytest.mark.parametrize("extra", [{"add_zero_attn": True}, {"add_bias_kv": True}])
def test_the_last_query_sees_the_last_key_beside_keys_that_all_see(extra):
    mg.seed(0)
    attention = layers.MultiheadAttention(6, 2, **extra)
    query = X[:, :2]
    seen = attention(query, X, causal=True)[0]
    expected = attention(query, X, mask=np.tril(np.ones((2, 4), bool), 2))[0]
    np.testing.assert_array_equal(seen.detach().numpy(), expected.detach().numpy())


def test_every_weight_of_attention_is_drawn_again(attention):
    before = attention.state_dict()
    attention.reset_parameters()
    for name in ("in_proj_weight", "out_proj.weight"):
        assert not np.array_equal(attention.state_dict()[name], before[name])


def test_lengths_without_padding_are_no_mask():
    given = "Layer", "lengths", "x", X, 2, 4
    assert valid_places(*given[:2], [4, 4], *given[2:]) is None
    assert valid_places(*given[:2], [4, 1], *given[2:]).tolist() == [
        [True] * 4,
        [True] + [False] * 3,
    ]


@pytest.fixture
def attention():
    mg.seed(0)
    return layers.MultiheadAttention(6, 2)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_integers_are_refused_by_the_name_of_the_argument(attention, place):
    arrays = [X, X + 1, X + 2]
    arrays[place] = np.ones((2, 4, 6), int)
    name = ("query", "key", "value")[place]
    with pytest.raises(mg.DtypeError, match=f"^MultiheadAttention: {name} "):
        attention(*arrays)
    with pytest.raises(mg.DtypeError, match=r"^MultiheadAttention: bias "):
        attention(X, bias=np.ones((4, 4), complex))


@pytest.mark.parametrize(
    "make", [layers.SinusoidalPositions, lambda n: layers.LearnedPositions(9, n)]
)
def test_positions_refuse_integers_by_name(make):
    positions = make(6)
    with pytest.raises(mg.DtypeError, match=f"^{type(positions).__name__}: x "):
        positions(np.ones((2, 4, 6), int))


@pytest.mark.parametrize("kind", [layers.TransformerEncoderLayer, layers.TransformerDecoderLayer])
def test_layers_name_themselves(kind):
    name = kind.__name__
    for sizes, argument in (
        ((0, 1, 8), "d_model"),
        ((6, 0, 8), "nhead"),
        ((6, 2, 0), "dim_feedforward"),
        ((6, 2, -3), "dim_feedforward"),
    ):
        with pytest.raises(ValueError, match=f"^{name}: {argument} must be"):
            kind(*sizes)
    layer = kind(6, 2, 8)
    memory = [X] if kind is layers.TransformerDecoderLayer else []
    with pytest.raises(mg.ShapeError, match=rf"^{name}: .* must have shape .* got f32\[2, 4, 5\]"):
        layer(X[:, :, :5], *memory)
    with pytest.raises(mg.ShapeError, match=rf"^{name}: .* must have shape"):
        layer(X[None], *memory)


def test_a_query_that_is_given_as_key_too_is_self_attention(attention):
    lengths = [3, 1]
    alone = attention(X, lengths=lengths)[0].numpy()
    np.testing.assert_array_equal(attention(X, X, lengths=lengths)[0].numpy(), alone)
    np.testing.assert_array_equal(attention(X, X, X, lengths=lengths)[0].numpy(), alone)
    other = attention(X, X.copy(), lengths=lengths)[0].numpy()  # whose queries are all valid
    np.testing.assert_allclose(other[0, :3], alone[0, :3], rtol=1e-5, atol=1e-6)
    assert np.abs(other[1, 1:] - alone[1, 1:]).max() > 1e-3


def test_a_mask_of_another_shape_is_told_what_it_may_be(attention):
    with_cache = "With a cache the keys are all places so far"
    for queries, keys, told in ((3, 4, True), (4, 3, False), (1, 2, True)):
        for shape in ((queries, queries), (2, queries, queries)):
            if shape[-2:] == (1, 1):
                continue  # which broadcasts
            with pytest.raises(mg.ShapeError, match="must broadcast to") as info:
                attention(X[:, :queries], X[:, :1].repeat(keys, 1), mask=np.ones(shape, bool))
            assert (with_cache in str(info.value)) == told
    with pytest.raises(mg.ShapeError, match="must broadcast to") as info:
        attention(X[:, :3], X, mask=np.ones((2, 5), bool))
    assert with_cache not in str(info.value)
    with pytest.raises(mg.ShapeError, match="must broadcast to") as info:
        attention(X, mask=np.ones(3, bool))
    assert with_cache not in str(info.value)


def test_lengths_of_a_batch_of_none_and_of_a_single_sequence(attention):
    empty, _ = attention(X[:0], lengths=np.zeros(0, int))
    assert empty.shape == (0, 4, 6)
    alone, _ = attention(X[0], lengths=3)
    together, _ = attention(X[:1], lengths=[3])
    np.testing.assert_allclose(alone.numpy(), together.numpy()[0], rtol=1e-6)
    with pytest.raises(ValueError, match="got 5 at place 1"):
        attention(X, lengths=[0, 5])
    for x, lengths in ((X, 3), (X, [3]), (X[0], [3, 3])):
        with pytest.raises(mg.ShapeError, match="lengths must have shape"):
            attention(x, lengths=lengths)


def test_rotary_positions_take_an_offset_for_each_sequence_of_a_batch():
    turn, x = layers.RotaryPositions(6), X.astype(np.float64)
    both = turn(x, [0, 5]).numpy()
    for row, offset in enumerate((0, 5)):
        np.testing.assert_allclose(both[row], turn(x[row], offset).numpy(), atol=1e-12)
    heads = np.stack([x, 2 * x], axis=1)  # (batch, heads, time, size)
    np.testing.assert_allclose(
        turn(heads, [0, 5]).numpy(), np.stack([both, 2 * both], 1), atol=1e-12
    )
    for bad, offsets in ((x[0], [0] * 4), (x[0], [0, 5]), (x, [0]), (x, [0, 1, 2])):
        with pytest.raises(mg.ShapeError, match="with one offset for each sequence"):
            turn(bad, offsets)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_cache_keeps_gradients_where_they_are_recorded(attention, recorded):
    cache = layers.KeyValueCache()
    x = mg.Tensor(X, requires_grad=True)
    with mg.no_grad() if not recorded else mg.scope("recorded"):
        parts = [attention(x[:, t : t + 1], causal=True, cache=cache)[0] for t in range(4)]
    whole, _ = attention(X, causal=True)
    found = np.concatenate([part.numpy() for part in parts], axis=1)
    np.testing.assert_allclose(found, whole.numpy(), rtol=1e-5, atol=1e-6)
    assert parts[-1].requires_grad == recorded
    if recorded:
        (parts[-1] ** 2).sum().backward()
        again = mg.Tensor(X, requires_grad=True)
        (attention(again, causal=True)[0][:, -1] ** 2).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), again.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_rotary_positions_go_on_where_a_cache_ends():
    mg.seed(0)
    attention = layers.MultiheadAttention(6, 1, rotary=layers.RotaryPositions(6))
    cache = layers.KeyValueCache()
    whole = attention(X, causal=True)[0].numpy()
    parts = [attention(X[:, t : t + 1], causal=True, cache=cache)[0].numpy() for t in range(4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-5, atol=1e-6)
    attention.rotary = None
    assert np.abs(attention(X, causal=True)[0].numpy() - whole).max() > 1e-3


def test_rotary_positions_turn_queries_and_keys_from_position_0_on():
    mg.seed(0)
    attention, turn = layers.MultiheadAttention(6, 1), layers.RotaryPositions(6)
    plain = layers.attention_steps(attention, X)
    attention.rotary = turn
    turned = layers.attention_steps(attention, X)
    for name, wanted in (
        ("query", turn(plain.query)),
        ("key", turn(plain.key)),
        ("value", plain.value),
    ):
        np.testing.assert_array_equal(getattr(turned, name).numpy(), wanted.numpy())
    np.testing.assert_array_equal(turned.query.numpy()[..., 0, :], plain.query.numpy()[..., 0, :])


def test_a_cache_has_room_in_powers_of_two():
    cache = layers.KeyValueCache()
    numbers = np.random.default_rng(0).normal(size=(2, 1, 3, 70, 2))
    with mg.no_grad():
        for t in range(70):
            keys, values = cache.extend(*map(mg.Tensor, numbers[..., t : t + 1, :]))
            assert cache.room(t + 1)[0].shape[2] == (32 if t < 32 else 64 if t < 64 else 128)
    np.testing.assert_array_equal([keys.numpy(), values.numpy()], numbers)
    for held, array in zip(cache.room(70), numbers, strict=True):
        np.testing.assert_array_equal(held[:, :, :70], array)
        assert not held[:, :, 70:].any()
    assert [cache.room(places)[1].shape[2] for places in (128, 129)] == [128, 256]
    cache = layers.KeyValueCache()
    cache.extend(*map(mg.Tensor, numbers[..., :64, :]))
    assert cache.room(64)[0].shape[2] == 64


def test_lengths_of_a_single_sequence_clear_its_padding():
    mg.seed(0)
    encoder = layers.TransformerEncoder(
        layers.TransformerEncoderLayer(6, 2, 8, dropout=0.0), 2, norm=layers.LayerNorm(6)
    )
    x = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32)
    found = encoder(x, lengths=[7]).numpy()
    np.testing.assert_allclose(found[:7], encoder(x[:7]).numpy(), rtol=1e-5, atol=1e-6)
    assert not found[7:].any()


def test_masks_of_a_transformer_may_differ_from_head_to_head():
    mg.seed(0)
    model = layers.Transformer(6, 2, 1, 1, 8).eval()
    mask = np.random.default_rng(1).random((2, 2, 4, 4)) < 0.5
    found = model(X, X, source_mask=mask).numpy()
    memory = model.encoder(X, mask=mask)
    np.testing.assert_array_equal(found, model.decoder(X, memory).numpy())
    assert np.abs(found - model(X, X, source_mask=mask[:, :1]).numpy()).max() > 1e-4


class Plain(layers.Module):
    """A layer of one's own, which says nothing about the order of its axes."""

    def forward(self, x, **options):
        return x


def test_layers_of_ones_own_take_the_batch_first():
    encoder = layers.TransformerEncoder(Plain, 2, norm=layers.LayerNorm(6))
    found = encoder(X, lengths=[4, 1]).numpy()
    np.testing.assert_array_equal(found[0], layers.LayerNorm(6)(X[0]).numpy())
    assert found[1, 0].any()
    assert not found[1, 1:].any()


def test_arrays_of_equal_numbers_are_the_same_memory(attention):
    cache = layers.KeyValueCache(fixed=True)
    one = attention(X, X + 1, cache=cache)[0].numpy()
    np.testing.assert_array_equal(attention(X, X + 1, cache=cache)[0].numpy(), one)
    with pytest.raises(ValueError, match="the cache holds the keys of another memory"):
        attention(X, X + 2, cache=cache)
    with pytest.raises(ValueError, match="the cache holds the keys of another memory"):
        attention(X, X[:, :3] + 1, cache=cache)


def test_a_copy_of_a_memory_with_padding_of_nan_is_the_same_memory(attention):
    memory = X.copy()
    memory[1, 2:] = np.nan
    cache = layers.KeyValueCache(fixed=True)
    one = attention(X, memory, lengths=[4, 2], cache=cache)[0].numpy()
    np.testing.assert_array_equal(attention(X, memory.copy(), cache=cache)[0].numpy(), one)


@pytest.mark.parametrize("keys", [False, True])
def test_padding_of_nan_is_read_nowhere(attention, keys):
    x = X.copy()
    x[1, 2:] = np.nan
    found = attention(x, *([x, x.copy()] if keys else []), lengths=[4, 2])[0].numpy()
    wanted = attention(X, *([X, X + 0] if keys else []), lengths=[4, 2])[0].numpy()
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(found[1, :2], wanted[1, :2], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "norms"),
    [(layers.TransformerEncoderLayer, 2), (layers.TransformerDecoderLayer, 3)],
)
def test_a_layer_of_the_smallest_sizes_has_a_norm_and_a_dropout_for_each_part(kind, norms):
    children = dict(kind(1, 1, 1).named_children())
    for name in ("norm", "dropout"):
        numbered = {f"{name}{i}" for i in range(1, norms + 1)}
        assert {part for part in children if part[:-1] == name} == numbered
