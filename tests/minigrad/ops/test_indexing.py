"""Indexing, picking and scattering against NumPy's own, in value and to second order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.ops.manipulation.indexing import plain_index, scatter
from minigrad.testing import Input, check_gradients, property_test
from minigrad.testing.strategies import arrays, shapes


def bend(f):
    """The squares of the results: a linear operation alone has no second derivative to check."""

    def bent(*args, **kwargs):
        y = f(*args, **kwargs)
        return y * y

    return bent


def agrees(f, *inputs, **options):
    """A property test that a function does to tensors what it does to arrays."""
    return property_test(bend(f), *inputs, reference=bend(f), analytic=True, **options)


SOME = Input(shape=shapes(min_dims=1))
FULL = Input(shape=shapes(min_dims=1, min_side=1))


# -- every index that NumPy knows ------------------------------------------------------------------


@st.composite
def any_index(draw, arrays):
    """A tuple of integers, slices, new axes, an ellipsis, integer arrays and masks."""
    shape = arrays[0].shape
    together = draw(st.sampled_from([(), (1,), (3,), (2, 1), (2, 3), (0,)]))
    parts = []
    before = draw(st.integers(0, len(shape)))
    after = draw(st.integers(0, len(shape) - before)) if draw(st.booleans()) else None
    for k in [*range(before), *range(len(shape) - (after or 0), len(shape))]:
        n = shape[k]
        if k == len(shape) - (after or 0) and after:
            parts.append(Ellipsis)
        kinds = [st.slices(n), st.just(slice(None, None, -1))]
        if n:
            codes = hnp.arrays(np.int64, together, elements=st.integers(-n, n - 1))
            kinds += [st.integers(-n, n - 1), codes, codes.map(lambda c: c.tolist())]
        parts.append(draw(st.one_of(kinds)))
        if draw(st.integers(0, 5)) == 0:
            parts.append(None)
    if after == 0:
        parts.append(Ellipsis)
    return {"index": parts[0] if len(parts) == 1 and draw(st.booleans()) else tuple(parts)}


def read(x, index):
    return x[index]


test_getitem = agrees(read, SOME, params=any_index)
test_getitem_by_mask = agrees(
    read, SOME, params=lambda a: st.fixed_dictionaries({"index": hnp.arrays(bool, a[0].shape)})
)


@st.composite
def with_mask(draw, arrays):
    """A mask over some axes next to an integer array, a slice or a number."""
    first, middle, last = arrays[0].shape
    mask = draw(hnp.arrays(bool, (first, middle)))
    one = draw(st.sampled_from([0, -1, slice(None), slice(None, None, -1), np.array([last - 1])]))
    other = draw(hnp.arrays(bool, last))
    codes = np.zeros(int(other.sum()), int)
    return {"index": draw(st.sampled_from([(mask, one), (0, codes, other), (..., other), (mask,)]))}


test_getitem_by_mask_and_more = agrees(
    read, Input(shape=shapes(min_dims=3, max_dims=3, min_side=1)), params=with_mask
)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[:, [0, 1, 0], ..., [1, 1, 0], :],
        np.s_[:, [0, 1, 0], [1, 1, 0]],
        np.s_[[0, 1, 0], :, [1, 1, 0]],
        np.s_[1, :, [0, 2, 2]],
        np.s_[:, 1, [[0], [2]], None],
        np.s_[True, [0, 0, 1]],
        np.s_[..., True, [0, 0, 1]],
        np.s_[False, [1]],
        np.s_[True],
        np.s_[np.True_, 0],
        np.s_[np.array(1), ::2],
        np.s_[np.int32(-1)],
        range(2),
        [],
        np.s_[[1, 0], [True, False, True]],
        ...,
        None,
        (),
    ],
    ids=repr,
)
def test_unusual_indices(index):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 2))
    np.testing.assert_array_equal(mg.Tensor(x)[index].numpy(), x[index])
    check_gradients(lambda t: t[index] ** 2, x, directions=3)
    expected = np.zeros_like(x)
    np.add.at(expected, index, x[index])
    added = scatter(x[index], x.shape, plain_index(index))
    np.testing.assert_allclose(added.numpy(), expected, rtol=1e-14)


@given(st.data())
def test_scatter_adds_what_add_at_adds(data):
    x = data.draw(arrays(shapes(min_dims=1)))
    index = data.draw(any_index([x]))["index"]
    values = np.random.default_rng(0).standard_normal(x[index].shape)
    expected = x.copy()
    np.add.at(expected, index, values)
    np.testing.assert_allclose(mg.scatter_add(x, index, values).numpy(), expected, rtol=1e-12)
    check_gradients(lambda t, v: mg.scatter_add(t, index, v) ** 2, x, values, analytic=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_repeat_add_up_in_blocks(dtype):
    rng = np.random.default_rng(0)
    codes, rows = rng.integers(0, 7, 3000), rng.integers(0, 9, (3000, 40)).astype(dtype)
    expected = np.zeros((7, 40))
    np.add.at(expected, codes, rows)
    total = scatter(rows, (7, 40), codes)
    assert total.dtype == dtype
    np.testing.assert_array_equal(total.numpy(), expected.astype(dtype))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint64])
def test_small_integers_index_long_axes(dtype):
    x = np.random.default_rng(0).standard_normal((300, 300))
    codes = np.array([120, 120, 7], dtype)
    if codes.dtype.kind == "i":
        codes[2] = -1
    for read_ in (
        lambda t: t[codes],
        lambda t: t[codes, codes],
        lambda t: t[5, :, None][codes],
        lambda t: np.take(t, codes, axis=1),
        lambda t: np.take_along_axis(t, codes[:, None], axis=0),
        lambda t: mg.scatter_add(t, (codes, codes), 1.0)[codes],
    ):
        check_gradients(lambda t, f=read_: f(t) ** 2, x, directions=2, order=1)


def test_an_index_is_copied():
    x = mg.Tensor(np.arange(4.0), requires_grad=True)
    codes, mask = np.array([1, 1]), np.array([True, False, False, False])
    step = mg.Tensor(2)
    y = x[codes].sum() + 10 * x[mask].sum() + 100 * x[:step].sum()
    codes[:], mask[:] = 3, True
    step += 1
    y.backward()
    assert x.grad.tolist() == [110.0, 102.0, 0.0, 0.0]


def test_tensors_are_indices():
    x = mg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x[mg.Tensor([1, 0]), mg.Tensor(2)].tolist() == [5.0, 2.0]
    assert x[x > 3.0].tolist() == [4.0, 5.0]
    assert x[x.argmax(axis=1).detach() * 0].tolist() == [[0.0, 1.0, 2.0]] * 2
    assert x[[[0, 1]]].shape == (1, 2, 3)


def test_iteration_and_reading_in_steps_give_the_gradient_once():
    x = mg.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    total = sum((row * row).sum() for row in x) + x[1].sum() + x[[0, 0]].sum() + x.sum()
    (slope,) = mg.gradients(total, [x], create_graph=True)
    np.testing.assert_array_equal(
        slope.numpy(), 2 * np.arange(6.0).reshape(3, 2) + [[3, 3], [2, 2], [1, 1]]
    )
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), slope.numpy())
    with mg.anomaly_mode():
        sum((row * row).sum() for row in x).backward()


# -- take and its kin ------------------------------------------------------------------------------


@st.composite
def taken(draw, arrays):
    x = arrays[0]
    axis = draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    n = x.size if axis is None else x.shape[axis]
    mode = draw(st.sampled_from(["raise", "wrap", "clip"]))
    low, high = (-n, n - 1) if mode == "raise" else (-9, 9)
    shape = draw(st.sampled_from([(), (3,), (2, 2), (0,)]))
    codes = draw(hnp.arrays(np.int64, shape, elements=st.integers(low, high)))
    return {"indices": codes if draw(st.booleans()) else codes.tolist(), "axis": axis, "mode": mode}


@st.composite
def along(draw, arrays):
    x = arrays[0]
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    shape = [draw(st.sampled_from([1, n])) for n in x.shape]
    shape[axis] = draw(st.integers(0, 4))
    n = x.shape[axis]
    return {
        "indices": draw(hnp.arrays(np.int64, tuple(shape), elements=st.integers(-n, n - 1))),
        "axis": axis,
    }


def put_along(x, values, indices, axis):
    """`put_along_axis` of a tensor, and what it does to a copy of an array."""
    if isinstance(x, mg.Tensor):
        return mg.put_along_axis(x, indices, values, axis)
    out = np.array(x)
    np.put_along_axis(out, indices, values, axis)
    return out


def add_along(x, values, indices, axis):
    """`add_along_axis` of a tensor, and what it does to a copy of an array."""
    if isinstance(x, mg.Tensor):
        return mg.add_along_axis(x, indices, values, axis)
    places = list(np.meshgrid(*map(np.arange, x.shape), indexing="ij", sparse=True))
    places[axis] = indices
    out = np.array(x)
    np.add.at(out, tuple(places), values)
    return out


test_take = agrees(np.take, FULL, params=taken)
test_take_along_axis = agrees(np.take_along_axis, FULL, params=along)
test_take_along_axis_of_flat = agrees(
    lambda x: np.take_along_axis(x, np.array([0, -1, 0]), axis=None), FULL
)
test_put_along_axis = property_test(
    bend(put_along), FULL, Input(shape=()), reference=bend(put_along), params=along
)
test_add_along_axis = property_test(
    bend(add_along), FULL, Input(shape=()), reference=bend(add_along), params=along
)
test_compress = agrees(
    lambda x, condition, axis: np.compress(condition, x, axis),
    FULL,
    params=lambda a: st.fixed_dictionaries(
        {"condition": st.just([True]), "axis": st.sampled_from([None, 0, -1])}
    ),
)
test_extract = agrees(
    lambda x, condition: np.extract(condition, x),
    SOME,
    params=lambda a: st.fixed_dictionaries({"condition": hnp.arrays(bool, a[0].shape)}),
)
test_delete = agrees(
    np.delete,
    FULL,
    params={
        "obj": st.sampled_from([0, -1, slice(None, None, 2), [0, 0], [-1]]),
        "axis": st.sampled_from([None, 0, -1]),
    },
)
test_select = agrees(
    lambda x, z: np.select([np.arange(3) == 0, np.arange(3) < 2], [x, z], 7.0),
    Input(shape=(3,)),
    Input(shape=(2, 3)),
)
test_choose = agrees(
    lambda x, z, mode: np.choose(np.array([[0], [1], [3], [2]]), [x, z, x, z], mode=mode),
    Input(shape=(3,)),
    Input(shape=(4, 1)),
    params={"mode": st.sampled_from(["raise", "wrap", "clip"])},
)


def test_repeated_places_keep_the_last_write_and_its_gradient():
    x, v = np.arange(4.0), np.array([10.0, 20.0, 30.0])

    def write(t, values):
        return mg.put_along_axis(t, [1, 3, 1], values) ** 2

    assert mg.put_along_axis(x, [1, 3, 1], v).tolist() == [0.0, 30.0, 2.0, 20.0]
    check_gradients(write, x, v)


def test_constants_of_places():
    x = mg.Tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
    assert [p.tolist() for p in np.nonzero(x)] == [[0, 1], [1, 0]]
    assert np.argwhere(x).tolist() == [[0, 1], [1, 0]]
    assert [p.tolist() for p in np.where(x > 0.0)] == [[0, 1], [1, 0]]
    assert np.where(x > 0.0, x, 5.0).tolist() == [[5.0, 2.0], [3.0, 5.0]]
    assert np.flatnonzero(x).tolist() == [1, 2]
    assert np.searchsorted(mg.Tensor([1.0, 2.0, 3.0]), x[1], side="right").tolist() == [3, 0]
    assert not np.argwhere(x).requires_grad
    assert x[x.nonzero()].tolist() == [2.0, 3.0]
    values = mg.take_along_axis(x, x.argmax(axis=1, keepdims=True), axis=1)
    assert values.tolist() == [[2.0], [3.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t[3], IndexError, r"getitem: index 3 is out of bounds.*f64\[2, 3\], index=3"),
        (lambda t: t[0, 0, 0], IndexError, "getitem: there are more indices than axes"),
        (lambda t: t[0.5], IndexError, "getitem: an index must be made of integers"),
        (lambda t: t[np.array([0.5])], mg.DtypeError, r"integers or booleans, got f64\[1\]"),
        (lambda t: t[t], mg.DtypeError, r"integers or booleans, got f64\[2, 3\]"),
        (lambda t: t["a"], IndexError, "getitem: an index must be made of integers"),
        (lambda t: t[[True, False, True]], IndexError, "getitem: a mask must have the shape"),
        (lambda t: mg.take(t, 2, axis=0), IndexError, "take: index 2 is out of bounds for axis 0"),
        (lambda t: mg.take(t, -7), IndexError, "take: index -7 is out of bounds for the flat"),
        (lambda t: mg.take(t, 0.5), mg.DtypeError, "take: indices must be integers"),
        (lambda t: mg.take(t, 0, mode="x"), ValueError, "take: mode must be one of 'raise'"),
        (lambda t: mg.take(t, t), mg.DtypeError, "indices"),
        (lambda t: mg.take_along_axis(t, [0], 1), mg.ShapeError, "as many axes as the array"),
        (lambda t: mg.take_along_axis(t, [[3]], 1), IndexError, "index 3 is out of bounds"),
        (lambda t: mg.put_along_axis(t, [[3]], 1.0, 1), IndexError, "put_along_axis: index 3"),
        (lambda t: mg.put_along_axis(t, [0], 1.0, 1), mg.ShapeError, "put_along_axis: indices"),
        (lambda t: mg.add_along_axis(t, [[0.5]], 1.0), mg.DtypeError, "integers"),
        (lambda t: mg.scatter_add(t, 5, 1.0), IndexError, "scatter_add: index 5"),
        (lambda t: mg.scatter_add(t, 0, np.ones(2)), mg.ShapeError, "broadcast"),
        (lambda t: mg.compress([[True]], t), mg.ShapeError, "condition must have one axis"),
        (lambda t: mg.compress(t[0], t), mg.DetachError, "condition is a constant here"),
        (lambda t: mg.select([], []), mg.ShapeError, "0 conditions and 0 choices"),
        (lambda t: mg.choose([2], [t, t]), IndexError, "choose: a must number the 2 choices"),
        (lambda t: mg.nonzero(t[0, 0]), mg.ShapeError, "needs one axis or more"),
        (lambda t: np.unique(t), mg.DtypeError, "np.unique"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.Tensor(np.ones((2, 3)), requires_grad=True))
