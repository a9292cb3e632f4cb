"""Shape operations against NumPy's own, in value and to second order."""

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, check_gradients, property_test
from minigrad.testing.strategies import shapes


def bend(f):
    """The squares of the results: a linear operation alone has no second derivative to check."""

    def bent(*args, **kwargs):
        results = f(*args, **kwargs)
        if isinstance(results, (list, tuple)):
            return [y * y for y in results]
        return results * results

    return bent


def agrees(f, *inputs, **options):
    """A property test that a function does to tensors what it does to arrays."""
    return property_test(bend(f), *inputs, reference=bend(f), analytic=True, **options)


SOME = Input(shape=shapes(min_dims=1))
PLANE = Input(shape=shapes(min_dims=2))


def axes_of(arrays):
    n = arrays[0].ndim
    return st.integers(-n, n - 1)


@st.composite
def new_shape(draw, arrays):
    x = arrays[0]
    choices = [(x.size,), (1, x.size, 1), x.shape[::-1], *([(-1, 1), -1] if x.size else [])]
    return {"shape": draw(st.sampled_from(choices)), "order": draw(st.sampled_from("CF"))}


def orders(arrays):
    n = arrays[0].ndim
    return st.fixed_dictionaries(
        {"axes": st.permutations(range(n)).map(lambda p: tuple(k - n if k % 2 else k for k in p))}
    )


def two_axes(arrays):
    return st.fixed_dictionaries({"axis1": axes_of(arrays), "axis2": axes_of(arrays)})


@st.composite
def moves(draw, arrays):
    n = arrays[0].ndim
    k = draw(st.integers(1, n))
    picks = st.permutations(range(n)).map(lambda p: tuple(p[:k]))
    return {"source": draw(picks), "destination": draw(picks)}


@st.composite
def rolled(draw, arrays):
    n = arrays[0].ndim
    return {"axis": draw(st.integers(-n, n - 1)), "start": draw(st.integers(-n, n))}


def some_axes(arrays):
    n = arrays[0].ndim
    several = st.permutations(range(n)).map(lambda p: tuple(p[:1]))
    return st.fixed_dictionaries(
        {"axis": st.none() | several | (axes_of(arrays) if n else several)}
    )


def ones_of(arrays):
    ones = tuple(k for k, n in enumerate(arrays[0].shape) if n == 1)
    return st.fixed_dictionaries({"axis": st.sampled_from([None, ones, *ones])})


@st.composite
def new_axes(draw, arrays):
    n = arrays[0].ndim
    return {"axis": draw(st.integers(-n - 1, n) | st.sampled_from([(0, 1), (-1, 0)]))}


def wider(arrays):
    shape = arrays[0].shape
    longer = tuple(3 if n == 1 else n for n in shape)
    return st.fixed_dictionaries({"shape": st.sampled_from([shape, longer, (2, *longer)])})


# By position: the name is `newshape` in NumPy 2.0.
test_reshape = agrees(
    lambda x, shape, order: np.reshape(x, shape, order=order), Input(), params=new_shape
)
test_ravel = agrees(np.ravel, Input(), params={"order": st.sampled_from("CF")})
test_transpose = agrees(np.transpose, Input())
test_transpose_axes = agrees(np.transpose, Input(), params=orders)
test_permute_dims = agrees(np.permute_dims, Input(), params=orders)
test_swapaxes = agrees(np.swapaxes, SOME, params=two_axes)
test_moveaxis = agrees(np.moveaxis, SOME, params=moves)
test_rollaxis = agrees(np.rollaxis, SOME, params=rolled)
test_matrix_transpose = agrees(np.matrix_transpose, PLANE)
test_flip = agrees(np.flip, Input(), params=some_axes)
test_fliplr = agrees(np.fliplr, PLANE)
test_flipud = agrees(np.flipud, SOME)
test_rot90 = agrees(
    np.rot90, PLANE, params={"k": st.integers(-5, 5), "axes": st.sampled_from([(0, 1), (-1, 0)])}
)
test_squeeze = agrees(np.squeeze, Input(shape=shapes(max_side=1)), params=ones_of)
test_squeeze_all = agrees(np.squeeze, Input())
test_expand_dims = agrees(np.expand_dims, Input(), params=new_axes)
test_broadcast_to = agrees(np.broadcast_to, Input(), params=wider)
test_broadcast_arrays = agrees(np.broadcast_arrays, Input(), Input(), Input())
test_atleast = agrees(
    lambda x, z: [*np.atleast_1d(x, z), *np.atleast_2d(x, z), np.atleast_3d(x)], Input(), Input()
)
test_meshgrid = agrees(
    np.meshgrid,
    *[Input(shape=st.sampled_from([(), (1,), (3,)]))] * 3,
    params={"sparse": st.booleans(), "indexing": st.sampled_from(["xy", "ij"])},
)
test_full_like = property_test(
    lambda x, z: mg.full_like(x, z) * x * z,
    Input(),
    Input(shape=()),
    reference=lambda x, z: np.full_like(x, z) * x * z,
    analytic=False,
)


def test_views_do_not_copy():
    x = mg.Tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    views = {
        "reshape": x.reshape(6, 4),
        "ravel": x.ravel(),
        "transpose": x.transpose(2, 0, 1),
        "T": x.T,
        "mT": x.mT,
        "swapaxes": x.swapaxes(0, 2),
        "moveaxis": mg.moveaxis(x, 0, -1),
        "expand_dims": mg.expand_dims(x, 1),
        "squeeze": x[:1].squeeze(0),
        "broadcast_to": mg.broadcast_to(x, (5, 2, 3, 4)),
        "flip": mg.flip(x, 1),
        "rot90": mg.rot90(x),
        "diagonal": x.diagonal(),
        "getitem": x[1, ..., ::2],
        "split": mg.split(x, 2, axis=2)[1],
        "unstack": mg.unstack(x)[1],
    }
    copied = [k for k, v in views.items() if not np.shares_memory(v.numpy(), x.numpy())]
    assert not copied


def test_methods_take_sizes_or_a_tuple():
    x = mg.Tensor(np.arange(6.0))
    assert x.reshape(2, 3, order="F").numpy()[0].tolist() == [0.0, 2.0, 4.0]
    assert x.reshape(2, 3).shape == x.reshape((2, 3)).shape == x.reshape([2, -1]).shape == (2, 3)
    y = x.reshape(1, 2, 3)
    assert y.transpose(2, 0, 1).shape == y.transpose((2, 0, 1)).shape == (3, 1, 2)
    assert y.transpose().shape == y.T.shape == (3, 2, 1)
    assert y.mT.shape == (1, 3, 2)
    assert y.squeeze().shape == (2, 3)
    assert y.flatten().shape == y.ravel().shape == (6,)


@pytest.mark.parametrize("make", [np.zeros_like, np.ones_like, np.empty_like])
def test_constants_of_a_shape(make):
    x = mg.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    made = make(x)
    assert (made.shape, made.dtype, made.requires_grad) == ((2, 3), np.float32, False)
    other = make(x, dtype=np.float64, shape=(4,))
    assert (other.shape, other.dtype) == ((4,), np.float64)
    if make is not np.empty_like:
        np.testing.assert_array_equal(other.numpy(), make(np.ones(4)))


def test_full_like_keeps_the_history_of_its_value():
    x, value = mg.Tensor(np.zeros((2, 3))), mg.Tensor(2.0, requires_grad=True)
    full = np.full_like(x, value)
    full.sum().backward()
    assert full.dtype == np.float64
    assert value.grad.item() == 6.0
    assert not np.full_like(x, 7).requires_grad


def test_numbers_in_lists_take_the_dtype_beside_them():
    x = mg.Tensor(np.zeros(2), requires_grad=True)
    joined = np.vstack([x, [0.1, 0.2]])
    assert joined.dtype == np.float64
    assert joined.numpy()[1, 0] == 0.1


def test_order_of_reading_is_differentiated():
    x = np.arange(6.0).reshape(2, 3)
    check_gradients(lambda t: mg.reshape(t, (3, 2), order="F") ** 2, x)
    np.testing.assert_array_equal(mg.ravel(mg.Tensor(x), order="F").numpy(), np.ravel(x, order="F"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.reshape(5), mg.ShapeError, r"reshape: cannot reshape.*f64\[2, 3\], shape=5"),
        (lambda t: mg.reshape(t, (6,), order="K"), ValueError, "order must be one of 'C', 'F'"),
        (
            lambda t: t.transpose(0, 0),
            mg.ShapeError,
            r"transpose: axes must name every axis once.*f64\[2, 3\]",
        ),
        (lambda t: t.swapaxes(0, 2), mg.ShapeError, r"swapaxes: .*axis2: axis 2 is out of bounds"),
        (lambda t: t.squeeze(0), mg.ShapeError, r"squeeze: .*size not equal to one"),
        (lambda t: mg.broadcast_to(t, (3, 2)), mg.ShapeError, r"broadcast_to: .*\(2,3\)"),
        (lambda t: mg.broadcast_arrays(t, np.ones(2)), mg.ShapeError, r"\(2, 3\), \(2,\)"),
        (lambda t: mg.matrix_transpose(t[0]), mg.ShapeError, "needs two axes or more"),
        (lambda t: mg.rollaxis(t, 0, 3), mg.ShapeError, "start 3 is out of bounds for 2 axes"),
        (lambda t: mg.meshgrid(t), mg.ShapeError, r"must have one axis, got f64\[2, 3\]"),
        (lambda t: mg.meshgrid(t[0], indexing="yx"), ValueError, "must be one of 'xy', 'ij'"),
        (lambda t: np.reshape(t, (6,), copy=False), TypeError, "copy"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.Tensor(np.ones((2, 3)), requires_grad=True))
