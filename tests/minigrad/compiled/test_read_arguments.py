"""Readers of arguments take those apart, and only those, whose key is that of the first."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.compiled import plain
from minigrad.compiled.backends import default_backend
from minigrad.compiled.guarding.keys import flatten, key_of
from minigrad.compiled.guarding.readers import write_reader
from minigrad.core.modes import current_mode


class Key(str):
    """Equal to a string, and none."""


class Object:
    """Counts by identity."""


OBJECTS = [Object(), Object()]
LEAVES = [
    *(mg.tensor(np.zeros(2, np.float32)), mg.tensor(np.zeros(2, np.float32), requires_grad=True)),
    *(mg.tensor(np.ones(2)), mg.tensor(np.zeros((1, 2), np.float32)), np.zeros(2, np.float32)),
    *(np.zeros(2), np.zeros(2, ">f4"), np.zeros(2, np.float32).view(np.memmap), np.float32(1)),
    *(0, 1, True, False, None, 1.0, 0.0, -0.0, np.nan, float("nan"), 1j, "a", Key("a"), b"a"),
    *(slice(1), slice(1.0), ..., int, float, np.dtype(np.float32), *OBJECTS, np.float64(1)),
]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "b", Key("c")]), inner, max_size=2)
    ),
    max_leaves=4,
)
CALLS = st.tuples(
    st.lists(TREES, max_size=2).map(tuple), st.dictionaries(st.just("k"), TREES, max_size=1)
)


def leaves_and_key(call):
    leaves = []
    structure = flatten(call, leaves)
    return leaves, key_of(structure, leaves, current_mode())


def check(first, second):
    read = write_reader(first)
    leaves, key = leaves_and_key(second)
    found = None if read is None else read(*second)
    if found is None:  # it may pass on what is new to it, but not the very same
        assert read is None or leaves_and_key(first)[1] != key
    else:
        tensors = [leaf for leaf in leaves if isinstance(leaf, (mg.Tensor, np.ndarray))]
        arrays = [leaf._array if isinstance(leaf, mg.Tensor) else leaf for leaf in tensors]
        for one, other in zip(found, (leaves, tensors, arrays), strict=True):
            assert list(map(id, one)) == list(map(id, other))
        assert leaves_and_key(first)[1] == key


@given(first=CALLS, second=CALLS)
def test_what_is_read_has_the_key_of_the_first(first, second):
    check(first, second)
    check(first, first)


@pytest.mark.parametrize("first", range(len(LEAVES)))
def test_every_pair_of_leaves(first):
    for second in LEAVES:
        check(((LEAVES[first],), {}), ((second,), {}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (((1, 2), {}), ((1,), {})),
        (((1,), {}), ((1, 2), {})),
        (((), {}), ((1,), {})),
        (((), {"a": 1, "b": 2}), ((), {"b": 2, "a": 1})),
        ((({"a": 1},), {}), (({Key("a"): 1},), {})),
        ((({"a": 1},), {}), (({},), {})),
        ((([1],), {}), (((1,),), {})),
        ((([],), {}), (((),), {})),
    ],
)
def test_other_containers_are_refused(first, second):
    read = write_reader(first)
    assert read(*first) is not None
    assert read(*second) is None


def test_a_tensor_that_changed_is_refused():
    x = mg.tensor(np.zeros(2, np.float32))
    read = write_reader(((x,), {}))
    assert read((x,), {}) == ([x], [x], [x._array])
    x.requires_grad_()
    assert read((x,), {}) is None


def test_objects_are_not_kept_alive():
    one = Object()
    read = write_reader(((one,), {}))
    assert read((one,), {}) == ([one], [], [])
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def test_a_call_like_the_last_one_sees_the_mode(monkeypatch):
    entered = []

    def double(x):
        entered.append(x)
        return 2 * x

    compiled = mg.compile(lambda x: 2 * x)
    x = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    for _ in range(3):
        assert compiled(x).requires_grad
    for _ in range(3):
        with mg.no_grad():
            assert not compiled(x).requires_grad
        assert compiled(x).requires_grad
    assert len(compiled.programs) == 2
    with mg.profile() as profile:
        compiled(x)
    assert len(profile.records) == 1
    compiled.function = double
    compiled(x)
    assert not entered  # a program ran
    monkeypatch.setenv("MINIGRAD_COMPILE", "0")
    compiled(x)
    assert entered


def doubled_if_one(x, y, *more):
    """The sum of 4 x ** 2 for one object twice, of (x y) ** 2 for two, and of others than x."""
    first = mg.multiply(x, 2.0) if x is y else mg.multiply(x, y)
    return (first * first).sum() + sum(mg.sum(one) for one in more if one is not x)


@pytest.mark.parametrize("backend", [plain, default_backend()], ids=["plain", "native"])
@pytest.mark.parametrize("kind", [np.array, lambda a: mg.Tensor(np.array(a), None, True)])
def test_arguments_that_are_one_object_are_no_two(backend, kind):
    compiled = mg.compile(doubled_if_one, backend=backend)
    for k in range(3):
        x, y, z = kind([1.0 + k, 2.0]), kind([3.0, 4.0]), kind([5.0, 6.0])
        for args in ((x, x), (x, y), (y, y), (x, x, x), (x, x, z), (x, y, x), (x, y, z)):
            found, expected = compiled(*args), doubled_if_one(*args)
            assert found.item() == expected.item()
            if not isinstance(x, mg.Tensor):
                continue
            for _ in range(2):  # the second derivative runs the function
                found = mg.gradients(found, args[0], create_graph=True)
                expected = mg.gradients(expected, args[0], create_graph=True)
                np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
                found, expected = (found * found).sum(), (expected * expected).sum()
    assert compiled.refusals == []
    assert len(compiled.programs) == 6
