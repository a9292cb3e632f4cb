"""Attention as native code: what it computes, and where it is used."""

import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled.llvm.attention import calls
from minigrad.ops.nn import attention_blockwise
from minigrad.ops.nn.attention import attention_weights

attend = mg.scaled_dot_product_attention

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}

SIZES = st.sampled_from([(1, 63), (63, 1), (65, 65), (60, 480), (61, 481), (513, 130), (130, 513)])
"""Queries and keys: around whole blocks of both, and one."""

FEATURES = st.sampled_from([(1, 1), (8, 8), (17, 33), (64, 40)])
"""Of keys and of values; a kernel is built for each."""

LEADS = st.sampled_from(
    [((), (), ()), ((3,), (3,), (3,)), ((2, 3), (3,), (2, 1)), ((1,), (2,), (2,))]
)
"""Leading axes of query, key and value."""


@pytest.fixture
def natively(monkeypatch):
    """Kernels for calls of every size."""
    monkeypatch.setattr(calls, "WORTH_KERNEL", 1)


@st.composite
def cases(draw):
    """Arguments of attention."""
    dtype = draw(st.sampled_from(sorted(TOLERANCE, key=str)))
    (queries, keys), (features, values) = draw(SIZES), draw(FEATURES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    leads = draw(LEADS)
    lead = np.broadcast_shapes(*leads)
    lengths = ((queries, features), (keys, features), (keys, values))
    arrays = [
        rng.standard_normal((*one, *rest)).astype(dtype)
        for one, rest in zip(leads, lengths, strict=True)
    ]
    if draw(st.booleans()):  # as heads lie between each other
        arrays = [np.copy(a.swapaxes(0, -2)).swapaxes(0, -2) for a in arrays]
    masks = []
    for shape in draw(
        st.sampled_from([(), ((queries, keys),), ((keys,), (*lead, queries, 1)), ((1, 1),)])
    ):
        masks.append(rng.random(shape) < 0.7)
    bias = draw(
        st.sampled_from([None, (queries, keys), (*lead, 1, keys), (queries, 1), (keys,), ()])
    )
    return {
        "arrays": arrays + ([] if bias is None else [rng.standard_normal(bias).astype(dtype)]),
        "mask": tuple(masks) or None,
        "causal": draw(st.booleans()),
        "scale": draw(st.sampled_from([None, 0.3])),
        "dropout": draw(st.sampled_from([0.0, 0.4])),
    }


def results(case, method, of=attend):
    """The output and the gradients of one method."""
    leaves = [mg.Tensor(a, requires_grad=True) for a in case["arrays"]]
    chosen = {name: case[name] for name in ("mask", "causal", "scale", "dropout")}
    bias = leaves[3] if len(leaves) > 3 else None
    generator = np.random.default_rng(5)
    y = of(*leaves[:3], bias=bias, method=method, generator=generator, **chosen)
    weights = np.random.default_rng(6).standard_normal(y.shape).astype(y.dtype)
    (y * weights).sum().backward()
    return [y.numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        bound = TOLERANCE[one.dtype] * max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=0, atol=bound)


@given(cases())
def test_it_is_what_plain_attention_computes(case):
    with mock.patch.object(calls, "WORTH_KERNEL", 1):
        found = results(case, "blockwise")
    assert_same(found, results(case, "plain"))


def test_kernels_are_used(natively):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((5, 8)) for _ in range(3)]
    case = {"arrays": arrays, "mask": None, "causal": True, "scale": None, "dropout": 0.0}
    with mock.patch.object(attention_blockwise, "_Scores", side_effect=AssertionError):
        results(case, "blockwise")


def test_and_left_alone_when_turned_off(natively, monkeypatch):
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((5, 8)) for _ in range(3)]
    case = {"arrays": arrays, "mask": None, "causal": True, "scale": None, "dropout": 0.0}
    with mock.patch.object(calls._Call, "run", side_effect=AssertionError):
        results(case, "blockwise")


def test_queries_without_keys_give_zeros(natively):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((70, 8)).astype(np.float32) for _ in range(3))
    mask = rng.random((70, 70)) < 0.5
    mask[3] = mask[69] = False
    leaves = [mg.Tensor(a, requires_grad=True) for a in (q, k, v)]
    y = attend(*leaves, mask=mask, method="blockwise")
    (y**2).sum().backward()
    assert not y.numpy()[[3, 69]].any()
    assert not leaves[0].grad.numpy()[[3, 69]].any()
    assert all(np.isfinite(leaf.grad.numpy()).all() for leaf in leaves)


def test_padding_may_hold_anything(natively):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 70, 8)) for _ in range(3))
    lengths = np.array([70, 33])
    expected = attend(q, k, v, lengths=lengths, method="plain").numpy()
    k[1, 33:], v[1, 33:] = np.nan, np.inf
    found = attend(q, k, v, lengths=lengths, method="blockwise").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_nan_is_not_lost(natively):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((70, 8)) for _ in range(3))
    q[5, 2] = np.nan
    y = attend(q, k, v, method="blockwise").numpy()
    assert np.isnan(y[5]).all()
    assert np.isfinite(np.delete(y, 5, axis=0)).all()


def test_large_scores_do_not_overflow(natively):
    rng = np.random.default_rng(0)
    q, k = (400 * rng.standard_normal((70, 8)).astype(np.float32) for _ in range(2))
    v = rng.standard_normal((70, 8)).astype(np.float32)
    found = attend(q, k, v, method="blockwise").numpy()
    expected = attend(*(a.astype(float) for a in (q, k, v)), method="plain").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("threads", ["2", "3"])
def test_threads_make_no_difference(threads, natively, monkeypatch):
    monkeypatch.setattr(calls, "_WORTH_THREADS", 1)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 4, 90, 16)).astype(np.float32) for _ in range(3)]
    case = {"arrays": arrays, "mask": None, "causal": True, "scale": None, "dropout": 0.2}
    alone = results(case, "blockwise")
    monkeypatch.setenv("MINIGRAD_THREADS", threads)
    for one, other in zip(results(case, "blockwise"), alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_of_shared_heads_are_added_up_by_one_thread(natively, monkeypatch):
    monkeypatch.setattr(calls, "_WORTH_THREADS", 1)
    monkeypatch.setenv("MINIGRAD_THREADS", "2")
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((6, 90, 16), (90, 16), (90, 16))]
    case = {"arrays": arrays, "mask": None, "causal": True, "scale": None, "dropout": 0.0}
    assert_same(results(case, "blockwise"), results(case, "plain"))


def second_order(method, q, k, v):
    def penalty(q, k, v):
        y = attend(q, k, v, causal=True, method=method)
        grads = mg.gradients((y**2).sum(), [q, k, v], create_graph=True)
        return sum((g**2).sum() for g in grads)

    leaves = [mg.Tensor(a, requires_grad=True) for a in (q, k, v)]
    penalty(*leaves).backward()
    return [leaf.grad.numpy() for leaf in leaves]


def test_second_order(natively):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 11, 4)) for _ in range(3)]
    assert_same(second_order("blockwise", *arrays), second_order("plain", *arrays))


# -- in compiled programs --------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("biased", [False, True])
def test_in_programs(dropout, biased, natively):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 70, 8)) for _ in range(3)]
    arrays += [rng.standard_normal((70, 70))] * biased
    weights = rng.standard_normal((2, 70, 8))
    mask = rng.random((70, 70)) < 0.8

    def loss(q, k, v, bias=None, mask=mask, generator=None):
        y = attend(
            q, k, v, mask, bias, causal=True, dropout=dropout, generator=generator,
            method="blockwise",
        )  # fmt: skip
        return (mg.tanh(y) * weights).sum()

    compiled = mg.compile(loss)
    generator, other = (np.random.default_rng(3) for _ in range(2))
    for _ in range(3):
        pairs = []
        for function, numbers in ((compiled, generator), (loss, other)):
            leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
            value = function(*leaves, mask=mask, generator=numbers)
            value.backward()
            pairs.append([value.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
        assert_same(*pairs)
    assert compiled.refusals == []
    assert compiled.programs


def test_programs_hold_one_value_for_it():
    """However many keys there are, the graph is small."""
    rng = np.random.default_rng(0)
    q = mg.Tensor(rng.standard_normal((600, 4)).astype(np.float32), requires_grad=True)
    compiled = mg.compile(lambda q: attend(q, q * 2, q, causal=True).sum())
    text = compiled.lowered(q).stage("rolled")
    assert "scaled_dot_product_attention" in text
    assert len(text.splitlines()) < 20


def test_gradients_of_gradients_in_programs(natively):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 9, 4)) for _ in range(3)]

    def norm(q, k, v):
        y = attend(q, k, v, causal=True, method="blockwise")
        grads = mg.gradients((y**2).sum(), [q, k, v], create_graph=True)
        return sum((g**2).sum() for g in grads)

    compiled = mg.compile(norm)
    for _ in range(2):
        leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
        compiled(*leaves).backward()
        found = [leaf.grad.numpy() for leaf in leaves]
    assert_same(found, second_order("plain", *arrays))


def test_second_order_of_programs(natively):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 9, 4)) for _ in range(3)]
    compiled = mg.compile(lambda *a: (attend(*a, causal=True, method="blockwise") ** 2).sum())
    for _ in range(2):
        leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
        grads = mg.gradients(compiled(*leaves), leaves, create_graph=True)
        sum((g**2).sum() for g in grads).backward()
    assert_same([leaf.grad.numpy() for leaf in leaves], second_order("plain", *arrays))


def test_memory_is_linear_in_the_length():
    length = 3000
    arrays = [np.ones((1, length, 16), np.float32) for _ in range(3)]
    case = {"arrays": arrays, "mask": None, "causal": True, "scale": None, "dropout": 0.0}
    results(case, "blockwise")
    tracemalloc.start()
    results(case, "blockwise")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < length**2  # a quarter of the weights


def test_weights_agree_with_it(natively):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((3, 70, 8)) for _ in range(3))
    weights = attention_weights(q, k, causal=True).numpy()
    found = attend(q, k, v, causal=True, method="blockwise").numpy()
    np.testing.assert_allclose(found, weights @ v, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("heads", "length", "compiling", "blocks"),
    [
        (8, 100, "1", True),
        (8, 90, "1", False),
        (1, 100, "1", False),
        (8, 100, "0", False),
        (1, 513, "0", True),
    ],
)
def test_blocks_are_taken_where_they_pay(heads, length, compiling, blocks, monkeypatch):
    monkeypatch.setenv("MINIGRAD_COMPILE", compiling)
    q = mg.Tensor(np.ones((heads, length, 32), np.float32), requires_grad=True)
    y = attend(q, q, q)
    held = y._node.saved[1]  # with all weights, or logarithms alone
    assert max(array.size for array in held if array is not None) == (
        heads * length * (32 if blocks else length)
    )
