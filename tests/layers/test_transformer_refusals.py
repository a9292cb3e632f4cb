"""What Transformers refuse, and what their messages say to write instead."""

import re

import numpy as np
import pytest

import layers
import minigrad as mg
from layers import (
    Linear,
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from layers.transformer.attention_arguments import BOTH_SEQUENCES, SELF_ATTENTION

ENCODER = TransformerEncoder(TransformerEncoderLayer(4, 2, 5), 2)
DECODER = TransformerDecoder(TransformerDecoderLayer(4, 2, 5), 2)
MODEL = Transformer(4, 2, 1, 1, 5)
X, MEMORY = np.ones((2, 3, 4), np.float32), np.ones((2, 5, 4), np.float32)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (
            lambda: TransformerEncoderLayer(4, 2, activation="selu"),
            ValueError,
            "activation must be 'relu', 'gelu' or a function of a tensor, got 'selu'",
        ),
        (lambda: TransformerEncoderLayer(4, 3), ValueError, "embed_dim=4 must divide into"),
        (lambda: TransformerEncoder(Linear(2, 2), 0), ValueError, "num_layers must be an integer"),
        (
            lambda: ENCODER(np.ones((2, 3, 5), np.float32)),
            mg.ShapeError,
            "TransformerEncoder: src must have shape (batch, time, 4) or (time, 4), got "
            "f32[2, 3, 5]. Layers here take the batch first",
        ),
        (
            lambda: ENCODER(X, lengths=[3, 4]),
            ValueError,
            "TransformerEncoder: lengths must be 0 to 3, the time steps of src f32[2, 3, 4], got 4",
        ),
        (
            lambda: ENCODER(X, mask=np.ones((2, 3), bool)),
            mg.ShapeError,
            "For one value for each key, (batch, keys), write mask[:, None, :].",
        ),
        (
            lambda: DECODER(X, MEMORY[..., :3]),
            mg.ShapeError,
            "TransformerDecoderLayer: memory must have shape (batch, time, 4), got f32[2, 5, 3]",
        ),
        (
            lambda: DECODER(X, MEMORY, memory_lengths=[6, 1]),
            ValueError,
            "memory_lengths must be 0 to 5, the time steps of memory f32[2, 5, 4], got 6 at place",
        ),
        (
            lambda: DECODER(X, MEMORY, cross_mask=np.ones((5, 3), bool)),
            mg.ShapeError,
            "TransformerDecoderLayer: cross_mask must broadcast to (queries, keys) = (3, 5)",
        ),
        (
            lambda: DECODER(X, MEMORY, cross_mask=np.ones((3, 5))),
            mg.DtypeError,
            "cross_mask must be boolean, True where a query may attend to a key, got f64[3, 5]. "
            "Numbers to add to the scores are given as cross_bias=",
        ),
        (lambda: DECODER(X, None), ValueError, "memory is None, which only a cache"),
        (
            lambda: DECODER(X, None, cache=DECODER.make_cache()),
            ValueError,
            "TransformerDecoderLayer: memory is None, which only a cache that already holds its",
        ),
        (lambda: DECODER(X, MEMORY[:1]), mg.ShapeError, "equal batches"),
        (
            lambda: DECODER(X, MEMORY, cache=ENCODER.make_cache().layers[0]),
            TypeError,
            "cache must be a StackCache, which make_cache() gives, got LayerCache",
        ),
        (
            lambda: DECODER(X, MEMORY, cache=layers.transformer.caches.StackCache(3)),
            ValueError,
            "the cache is for 3 layers, and there are 2; use make_cache()",
        ),
        (
            lambda: ENCODER.layers[0](X, cache=ENCODER.make_cache()),
            TypeError,
            "cache must be a LayerCache, which make_cache().layers[i] of a stack gives, got Stack",
        ),
        (
            lambda: MODEL(MEMORY, X, cross_bias=np.ones((2, 2, 5, 3))),
            mg.ShapeError,
            "Transformer: cross_bias must broadcast to (queries, keys) = (3, 5)",
        ),
        (
            lambda: MODEL(MEMORY, X[:1]),
            mg.ShapeError,
            "src and tgt must have equal batches, got src f32[2, 5, 4] and tgt f32[1, 3, 4]",
        ),
        (
            lambda: MODEL(MEMORY, X, target_lengths=[1]),
            mg.ShapeError,
            "target_lengths must have shape (2,), one for each sequence of tgt f32[2, 3, 4]",
        ),
        (
            lambda: MODEL(MEMORY, X, source_mask=np.ones((3, 3), bool)),
            mg.ShapeError,
            "source_mask must broadcast to (queries, keys) = (5, 5)",
        ),
        (lambda: MODEL(MEMORY, X[0]), mg.ShapeError, "tgt must have shape (batch, time, 4)"),
        (lambda: ENCODER(X, masc=1), TypeError, "unexpected keyword argument 'masc'"),
    ],
)
def test_errors_say_what_is_wrong(wrong, error, words):
    with pytest.raises(error, match=re.escape(words)):
        wrong()


@pytest.mark.parametrize("name", SELF_ATTENTION)
@pytest.mark.parametrize("model", [ENCODER, DECODER, ENCODER.layers[0], DECODER.layers[1]])
def test_names_of_pytorch_are_refused_with_what_to_write(model, name):
    inputs = (X, MEMORY) if "Decoder" in type(model).__name__ else (X,)
    with pytest.raises(TypeError, match=re.escape(f"{name}=. {SELF_ATTENTION[name]}")):
        model(*inputs, **{name: np.ones((3, 3), bool)})


@pytest.mark.parametrize("name", BOTH_SEQUENCES)
def test_names_that_a_transformer_cannot_tell_apart_are_refused(name):
    with pytest.raises(TypeError, match=re.escape(f"{name}=. {BOTH_SEQUENCES[name]}")):
        MODEL(MEMORY, X, **{name: np.ones((3, 3), bool)})
