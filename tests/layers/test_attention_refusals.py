"""What attention refuses, and what its messages say to write instead."""

import re

import numpy as np
import pytest

import minigrad as mg
from layers import MultiheadAttention, RotaryPositions, attention_steps
from layers.transformer.attention_arguments import SELF_ATTENTION

X = np.ones((2, 3, 6), np.float32)
KEYS = np.ones((2, 4, 6), np.float32)
A = MultiheadAttention(6, 2)
F = MultiheadAttention(6, 2, batch_first=False)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: MultiheadAttention(6, 4), ValueError, "embed_dim=6 must divide into num_heads=4"),
        (lambda: MultiheadAttention(6, 0), ValueError, "num_heads must be an integer of 1 or more"),
        (lambda: MultiheadAttention(6, 2, dropout=2), ValueError, "dropout must be 0 to 1, got 2"),
        (
            lambda: MultiheadAttention(6, 2, rotary=RotaryPositions(6)),
            ValueError,
            "rotary must have the size of a head, 3",
        ),
        (
            lambda: A(np.ones((2, 3, 5), np.float32)),
            mg.ShapeError,
            "query must have shape (batch, time, 6) or (time, 6), got f32[2, 3, 5]. Layers here "
            "take the batch first, unlike PyTorch's: pass batch_first=False",
        ),
        (
            lambda: F(np.ones((3, 2, 5), np.float32)),
            mg.ShapeError,
            "query must have shape (time, batch, 6) or (time, 6), got f32[3, 2, 5]",
        ),
        (lambda: A(X, X[0]), mg.ShapeError, "key must have shape (batch, time, 6), got f32[3, 6]"),
        (lambda: A(X[0], X), mg.ShapeError, "key must have shape (time, 6), got f32[2, 3, 6]"),
        (lambda: A([1.0]), mg.DtypeError, "query must be a tensor or an array"),
        (lambda: A(X.astype(int)), mg.DtypeError, "query must be floating, got i64[2, 3, 6]"),
        (
            lambda: A(X, KEYS[:1]),
            mg.ShapeError,
            "must have equal batches (axis 0), and key and value equal times, got query: "
            "f32[2, 3, 6], key: f32[1, 4, 6]",
        ),
        (lambda: A(X, KEYS, X), mg.ShapeError, "key: f32[2, 4, 6], value: f32[2, 3, 6]"),
        (
            lambda: A(X, KEYS, mask=np.ones((2, 4), bool)),
            mg.ShapeError,
            "mask must broadcast to (queries, keys) = (3, 4), to (batch, queries, keys) = "
            "(2, 3, 4) or to (batch, heads, queries, keys) = (2, 2, 3, 4), got bool[2, 4]. For one "
            "value for each key, (batch, keys), write mask[:, None, :].",
        ),
        (
            lambda: A(X, KEYS, mask=np.ones((4, 3, 4), bool)),
            mg.ShapeError,
            "PyTorch's (batch * heads, queries, keys) is mask.reshape(2, 2, 3, 4).",
        ),
        (
            lambda: A(X, KEYS, bias=np.ones((4, 3))),
            mg.ShapeError,
            "bias must broadcast to (queries, keys) = (3, 4)",
        ),
        (
            lambda: A(X, KEYS, mask=np.ones((4, 3), bool)),
            mg.ShapeError,
            "Queries come first: mask.swapaxes(-1, -2).",
        ),
        (lambda: A(X, mask=np.zeros((3, 3))), mg.DtypeError, "mask must be boolean, True where a"),
        (
            lambda: A(X, KEYS, lengths=[1, 2, 3]),
            mg.ShapeError,
            "lengths must have shape (2,), one for each sequence of key f32[2, 4, 6], got i64[3]",
        ),
        (
            lambda: A(X, lengths=[1, 4]),
            ValueError,
            "lengths must be 0 to 3, the time steps of query f32[2, 3, 6], got 4 at place 1",
        ),
        (lambda: A(X, lengths=[-1, 0]), ValueError, "got -1 at place 0"),
        (lambda: A(X, lengths=np.ones(2)), mg.DtypeError, "lengths must be integers, got f64[2]"),
        (lambda: A(X, masc=None), TypeError, "unexpected keyword argument 'masc'"),
    ],
)
def test_errors_say_what_is_wrong(wrong, error, words):
    with pytest.raises(error, match=re.escape(words)):
        wrong()


@pytest.mark.parametrize("name", ["attn_mask", "key_padding_mask", "is_causal"])
@pytest.mark.parametrize("function", [A, lambda x, **chosen: attention_steps(A, x, **chosen)])
def test_names_of_pytorch_are_refused_with_what_to_write(function, name):
    with pytest.raises(TypeError, match=re.escape(f"there is no {name}=. {SELF_ATTENTION[name]}")):
        function(X, **{name: None})
    mine = {"attn_mask": "mask=~attn_mask", "is_causal": "causal=True"}
    assert mine.get(name, "lengths=") in SELF_ATTENTION[name]
