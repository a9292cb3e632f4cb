"""Random programs, and random steps in loops: compiled, they compute what the functions compute."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend
from minigrad.compiled.rolling.rolled import roll
from minigrad.testing import examples
from minigrad.testing.random_programs import programs
from tests.minigrad.compiled.programs import compare

MANY = 2 if settings().max_examples >= 1000 else 1  # 2,000 with the profile `thorough`
CLOSE = {"rtol": 1e-7, "atol": 1e-7, "equal_nan": True}


def outcome(function, leaves, weights):
    """Values, and gradients by the leaves of a weighted sum."""
    results = function(*leaves)
    results = results if isinstance(results, list) else [results]
    total = sum((r * w).sum() for r, w in zip(results, weights, strict=False))
    for leaf in leaves:
        leaf.grad = None
    if total.requires_grad:
        total.backward()
    return [r.numpy() for r in results], [
        None if t.grad is None else t.grad.numpy() for t in leaves
    ]


@pytest.mark.parametrize("backend", [plain, default_backend()], ids=["plain", "native"])
@examples(MANY)
@given(programs(max_operations=12), st.booleans())
def test_random_programs(backend, program, several):
    def function(*leaves):
        values = program.run(leaves)
        return [values[i] for i in program.outputs] if several else program.loss(values)

    with np.errstate(all="ignore"):
        compiled = mg.compile(function, backend=backend)
        for k in range(3):
            arrays = [a * (1 - k / 50) for a in program.leaves]
            leaves = [mg.Tensor(a, requires_grad=True) for a in arrays]
            weights = [1.0, -0.5, 0.25, 2.0, 3.0]
            try:
                found, slopes = outcome(compiled, leaves, weights)
            except mg.CompileWarning:
                return  # refused, by name
            expected, others = outcome(function, leaves, weights)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, **CLOSE)
            for one, other in zip(slopes, others, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    np.testing.assert_allclose(one, other, **CLOSE)


N = 4
STEPS = {
    "tanh of a product": lambda h, c, x, w: (mg.tanh(h @ w + x), c),
    "gate": lambda h, c, x, w: (h, mg.sigmoid(c) * h + x),
    "swap": lambda h, c, x, w: (c, h),
    "softmax": lambda h, c, x, w: (mg.softmax(h + c), c),
    "norm": lambda h, c, x, w: (h, mg.layer_norm(c + x, axis=-1)),
    "part": lambda h, c, x, w: (np.concatenate([h[:, 2:], c[:, :2]], axis=1), c),
    "turned": lambda h, c, x, w: (h, (c @ w.T) * 0.5),
    "mean": lambda h, c, x, w: (h - h.mean(axis=0), c),
    "largest": lambda h, c, x, w: (np.maximum(h, x), c * 0.9),
    "doubled": lambda h, c, x, w: (h + x * x, c + x.sum()),
}


@st.composite
def recurrences(draw):
    """A function of (x, w, h) in a loop of Python's, from random steps."""
    names = draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4))
    count, backwards = draw(st.integers(4, 9)), draw(st.booleans())
    kept = draw(st.sampled_from(["sum", "last", "all", "some"]))
    zeros = draw(st.booleans())

    def function(x, w, h):
        c = np.zeros_like(h) if zeros else h * 0.5
        total, states = 0.0, []
        for t in range(count):
            inputs = x[count - 1 - t] if backwards else x[t]
            for name in names:
                h, c = STEPS[name](h, c, inputs, w)
            total = total + (h * c).mean()
            states.append(h)
        if kept == "sum":
            return total
        if kept == "last":
            return h + c
        return np.stack(states if kept == "all" else states[1::3], axis=1)

    function.names = f"{names} {count} {backwards} {kept} {zeros}"
    return function, count


@examples(0.5)
@given(recurrences(), st.integers(0, 1000))
def test_random_recurrences(recurrence, seed):
    function, count = recurrence
    generator = np.random.default_rng(seed)
    compiled = mg.compile(function)
    for _ in range(3):
        leaves = [
            mg.Tensor(generator.standard_normal(shape), requires_grad=True)
            for shape in ((count, 3, N), (N, N), (3, N))
        ]
        found, slopes = outcome(compiled, leaves, [1.0])
        expected, others = outcome(function, leaves, [1.0])
        np.testing.assert_allclose(found[0], expected[0], **CLOSE)
        for one, other in zip(slopes, others, strict=True):
            np.testing.assert_allclose(
                0 if one is None else one, 0 if other is None else other, **CLOSE
            )
    assert compiled.refusals == [], function.names


def recurrence_of(names, count):
    def function(x, w, h):
        c, total, states = h * 0.5, 0.0, []
        for t in range(count):
            inputs = x[t]
            for name in names:
                h, c = STEPS[name](h, c, inputs, w)
            total = total + (h * c).mean()
            states.append(h)
        return np.stack(states[1::3], axis=1)

    return function


@pytest.mark.parametrize("lift", [False, True])
@pytest.mark.parametrize(
    ("names", "count"),
    [
        # A gradient that meets another one before the first step of a loop: one reader takes what
        # came first, and another one the sum.
        (("doubled", "largest", "largest"), 8),
        # Reads that move evenly, but by two steps at each.
        (("tanh of a product", "swap", "tanh of a product"), 7),
    ],
)
def test_steps_that_only_look_alike(names, count, lift):
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape) for shape in ((count, 3, N), (N, N), (3, N))]
    function = recurrence_of(names, count)
    compare(function, arrays, 1e-6, lambda graph: plain.build(roll(graph, lift)))


@settings(deadline=None)
@given(recurrences(), st.booleans())
def test_both_ways_to_roll_compute_the_same(recurrence, lift):
    function, count = recurrence
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape) for shape in ((count, 3, N), (N, N), (3, N))]
    compare(function, arrays, 1e-6, lambda graph: plain.build(roll(graph, lift)))
