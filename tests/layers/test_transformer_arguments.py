"""Arguments of the Transformer's layers: which layer and which argument an error names."""

import numpy as np
import pytest

import layers
import minigrad as mg

X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)


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
