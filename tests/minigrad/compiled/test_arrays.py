"""Many arrays are looked at at once: nothing else passes than what NumPy itself tells of them."""

import gc
import math
import weakref

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.compiled.llvm import arrays as looks
from minigrad.compiled.llvm import native

KINDS = [((2, 3), np.float32), ((4,), np.float64), ((), np.int64), ((0, 5), np.float32)]


def arrays_of(kinds=KINDS):
    return tuple(np.zeros(shape, dtype) for shape, dtype in kinds)


class Derived(np.ndarray):
    """Another class."""


def read_only():
    array = np.zeros((2, 3), np.float32)
    array.flags.writeable = False
    return array


SAME = {
    "others": lambda: np.ones((2, 3), np.float32),
    "read-only": read_only,
    "a part of another": lambda: np.zeros((4, 3), np.float32)[2:],
    "a transposed one that was transposed": lambda: np.zeros((3, 2), np.float32, order="F").T,
}
OTHERS = {
    "a length": lambda: np.zeros((2, 4), np.float32),
    "fewer axes": lambda: np.zeros(6, np.float32),
    "more axes": lambda: np.zeros((2, 3, 1), np.float32),
    "dtype": lambda: np.zeros((2, 3), np.int32),
    "byte order": lambda: np.zeros((2, 3), ">f4"),
    "order": lambda: np.zeros((2, 3), np.float32, order="F"),
    "spread": lambda: np.broadcast_to(np.float32(0), (2, 3)),
    "every second column": lambda: np.zeros((2, 6), np.float32)[:, ::2],
    "not aligned": lambda: np.zeros(25, np.int8)[1:].view(np.float32).reshape(2, 3),
    "class": lambda: np.zeros((2, 3), np.float32).view(Derived),
    "no array": lambda: np.float32(0),
    "nothing": lambda: None,
}
FOREIGN = {"read-only", "a part of another", "a transposed one that was transposed"}


def test_this_python_is_known():
    assert looks.is_known()


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("place", [0, 4])
def test_arrays_of_the_same_kinds(name, place):
    kinds = [*KINDS[:place], ((2, 3), np.float32), *KINDS[place:]]
    given = [*arrays_of(KINDS[:place]), SAME[name](), *arrays_of(KINDS[place:])]
    assert looks.Kinds(kinds).are_of(tuple(given))
    assert looks.Kinds(kinds, own=place + 1).are_of(tuple(given)) == (name not in FOREIGN)
    assert looks.Kinds(kinds, own=place).are_of(tuple(given))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("place", [0, 4])
def test_arrays_of_other_kinds(name, place):
    kinds = [*KINDS[:place], ((2, 3), np.float32), *KINDS[place:]]
    given = [*arrays_of(KINDS[:place]), OTHERS[name](), *arrays_of(KINDS[place:])]
    assert not looks.Kinds(kinds).are_of(tuple(given))


def test_no_arrays_are_of_no_kinds():
    assert looks.Kinds([]).are_of(())


SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)
DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.bool_])
LISTS = st.lists(st.tuples(SHAPES, DTYPES), max_size=5)


@given(st.one_of(st.tuples(LISTS, LISTS), LISTS.map(lambda one: (one, one))))
def test_shapes_and_dtypes_as_numpy_tells_them(both):
    kinds, others = both
    count = min(len(kinds), len(others))
    kinds, found = kinds[:count], arrays_of(others[:count])
    same = [(a.shape, a.dtype) for a in found] == [(s, np.dtype(d)) for s, d in kinds]
    assert looks.Kinds(kinds).are_of(found) == same


CODE = """
define i32 @main(ptr %frame, ptr %room) {
  store i64 7, ptr %room
  ret i32 4
}
"""


@pytest.mark.parametrize("name", [*SAME, *OTHERS])
def test_a_program_runs_for_arrays_of_its_kinds_alone(name):
    code, room = native.load_code(CODE), np.zeros(1, np.int64)
    checked = looks.Checked(looks.Kinds([*KINDS, ((2, 3), np.float32)]), 2, code.address("main"))
    checked.work_in(room.ctypes.data)
    frame = (np.zeros(1), np.zeros((2, 2)), *arrays_of(), {**SAME, **OTHERS}[name](), "a constant")
    status = checked.run(id(frame), checked.record)
    assert (status, room[0]) == ((4, 7) if name in SAME else (looks.Checked.OTHER, 0))


@pytest.mark.parametrize("make", [
    lambda: looks.Kinds([]), lambda: looks.Checked(looks.Kinds([]), 0, 0).run,
])  # fmt: skip
def test_code_lives_as_long_as_what_calls_it(make):
    def forget():
        for cached in (looks._library, looks._alike, looks._checked):
            cached.cache_clear()

    forget()
    caller = make()
    code = weakref.ref(looks._library()[1])
    forget()
    gc.collect()
    assert code() is not None
    del caller
    gc.collect()
    assert code() is None


@pytest.mark.parametrize("known", [True, False])
def test_programs_take_arrays_in_any_order(monkeypatch, known):
    if not known:
        monkeypatch.setattr(looks, "_memory", lambda: None)
    w = mg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    layer = mg.compile(lambda x: mg.tanh(x @ w).sum())
    x = np.linspace(-1, 1, 8).reshape(4, 2)
    for array in (x, x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x):
        w.grad = None
        layer(array).backward()
        expected = math.fsum(np.tanh(x @ w.numpy()).ravel())
        assert math.isclose(layer(array).item(), expected, rel_tol=1e-12)
        slopes = x.T @ (1 - np.tanh(x @ w.numpy()) ** 2)
        np.testing.assert_allclose(w.grad.numpy(), slopes, rtol=1e-12)
    assert len(layer.programs) == 1
    w.write(np.asfortranarray(w.numpy() / 2))
    w._array = w._node.value = np.asfortranarray(w.numpy())
    expected = math.fsum(np.tanh(x @ w.numpy()).ravel())
    assert math.isclose(layer(x).item(), expected, rel_tol=1e-12)
    assert len(layer.programs) == 1


def test_a_weight_of_an_equal_dtype_that_is_another_object():
    dtype = np.dtype(np.float64).newbyteorder("<")
    w = mg.Tensor(np.ones(3), requires_grad=True)
    twice = mg.compile(lambda x: (w * x).sum())
    for _ in range(2):
        twice(np.ones(3))
    w._array = w._node.value = np.full(3, 2.0).view(dtype)
    assert w.dtype == np.float64
    assert twice(np.ones(3)).item() == 6.0
    assert len(twice.programs) == 1
