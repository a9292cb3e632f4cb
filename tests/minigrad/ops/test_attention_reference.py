"""The reference of blockwise attention: by rows where it is causal, and the same numbers."""

from unittest import mock

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.nn import attention_blockwise
from minigrad.ops.nn.attention import draw_dropout
from minigrad.ops.nn.attention_plain import AttentionOptions, attention_reference

SIZES = [(5, 5), (4, 7), (7, 4), (2, 2), (1, 9), (6, 6)]
MASKS = {
    "none": lambda q, k: (),
    "one": lambda q, k: (np.random.default_rng(1).random((q, k)) < 0.6,),
    "two": lambda q, k: (np.arange(k) != 1, np.ones((2, 1, 1, k), bool)),
    "of queries": lambda q, k: (np.arange(q)[:, None] != 0,),
}
BIASES = {
    "none": lambda q, k: 0.0,
    "of all": lambda q, k: (2, 3, q, k),
    "of keys": lambda q, k: (k,),
    "of queries": lambda q, k: (3, q, 1),
    "one": lambda q, k: (),
}


def outcome(reference, arrays, options):
    """The value, and the gradients of its products with fixed numbers."""
    leaves = [a if isinstance(a, float) else mg.Tensor(a, requires_grad=True) for a in arrays]
    y = reference(*leaves, options=options)
    (y * np.cos(np.arange(y.size)).reshape(y.shape)).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in leaves if not isinstance(t, float))]


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_by_rows_or_all_at_once(sizes, mask, bias, dropout):
    queries, keys = sizes
    draws = np.random.default_rng(0)
    arrays = [draws.normal(size=(2, 3, n, 4)) for n in (queries, keys, keys)]
    shape = BIASES[bias](queries, keys)
    arrays.append(shape if isinstance(shape, float) else draws.normal(size=shape))
    kept = draw_dropout("attend", (2, 3, queries, keys), dropout, True, draws)
    options = AttentionOptions(MASKS[mask](queries, keys), True, 0.7, kept, (2, 3))
    found = outcome(attention_blockwise._reference_by_rows, arrays, options)
    for mine, other in zip(found, outcome(attention_reference, arrays, options), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_compiled_it_is_what_the_kernel_computes(dropout):
    draws = np.random.default_rng(0)
    arrays = [draws.normal(size=(2, 7, 4)) for _ in range(3)]

    def loss(q, k, v, generator):
        y = mg.scaled_dot_product_attention(
            q, k, v, causal=True, method="blockwise", dropout=dropout, generator=generator
        )
        return (y**2).sum()

    compiled = mg.compile(loss)
    with mock.patch.object(attention_blockwise, "BLOCK", (2, 3)):
        generator, other = np.random.default_rng(3), np.random.default_rng(3)
        for _ in range(3):
            pairs = []
            for function, numbers in ((compiled, generator), (loss, other)):
                leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
                value = function(*leaves, numbers)
                value.backward()
                pairs.append([value.numpy(), *(t.grad.numpy() for t in leaves)])
            for mine, eager in zip(*pairs, strict=True):
                np.testing.assert_allclose(mine, eager, rtol=1e-10, atol=1e-12)
    assert compiled.refusals == [] or dropout
