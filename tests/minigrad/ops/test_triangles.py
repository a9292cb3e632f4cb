"""Triangles and diagonals against NumPy's own."""

import numpy as np
import pytest
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Input, property_test
from minigrad.testing.strategies import shapes


def agrees(f, *inputs, **options):
    """A property test that a function does to tensors what it does to arrays, squared."""

    def bent(*args, **kwargs):
        y = f(*args, **kwargs)
        return y * y

    return property_test(bent, *inputs, reference=bent, analytic=True, **options)


PLANE = Input(shape=shapes(min_dims=2))
OFFSETS = st.integers(-3, 3)


@st.composite
def planes(draw, arrays):
    first, second = draw(st.permutations(range(arrays[0].ndim)))[:2]
    return {"offset": draw(OFFSETS), "axis1": first, "axis2": second - arrays[0].ndim}


test_tril = agrees(np.tril, Input(shape=shapes(min_dims=1)), params={"k": OFFSETS})
test_triu = agrees(np.triu, Input(shape=shapes(min_dims=1)), params={"k": OFFSETS})
test_diagonal = agrees(np.diagonal, PLANE, params=planes)
test_trace = agrees(np.trace, PLANE, params=planes)
test_diag = agrees(
    np.diag, Input(shape=shapes(min_dims=1, max_dims=2)), params={"k": st.integers(-2, 2)}
)
test_diagflat = agrees(np.diagflat, Input(shape=shapes(max_dims=2)), params={"k": OFFSETS})
test_linalg_diagonal = agrees(np.linalg.diagonal, PLANE, params={"offset": OFFSETS})
test_linalg_trace = agrees(np.linalg.trace, PLANE, params={"offset": OFFSETS})


def test_methods():
    x = mg.Tensor(np.arange(9.0).reshape(3, 3), requires_grad=True)
    assert x.trace().item() == 12.0
    assert x.diagonal(1).tolist() == [1.0, 5.0]
    assert x.tril(-1).numpy().sum() == 3.0 + 6.0 + 7.0
    assert x.triu(1).numpy().sum() == 1.0 + 2.0 + 5.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: mg.diag(t), r"diag: needs a vector or a matrix, got f64\[2, 3, 4\]"),
        (lambda t: t[0, 0].diagonal(), "diagonal: .*at least two dimensions"),
        (lambda t: t.diagonal(0, 1, 1), "diagonal: axis1 and axis2 cannot be the same"),
    ],
)
def test_errors(call, message):
    with pytest.raises(mg.ShapeError, match=message):
        call(mg.Tensor(np.ones((2, 3, 4))))


test_diag_embed = property_test(
    mg.diag_embed,
    Input(shape=shapes(min_dims=1)),
    params={"offset": OFFSETS},
    reference=lambda x, offset: _embedded(x, offset),
)


def _embedded(x, offset):
    length = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], length, length), x.dtype)
    for i in range(x.shape[-1]):
        y[..., i + max(-offset, 0), i + max(offset, 0)] = x[..., i]
    return y


def test_diag_embed_is_the_inverse_of_diagonal():
    x = np.arange(24.0).reshape(2, 3, 4)
    for axis1, axis2 in ((0, 1), (1, 3), (-1, 0), (-2, -1)):
        for offset in (-2, 0, 1):
            y = mg.diag_embed(mg.Tensor(x), offset, axis1, axis2)
            np.testing.assert_array_equal(np.diagonal(y.numpy(), offset, axis1, axis2), x)
            assert np.count_nonzero(y.numpy()) == 23
    with pytest.raises(mg.AxisError, match="axis1: 2 is out of bounds for 2 axes"):
        mg.diag_embed(x[0, 0], axis1=2)
    with pytest.raises(mg.ShapeError, match="axis1 and axis2 must differ, got -1 and 1"):
        mg.diag_embed(x[0, 0], axis1=-1, axis2=1)
    with pytest.raises(mg.AxisError, match=r"vectors along its last axis, got f64\[\]"):
        mg.diag_embed(x[0, 0, 0])


def test_diagonals_under_the_name_of_numpys_module():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert mg.linalg.diagonal(x, offset=1).tolist() == np.linalg.diagonal(x, offset=1).tolist()
    assert mg.linalg.trace(mg.Tensor(x)).tolist() == np.linalg.trace(x).tolist()
    assert np.linalg.trace(mg.Tensor(x), dtype=np.float32).dtype == np.float32
