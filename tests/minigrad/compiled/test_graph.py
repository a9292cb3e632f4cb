"""Values, views and loops of a compiled graph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.compiled import graph
from minigrad.compiled.graph import Value, View, contiguous, reachable, reshape_view, size_of

VIEWS = {
    "transpose": lambda a: a.transpose(2, 0, 1),
    "swap": lambda a: np.swapaxes(a, 0, 2),
    "reversed": lambda a: a[:, ::-1, 1:],
    "stepped": lambda a: a[::2, None, :, -1],
    "flat": lambda a: reshape_view(a, (a.size,)),
    "repeated": lambda a: np.broadcast_to(a[:1], (3, *a.shape[1:])),
}


def read(view, array):
    step = array.itemsize
    return np.ndarray(
        view.shape, array.dtype, array, view.offset * step, [s * step for s in view.strides]
    )


@given(st.lists(st.sampled_from(sorted(VIEWS)), max_size=1), st.sampled_from(sorted(VIEWS)))
def test_a_view_reads_what_numpy_reads(first, second):
    array = np.arange(24.0).reshape(2, 3, 4)
    expected, view = array, View(Value("input", (), array.shape, array.dtype, (0,)))
    for name in (*first, second):
        if expected.ndim != 3 or (name == "flat" and first):
            continue
        expected = VIEWS[name](expected)
        view = view.seen_through(VIEWS[name])
    np.testing.assert_array_equal(read(view, array), expected)
    assert view.whole == (expected.shape == array.shape and expected.flags.c_contiguous)


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # of NumPy 2.5
@pytest.mark.parametrize("can_refuse", sorted({False, graph._RESHAPE_CAN_REFUSE}))
def test_only_views_are_reshaped_also_by_the_lowest_numpy(monkeypatch, can_refuse):
    monkeypatch.setattr(graph, "_RESHAPE_CAN_REFUSE", can_refuse)
    array = np.arange(24.0).reshape(2, 3, 4)
    seen = reshape_view(array[:, :, ::2], (6, 2))
    np.testing.assert_array_equal(seen, array[:, :, ::2].reshape(6, 2))
    assert np.shares_memory(seen, array)
    assert reshape_view(array[:1, :1, :1], ()).shape == ()
    with pytest.raises(ValueError, match="copy"):
        reshape_view(array.transpose(2, 1, 0), (24,))


def test_equal_views_are_looked_through_with_one_dummy(monkeypatch):
    made, as_strided = [], graph.as_strided
    monkeypatch.setattr(
        graph, "as_strided", lambda *a, **k: made.append(a[1]) or as_strided(*a, **k)
    )
    for offset in range(5):
        view = View(Value("input", (), (7, 911), "f4"), (7, 300), (911, 3), offset)
        assert view.seen_through(lambda dummy: dummy[::-1]).offset == 6 * 911 + offset
        assert view.broadcast((2, 7, 300)).strides == (0, 911, 3)
    assert made == [(7, 300)]


def test_broadcasting_adds_axes_of_stride_0():
    view = View(Value("input", (), (3, 1), "f4", (0,))).broadcast((2, 3, 5))
    assert (view.shape, view.strides, view.offset) == ((2, 3, 5), (0, 1, 0), 0)


def test_strides_are_those_of_numpy():
    shape = (2, 1, 5, 3)
    assert contiguous(shape) == tuple(s // 8 for s in np.empty(shape).strides)
    assert size_of(shape) == 30


def test_only_what_outputs_need_is_reachable():
    x = Value("input", (), (2,), "f4", (0,))
    used = Value("exp", (View(x),), (2,), "f4")
    unused = Value("log", (View(x),), (2,), "f4")
    last = Value("add", (View(used), 1.0), (2,), "f4")
    assert reachable([used, unused, last], [View(last)]) == [used, last]
